import { accessible, expect, fits, kubectl, test } from './page'
import { Organisation } from './organisation'
import { Sample } from './service'

test('somebody signs in with their organisation, sees what their group may see, and signs out', async ({ page, request, baseURL }) => {
  test.setTimeout(420_000)
  const sample = new Sample('Organised')
  sample.create('- ansible.builtin.debug: {msg: hello}')
  kubectl('--namespace', sample.namespace, 'create', 'rolebinding', 'web', '--clusterrole=fastdeploy-viewer', '--group=oidc:web')
  const organisation = await Organisation.begin('Our SSO', baseURL ?? '', request)
  const there = `/services/${sample.namespace}/sample`
  const signIn = async (name: string) => {
    await page.getByRole('link', { name: 'Sign in with Our SSO' }).click()
    await page.getByPlaceholder('Enter any login').fill(name)
    await page.getByPlaceholder('and password').fill('any')
    await page.getByRole('button', { name: 'Sign-in' }).click()
    await page.getByRole('button', { name: 'Continue' }).click()
  }
  const signOut = async () => {
    await page.getByRole('banner').locator('summary').click()
    await page.getByRole('button', { name: 'Sign out' }).click()
    // There, too.
    await page.getByRole('button', { name: 'Yes, sign me out' }).click()
    await expect(page.getByRole('link', { name: 'Sign in with Our SSO' })).toBeVisible()
    await expect(page).toHaveURL('/sign-in')
  }
  try {
    await page.goto(there)
    await expect(page.getByRole('link', { name: 'Sign in with Our SSO' })).toBeVisible()
    await accessible(page, 'the door with an organisation')
    await page.setViewportSize({ width: 320, height: 640 })
    await fits(page)
    await page.setViewportSize({ width: 1280, height: 800 })

    // Whoever turns back is told so, and is asked again for the way to the same place.
    await page.getByRole('link', { name: 'Sign in with Our SSO' }).click()
    await page.getByRole('link', { name: /Cancel/ }).click()
    await expect(page.getByRole('alert')).toContainText('Our SSO did not let you in, or you turned back.')

    await signIn('anna')
    await expect(page).toHaveURL(there)
    await expect(page.getByRole('heading', { level: 1 })).toHaveText('Organised')
    await page.goto('/account')
    await expect(page.getByText('fastdeploy:users, oidc:web')).toBeVisible()
    await expect(page.getByRole('definition').filter({ hasText: /^oidc:anna$/ })).toBeVisible()
    // The cluster says the same of the same name.
    const asAnna = ['--namespace', sample.namespace, 'auth', 'can-i', '--as=oidc:anna', '--as-group=oidc:web']
    expect(kubectl(...asAnna, 'get', 'services.fastdeploy.dev/sample').trim()).toBe('yes')
    await signOut()

    // Somebody without the group is let in, and sees nothing of it.
    await page.goto(there)
    await signIn('ben')
    await expect(page.getByRole('heading', { name: 'There is nothing here' })).toBeVisible()
    await signOut()
  } finally {
    await organisation.end()
    sample.remove()
  }
})
