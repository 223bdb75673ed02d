import type { Locator, Page } from '@playwright/test'
import { expect, test } from './page'

/** Goes on with Tab until it is reached; what has the focus is always seen. */
async function reach(page: Page, wanted: Locator): Promise<void> {
  for (let n = 0; n < 80; n += 1) {
    await page.keyboard.press('Tab')
    if (!(await wanted.evaluate((element) => element === document.activeElement))) continue
    await expect(wanted).toBeInViewport()
    // The ring is drawn around it, or around its label.
    const ringed = await wanted.evaluate((element) => [element, element.closest('label, .card')].some((one) => one !== null && getComputedStyle(one).outlineStyle !== 'none'))
    expect(ringed, 'a ring around what has the focus').toBe(true)
    return
  }
  throw new Error(`Tab never reaches ${wanted}`)
}

test('with the keyboard alone: sign in, deploy, read why it failed', async ({ page }) => {
  await page.goto('/')
  await page.getByRole('button', { name: 'Sign in' }).waitFor()
  await reach(page, page.getByLabel('Name'))
  await page.keyboard.type(process.env['FASTDEPLOY_USER'] ?? '')
  await reach(page, page.getByLabel('Password'))
  await page.keyboard.type(process.env['FASTDEPLOY_PASSWORD'] ?? '')
  await page.keyboard.press('Enter')
  await expect(page.getByRole('heading', { level: 1 })).toContainText(/service/)

  // Find is one key away, and whoever skips the bar is in the content.
  await page.keyboard.press('Control+k')
  await page.keyboard.type('video library')
  const place = page.getByRole('link', { name: 'Video library', exact: true })
  await expect(place).toHaveCount(1)
  await reach(page, place)
  await page.keyboard.press('Enter')
  await expect(page.getByRole('heading', { level: 1, name: 'Video library' })).toBeVisible()
  await expect(page.getByRole('main')).toBeFocused()

  const deploy = page.getByRole('button', { name: 'Deploy' })
  await reach(page, deploy)
  await page.keyboard.press('Enter')
  const dialog = page.getByRole('dialog', { name: 'Deploy Video library' })
  await expect(dialog.getByRole('heading', { name: 'Deploy Video library' })).toBeFocused()
  // Esc closes it, and one is where one was.
  await page.keyboard.press('Escape')
  await expect(dialog).toBeHidden()
  await expect(deploy).toBeFocused()
  await page.keyboard.press('Enter')
  await reach(page, dialog.getByLabel('What is it for?'))
  await page.keyboard.type('By keyboard')
  await page.keyboard.press('Enter')

  await expect(page).toHaveURL(/\/deployments\//)
  await expect(page.getByRole('main')).toBeFocused()
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Video library could not be updated', { timeout: 60_000 })
  await expect(page.getByRole('status').filter({ hasText: 'Video library: Failed' })).toBeAttached()
  const failure = page.getByRole('group', { name: 'What happened and what to do' })
  await expect(failure).toContainText('The video library has no licence.')
  await reach(page, failure.getByRole('button', { name: 'Try again' }))
  await reach(page, page.locator('summary').filter({ hasText: 'Show technical output' }))
  await page.keyboard.press('Enter')
  const log = page.getByRole('log')
  await expect(log.getByText('PLAY RECAP')).toBeVisible()
  await reach(page, log)
  const before = await log.evaluate((element) => element.scrollTop)
  await page.keyboard.press('PageUp')
  await expect.poll(() => log.evaluate((element) => element.scrollTop)).toBeLessThanOrEqual(before)
})
