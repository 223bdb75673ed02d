import type { Page } from '@playwright/test'
import { expect, kubectl, signIn, test } from './page'
import { Sample } from './service'

/** Longer than this after a step was heard of it was drawn by something else than its message. Milliseconds. */
const LATE = 900

/** How long after its message came, and after the runner saw it, a step was on the page. Milliseconds; one machine, one clock. */
interface Delay {
  message: number
  runner: number
}

/** Writes down when each message came, and how long after it the page was another one. */
async function watchDelays(page: Page): Promise<void> {
  await page.addInitScript(() => {
    const delays: Delay[] = []
    Object.assign(window, { delays })
    const current = (name: string) => [...document.querySelectorAll('[aria-current=step], .card__say')].some((one) => one.textContent.includes(name))
    // Messages that the page has not drawn yet; what it had read before it was told again is no news.
    const open = new Map<string, { came: number; at: number }>()
    window.WebSocket = class extends WebSocket {
      constructor(...args: ConstructorParameters<typeof WebSocket>) {
        super(...args)
        this.addEventListener('message', ({ data, timeStamp }: MessageEvent<string>) => {
          const message = JSON.parse(data)
          for (const event of message.type === 'events' ? message.events : []) if (event.kind === 'stepStarted' && !current(event.name)) open.set(event.name, { came: timeStamp, at: Date.parse(event.at) })
        })
      }
    }
    new MutationObserver(() => {
      for (const [name, { came, at }] of open) {
        if (!current(name)) continue
        const now = performance.now()
        delays.push({ message: now - came, runner: performance.timeOrigin + now - at })
        open.delete(name)
      }
    }).observe(document, { subtree: true, childList: true, characterData: true, attributes: true })
  })
}

test('a step is on the page as soon as its message came; and whoever asked for it is told of the end', async ({ page, context }) => {
  const sample = new Sample('Told')
  sample.create(Array.from({ length: 8 }, (_, n) => `- {name: "Step number ${n}.", ansible.builtin.command: sleep 1}`).join('\n'))
  try {
    await context.grantPermissions(['notifications'])
    await page.addInitScript(() => {
      const told: { title: string; body: string | undefined }[] = []
      Object.assign(window, { told })
      const Real = Notification
      window.Notification = class extends Real {
        constructor(title: string, options?: NotificationOptions) {
          super(title, options)
          told.push({ title, body: options?.body })
        }
      }
    })
    await watchDelays(page)
    await signIn(page, `/services/${sample.namespace}/sample?deploy=1`)
    await page.getByRole('dialog').getByRole('button', { name: 'Deploy' }).click()
    await page.getByRole('button', { name: 'Tell me when it is done' }).click()
    await expect(page.getByRole('button', { name: 'You will be told' })).toHaveAttribute('aria-pressed', 'true')
    await page.getByText('Step number 7.').waitFor()
    // The page of all services says it, too, as it goes.
    const home = await context.newPage()
    await watchDelays(home)
    await home.goto('/')
    await page.bringToFront()
    await expect(page.getByRole('region', { name: 'Steps' }).getByRole('listitem').filter({ hasText: 'Step number 5.' })).toContainText('Working', { timeout: 60_000 })
    // Somebody looks at another tab meanwhile.
    const other = await context.newPage()
    await other.bringToFront()
    await expect.poll(() => page.evaluate(() => (window as unknown as { told: unknown[] }).told), { timeout: 60_000 }).toEqual([{ title: 'Told: Done', body: 'Update #1 has ended.' }])

    for (const [where, tab, least] of [['the page of the run', page, 4], ['the page of all services', home, 2]] as const) {
      const all = await tab.evaluate(() => (window as unknown as { delays: Delay[] }).delays)
      const since = (what: keyof Delay) => all.map((delay) => delay[what]).sort((a, b) => a - b)
      const said = (some: number[]) => some.map((delay) => delay.toFixed(1)).join(', ')
      const delays = since('message')
      console.log(`a step was on ${where} ${said(delays)} ms after its message, ${said(since('runner'))} ms after the runner saw it`)
      expect(delays.length).toBeGreaterThanOrEqual(least)
      // How long it takes is for whoever reads this: the machine runs Ansible and other stories, too.
      expect(delays.at(-1)).toBeLessThanOrEqual(LATE)
    }
  } finally {
    sample.remove()
  }
})

test('first it is looked what would change, from the dialog; while a service is paused the dialog and the button say so', async ({ page }) => {
  const sample = new Sample('Looked at')
  sample.create('- {name: Write the page, ansible.builtin.copy: {content: "new", dest: /work/page}}\n- {name: Restart it, ansible.builtin.command: "true"}', '[{name: version, label: Version, type: text, default: v1}]')
  try {
    await signIn(page, `/services/${sample.namespace}/sample?deploy=1`)
    const dialog = page.getByRole('dialog')
    await dialog.getByLabel('Version').fill('v2')
    await dialog.getByRole('button', { name: 'Preview changes' }).click()
    await expect(page).toHaveURL(/\/deployments\//)
    const preview = page.getByRole('region', { name: 'What would change' })
    await expect(preview).toContainText('1 step would change something.', { timeout: 60_000 })
    await expect(preview).toContainText('1 step was left out, so what it would do is not known.')
    await expect(preview.getByRole('listitem')).toContainText('Write the page')
    expect(sample.runs('.spec.mode')).toEqual(['Check'])
    // The answers stay.
    await preview.getByRole('button', { name: 'Deploy it' }).click()
    await expect(dialog.getByLabel('Version')).toHaveValue('v2')

    await expect(dialog).not.toContainText('This service is paused')
    const pause = (suspend: boolean) => kubectl('--namespace', sample.namespace, 'patch', 'fsvc', 'sample', '--type', 'merge', '--patch', JSON.stringify({ spec: { suspend } }))
    pause(true)
    await expect(dialog).toContainText('This service is paused, so nothing is deployed.')
    await page.goto(`/services/${sample.namespace}/sample?deploy=1`)
    const button = page.getByRole('button', { name: 'Deploy', exact: true })
    await expect(button).toHaveAttribute('aria-disabled', 'true')
    await expect(page.getByText('This service is paused, so nothing is deployed.')).toBeVisible()
    await expect(dialog).toBeHidden()
    pause(false)
    await expect(button).not.toHaveAttribute('aria-disabled', 'true')
    expect(sample.runs('.metadata.name')).toHaveLength(1)
  } finally {
    sample.remove()
  }
})

test('after an upgrade a part of the page is not there any more: it loads itself anew, once, and says so', async ({ page }) => {
  await signIn(page)
  // What belongs to the page of all that happened is of an older build, and gone until the page is loaded anew.
  let gone = true
  await page.route(/\/assets\/ActivityPage-[^/]*\.js$/, (route) => (gone ? route.fulfill({ status: 404, body: '' }) : route.continue()))
  const loaded = page.waitForEvent('load').then(() => (gone = false))
  const activity = page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Activity' })
  await activity.click()
  await loaded
  await expect(page.getByText('fastDeploy was updated, so this page was loaded anew.')).toBeVisible()
  await activity.click()
  await expect(page.getByRole('heading', { level: 1, name: 'Activity' })).toBeVisible()
})
