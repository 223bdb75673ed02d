import { flushPromises, mount } from '@vue/test-utils'
import { createMemoryHistory, createRouter } from 'vue-router'
import { afterEach, expect, test, vi } from 'vitest'
import { Refused } from '@/api/client'
import { people } from '@/api/people'
import type { HealthReason, System, Verdict } from '@/api/schema'
import { i18n, learn, use } from '@/i18n'
import { overall, size } from '@/lib/system'
import SystemPage from '@/pages/SystemPage.vue'

const router = createRouter({ history: createMemoryHistory(), routes: [{ path: '/', name: 'home', component: {} }] })
const global = { plugins: [i18n, router] }
const fine = (reason: HealthReason): Verdict => ({ health: 'Fine', reason })

function system(change: Partial<System> = {}): System {
  return {
    at: '2026-11-27T10:00:00Z',
    versions: { apiServer: '0.1.0', operator: '0.1.0', chart: '0.1.0', kubernetes: '1.34.1', postgresql: '15.18' },
    apiServer: { verdict: fine('AllReady'), replicas: { wanted: 2, ready: 2 } },
    operator: { verdict: fine('Leads'), replicas: { wanted: 2, ready: 2 }, leader: 'op-1', since: '2026-11-27T09:00:00Z', renewedAt: '2026-11-27T10:00:00Z' },
    database: { verdict: fine('SchemaCurrent'), bytes: 12_345_678, migration: 53, newestMigration: 53 },
    mirror: { verdict: fine('MirrorCurrent'), lagSeconds: 4, waiting: 0 },
    reports: { verdict: fine('ReportsTaken'), open: 1, gaps: 0 },
    notifications: { verdict: fine('AllTold'), events: 0, pending: 0, dead: 0 },
    ...change,
  }
}

afterEach(() => vi.useRealTimers())

test('with everything at work one sentence says so, and the parts say it in figures', async () => {
  await learn('system')
  vi.spyOn(people, 'system').mockResolvedValue(system())
  const page = mount(SystemPage, { global })
  await flushPromises()
  expect(page.find('h1').text()).toBe('Everything works.')
  const parts = page.findAll('.parts-list > li').map((row) => row.text())
  expect(parts).toHaveLength(6)
  expect(parts[0]).toMatch(/^Carrying out updates\s*Updates are carried out\.2 of 2 ready · the same one since .*fine$/)
  expect(parts[2]).toContain('12.3\u00a0MB'.replace('\u00a0', ' '))
  expect(parts[4]).toContain('1 update is reporting')
  expect(page.find('.facts').text()).toContain('1.34.1')
  await use('de')
  expect(page.find('h1').text()).toBe('Alles läuft.')
  await use('en')
})

test('what does not work counts before what needs a look, and nothing is invented for what is away', async () => {
  await learn('system')
  const away: Verdict = { health: 'Broken', reason: 'DatabaseAway' }
  const seen = system({
    apiServer: { verdict: { health: 'Unknown', reason: 'NotSaid' } },
    operator: { verdict: { health: 'Attention', reason: 'SomeNotReady' } },
    database: { verdict: away, newestMigration: 53 },
    mirror: { verdict: away, waiting: 0 },
    reports: { verdict: { health: 'Attention', reason: 'ReportsWait' }, open: 0, gaps: 0 },
    notifications: { verdict: away, events: 0, pending: 0, dead: 0 },
  })
  expect(overall(seen)).toEqual({ health: 'Broken', parts: 3 })
  vi.spyOn(people, 'system').mockResolvedValue(seen)
  const page = mount(SystemPage, { global })
  await flushPromises()
  expect(page.find('h1').text()).toBe('3 parts do not work.')
  expect(page.findAll('.parts-list .hist__sub').map((sub) => sub.text())).toEqual(['', '', '', '', '', ''])
})

test('it looks again by itself, and says when it could not', async () => {
  vi.useFakeTimers()
  await learn('system')
  vi.spyOn(people, 'system').mockResolvedValueOnce(system()).mockRejectedValueOnce(new Refused(503, 'Unavailable', '')).mockResolvedValue(system({ mirror: { verdict: { health: 'Attention', reason: 'MirrorBehind' }, lagSeconds: 40, waiting: 2 } }))
  const page = mount(SystemPage, { global })
  await flushPromises()
  await vi.advanceTimersByTimeAsync(5_000)
  expect(page.find('.notice').text()).toContain('could not be asked')
  expect(page.findAll('.parts-list > li')).toHaveLength(6)
  await vi.advanceTimersByTimeAsync(5_000)
  expect(page.find('.notice').exists()).toBe(false)
  expect(page.find('h1').text()).toBe('1 part needs a look.')
  expect(page.find('.parts-list').text()).toContain('2 changes wait')
  page.unmount()
})

test('whoever may not see it finds nothing here', async () => {
  vi.spyOn(people, 'system').mockRejectedValue(new Refused(403, 'Forbidden', 'no'))
  const page = mount(SystemPage, { global })
  await flushPromises()
  expect(page.text()).toContain('There is nothing here')
})

test('sizes are written as people write them', () => {
  expect([0, 999, 12_345_678, 5_000_000_000].map((bytes) => size(bytes, 'en'))).toEqual(['0 byte', '999 byte', '12.3 MB', '5 GB'])
})
