import { accessible, accessibleInBoth, expect, fits, signIn, test } from './page'
import { PAGES } from './pages'
import { Sample } from './service'

test('axe finds nothing on any page, and on 320 pixels nothing stands beyond the edge', async ({ page }) => {
  await page.emulateMedia({ reducedMotion: 'reduce' })
  await page.goto('/')
  await page.getByRole('button', { name: 'Sign in' }).waitFor()
  await looks('sign-in')
  await signIn(page)
  for (const { name, open } of PAGES) {
    await page.setViewportSize({ width: 1280, height: 800 })
    await open(page)
    await looks(name)
  }

  async function looks(name: string): Promise<void> {
    await accessibleInBoth(page, name)
    await page.setViewportSize({ width: 320, height: 640 })
    await fits(page)
    await accessible(page, `${name}, 320 pixels`)
  }
})

test('a form with every kind of question and a run that is on are as easy to use', async ({ page }) => {
  const sample = new Sample('Every kind')
  sample.create(
    Array.from({ length: 12 }, (_, n) => `- {name: "Step ${n}", ansible.builtin.command: sleep 1}`).join('\n'),
    `[{name: line, label: A line, type: text, required: true}, {name: lines, label: Some lines, type: textarea}, {name: size, label: "How many?", type: number, minimum: 1, maximum: 9},
      {name: fast, label: "Fast?", type: boolean, help: It is not always wise.}, {name: one, label: One of few, type: choice, choices: [a, b]},
      {name: other, label: One of many, type: choice, choices: [a, b, c, d, e, f]}, {name: some, label: Any of these, type: multichoice, choices: [salt, pepper]}, {name: day, label: "Which day?", type: date}]`,
  )
  try {
    await page.emulateMedia({ reducedMotion: 'reduce' })
    await signIn(page, `/services/${sample.namespace}/sample`)
    await page.getByText('Never deployed').first().waitFor()
    await accessible(page, 'a service that was never deployed')
    await page.getByRole('button', { name: 'Deploy' }).click()
    const dialog = page.getByRole('dialog', { name: 'Deploy Every kind' })
    await dialog.getByRole('button', { name: 'Deploy' }).click()
    await expect(dialog.getByText('An answer is needed here.')).toBeVisible()
    await accessible(page, 'a form with a fault')
    await page.setViewportSize({ width: 320, height: 640 })
    await fits(page)
    await dialog.getByLabel('A line').fill('one')
    await dialog.getByLabel('One of many').selectOption('e')
    await dialog.getByLabel('salt', { exact: true }).check()
    await dialog.getByLabel('Which day?').fill('2026-11-26')
    await dialog.getByRole('button', { name: 'Deploy' }).click()

    await expect(page.getByRole('progressbar')).toBeVisible()
    await page.getByRole('listitem').filter({ hasText: 'Working' }).first().waitFor()
    // Who asked for less motion sees none, while everything goes on.
    expect(await page.evaluate(() => document.getAnimations().filter((one) => one.playState === 'running').length)).toBe(0)
    await fits(page)
    await accessibleInBoth(page, 'a run that is on')
    await expect(page.getByRole('heading', { level: 1 })).toHaveText('admin updated Every kind', { timeout: 60_000 })
    await page.getByRole('region', { name: 'Servers' }).waitFor()
    await fits(page)
    await accessible(page, 'a run that is over')
    expect(sample.runs('.spec.inputs').map((inputs) => JSON.parse(inputs))).toEqual([{ line: 'one', other: 'e', some: ['salt'], day: '2026-11-26' }])
  } finally {
    sample.remove()
  }
})
