import { readFileSync } from 'node:fs'
import { expect, fits, signIn, test } from './page'
import { Sample } from './service'

test('somebody finds a service among all, and sees how it went', async ({ page }) => {
  const sample = new Sample('Zebra crossing')
  sample.create('- {name: Count the stripes, ansible.builtin.debug: {msg: "{{ stripes }}"}}\n- {name: Paint one, ansible.builtin.command: "true"}', '[{name: stripes, label: "How many stripes?", type: number, required: true, default: 7}]')
  try {
    await signIn(page)
    await page.keyboard.press('Control+k')
    await expect(page.getByRole('searchbox')).toBeFocused()
    await page.keyboard.type(`zebra ${sample.namespace}`)
    await expect(page.getByRole('article')).toHaveCount(1)
    await expect(page).toHaveURL(/q=zebra/)

    // As a table it is the same, also after a reload.
    await page.getByRole('button', { name: 'Table' }).click()
    const row = page.getByRole('row').filter({ hasText: 'Zebra crossing' })
    await expect(row).toContainText('Never deployed')
    await page.reload()
    await expect(row).toBeVisible()
    await fits(page)
    await row.getByRole('link', { name: /^Deploy/ }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Deploy' }).click()
    await expect(page.getByRole('heading', { level: 1 })).toHaveText('admin updated Zebra crossing', { timeout: 60_000 })

    await page.getByRole('navigation').getByRole('link', { name: 'Zebra crossing' }).click()
    await expect(page.getByRole('region', { name: 'Now' })).toContainText('Live with #1, deployed by admin')
    const line = page.getByRole('listitem').filter({ hasText: 'admin updated with #1' })
    await expect(line).toContainText('How many stripes? 7')
    await page.getByRole('button', { name: 'Failed' }).click()
    await expect(line).toBeHidden()
    await expect(page.getByText('The newest update is not one of these.')).toBeVisible()
    await page.getByRole('button', { name: 'Only mine' }).click()
    await expect(line).toBeVisible()
    await page.getByText('What you are asked').click()
    await expect(page.getByText('7, if nothing else is answered')).toBeVisible()

    const waiting = page.waitForEvent('download')
    await page.getByRole('button', { name: 'As a table (CSV)' }).click()
    const file = readFileSync(await (await waiting).path(), 'utf8')
    expect(file.split('\r\n')[1]).toMatch(/^1,Succeeded,.*,admin,Dashboard,,"\{""stripes"":7\}"/)
    await fits(page)

    // A link to what was found can be sent: another visit shows the same.
    await page.goto(`/?q=zebra&team=${sample.namespace}`)
    await expect(page.getByRole('row').filter({ hasText: 'Zebra crossing' })).toContainText('Live')
    await page.getByRole('searchbox').fill('there is no such thing')
    await page.getByRole('button', { name: 'Show all services' }).click()
    await expect(page.getByRole('row').filter({ hasText: 'Zebra crossing' }).first()).toBeVisible()
  } finally {
    sample.remove()
  }
})
