import { execFileSync } from 'node:child_process'
import { accessible, accessibleInBoth, expect, fits, kubectl, signIn, test } from './page'
import { Sample } from './service'

test('a server is changed by hand: the page says which step, where and what exactly, and puts it right', async ({ page }) => {
  const sample = new Sample('Drifting')
  const state = (settings: string) =>
    execFileSync('kubectl', ['apply', '--namespace', sample.namespace, '--filename', '-'], { input: JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'server' }, data: { settings } }), encoding: 'utf8' })
  // What is on this "server" is a ConfigMap: the step looks, and never writes.
  sample.create(
    '- {name: Write the settings, check_mode: true, ansible.builtin.copy: {content: "left by us\\n", dest: /server/settings, follow: true}}',
    '[]',
    'policy: {drift: {every: 10s}}\n  runner: {volumes: [{name: server, mountPath: /server, volume: {configMap: {name: server}}}]}',
  )
  try {
    state('left by us\n')
    await signIn(page, `/services/${sample.namespace}/sample?deploy=1`)
    await page.getByRole('dialog').getByRole('button', { name: 'Deploy' }).click()
    await expect(page.getByRole('heading', { level: 1 })).toHaveText('admin updated Drifting', { timeout: 60_000 })
    await page.getByRole('navigation').getByRole('link', { name: 'Drifting' }).click()
    const settings = page.getByRole('region', { name: 'Settings' })
    await expect(settings).toContainText('are as they were left', { timeout: 60_000 })
    // A look changes nothing, so nothing else is said meanwhile.
    await expect(page.getByRole('region', { name: 'Now' })).toContainText('Live with #1')

    state('changed by hand\n')
    const drift = page.getByRole('region', { name: 'Changed by hand' })
    await expect(drift).toContainText('1 step would change something. The servers are no longer what #1 left there.', { timeout: 60_000 })
    await drift.getByText('Write the settings').click()
    await expect(drift.getByRole('deletion')).toHaveText('changed by hand')
    await expect(drift.getByRole('insertion')).toHaveText('left by us')
    await accessibleInBoth(page, 'drift')
    await page.setViewportSize({ width: 320, height: 640 })
    await fits(page)
    await page.setViewportSize({ width: 1280, height: 800 })
    await drift.getByRole('button', { name: 'Put it right' }).click()
    await accessible(page, 'the question before it is put right')
    state('left by us\n')
    await page.getByRole('dialog').getByRole('button', { name: 'Put it right' }).click()
    await expect(page.getByRole('heading', { level: 1 })).toHaveText('admin updated Drifting', { timeout: 60_000 })
    await expect(page.getByRole('complementary').getByText('Goes back to')).toBeVisible()
    await page.getByRole('navigation').getByRole('link', { name: 'Drifting' }).click()
    await expect(page.getByRole('region', { name: 'Now' })).toContainText('Live with #2')
    await expect(drift).toBeHidden()
    await expect(settings).toContainText('are as they were left', { timeout: 60_000 })
  } finally {
    sample.remove()
  }
})

test('a service says when it may be updated and what needs what, and the dialog warns before', async ({ page }) => {
  const sample = new Sample('Ruled')
  const later = new Date(Date.now() + 2 * 86_400_000).toLocaleDateString('en-US', { weekday: 'short', timeZone: 'UTC' })
  sample.create('- ansible.builtin.debug: {msg: hello}', '[]', `policy: {windows: [{days: [${later}], from: "10:00", to: "12:00", appliesTo: Everyone}], schedule: {cron: "0 4 * * *", timeZone: Europe/Berlin}, rollbackOnFailure: true}`)
  const shop = { apiVersion: 'fastdeploy.dev/v1alpha1', kind: 'Service', metadata: { name: 'shop', namespace: sample.namespace }, spec: { title: 'Shop', playbook: 'a.yml', inventory: { local: true }, source: { inline: { 'a.yml': '[]' } }, dependsOn: [{ name: 'sample' }, { name: 'nowhere' }] } }
  execFileSync('kubectl', ['apply', '--filename', '-'], { input: JSON.stringify(shop), encoding: 'utf8' })
  try {
    await signIn(page, `/services/${sample.namespace}/shop`)
    const needs = page.getByRole('region', { name: 'What needs what' })
    await expect(needs).toContainText('needs 2 services')
    await expect(needs.getByRole('listitem').filter({ hasText: 'nowhere' }).filter({ hasText: 'there is none' })).toBeVisible()
    await accessible(page, 'what needs what')
    await needs.getByRole('link', { name: 'Ruled' }).click()
    await expect(needs).toContainText('1 service needs it')
    const settings = page.getByRole('region', { name: 'Settings' })
    await expect(settings).toContainText('every day at 04:00 (Europe/Berlin)')
    await expect(settings).toContainText(`Only ${later}, 10:00 – 12:00 (UTC)`)
    await expect(settings).toContainText('it goes back by itself')
    await accessible(page, 'the rules of a service')
    await page.setViewportSize({ width: 320, height: 640 })
    await fits(page)
    await page.setViewportSize({ width: 1280, height: 800 })

    await page.getByRole('button', { name: 'Deploy' }).click()
    await expect(page.getByRole('dialog')).toContainText('It may not start now. It waits, and starts by itself')
    await accessible(page, 'a warning before a run that has to wait')
    await page.getByRole('dialog').getByRole('button', { name: 'Deploy' }).click()
    await expect(page.getByRole('region', { name: 'What it waits for' })).toBeVisible()
    expect(kubectl('--namespace', sample.namespace, 'get', 'fdep', '--output', 'jsonpath={.items[0].status.phase}')).toBe('Queued')
  } finally {
    sample.remove()
  }
})

