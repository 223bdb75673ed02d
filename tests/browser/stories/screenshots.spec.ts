// `make screenshots`: every page, light and dark, desk and phone, into target/browser/screenshots.
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { devices, type Locator } from '@playwright/test'
import { begin } from './environments'
import { expect, fits, kubectl, signIn, test } from './page'
import { PAGES } from './pages'

const folder = '../../target/browser/screenshots'

// One after the other: all of them deploy the same service, and would wait in its queue.
test.describe.configure({ mode: 'default' })

// Two environments of a shop, of which one is live.
const team = `shop-${randomBytes(3).toString('hex')}`
test.beforeAll(() => {
  begin(team)
  const run = { apiVersion: 'fastdeploy.dev/v1alpha1', kind: 'Deployment', metadata: { name: 'first', namespace: team }, spec: { service: 'shop-staging', inputs: { version: 'v2.0', debug: true } } }
  execFileSync('kubectl', ['apply', '--filename', '-'], { input: JSON.stringify(run), encoding: 'utf8' })
  kubectl('--namespace', team, 'wait', '--for=condition=Succeeded', '--timeout=60s', 'fdep/first')
})
test.afterAll(() => kubectl('delete', 'namespace', team, '--wait=false'))

for (const scheme of ['light', 'dark'] as const) {
  for (const [size, viewport] of [['desk', { width: 1280, height: 800 }], ['phone', { width: 360, height: 740 }]] as const) {
    test(`${scheme} ${size}`, async ({ browser }) => {
      const context = await browser.newContext({
        ...(size === 'phone' ? devices['Pixel 7'] : {}),
        viewport,
        colorScheme: scheme,
        deviceScaleFactor: 2,
        locale: 'en-GB',
      })
      const page = await context.newPage()
      /** All of the page, from its top; or what a person sees of it, from the top or from something on it. */
      const shoot = async (name: string, seen?: 'top' | Locator) => {
        if (seen === undefined || seen === 'top') await page.evaluate(() => scrollTo(0, 0))
        else await seen.evaluate((element) => element.scrollIntoView({ block: 'start' }))
        await fits(page)
        await page.screenshot({ path: `${folder}/${name}-${size}-${scheme}.png`, fullPage: seen === undefined })
      }
      await page.goto('/')
      await page.getByRole('button', { name: 'Sign in' }).waitFor()
      await shoot('sign-in')
      await signIn(page, '/services/fastdeploy-demo/blog?deploy=1')
      await page.getByRole('dialog').getByRole('button', { name: 'Deploy' }).click()
      await page.getByRole('region', { name: 'Steps' }).getByText('Done', { exact: true }).nth(4).waitFor()
      await shoot('running', 'top')
      await expect(page.getByRole('heading', { level: 1 })).toContainText('updated', { timeout: 60_000 })
      await page.getByText('Show technical output').click()
      await page.getByRole('log').getByText('PLAY RECAP').waitFor()
      await shoot('output', page.locator('.log__bar'))
      for (const { name, open } of PAGES) {
        await open(page)
        await shoot(name, name === 'deploy' ? 'top' : undefined)
        // As in the README: what one sees first.
        if (name === 'home' || name === 'failed') await shoot(`${name}-first`, 'top')
      }
      await page.goto(`/teams/${team}/environments`)
      await page.getByRole('listitem').filter({ hasText: 'v2.0' }).first().waitFor()
      await shoot('environments')
      await page.getByRole('button', { name: 'Promote to production' }).click()
      await page.getByRole('dialog').getByLabel('How many').waitFor()
      await shoot('promote', 'top')
      await context.close()
    })
  }
}
