import { expect, kubectl, signIn, test } from './page'
import { Sample } from './service'

// The server goes and comes: one after the other, and when nobody else is in the middle of something.
test.describe.configure({ mode: 'default' })

test('a browser that was away gets all of it, and nothing twice', async ({ page, context }) => {
  const sample = new Sample('Away')
  sample.create(Array.from({ length: 12 }, (_, n) => `- {name: "Step ${n}", ansible.builtin.command: sleep 1.5}`).join('\n'))
  try {
    await signIn(page)
    await page.getByRole('article', { name: 'Away' }).filter({ hasText: sample.namespace }).getByRole('link', { name: /^Deploy/ }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Deploy' }).click()
    const steps = page.getByRole('region', { name: 'Steps' })
    await page.getByText('Show technical output').click()
    await expect(steps.getByRole('listitem').filter({ hasText: 'Step 1' }).filter({ hasText: 'Working' }).first()).toBeVisible()
    await context.setOffline(true)
    // An open socket does not notice: it is cut, as a tunnel or a sleeping laptop would.
    await page.evaluate(() => dispatchEvent(new Event('offline')))
    kubectl('--namespace', 'fastdeploy-system', 'rollout', 'restart', 'deployment/fastdeploy-api-server')
    await expect(page.getByText('No connection at the moment')).toBeVisible({ timeout: 60_000 })
    // It is always to be found, not only while it is away.
    await page.getByRole('banner').locator('summary').click()
    await expect(page.getByText('Not connected: what you see may be old')).toBeVisible()
    await expect.poll(() => sample.runs('.status.phase'), { timeout: 90_000 }).toEqual(['Succeeded'])
    await context.setOffline(false)
    await expect(page.getByText('Connected: what you see is what there is')).toBeVisible()
    await expect(page.getByRole('heading', { level: 1 })).toHaveText('admin updated Away')
    await expect(page.getByText('No connection at the moment')).toBeHidden()
    await expect(steps.getByText('Done')).toHaveCount(12)
    await expect(steps.getByText(/^Step \d+$/)).toHaveText(Array.from({ length: 12 }, (_, n) => `Step ${n}`))
    const tasks = page.getByRole('log').getByText(/^TASK \[Step/)
    await expect(tasks).toHaveCount(12)
  } finally {
    sample.remove()
  }
})

test('the server is restarted in the middle: the page goes on by itself, and shows each line once', async ({ page }) => {
  const sample = new Sample('Restarted')
  sample.create(Array.from({ length: 10 }, (_, n) => `- {name: "Step ${n}", ansible.builtin.command: sleep 1.5}`).join('\n'))
  try {
    await signIn(page)
    await page.goto(`/services/${sample.namespace}/sample?deploy=1`)
    await page.getByRole('dialog').getByRole('button', { name: 'Deploy' }).click()
    const steps = page.getByRole('region', { name: 'Steps' })
    await page.getByText('Show technical output').click()
    await steps.getByRole('listitem').filter({ hasText: 'Step 1' }).filter({ hasText: 'Working' }).first().waitFor()
    kubectl('--namespace', 'fastdeploy-system', 'rollout', 'restart', 'deployment/fastdeploy-api-server')
    await expect(page.getByRole('heading', { level: 1 })).toHaveText('admin updated Restarted', { timeout: 60_000 })
    await expect(steps.getByText('Done')).toHaveCount(10)
    await expect(page.getByRole('log').getByText(/^TASK \[Step/)).toHaveCount(10)
    await expect(page.getByText('No connection at the moment')).toBeHidden()
  } finally {
    sample.remove()
  }
})
