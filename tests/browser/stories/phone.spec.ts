import { expect, fits, signIn, test } from './page'
import { Sample } from './service'

test('on a phone: deploy, watch, read the output', async ({ page }) => {
  const sample = new Sample('Phone')
  sample.create(Array.from({ length: 4 }, (_, n) => `- {name: "A step with quite a long name, number ${n}", ansible.builtin.command: sleep 1}`).join('\n'))
  try {
    await signIn(page)
    await fits(page)
    await page.getByRole('article', { name: 'Phone' }).filter({ hasText: sample.namespace }).getByRole('link', { name: /^Deploy/ }).tap()
    await fits(page)
    const button = page.getByRole('dialog').getByRole('button', { name: 'Deploy' })
    expect((await button.boundingBox())?.height).toBeGreaterThanOrEqual(44)
    await button.tap()
    await expect(page.getByRole('progressbar')).toBeVisible()
    await fits(page)
    await expect(page.getByRole('heading', { level: 1 })).toHaveText('admin updated Phone', { timeout: 60_000 })
    await page.getByText('Show technical output').tap()
    await expect(page.getByRole('log').getByText('PLAY RECAP')).toBeVisible()
    await fits(page)
  } finally {
    sample.remove()
  }
})

test('on a phone of 320 pixels everything of home and a service fits', async ({ page }) => {
  await page.setViewportSize({ width: 320, height: 640 })
  await signIn(page)
  for (const view of ['Table', 'Cards']) {
    await page.getByRole('button', { name: view }).tap()
    await fits(page)
  }
  await page.getByRole('searchbox').fill('company blog')
  await page.getByRole('link', { name: 'Company blog', exact: true }).tap()
  await expect(page.getByRole('heading', { name: 'History' })).toBeVisible()
  await fits(page)
})
