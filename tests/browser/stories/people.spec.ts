import { randomBytes } from 'node:crypto'
import { accessible, expect, fits, signIn, test } from './page'
import { Sample } from './service'

test('somebody is added, signs in, gets a role, deploys, and is locked out again', async ({ page, browser }) => {
  const name = `ben-${randomBytes(3).toString('hex')}`
  const sample = new Sample('Shared')
  sample.create('- ansible.builtin.debug: {msg: hello}')
  const theirs = await browser.newContext({ locale: 'en-GB' })
  const ben = await theirs.newPage()
  try {
    await signIn(page)
    await page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'People' }).click()
    await page.getByRole('button', { name: 'Add somebody' }).click()
    await page.getByLabel('Name', { exact: true }).fill(name)
    await page.getByRole('button', { name: 'Add', exact: true }).click()
    const box = page.getByRole('status').filter({ hasText: `${name} can sign in.` })
    const password = await box.locator('code').innerText()
    await accessible(page, 'people')
    await page.setViewportSize({ width: 320, height: 640 })
    await fits(page)
    await page.setViewportSize({ width: 1280, height: 800 })

    // Before a role there is nothing to see.
    await ben.goto('/')
    await ben.getByLabel('Name').fill(name)
    await ben.getByLabel('Password').fill(password)
    await ben.getByRole('button', { name: 'Sign in' }).click()
    // The door has a heading, too.
    await expect(ben.getByRole('heading', { level: 1 })).toHaveText('No services yet')
    await ben.goto('/account')
    await expect(ben.getByText('Somebody else chose this password.')).toBeVisible()
    await ben.getByLabel('Password until now').fill(password)
    await ben.getByLabel('New password').fill('a sentence of my own')
    await ben.getByRole('button', { name: 'Change the password' }).click()
    await expect(ben.getByText('The password is changed.')).toBeVisible()
    await accessible(ben, 'account')
    await ben.goto(`/services/${sample.namespace}/sample`)
    await expect(ben.getByRole('heading', { name: 'There is nothing here' })).toBeVisible()

    await page.getByRole('button', { name: 'Give a role' }).click()
    await page.getByLabel('Name', { exact: true }).fill(name)
    await page.getByLabel('Team', { exact: true }).fill(sample.namespace)
    await page.getByLabel('Role', { exact: true }).selectOption('Deploy')
    await page.getByRole('button', { name: 'Give a role' }).last().click()
    await expect(page.getByRole('row').filter({ hasText: sample.namespace })).toContainText(name)

    await ben.goto(`/services/${sample.namespace}/sample`)
    await ben.getByRole('button', { name: 'Deploy' }).click()
    await ben.getByRole('dialog').getByRole('button', { name: 'Deploy' }).click()
    await expect(ben.getByRole('heading', { level: 1 })).toHaveText(`${name} updated Shared`, { timeout: 60_000 })
    // What is not for them is not offered.
    await expect(ben.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'People' })).toHaveCount(0)

    await page.getByRole('row').filter({ hasText: name }).first().locator('summary').click()
    await page.getByRole('button', { name: 'Lock' }).click()
    await expect(page.getByRole('row').filter({ hasText: name }).first()).toContainText('not at all, it is locked')
    await ben.reload()
    await expect(ben.getByRole('button', { name: 'Sign in' })).toBeVisible()
  } finally {
    await theirs.close()
    sample.remove()
  }
})

test('a token for a program is shown once, deploys, and ends', async ({ page, request }) => {
  const sample = new Sample('Program')
  sample.create('- ansible.builtin.debug: {msg: hello}')
  try {
    await signIn(page, `/services/${sample.namespace}/sample`)
    const tokens = page.getByRole('region', { name: 'Tokens for programs' })
    await tokens.getByRole('button', { name: 'New token' }).click()
    await tokens.getByLabel('What it is for').fill('ci')
    await tokens.getByRole('button', { name: 'Make the token' }).click()
    const token = await tokens.locator('code').innerText()
    await accessible(page, 'a token')
    const start = () => request.post(`/api/v1/services/${sample.namespace}/sample/deployments`, { headers: { authorization: `Bearer ${token}` }, data: {} })
    expect((await start()).status()).toBe(201)
    // The page sees what the program does.
    await expect(page.getByRole('listitem').filter({ hasText: '#1' })).toBeVisible()
    await tokens.getByRole('button', { name: 'End it' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'End it' }).click()
    await expect(tokens.getByText('No program may deploy this service.')).toBeVisible()
    await expect.poll(async () => (await start()).status()).toBe(401)
  } finally {
    sample.remove()
  }
})
