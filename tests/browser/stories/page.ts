import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { expect, test as plain, type Page } from '@playwright/test'

/** What the browser complains of: a script that was blocked, an error that nobody caught. */
export const test = plain.extend<{ complaints: string[] }>({
  complaints: [
    async ({ page }, use) => {
      const complaints: string[] = []
      // So does one that misses a part of itself, and loads it anew.
      page.on('pageerror', (error) => /Unable to preload|dynamically imported module/.test(String(error)) || complaints.push(String(error)))
      page.on('console', (message) => {
        // That the server is away, or says no, the page says itself.
        if (message.type() === 'error' && !/Failed to load resource|WebSocket connection/.test(message.text())) complaints.push(message.text())
      })
      await use(complaints)
      expect(complaints).toEqual([])
    },
    { auto: true },
  ],
})
export { expect }

function env(name: string): string {
  const value = process.env[name]
  if (value === undefined) throw new Error(`${name} is not set: eval "$(make -s env)" first`)
  return value
}

export async function signIn(page: Page): Promise<void> {
  // Cards, however many Services other stories have made.
  await page.addInitScript(() => localStorage.setItem('fastdeploy-home', localStorage.getItem('fastdeploy-home') ?? 'cards'))
  await page.goto('/')
  await page.getByLabel('Name').fill(env('FASTDEPLOY_USER'))
  await page.getByLabel('Password').fill(env('FASTDEPLOY_PASSWORD'))
  await page.getByRole('button', { name: 'Sign in' }).click()
  await expect(page.getByRole('heading', { level: 1 })).toContainText(/service/)
}

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
/** WCAG 2.2 AA, and what axe calls good practice. */
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']

/** axe finds nothing on this page. */
export async function accessible(page: Page, where: string): Promise<void> {
  // What is scrolled behind the bar on top is not too small.
  await page.evaluate(() => scrollTo(0, 0))
  // A color that is on its way to another one is nobody's choice. What turns for ever is not waited for.
  await page.evaluate(async () => {
    const ends = document.getAnimations().filter((animation) => animation.effect?.getComputedTiming().endTime !== Infinity)
    await Promise.allSettled(ends.map((animation) => animation.finished))
  })
  await page.evaluate(AXE)
  const found = await page.evaluate(async (rules) => {
    const { axe } = window as unknown as { axe: { run(what: Document, how: object): Promise<Found> } }
    type Found = { passes: unknown[]; violations: { id: string; nodes: { html: string; failureSummary: string }[] }[] }
    const { passes, violations } = await axe.run(document, { runOnly: rules })
    return { passed: passes.length, wrong: violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join('\n')}`) }
  }, RULES)
  expect(found.wrong, where).toEqual([])
  expect(found.passed, where).toBeGreaterThan(10)
}

export function kubectl(...args: string[]): string {
  return execFileSync('kubectl', args, { encoding: 'utf8' })
}

/** Nothing stands beyond the right edge. */
export async function fits(page: Page): Promise<void> {
  const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
  expect(over).toBeLessThanOrEqual(0)
}
