import { randomBytes } from 'node:crypto'
import { accessible, expect, fits, kubectl, test } from './page'
import { Organisation } from './organisation'
import { Sample } from './service'

test('somebody signs in with their organisation, sees what their group may see, and signs out; its pipeline deploys', async ({ page, request, baseURL }) => {
  test.setTimeout(420_000)
  // A name belongs to the organisation that gave it first, and here is a new one each time.
  const once = randomBytes(3).toString('hex')
  const [anna, ben] = [`anna-${once}`, `ben-${once}`]
  const sample = new Sample('Organised')
  sample.create('- ansible.builtin.debug: {msg: hello}')
  kubectl('--namespace', sample.namespace, 'create', 'rolebinding', 'web', '--clusterrole=fastdeploy-viewer', '--group=oidc:web')
  const site = baseURL ?? ''
  const rule = { name: 'ci', claims: { repository: sample.namespace }, namespace: sample.namespace, service: 'sample', verbs: ['deploy'] }
  const organisation = await Organisation.begin('Our SSO', site, request, [rule])
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

    await signIn(anna)
    await expect(page).toHaveURL(there)
    await expect(page.getByRole('heading', { level: 1 })).toHaveText('Organised')
    await page.goto('/account')
    await expect(page.getByText('fastdeploy:users, oidc:web')).toBeVisible()
    await expect(page.getByRole('definition').filter({ hasText: new RegExp(`^oidc:${anna}$`) })).toBeVisible()
    // The cluster says the same of the same name.
    const asAnna = ['--namespace', sample.namespace, 'auth', 'can-i', `--as=oidc:${anna}`, '--as-group=oidc:web']
    expect(kubectl(...asAnna, 'get', 'services.fastdeploy.dev/sample').trim()).toBe('yes')
    await signOut()

    // A pipeline needs no stored secret: its own token is exchanged, once, for one of this Service.
    const job = async (repository: string) => (await request.get(`${organisation.issuer}/job`, { params: { repository, audience: site } })).text()
    const exchange = (token: string, resource = `${sample.namespace}/sample`) =>
      request.post('/api/v1/token', { form: { grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange', subject_token: token, subject_token_type: 'urn:ietf:params:oauth:token-type:jwt', resource } })
    const token = await job(sample.namespace)
    for (const [theirs, resource] of [[await job('another'), undefined], [token, `${sample.namespace}/other`], [`${token.split('.').slice(0, 2).join('.')}.`, undefined]] as const) {
      expect((await exchange(theirs, resource)).status()).toBe(403)
    }
    const exchanged: { access_token: string } = await (await exchange(token)).json()
    expect((await exchange(token)).status()).toBe(403)
    const start = await request.post(`/api/v1/services/${sample.namespace}/sample/deployments`, { headers: { authorization: `Bearer ${exchanged.access_token}` }, data: {} })
    expect(start.status()).toBe(201)
    await expect.poll(() => sample.runs('.status.phase'), { timeout: 90_000 }).toEqual(['Succeeded'])

    // Somebody without the group is let in, and sees nothing of it.
    await page.goto(there)
    await signIn(ben)
    await expect(page.getByRole('heading', { name: 'There is nothing here' })).toBeVisible()
    await signOut()
  } finally {
    await organisation.end()
    sample.remove()
  }
})
