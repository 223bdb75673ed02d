import { expect, kubectl, signIn, test } from './page'

test('whoever administers sees how each part fares, also while one copy more comes and goes', async ({ page }) => {
  await signIn(page)
  await page.locator('summary').filter({ hasText: 'You: ' }).click()
  await page.getByRole('link', { name: 'System' }).click()
  const part = (name: string) => page.getByRole('region', { name: 'Parts' }).getByRole('listitem').filter({ has: page.getByRole('heading', { name }) })
  await expect(part('Carrying out updates')).toContainText('Updates are carried out.')
  await expect(part('What this page shows')).toContainText('nothing waits')
  await expect(part('Database')).toContainText(/\d (k|M|G)B/)
  await expect(page.getByRole('region', { name: 'Versions' })).toContainText(/Kubernetes\s*1\.\d+/)

  // One copy more is asked for: seen without a reload, and gone again.
  const operator = ['--namespace', 'fastdeploy-system', 'deployment/fastdeploy-operator']
  const wanted = kubectl('--namespace', 'fastdeploy-system', 'get', 'deployment', 'fastdeploy-operator', '--output', 'jsonpath={.spec.replicas}')
  try {
    kubectl('scale', ...operator, `--replicas=${Number(wanted) + 1}`)
    await expect(part('Carrying out updates')).toContainText(`of ${Number(wanted) + 1} ready`)
  } finally {
    kubectl('scale', ...operator, `--replicas=${wanted}`)
  }
  await expect(part('Carrying out updates')).toContainText(`${wanted} of ${wanted} ready`)
})
