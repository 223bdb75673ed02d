import { accessibleInBoth, expect, fits, signIn, test } from './page'
import { Repository } from './repository'
import { Sample } from './service'

test('of a range of versions one chooses which to deploy; and the form offers versions, branches and commits', async ({ page }) => {
  const sample = new Sample('Versions')
  sample.apply()
  try {
    const repository = new Repository(sample.namespace, 'repository')
    const playbook = (words: string) => `- hosts: all\n  gather_facts: false\n  tasks:\n    - ansible.builtin.debug: {msg: "this is ${words}, {{ release | default('') }}"}\n`
    repository.commit('main', 'deploy.yml', playbook('the first'), 'v1.2.0')
    const second = repository.commit('main', 'deploy.yml', playbook('the second'))
    repository.commit('main', 'deploy.yml', playbook('the tenth'), 'v1.10.0')
    repository.commit('next', 'deploy.yml', playbook('the next'), 'v2.0.0')
    sample.apply(`
  playbook: deploy.yml
  inventory: {local: true}
  inputs: [{name: release, label: Release, type: gitTag}, {name: base, label: Base, type: gitBranch}, {name: fix, label: Fix, type: gitCommit}]
  source: {git: {url: "${repository.url}", semver: 1.x}}
`)

    await signIn(page)
    const dialog = page.getByRole('dialog')
    const which = dialog.getByRole('group', { name: 'Which version?' })
    const fix = dialog.getByRole('group', { name: 'Fix' })
    const commits = fix.getByRole('radio', { name: 'Change deploy.yml' })
    // As soon as the repository was looked at: its refs are known before its commits.
    await expect(async () => {
      await page.goto(`/services/${sample.namespace}/sample?deploy=1`)
      await expect(which.getByRole('radio', { name: 'v1.10.0' })).toBeVisible({ timeout: 3_000 })
      await expect(commits.first()).toBeVisible({ timeout: 3_000 })
    }).toPass()
    // Those in the range, the highest first; what it is set to stands before them.
    const rows = await which.getByRole('listitem').allInnerTexts()
    expect(rows.map((row) => row.split('\n')[0])).toEqual(['The one that is set', 'v1.10.0', 'v1.2.0'])
    expect(await dialog.getByLabel('Release').evaluate((field: HTMLInputElement) => [...field.list?.options ?? []].map((one) => one.value).sort())).toEqual(['v1.10.0', 'v1.2.0', 'v2.0.0'])
    expect(await dialog.getByLabel('Base').evaluate((field: HTMLInputElement) => [...field.list?.options ?? []].map((one) => one.value).sort())).toEqual(['main', 'next'])
    await accessibleInBoth(page, 'versions of a repository')
    await page.setViewportSize({ width: 320, height: 640 })
    await fits(page)
    await page.setViewportSize({ width: 1280, height: 800 })

    // A version by its name, a commit as an answer from a list; and what to deploy.
    await dialog.getByLabel('Release').fill('v1.10.0')
    await expect(fix.getByRole('listitem').filter({ hasText: second.slice(0, 8) })).toContainText(/test · (now|\d+ \w+ ago)/)
    await fix.getByRole('listitem').filter({ hasText: second.slice(0, 8) }).getByRole('radio').check()
    await which.getByRole('radio', { name: 'v1.2.0' }).check()
    await dialog.getByRole('button', { name: 'Deploy' }).click()
    await expect(page.getByRole('heading', { level: 1 })).toContainText('admin updated Versions', { timeout: 60_000 })
    await page.getByText('Show technical output').click()
    await expect(page.getByRole('log')).toContainText('this is the first, v1.10.0')
    expect(sample.runs('.spec.inputs').map((said) => JSON.parse(said).fix)).toContain(second)
  } finally {
    sample.remove()
  }
})
