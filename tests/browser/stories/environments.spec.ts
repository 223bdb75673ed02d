import { randomBytes } from 'node:crypto'
import { begin } from './environments'
import { accessible, expect, fits, kubectl, signIn, test } from './page'

const team = `story-page-${randomBytes(3).toString('hex')}`

test('two environments stand side by side, and what is live in one is promoted to the other', async ({ page }) => {
  try {
    begin(team)
    await signIn(page, `/services/${team}/shop-staging?deploy=1`)
    const deploy = page.getByRole('dialog', { name: 'Deploy Shop (staging)' })
    await deploy.getByLabel('Version').fill('v2.0')
    await deploy.getByLabel('Yes').check()
    await deploy.getByRole('button', { name: 'Deploy', exact: true }).click()
    await expect(page.getByRole('heading', { level: 1 })).toContainText('updated', { timeout: 60_000 })

    await page.goto(`/services/${team}/shop-staging`)
    await page.getByRole('link', { name: 'Side by side with the others' }).click()
    const shop = page.getByRole('region', { name: 'Shop' })
    await expect(shop.getByRole('listitem').filter({ hasText: 'staging' }).first()).toContainText('v2.0')
    await expect(shop.getByRole('listitem').filter({ hasText: 'production' }).last()).toContainText('Nothing is live yet')
    await accessible(page, 'environments')
    await page.setViewportSize({ width: 320, height: 640 })
    await fits(page)
    await page.setViewportSize({ width: 1280, height: 800 })

    await shop.getByRole('button', { name: 'Promote to production' }).click()
    const dialog = page.getByRole('dialog', { name: 'Promote to production' })
    await expect(dialog.getByRole('region', { name: 'What will change' })).toContainText('nothing → v2.0')
    await expect(dialog.getByText('debug: production does not ask for it.')).toBeVisible()
    await accessible(page, 'promote')
    await dialog.getByLabel('How many').fill('3')
    await dialog.getByRole('textbox').last().fill('It was tried for a week')
    await dialog.getByRole('button', { name: 'Promote to production' }).click()
    await expect(page.getByRole('heading', { level: 1 })).toContainText('updated Shop (production)', { timeout: 60_000 })
    await expect(page.getByText(/It was tried for a week.*staging #1/).first()).toBeVisible()
    const inputs = kubectl('--namespace', team, 'get', 'fdep', '--output', 'jsonpath={range .items[?(@.spec.service=="shop-production")]}{.spec.inputs}{end}')
    expect(JSON.parse(inputs)).toEqual({ version: 'v2.0', size: 3 })

    await page.goto(`/teams/${team}/environments`)
    await expect(shop.getByRole('listitem').filter({ hasText: 'production' }).last()).toContainText('v2.0')
    // What only production asks for stays: there is nothing left to promote.
    await shop.getByRole('button', { name: 'Promote to production' }).click()
    await expect(dialog.getByText('Nothing: production has exactly this already.')).toBeVisible()
  } finally {
    kubectl('delete', 'namespace', team, '--wait=false')
  }
})
