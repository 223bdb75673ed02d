import { execFileSync } from 'node:child_process'
import { expect, test as plain, type Page } from '@playwright/test'

/** What the browser complains of: a script that was blocked, an error that nobody caught. */
export const test = plain.extend<{ complaints: string[] }>({
  complaints: [
    async ({ page }, use) => {
      const complaints: string[] = []
      page.on('pageerror', (error) => complaints.push(String(error)))
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
  await page.goto('/')
  await page.getByLabel('Name').fill(env('FASTDEPLOY_USER'))
  await page.getByLabel('Password').fill(env('FASTDEPLOY_PASSWORD'))
  await page.getByRole('button', { name: 'Sign in' }).click()
  await expect(page.getByRole('heading', { level: 1 })).toContainText(/service/)
}

export function kubectl(...args: string[]): string {
  return execFileSync('kubectl', args, { encoding: 'utf8' })
}

/** Nothing stands beyond the right edge. */
export async function fits(page: Page): Promise<void> {
  const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
  expect(over).toBeLessThanOrEqual(0)
}
