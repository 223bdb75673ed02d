import { flushPromises, mount } from '@vue/test-utils'
import { createMemoryHistory, createRouter } from 'vue-router'
import { expect, test, vi } from 'vitest'
import { api } from '@/api/client'
import { people } from '@/api/people'
import type { Service } from '@/api/schema'
import HomePage from '@/pages/HomePage.vue'
import TopBar from '@/components/TopBar.vue'
import { i18n } from '@/i18n'
import { ago } from '@/lib/ago'
import { day } from '@/lib/day'
import { matches, teams } from '@/lib/find'
import { useServices } from '@/stores/services'
import { run, service } from './samples'

const NOW = Date.parse('2026-11-24T12:00:00Z')

test('how long ago it is, as people say it in their language', () => {
  const said = ['2026-11-24T11:59:40Z', '2026-11-24T11:52:00Z', '2026-11-24T09:30:00Z', '2026-11-23T10:00:00Z'].map((time) => ago(time, NOW, 'en'))
  expect(said).toEqual(['now', '8 minutes ago', '2 hours ago', 'yesterday'])
  expect(ago('2026-11-24T11:52:00Z', NOW, 'de')).toBe('vor 8 Minuten')
  expect(ago('2026-09-01T12:00:00Z', NOW, 'en-GB')).toBe('1 September 2026')
  // A clock that is a bit ahead does not see the future.
  expect(ago('2026-11-24T12:00:09Z', NOW, 'en')).toBe('now')
})

test('a service is found by what people know of it', () => {
  const shop = service({ title: 'Müllers Laden', namespace: 'web', last: run({ number: 12, requestedBy: { name: 'Ben', via: 'Dashboard' } }), live: { inputs: { version: 'v5.1' }, number: 12, revision: '', since: '', uid: '' } })
  for (const words of ['', 'mullers', 'LADEN web', 'ben', 'v5.1', '#12', 'blog']) expect(matches(shop, words), words).toBe(true)
  expect(matches(shop, 'laden anna')).toBe(false)
  expect(teams([shop, service({ namespace: 'shop' }), shop])).toEqual(['shop', 'web'])
})

test('the last day has what ended in it, and says where it does not know all', () => {
  const tick = (hours: number, phase: 'Succeeded' | 'Failed' | 'NothingDone', seconds = 50) => ({ uid: `${hours}`, phase, seconds, finishedAt: new Date(NOW - hours * 3_600_000).toISOString() })
  const two = day([service({ recent: [tick(30, 'Failed'), tick(12, 'Succeeded', 200), tick(6, 'Failed'), tick(1, 'NothingDone')] })], NOW)
  expect([two.worked, two.failed, two.more]).toEqual([1, 1, false])
  expect(two.marks.map(({ way, x }) => [way, x])).toEqual([['up', 50], ['down', 75], ['dot', 100 - 100 / 24]])
  expect(two.marks[0]?.height).toBe(1)
  expect(two.nights.reduce((sum, night) => sum + night.width, 0)).toBeCloseTo(100 / 3, 0)
  const busy = day([service({ recent: Array.from({ length: 10 }, (_, n) => tick(10 - n, 'Succeeded')), active: run() })], NOW)
  expect([busy.more, busy.marks.at(-1)?.way]).toEqual([true, 'running'])
})

async function page(items: Service[], at = '/') {
  vi.spyOn(api, 'services').mockResolvedValue({ cursor: '1.1', items })
  vi.spyOn(people, 'account').mockResolvedValue({ name: 'anna', kubernetesUser: 'fastdeploy:anna', groups: [], password: true, mustChange: false, may: { users: false, roles: false, system: false, add: { everywhere: false, namespaces: [] } } })
  const router = createRouter({
    history: createMemoryHistory(),
    routes: [
      { path: '/', name: 'home', component: {} },
      { path: '/activity', name: 'activity', component: {} },
      { path: '/approvals', name: 'approvals', component: {} },
      { path: '/back/:namespace/:name', name: 'goback', component: {} },
      { path: '/account', name: 'account', component: {} },
      { path: '/people', name: 'people', component: {} },
      { path: '/services/:namespace/:name', name: 'service', component: {} },
      { path: '/deployments/:uid', name: 'deployment', component: {} },
    ],
  })
  await router.push(at)
  const global = { plugins: [i18n, router] }
  const home = mount(HomePage, { global, attachTo: document.body })
  await flushPromises()
  return { home, router, global }
}
const some = [
  service({ uid: 'a', name: 'a', title: 'Alpha', namespace: 'shop' }),
  service({ uid: 'b', name: 'b', title: 'Beta', namespace: 'web', state: 'Failed', last: run({ phase: 'Failed' }) }),
  service({ uid: 'c', name: 'c', title: 'Gamma', namespace: 'web', description: 'Pictures' }),
]

test('what needs somebody comes first, then team by team; places are kept until somebody sorts again', async () => {
  const { home } = await page(some)
  const seen = () => home.findAll('h2, h3').map((heading) => heading.text())
  expect(seen()).toEqual(['Need you', 'Beta', 'shop', 'Alpha', 'web', 'Gamma'])
  useServices().set({ ...some[0], state: 'Failed' } as Service)
  await flushPromises()
  expect(seen()).toEqual(['Need you', 'Beta', 'shop', 'Alpha', 'web', 'Gamma'])
  await home.findAll('button').find((button) => button.text() === 'Sort again')?.trigger('click')
  expect(seen()).toEqual(['Need you', 'Alpha', 'Beta', 'Everything else', 'Gamma'])
})

test('the search, the team and the filter stand in the address', async () => {
  const { home, router, global } = await page(some, '/?team=web')
  expect(home.findAll('h3').map((one) => one.text())).toEqual(['Beta', 'Gamma'])
  const bar = mount(TopBar, { global })
  await bar.find('#find').setValue('pictures')
  await flushPromises()
  expect(router.currentRoute.value.query).toEqual({ team: 'web', q: 'pictures' })
  expect(home.findAll('h3').map((one) => one.text())).toEqual(['Gamma'])
  await bar.find('#find').setValue('nothing like it')
  await flushPromises()
  expect(home.find('.empty').text()).toContain('Nothing here has to do with “nothing like it”.')
  await home.find('.empty button').trigger('click')
  await flushPromises()
  expect(home.findAll('h3')).toHaveLength(3)
})

test('many services are a table, unless somebody likes cards', async () => {
  const { home } = await page(Array.from({ length: 30 }, (_, n) => service({ uid: `${n}`, name: `s${n}`, title: `Service ${n}` })))
  expect(home.findAll('article')).toHaveLength(0)
  expect(home.findAll('tbody tr')).toHaveLength(30)
  await home.find('.views button').trigger('click')
  expect(home.findAll('article')).toHaveLength(30)
  expect(localStorage.getItem('fastdeploy-home')).toBe('cards')
})

test('an empty page says what to do', async () => {
  const { home } = await page([])
  expect(home.find('h1').text()).toBe('No services yet')
  expect(home.find('.say').text()).not.toBe('')
})
