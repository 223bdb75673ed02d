import { accessibleInBoth, expect, fits, kubectl, signIn, test } from './page'
import { Sample } from './service'

test('a secret is typed, used, and nowhere to be read afterwards', async ({ page }) => {
  const sample = new Sample('Sealed')
  const secret = `pass of the story ${Date.now()}`
  sample.create('- {name: Use it, ansible.builtin.assert: {that: "pin | length > 20"}}\n- {name: Say it, ansible.builtin.debug: {msg: "it is {{ pin }}"}}', '[{name: pin, label: PIN, type: secret, required: true, help: Of the safe.}]')
  const sent: string[] = []
  page.on('request', (request) => sent.push(`${request.url()} ${request.method() === 'POST' && request.url().endsWith('/deployments') ? '' : request.postData()}`))
  try {
    await signIn(page, `/services/${sample.namespace}/sample?deploy=1`)
    const dialog = page.getByRole('dialog')
    const pin = dialog.getByLabel('PIN', { exact: true })
    await dialog.getByRole('button', { name: 'Deploy' }).click()
    await expect(dialog.getByText('An answer is needed here.')).toBeVisible()
    await expect(pin).toBeFocused()
    await accessibleInBoth(page, 'a secret is asked for')
    await page.setViewportSize({ width: 320, height: 640 })
    await fits(page)
    await page.setViewportSize({ width: 1280, height: 800 })
    await pin.fill(secret)
    await expect(pin).toHaveAttribute('type', 'password')
    await dialog.getByRole('button', { name: 'Show' }).click()
    await expect(pin).toHaveAttribute('type', 'text')
    await dialog.getByRole('button', { name: 'Hide' }).click()
    await expect(dialog.getByRole('status')).toHaveText('PIN: ••••')
    await dialog.getByRole('button', { name: 'Deploy' }).click()
    await expect(page.getByRole('heading', { level: 1 })).toHaveText('admin updated Sealed', { timeout: 60_000 })
    await page.getByText('Show technical output').click()
    await expect(page.getByRole('log')).toContainText('it is')
    expect(await page.content()).not.toContain(secret)
    expect(await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, location.href]))).not.toContain(secret)
    expect(sent.filter((one) => one.includes(secret) || one.includes(encodeURIComponent(secret)))).toEqual([])
    expect(kubectl('--namespace', sample.namespace, 'get', 'fdep,fsvc,events,configmaps', '--output', 'json')).not.toContain(secret)
    // The next time it is asked for anew.
    await page.goto(`/services/${sample.namespace}/sample?deploy=1`)
    await expect(pin).toHaveValue('')
  } finally {
    sample.remove()
  }
})
