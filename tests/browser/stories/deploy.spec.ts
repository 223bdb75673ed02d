import { expect, fits, kubectl, signIn, signInByForm, test } from './page'
import { Sample } from './service'

test('a person signs in, deploys, and watches it finish', async ({ page, request }) => {
  await page.goto('/')
  await page.getByLabel('Name').fill('admin')
  await page.getByLabel('Password').fill('a guess')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await expect(page.getByRole('alert')).toHaveText('Name and password do not fit together.')
  await expect(page.getByLabel('Password')).toBeFocused()

  await signInByForm(page)
  await page.getByRole('link', { name: 'Company blog', exact: true }).click()
  await page.getByRole('button', { name: 'Deploy' }).click()
  const dialog = page.getByRole('dialog', { name: 'Deploy Company blog' })
  const headline = `Deployed on the page at ${Date.now()}`
  await dialog.getByLabel('Headline').fill(headline)
  await dialog.getByLabel('green').check()
  await dialog.getByLabel('What is it for?').fill('A story')
  await dialog.getByRole('button', { name: 'Deploy' }).click()

  await expect(page.getByRole('heading', { level: 1 })).toContainText('admin')
  await expect(page).toHaveURL(/\/deployments\//)
  // The steps are there before they are begun, and go on without a reload.
  const steps = page.getByRole('region', { name: 'Steps' })
  await expect(steps.getByText('Put the application in place')).toBeVisible()
  await expect(page.getByRole('progressbar')).toBeVisible()
  await expect(page.getByRole('button', { name: 'Stop after this step' })).toBeVisible()
  await expect(page).toHaveTitle(/%/)
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('admin updated Company blog', { timeout: 60_000 })
  await expect(steps.getByText('Done')).not.toHaveCount(0)
  await expect(steps.getByText('Working', { exact: true })).toHaveCount(0)
  await expect(page.getByRole('progressbar')).toHaveCount(0)
  await expect(page.getByText('2 of 2 fine').first()).toBeVisible()

  // It is really there, and Kubernetes knows who it was.
  const site = await (await request.get('http://127.0.0.1:30080/')).text()
  expect(site).toContain(headline)
  const uid = page.url().split('/').at(-1) ?? ''
  const by = kubectl('--namespace', 'fastdeploy-demo', 'get', 'fdep', '--output', `jsonpath={.items[?(@.metadata.uid=="${uid}")].status.requestedBy}`)
  expect(JSON.parse(by)).toEqual({ name: 'admin', via: 'Dashboard' })

  // The output, line for line.
  await page.getByText('Show technical output').click()
  const log = page.getByRole('log')
  await expect(log.getByText('PLAY RECAP')).toBeVisible()
  const numbers = await log.getByRole('link').allTextContents()
  expect(numbers.map((number) => Number(number.replace(/\D/g, '')))).toEqual(numbers.map((_, n) => n + 1))
  await page.getByLabel('Find in the output').fill('play recap')
  await expect(page.getByText('1 of 1', { exact: true })).toBeVisible()

  await page.getByRole('navigation').getByRole('link', { name: 'Company blog' }).click()
  await expect(page.getByRole('listitem').filter({ hasText: 'A story' }).first()).toContainText('admin updated with')
  await fits(page)

  // Signed out is signed out, also for the cookie.
  await page.getByRole('banner').locator('summary').click()
  await page.getByRole('button', { name: 'Sign out' }).click()
  await expect(page.getByRole('button', { name: 'Sign in' })).toBeVisible()
  await page.goto('/')
  await expect(page.getByRole('button', { name: 'Sign in' })).toBeVisible()
})

test('a person sees why the failing sample failed', async ({ page }) => {
  await signIn(page)
  const card = page.getByRole('article', { name: 'Video library' })
  await expect(card).toContainText('Failed')
  await card.getByRole('link', { name: 'Why did it fail?' }).click()
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Video library could not be updated')
  const failure = page.getByRole('group', { name: 'What happened and what to do' })
  await expect(failure).toContainText(/On web-[01] the step Check the licence did not work\./)
  await expect(failure).toContainText('The video library has no licence. Enter one in the Service under variables.licence')
  await expect(failure).toContainText('Whoever looks after the instructions or the server mends it; then try again.')
  await expect(page.getByRole('region', { name: 'Steps' }).getByText('Failed', { exact: true })).toBeVisible()

  // Once more: it fails again, and says so as it happens.
  await failure.getByRole('button', { name: 'Try again' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Deploy' }).click()
  await expect(page.getByRole('heading', { level: 1 })).toHaveText(/admin (is|is about to) updat\w+ Video library|could not be updated/)
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Video library could not be updated', { timeout: 60_000 })
  await expect(page.getByRole('group', { name: 'What happened and what to do' })).toContainText('Check the licence')
})

test('what does not fit the form is said at the field, and starts nothing', async ({ page }) => {
  const sample = new Sample('Form')
  sample.create('- ansible.builtin.debug: {msg: "{{ version }}"}', '[{name: version, label: Version, type: text, required: true, pattern: "v[0-9]+"}]')
  try {
    await signIn(page)
    await page.getByRole('article', { name: 'Form' }).filter({ hasText: sample.namespace }).getByRole('link', { name: /^Deploy/ }).click()
    const dialog = page.getByRole('dialog', { name: 'Deploy Form' })
    await dialog.getByRole('button', { name: 'Deploy' }).click()
    await expect(dialog.getByText('An answer is needed here.')).toBeVisible()
    await expect(dialog.getByLabel('Version')).toBeFocused()
    await dialog.getByLabel('Version').fill('seven')
    await dialog.getByRole('button', { name: 'Deploy' }).click()
    await expect(dialog.getByText('This does not have the form that is asked for')).toBeVisible()
    expect(sample.runs('.metadata.name')).toEqual([])
    // What looks like a template is text.
    await dialog.getByLabel('Version').fill('v7')
    await dialog.getByRole('button', { name: 'Deploy' }).click()
    await expect(page.getByRole('heading', { level: 1 })).toHaveText('admin updated Form to v7', { timeout: 60_000 })
    expect(sample.runs('.spec.inputs')).toEqual(['{"version":"v7"}'])
  } finally {
    sample.remove()
  }
})

test('a run is stopped on the page', async ({ page }) => {
  const sample = new Sample('Long')
  sample.create(Array.from({ length: 20 }, (_, n) => `- {name: "Wait ${n}", ansible.builtin.command: sleep 2}`).join('\n'))
  try {
    await signIn(page)
    await page.getByRole('article', { name: 'Long' }).filter({ hasText: sample.namespace }).getByRole('link', { name: /^Deploy/ }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Deploy' }).click()
    const steps = page.getByRole('region', { name: 'Steps' })
    await expect(steps.getByRole('listitem').filter({ hasText: 'Wait 1' }).filter({ hasText: 'Working' })).toBeVisible()
    await page.getByRole('button', { name: 'Stop after this step' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Stop after this step' }).click()
    await expect(page.getByRole('heading', { level: 1 })).toHaveText('The update of Long was stopped')
    await expect(steps.getByText('Wait 19')).toBeVisible()
    expect(sample.runs('.status.phase')).toEqual(['Cancelled'])
  } finally {
    sample.remove()
  }
})

test('the page speaks German, and a link leads where it says after the sign-in', async ({ page }) => {
  await page.goto('/services/fastdeploy-demo/blog')
  await page.getByRole('button', { name: 'Deutsch' }).click()
  await page.getByLabel('Name').fill(process.env['FASTDEPLOY_USER'] ?? '')
  await page.getByLabel('Passwort').fill(process.env['FASTDEPLOY_PASSWORD'] ?? '')
  await page.getByRole('button', { name: 'Anmelden' }).click()
  await expect(page.getByRole('heading', { name: 'Verlauf' })).toBeVisible()
  await expect(page.getByRole('button', { name: 'Aktualisieren' })).toBeVisible()
  await expect(page.locator('html')).toHaveAttribute('lang', 'de')
  await page.reload()
  await expect(page.getByRole('heading', { name: 'Verlauf' })).toBeVisible()
})
