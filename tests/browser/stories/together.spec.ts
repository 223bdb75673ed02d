import type { Page } from '@playwright/test'
import { expect, signIn, test } from './page'
import { Sample } from './service'

/** Writes down from now on what moves without anybody's doing. */
async function watchShifts(page: Page): Promise<void> {
  await page.evaluate(() => {
    const seen: string[] = []
    Object.assign(window, { shifts: seen })
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries() as (PerformanceEntry & { value: number; hadRecentInput: boolean; sources: { node?: Node; previousRect: DOMRectReadOnly; currentRect: DOMRectReadOnly }[] })[]) {
        // A word beside a figure that gets longer is no jump; from 0.1 on people call a page restless.
        if (entry.hadRecentInput || entry.value < 0.0005) continue
        const box = (at: DOMRectReadOnly) => [at.x, at.y, at.width, at.height].map(Math.round).join(' ')
        const what = entry.sources.map(({ node, previousRect, currentRect }) => `${node instanceof Element ? `${node.tagName}.${node.className}` : node?.textContent} (${box(previousRect)} → ${box(currentRect)})`)
        seen.push(`${entry.value.toFixed(4)} ${what.join(', ')}`)
      }
    }).observe({ type: 'layout-shift' })
  })
}
const shifts = (page: Page) => page.evaluate(() => (window as unknown as { shifts: string[] }).shifts)

test('two people at once: each sees what the other does, who comes later waits, and nothing jumps', async ({ page, browser }) => {
  const sample = new Sample('Together')
  // The first run stays until the second person has pressed, however long that takes.
  const steps = Array.from({ length: 5 }, (_, n) => `- {name: "Step ${n}", ansible.builtin.command: 'true'}`)
  sample.create([...steps, '- {name: "Step 5", ansible.builtin.wait_for: {path: /work/go, timeout: 120}, when: hold}'].join('\n'), '[{name: hold, label: Hold it, type: boolean, default: false}]')
  const second = await browser.newContext()
  const other = await second.newPage()
  try {
    await signIn(page)
    await signIn(other)
    for (const one of [page, other]) await one.goto(`/?team=${sample.namespace}`)
    const card = other.getByRole('article', { name: 'Together' })
    await expect(card).toContainText('Never deployed')

    await page.getByRole('link', { name: /^Deploy/ }).click()
    await page.getByRole('dialog').getByLabel('What is it for?').fill('The first')
    await page.getByRole('dialog').getByLabel('Yes').check()
    await page.getByRole('dialog').getByRole('button', { name: 'Deploy' }).click()
    await expect(page.getByRole('progressbar')).toBeVisible()

    // The other one has touched nothing, and sees it.
    await expect(card).toContainText('admin is updating it')
    await expect(card).toContainText(/Step [2-6] of 6/)
    await expect(other).toHaveTitle(/fine/)
    await card.getByRole('link', { name: 'Together', exact: true }).click()
    await other.getByRole('button', { name: 'Deploy' }).click()
    await expect(other.getByRole('dialog').getByText('admin is updating it just now. Yours starts right after.')).toBeVisible()
    await other.getByRole('dialog').getByLabel('What is it for?').fill('The second')
    await other.getByRole('dialog').getByRole('button', { name: 'Deploy' }).click()
    const queue = other.getByRole('region', { name: '1 update is before this one' })
    await expect(queue).toContainText('admin is updating with #1')
    await expect(other).toHaveTitle(/Waiting its turn/)
    sample.inPod('touch', '/work/go')

    await expect(page.getByRole('heading', { level: 1 })).toHaveText('admin updated Together', { timeout: 60_000 })
    // Its turn comes without a reload.
    await expect(queue).toBeHidden()
    await expect(other.getByRole('heading', { level: 1 })).toHaveText('admin updated Together', { timeout: 60_000 })
    expect(sample.runs('.status.number').sort()).toEqual(['1', '2'])
    await page.getByRole('navigation').getByRole('link', { name: 'Together' }).click()
    await expect(page.getByRole('listitem').filter({ hasText: 'updated with #2' })).toContainText('The second')
  } finally {
    await second.close()
    sample.remove()
  }
})

test('nothing jumps on the pages of a run and of all services while steps come', async ({ page, context }) => {
  const sample = new Sample('Steady')
  // The last one is long enough to be seen on both pages.
  sample.create(Array.from({ length: 8 }, (_, n) => `- {name: "Step ${n}", ansible.builtin.command: sleep ${n === 7 ? 4 : 0.8}}`).join('\n'))
  try {
    await signIn(page)
    const home = await context.newPage()
    await home.goto(`/?team=${sample.namespace}`)
    await home.getByRole('article', { name: 'Steady' }).waitFor()
    await page.goto(`/services/${sample.namespace}/sample?deploy=1`)
    await page.getByRole('dialog').getByRole('button', { name: 'Deploy' }).click()
    // By then what came with the plan is painted.
    await expect(page.locator('.progress__step')).toContainText('Step 2 of 8', { timeout: 60_000 })
    const icon = () => page.locator('link[rel=icon]').getAttribute('href')
    const running = await icon()
    await watchShifts(page)
    await watchShifts(home)
    await expect(home.getByRole('article')).toContainText('Step 8 of 8', { timeout: 60_000 })
    expect(await shifts(page)).toEqual([])
    // The tab tells it, too.
    await expect(page).toHaveTitle(/^Done · Steady #1/)
    expect(await icon()).not.toBe(running)
    await expect(home.getByRole('article')).toContainText('#1 is live')
    expect(await shifts(home)).toEqual([])
  } finally {
    sample.remove()
  }
})
