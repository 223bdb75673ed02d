import type { Page } from '@playwright/test'
import { accessible, expect, fits, kubectl, signIn, test } from './page'
import { Sample } from './service'

const QUESTION = '[{name: version, label: Version, type: text, required: true}]'

async function deploy(page: Page, sample: Sample, version: string): Promise<void> {
  await page.goto(`/services/${sample.namespace}/sample?deploy=1`)
  await page.getByRole('dialog').getByLabel('Version').fill(version)
  await page.getByRole('dialog').getByRole('button', { name: 'Deploy' }).click()
  await expect(page.getByRole('heading', { level: 1 })).toHaveText(`admin updated ${sample.title} to ${version}`, { timeout: 60_000 })
}

test('a person sees what going back changes and what it does not, looks first, then goes back', async ({ page }) => {
  const sample = new Sample('Back')
  sample.create('- {name: Write it down, ansible.builtin.copy: {content: "{{ version }}", dest: /tmp/version}}', QUESTION)
  try {
    await signIn(page)
    await deploy(page, sample, 'v1')
    await deploy(page, sample, 'v2')
    await page.getByRole('navigation').getByRole('link', { name: 'Back' }).click()
    await page.getByRole('link', { name: 'Go back' }).click()
    await expect(page.getByRole('heading', { level: 1 })).toHaveText('Go back to an earlier version of Back')
    await expect(page.getByRole('radio')).toHaveCount(1)
    await expect(page.getByText('live now', { exact: true }).first()).toBeVisible()
    const what = page.getByRole('region', { name: 'What going back does' })
    await expect(what.getByRole('region', { name: 'Is taken back' })).toContainText('Version: v2 becomes v1')
    await expect(what.getByRole('region', { name: 'Is not taken back' })).toContainText('Passwords and keys are used as they are today.')
    await accessible(page, 'go back')
    await page.setViewportSize({ width: 320, height: 640 })
    await fits(page)
    await page.setViewportSize({ width: 1280, height: 800 })

    await what.getByRole('button', { name: 'Preview changes' }).click()
    await expect(page.getByRole('heading', { level: 1 })).toHaveText('admin looked what would change on Back to v1', { timeout: 60_000 })
    const preview = page.getByRole('region', { name: 'What would change' })
    await expect(preview).toContainText('1 step would change something.')
    await expect(preview).toContainText('Write it down')
    await accessible(page, 'a preview')
    await preview.getByRole('link', { name: 'Go back to #1' }).click()
    await page.getByLabel('Why?').fill('v2 is too loud')
    await page.getByRole('button', { name: 'Go back to #1' }).click()
    await expect(page.getByRole('heading', { level: 1 })).toHaveText('admin updated Back to v1', { timeout: 60_000 })
    await expect(page.getByRole('complementary').getByText('Goes back to')).toBeVisible()
    await page.getByRole('navigation').getByRole('link', { name: 'Back' }).click()
    await expect(page.getByRole('region', { name: 'Now' })).toContainText('Live with v1')
    await expect(page.getByRole('listitem').filter({ hasText: 'v2 is too loud' }).first()).toContainText('#3')
    expect(JSON.parse(kubectl('--namespace', sample.namespace, 'get', 'fsvc', 'sample', '--output', 'jsonpath={.status.live.inputs}'))).toEqual({ version: 'v1' })
  } finally {
    sample.remove()
  }
})

test('an update that needs a yes waits for it: one sees what it would do, and agrees or refuses', async ({ page }) => {
  const sample = new Sample('Careful')
  sample.create('- {name: Say it, ansible.builtin.debug: {msg: "{{ version }}"}}', QUESTION, 'policy: {approval: {required: true, own: true}}')
  try {
    await signIn(page)
    for (const [version, answer] of [['v1', 'Agree'], ['v2', 'Refuse']] as const) {
      await page.goto(`/services/${sample.namespace}/sample?deploy=1`)
      await page.getByRole('dialog').getByLabel('Version').fill(version)
      await page.getByRole('dialog').getByRole('button', { name: 'Deploy' }).click()
      await expect(page.getByRole('heading', { level: 1 })).toHaveText(`The update of Careful to ${version} waits until somebody agrees`)
      await page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Approvals' }).click()
      await expect(page.getByRole('listitem').filter({ hasText: sample.namespace })).toContainText(`admin wants to update Careful to ${version}`)
      await accessible(page, 'approvals')
      await page.getByRole('listitem').filter({ hasText: sample.namespace }).getByRole('link', { name: 'Look and decide' }).click()
      const card = page.getByRole('region', { name: 'Waits for a yes' })
      if (answer === 'Refuse') await expect(card).toContainText('Version: v1 becomes v2')
      // What it says is there by then, and no color on its way.
      await expect(card.getByRole('button', { name: answer })).toBeEnabled()
      await accessible(page, 'an approval')
      await card.getByRole('button', { name: answer }).click()
      await expect(page.getByRole('heading', { level: 1 })).toHaveText(answer === 'Agree' ? 'admin updated Careful to v1' : /could not be updated|was stopped/, { timeout: 60_000 })
    }
    await expect(page.getByText('Refused by', { exact: true })).toBeVisible()

    // All of it stands in the activity, in sentences.
    await page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Activity' }).click()
    const row = (text: string) => page.getByRole('listitem').filter({ hasText: sample.namespace }).filter({ hasText: text })
    await expect(row('admin asked for')).toHaveCount(2)
    await expect(row('admin agreed to')).toHaveCount(1)
    await expect(row('admin refused')).toHaveCount(1)
    await expect(row('was stopped')).toHaveCount(1)
    await accessible(page, 'activity')
    await page.setViewportSize({ width: 320, height: 640 })
    await fits(page)
    const waiting = page.waitForEvent('download')
    await page.getByRole('button', { name: 'As a table (CSV)' }).click()
    expect((await waiting).suggestedFilename()).toBe('activity.csv')
  } finally {
    sample.remove()
  }
})

test('only the server that failed is done again', async ({ page }) => {
  const sample = new Sample('Partly')
  sample.create(
    '- {name: Fail on one, ansible.builtin.fail: {msg: This one is broken}, when: inventory_hostname == "two" and broken}',
    '[{name: broken, label: "Broken?", type: boolean, required: true}]',
    'policy: {}',
    '{inline: {all: {hosts: {one: {ansible_connection: local}, two: {ansible_connection: local}}}}}',
  )
  try {
    await signIn(page, `/services/${sample.namespace}/sample?deploy=1`)
    await page.getByRole('dialog').getByLabel('Yes').check()
    await page.getByRole('dialog').getByRole('button', { name: 'Deploy' }).click()
    const failure = page.getByRole('group', { name: 'What happened and what to do' })
    await expect(failure).toContainText('This one is broken', { timeout: 60_000 })
    await failure.getByRole('button', { name: 'Only two again' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Deploy' }).click()
    await expect(page.getByText('The rest of')).toBeVisible()
    await expect(failure).toContainText('This one is broken', { timeout: 60_000 })
    await expect(page.getByRole('region', { name: 'Servers' }).getByRole('rowheader')).toHaveText(['two'])
  } finally {
    sample.remove()
  }
})
