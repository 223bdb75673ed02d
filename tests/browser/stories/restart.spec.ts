import { expect, kubectl, listen, signIn, test } from './page'
import { Sample } from './service'

/** Longer than it takes to restart the server. */
const STEPS = 12

// The server goes and comes: when nobody else is in the middle of something.
test('the server is restarted in the middle: a page that was there goes on, a browser that was away gets all of it, and none shows anything twice', async ({ page, browser, complaints }) => {
  const sample = new Sample('Restarted')
  sample.create(Array.from({ length: STEPS }, (_, n) => `- {name: "Step ${n}", ansible.builtin.command: sleep 1.5}`).join('\n'))
  const context = await browser.newContext()
  const away = await context.newPage()
  listen(away, complaints)
  try {
    await signIn(page, `/services/${sample.namespace}/sample?deploy=1`)
    await page.getByRole('dialog').getByRole('button', { name: 'Deploy' }).click()
    await expect(page).toHaveURL(/\/deployments\//)
    await signIn(away, page.url())
    for (const one of [page, away]) {
      await one.getByText('Show technical output').click()
      const steps = one.getByRole('region', { name: 'Steps' })
      await steps.getByRole('listitem').filter({ hasText: 'Step 1' }).filter({ hasText: 'Working' }).first().waitFor()
    }
    await context.setOffline(true)
    // An open socket does not notice: it is cut, as a tunnel or a sleeping laptop would.
    await away.evaluate(() => dispatchEvent(new Event('offline')))
    kubectl('--namespace', 'fastdeploy-system', 'rollout', 'restart', 'deployment/fastdeploy-api-server')
    await expect(away.getByText('No connection at the moment')).toBeVisible({ timeout: 60_000 })
    // It is always to be found, not only while it is away.
    await away.getByRole('banner').locator('summary').click()
    await expect(away.getByText('Not connected: what you see may be old')).toBeVisible()
    await expect.poll(() => sample.runs('.status.phase'), { timeout: 90_000 }).toEqual(['Succeeded'])

    // Nobody has touched the one that was there.
    await expect(page.getByRole('heading', { level: 1 })).toHaveText('admin updated Restarted', { timeout: 60_000 })
    await context.setOffline(false)
    await expect(away.getByText('Connected: what you see is what there is')).toBeVisible()
    await expect(away.getByRole('heading', { level: 1 })).toHaveText('admin updated Restarted')
    for (const one of [page, away]) {
      await expect(one.getByText('No connection at the moment')).toBeHidden()
      const steps = one.getByRole('region', { name: 'Steps' })
      await expect(steps.getByText('Done')).toHaveCount(STEPS)
      await expect(steps.getByText(/^Step \d+$/)).toHaveText(Array.from({ length: STEPS }, (_, n) => `Step ${n}`))
      await expect(one.getByRole('log').getByText(/^TASK \[Step/)).toHaveCount(STEPS)
    }
  } finally {
    await context.close()
    sample.remove()
  }
})
