import { readFileSync } from 'node:fs'
import { expect, signIn, test } from './page'
import { Sample } from './service'

const LINES = 200_000

test('the output of a long run: it is followed until somebody scrolls up, found, linked and kept', async ({ page, context }) => {
  const sample = new Sample('Chatty')
  // Slowly at first, until somebody has looked; then all at once.
  sample.script(`
for n in $(seq 1 200); do echo "beforehand $n"; done
until [ -e /work/go ]; do echo "still here"; sleep 0.3; done
seq -f "line %.0f of many" ${LINES}
echo "that was all"`)
  try {
    await context.grantPermissions(['clipboard-read', 'clipboard-write'])
    await signIn(page, `/services/${sample.namespace}/sample?deploy=1`)
    await page.getByRole('dialog').getByRole('button', { name: 'Deploy' }).click()
    await page.getByText('Show technical output').click()
    const log = page.getByRole('log')
    const follow = page.getByRole('button', { name: 'Follow' })
    await expect(log.getByText('still here').nth(2)).toBeVisible()
    await expect(follow).toHaveAttribute('aria-pressed', 'true')
    const toEnd = () => log.evaluate((box) => box.scrollHeight - box.scrollTop - box.clientHeight)
    expect(await toEnd()).toBeLessThan(8)

    // Who scrolls up stays there, whatever comes meanwhile.
    await log.hover()
    await page.mouse.wheel(0, -1_500)
    await expect(follow).toHaveAttribute('aria-pressed', 'false')
    const first = () => log.evaluate((box) => [...box.querySelectorAll('[data-line]')].find((line) => line.getBoundingClientRect().top >= box.getBoundingClientRect().top)?.textContent)
    const seen = await first()
    const before = await log.evaluate((box) => box.scrollHeight)
    await expect.poll(() => log.evaluate((box) => box.scrollHeight)).toBeGreaterThan(before)
    expect(await first()).toBe(seen)
    await follow.click()
    await expect.poll(toEnd).toBeLessThan(8)

    sample.inPod('touch', '/work/go')
    await expect(page.getByRole('heading', { level: 1 })).toHaveText('admin updated Chatty', { timeout: 90_000 })
    await expect(log.getByText('that was all', { exact: true })).toBeVisible()
    expect(await toEnd()).toBeLessThan(8)
    // Of so many only those in sight are drawn.
    expect(await log.locator('[data-line]').count()).toBeLessThan(500)

    await page.getByLabel('Find in the output').fill('line 123456 of many')
    await expect(page.getByText('1 of 1', { exact: true })).toBeVisible()
    const hit = log.locator('.is-hit')
    await expect(hit).toContainText('line 123456 of many')
    await expect(hit).toBeInViewport()

    // Its link leads there, in another tab, too.
    await hit.getByRole('link').click()
    const address = await page.evaluate(() => navigator.clipboard.readText())
    expect(address).toMatch(/#L\d+$/)
    const other = await context.newPage()
    await other.goto(address)
    await expect(other.getByRole('log').locator('.is-hit')).toContainText('line 123456 of many')
    await expect(other.getByRole('log').locator('.is-hit')).toBeInViewport()

    const waiting = page.waitForEvent('download')
    await page.getByRole('button', { name: 'Download' }).click()
    const kept = readFileSync(await (await waiting).path(), 'utf8').split('\n')
    expect(kept.filter((line) => /^line \d+ of many$/.test(line))).toEqual(Array.from({ length: LINES }, (_, n) => `line ${n + 1} of many`))
    expect(kept.at(-2)).toBe('that was all')
  } finally {
    sample.remove()
  }
})
