import { randomBytes } from 'node:crypto'
import { accessible, expect, fits, kubectl, signIn, test } from './page'
import { Repository } from './repository'

// The sample's servers are signed in to with a Secret and a list of keys of this namespace.
const TEAM = 'fastdeploy-demo'
const PLAYBOOK = `
- hosts: all
  gather_facts: false
  tasks:
    - name: Say hello
      ansible.builtin.raw: echo hello from a repository
`

test('a service is added from a repository without writing YAML, and deployed to two servers', async ({ page }) => {
  const id = randomBytes(3).toString('hex')
  const [git, name] = [`git-${id}`, `hello-${id}`]
  try {
    const repository = new Repository(TEAM, git)
    repository.commit('main', 'sites/hello/deploy.yml', PLAYBOOK, 'v1.0.0')
    await signIn(page)
    await page.getByRole('link', { name: 'Add a service' }).click()
    await page.getByLabel('What people call it').fill(`Hello ${id}`)
    await expect(page.getByLabel('Short name')).toHaveValue(name)
    await page.getByLabel('Team', { exact: true }).fill(TEAM)
    // What the cluster has against it stands where it was written, while one writes.
    await page.getByLabel('Address of the repository').fill('my repository')
    await page.getByLabel('Playbook').click()
    await expect(page.getByText(/source\.git\.url: write https:\/\/host\/path/)).toBeVisible()
    await accessible(page, 'add, with a fault')
    await page.getByLabel('Address of the repository').fill(repository.url)
    await page.getByLabel('The highest version (tags)').check()
    await page.getByLabel('Folder').fill('sites/hello')
    await page.getByRole('textbox', { name: 'Servers' }).fill(`web-0 web-0.web.${TEAM}.svc.cluster.local\nweb-1 web-1.web.${TEAM}.svc.cluster.local`)
    await page.getByLabel('User on the servers').fill('deploy')
    await page.getByRole('textbox', { name: 'Secret with the SSH key' }).fill('blog-ssh')
    await page.getByRole('button', { name: 'Add this service' }).click()
    await expect(page.getByText('One answer is missing.')).toBeVisible()
    await page.getByLabel('ConfigMap with their keys').fill('blog-hosts')
    await expect(page.getByLabel('What is made of it').last()).toContainText('semver: "*"')
    await page.setViewportSize({ width: 320, height: 640 })
    await fits(page)
    await page.setViewportSize({ width: 1280, height: 800 })
    await page.getByRole('button', { name: 'Add this service' }).click()

    // Its own page; from there it is deployed like any other.
    await expect(page.getByRole('heading', { level: 1, name: `Hello ${id}` })).toBeVisible()
    await page.getByRole('button', { name: 'Deploy' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Deploy', exact: true }).click()
    await expect(page.getByRole('heading', { level: 1 })).toContainText(`updated Hello ${id}`, { timeout: 60_000 })
    await page.getByText('Show technical output').click()
    await expect(page.getByRole('log').getByText('PLAY RECAP')).toBeVisible()
  } finally {
    kubectl('--namespace', TEAM, 'delete', '--ignore-not-found', '--wait=false', `services.fastdeploy.dev/${name}`, `pod/${git}`, `service/${git}`, `configmap/${git}`)
  }
})