test('a service is edited as YAML: refused with the field, compared, saved, and nobody overwrites another', async ({ page }) => {
  const sample = new Sample('Written')
  sample.create('- ansible.builtin.debug: {msg: hello}')
  try {
    await signIn(page, `/services/${sample.namespace}/sample`)
    await page.getByText('Technical details').click()
    await page.getByRole('link', { name: 'See and edit' }).click()
    const yaml = page.getByLabel('The service as YAML')
    await expect(yaml).toHaveValue(/title: Written/)
    const before = await yaml.inputValue()
    await accessible(page, 'a service as YAML')
    await yaml.fill(before.replace('title: Written', 'title: Written\n  titel: wrong'))
    await page.getByRole('button', { name: 'Check and show the difference' }).click()
    await expect(page.getByRole('alert')).toContainText('titel')

    await yaml.fill(before.replace('title: Written', 'title: Written anew'))
    await page.getByRole('button', { name: 'Check and show the difference' }).click()
    await expect(page.getByRole('deletion')).toContainText('title: Written')
    await expect(page.getByRole('insertion')).toContainText('title: Written anew')
    await accessible(page, 'the difference before it is saved')
    await page.setViewportSize({ width: 320, height: 640 })
    await fits(page)
    await page.setViewportSize({ width: 1280, height: 800 })
    // Somebody else is faster.
    kubectl('--namespace', sample.namespace, 'patch', 'fsvc', 'sample', '--type', 'merge', '--patch', '{"spec": {"description": "by kubectl"}}')
    await page.getByRole('button', { name: 'Save this' }).click()
    await expect(page.getByRole('alert')).toContainText('Somebody else has changed it meanwhile.')
    await page.getByRole('button', { name: 'Load theirs' }).click()
    await expect(yaml).toHaveValue(/by kubectl/)
    await yaml.fill((await yaml.inputValue()).replace('title: Written', 'title: Written anew'))
    await page.getByRole('button', { name: 'Check and show the difference' }).click()
    await page.getByRole('button', { name: 'Save this' }).click()
    await expect(page.getByText('Saved.')).toBeVisible()
    expect(JSON.parse(kubectl('--namespace', sample.namespace, 'get', 'fsvc', 'sample', '--output', 'jsonpath={.spec}'))).toMatchObject({ title: 'Written anew', description: 'by kubectl' })
  } finally {
    sample.remove()
  }
})

test('what a playbook declares that it wants to know becomes part of the form', async ({ page }) => {
  const sample = new Sample('Declared')
  sample.create('- ansible.builtin.debug: {msg: hello}')
  const declared = 'argument_specs: {deploy: {options: {colour: {type: str, choices: [red, blue], description: Of the page}}}}\n'
  kubectl('--namespace', sample.namespace, 'patch', 'fsvc', 'sample', '--type', 'merge', '--patch', JSON.stringify({ spec: { source: { inline: { 'deploy.meta.yml': declared } } } }))
  try {
    await signIn(page)
    // What is declared is known from a run.
    await page.goto(`/services/${sample.namespace}/sample?deploy=1`)
    await page.getByRole('dialog').getByRole('button', { name: 'Deploy' }).click()
    await expect(page.getByRole('heading', { level: 1 })).toContainText('updated', { timeout: 60_000 })
    await page.goto(`/services/${sample.namespace}/sample/edit`)
    await expect(page.getByRole('region', { name: 'The playbook declares these inputs' })).toContainText('colour Of the page')
    await accessible(page, 'what a playbook declares')
    await page.getByRole('button', { name: 'Add to the form' }).click()
    await expect(page.getByLabel('The service as YAML')).toHaveValue(/name: colour/)
    await expect(page.getByRole('button', { name: 'Add to the form' })).toBeHidden()
    await page.getByRole('button', { name: 'Check and show the difference' }).click()
    await page.getByRole('button', { name: 'Save this' }).click()
    await expect(page.getByText('Saved.')).toBeVisible()
    await page.goto(`/services/${sample.namespace}/sample?deploy=1`)
    await expect(page.getByRole('dialog').getByText('Of the page')).toBeVisible()
    await expect(page.getByRole('dialog').getByLabel('blue')).toBeVisible()
  } finally {
    sample.remove()
  }
})
