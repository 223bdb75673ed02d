import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { expect, test as plain, type Page } from '@playwright/test'

/** What the browser complains of: a script that was blocked, an error that nobody caught. */
export const test = plain.extend<{ complaints: string[] }>({
  complaints: [
    async ({ page }, use) => {
      const complaints: string[] = []
      listen(page, complaints)
      await use(complaints)
      expect(complaints).toEqual([])
    },
    { auto: true },
  ],
})
export { expect }

/** Writes down what the browser complains of on this page. */
export function listen(page: Page, complaints: string[]): void {
  // One that misses a part of itself says so, too, and loads it anew.
  page.on('pageerror', (error) => /Unable to preload|dynamically imported module/.test(String(error)) || complaints.push(String(error)))
  page.on('console', (message) => {
    // That the server is away, or says no, the page says itself.
    if (message.type() === 'error' && !/Failed to load resource|WebSocket connection|dynamically imported module/.test(message.text())) complaints.push(message.text())
  })
}

function env(name: string): string {
  const value = process.env[name]
  if (value === undefined) throw new Error(`${name} is not set: eval "$(make -s env)" first`)
  return value
}

/** Cards, however many Services other stories have made. */
async function cards(page: Page): Promise<void> {
  await page.addInitScript(() => localStorage.setItem('fastdeploy-home', localStorage.getItem('fastdeploy-home') ?? 'cards'))
}

/** A person who has signed in comes to this page. Each has a session of their own: a cookie that was renewed elsewhere ends it. */
export async function signIn(page: Page, at = '/'): Promise<void> {
  await cards(page)
  const answer = await page.request.post('/api/v1/session', { data: { name: env('FASTDEPLOY_USER'), password: env('FASTDEPLOY_PASSWORD') } })
  expect(answer.ok()).toBe(true)
  await page.goto(at)
  if (at === '/') await expect(page.getByRole('heading', { level: 1 })).toContainText(/service/)
}

/** A person signs in, with name and password. */
export async function signInByForm(page: Page): Promise<void> {
  await cards(page)
  await page.goto('/')
  await page.getByLabel('Name').fill(env('FASTDEPLOY_USER'))
  await page.getByLabel('Password').fill(env('FASTDEPLOY_PASSWORD'))
  await page.getByRole('button', { name: 'Sign in' }).click()
  await expect(page.getByRole('heading', { level: 1 })).toContainText(/service/)
}

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
/** WCAG 2.2 AA, and what axe calls good practice. */
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']
/** What may be another in the dark: all else stands in the document, and is the same. */
const COLOURS = ['color-contrast', 'link-in-text-block']

/** axe finds nothing on this page, light and dark. */
export async function accessibleInBoth(page: Page, where: string): Promise<void> {
  await page.emulateMedia({ colorScheme: 'dark' })
  await accessible(page, `${where}, dark`, COLOURS)
  await page.emulateMedia({ colorScheme: 'light' })
  await accessible(page, `${where}, light`)
}

/** axe finds nothing on this page. */
export async function accessible(page: Page, where: string, only: readonly string[] = RULES): Promise<void> {
  // What is scrolled behind the bar on top is not too small.
  await page.evaluate(() => scrollTo(0, 0))
  // A color that is on its way to another one is nobody's choice. What turns for ever is not waited for.
  await page.evaluate(async () => {
    const ends = document.getAnimations().filter((animation) => animation.effect?.getComputedTiming().endTime !== Infinity)
    await Promise.allSettled(ends.map((animation) => animation.finished))
  })
  if (!(await page.evaluate(() => 'axe' in window))) await page.evaluate(AXE)
  const found = await page.evaluate(async (rules) => {
    const { axe } = window as unknown as { axe: { run(what: Document, how: object): Promise<Found> } }
    type Found = { passes: unknown[]; violations: { id: string; nodes: { html: string; failureSummary: string }[] }[] }
    const { passes, violations } = await axe.run(document, { runOnly: rules })
    return { passed: passes.length, wrong: violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join('\n')}`) }
  }, [...only])
  expect(found.wrong, where).toEqual([])
  expect(found.passed, where).toBeGreaterThan(only === RULES ? 10 : 0)
}

export function kubectl(...args: string[]): string {
  return execFileSync('kubectl', args, { encoding: 'utf8' })
}

/** Nothing stands beyond the right edge. */
export async function fits(page: Page): Promise<void> {
  const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
  expect(over).toBeLessThanOrEqual(0)
}
