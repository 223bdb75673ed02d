import { flushPromises, mount } from '@vue/test-utils'
import { expect, test, vi } from 'vitest'
import { createMemoryHistory, createRouter } from 'vue-router'
import { api, Refused } from '@/api/client'
import { i18n, use } from '@/i18n'
import { ownPath, toOrganisation, TROUBLES, troubleOf } from '@/lib/door'
import SignInPage from '@/pages/SignInPage.vue'
import { useSession } from '@/stores/session'

async function door(path: string, ways: () => ReturnType<typeof api.signInWays>) {
  vi.spyOn(api, 'signInWays').mockImplementation(ways)
  const nowhere = { template: '<p />' }
  const router = createRouter({ history: createMemoryHistory(), routes: [{ path: '/sign-in', component: SignInPage }, { path: '/', name: 'home', component: nowhere }, { path: '/people', component: nowhere }] })
  await router.push(path)
  const page = mount(SignInPage, { global: { plugins: [i18n, router] } })
  await flushPromises()
  return page
}

test('nobody is led to another site', () => {
  for (const ours of ['/', '/services/team/blog?deploy=1#x']) expect(ownPath(ours)).toBe(ours)
  for (const elsewhere of ['//evil.example', '/\\evil.example', '/\t/evil.example', 'https://evil.example', 'javascript:alert(1)', '', ' /', undefined, ['/']]) expect(ownPath(elsewhere), String(elsewhere)).toBeUndefined()
  expect(toOrganisation('/a?b=c&d')).toBe('/api/v1/session/oidc/start?next=%2Fa%3Fb%3Dc%26d')
})

test('every reason has a sentence in both languages, and an unknown one too', async () => {
  for (const language of ['de', 'en'] as const) {
    await use(language)
    for (const trouble of TROUBLES) expect(i18n.global.t(`signIn.trouble.${trouble}`, { name: 'X' })).toMatch(/ .*\.$/)
  }
  expect([troubleOf('lost'), troubleOf('<b>'), troubleOf(undefined)]).toEqual(['lost', 'refused', undefined])
})

test('the organisation is offered by its name, and leads back to where one wanted to go', async () => {
  const page = await door('/sign-in?next=/people&problem=lost', async () => ({ organisation: { name: 'Keycloak' } }))
  const link = page.get('a.btn')
  expect([link.text(), link.attributes('href')]).toEqual(['Sign in with Keycloak', '/api/v1/session/oidc/start?next=%2Fpeople'])
  expect(page.get('[role=alert]').text()).toContain('took too long')
  expect(page.find('input[type=password]').exists()).toBe(true)
})

test('without an organisation, or without an answer, there is the password', async () => {
  for (const ways of [async () => ({}), async () => Promise.reject(new Refused(0, 'Unreachable', ''))]) {
    const page = await door('/sign-in', ways)
    expect([page.find('a.btn').exists(), page.find('button.btn--primary').exists()]).toEqual([false, true])
  }
})

test('who signs out learns where else they sign out', async () => {
  vi.spyOn(api, 'signOut').mockResolvedValueOnce({ next: 'https://sso.example.com/end' }).mockResolvedValueOnce(null)
  const session = useSession()
  expect([await session.signOut(), await session.signOut()]).toEqual(['https://sso.example.com/end', undefined])
})
