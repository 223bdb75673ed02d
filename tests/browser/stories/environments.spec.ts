import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { accessible, expect, fits, kubectl, signIn, test } from './page'

const team = `story-page-${randomBytes(3).toString('hex')}`

/** The same playbook; production asks for one thing more. */
function service(environment: string, more = ''): object {
  return {
    apiVersion: 'fastdeploy.dev/v1alpha1', kind: 'Service', metadata: { name: `shop-${environment}`, namespace: team },
    spec: {
      title: `Shop (${environment})`, environment, playbook: 'deploy.yml', inventory: { local: true }, policy: {},
      inputs: [{ name: 'version', label: 'Version', type: 'text', required: true }, ...(more === '' ? [{ name: 'debug', label: 'Debug', type: 'boolean' }] : [{ name: more, label: 'How many', type: 'number', required: true }])],
      source: { inline: { 'deploy.yml': '- hosts: all\n  gather_facts: false\n  tasks:\n    - ansible.builtin.debug: {msg: "{{ version }}"}\n' } },
    },
  }
}

test('two environments stand side by side, and what is live in one is promoted to the other', async ({ page }) => {
  kubectl('create', 'namespace', team)
  kubectl('label', 'namespace', team, 'fastdeploy.dev/story=page')
  try {
    execFileSync('kubectl', ['apply', '--filename', '-'], { input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [service('staging'), service('production', 'size')] }), encoding: 'utf8' })
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
