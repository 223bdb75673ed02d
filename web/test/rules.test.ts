import { mount } from '@vue/test-utils'
import { createMemoryHistory, createRouter } from 'vue-router'
import { expect, test, vi } from 'vitest'
import { flushPromises } from '@vue/test-utils'
import { api } from '@/api/client'
import type { Window } from '@/api/schema'
import DependsPanel from '@/components/DependsPanel.vue'
import DriftPanel from '@/components/DriftPanel.vue'
import RulesPanel from '@/components/RulesPanel.vue'
import { i18n } from '@/i18n'
import { graph } from '@/lib/depends'
import { differences, ofStep } from '@/lib/drift'
import { days, open, opens, simple } from '@/lib/rules'
import { run, service, step } from './samples'

const router = createRouter({
  history: createMemoryHistory(),
  routes: [{ path: '/deployments/:uid', name: 'deployment', component: {} }, { path: '/services/:namespace/:name', name: 'service', component: {} }],
})
const global = { plugins: [i18n, router] }
const window = (change: Partial<Window>): Window => ({ days: [], from: '08:00', to: '18:00', timeZone: 'UTC', allow: true, everyone: true, ...change })
/** 2026-11-26 is a Thursday. */
const at = (time: string) => Date.parse(`2026-11-26T${time}:00Z`)

test('whether people may deploy now: only windows that concern them count', () => {
  const office = [window({ days: ['Mon', 'Tue', 'Wed', 'Thu', 'Fri'], timeZone: 'Europe/Berlin' })]
  expect(['06:59', '07:00', '16:59', '17:00'].map((time) => open({ windows: office }, at(time)))).toEqual([false, true, true, false])
  expect(open({ windows: [window({ everyone: false })] }, at('03:00'))).toBe(true)
  expect(open({ windows: [window({ allow: false, from: '12:00', to: '13:00' })] }, at('12:30'))).toBe(false)
  expect(open({ windows: [] }, at('03:00'))).toBe(true)
})

test('a window over midnight belongs to the day on which it begins', () => {
  const night = { windows: [window({ days: ['Wed'], from: '22:00', to: '02:00' })] }
  expect([open(night, at('01:59')), open(night, at('02:00')), open(night, at('22:30'))]).toEqual([true, false, false])
})

test('when it may start, to the minute', () => {
  expect(opens({ windows: [window({ from: '08:05' })] }, at('03:00'))).toBe(at('08:05'))
  expect(opens({ windows: [window({ days: ['Sat'] })] }, at('09:00'))).toBe(Date.parse('2026-11-28T08:00:00Z'))
  expect(opens({ windows: [window({ from: '00:00', to: '24:00', allow: false })] }, at('09:00'))).toBeUndefined()
})

test('rules in words', () => {
  expect(simple('0 4 * * *')).toEqual({ at: '04:00', day: undefined })
  expect(simple('30 16 * * 7')).toEqual({ at: '16:30', day: 'Sun' })
  expect(simple('*/5 * * * *')).toBeUndefined()
  expect(days(window({ days: ['Wed', 'Mon', 'Tue'] }), 'en')).toBe('Mon – Wed')
  expect(days(window({ days: ['Sat', 'Mon'] }), 'en')).toBe('Mon, Sat')
  const rules = { schedule: { cron: '0 4 * * 1', timeZone: 'Europe/Berlin' }, windows: [window({ allow: false, everyone: false, days: ['Fri'] })], approval: true, rollback: false, correct: false }
  const panel = mount(RulesPanel, { props: { service: service({ rules }), now: 0 }, global })
  expect(panel.text()).toContain('every Monday at 04:00 (Europe/Berlin)')
  expect(panel.text()).toContain('Not by itself Fri, 08:00 – 18:00 (UTC)')
  expect(panel.text()).toContain('each update waits until somebody agrees')
})

const OUTPUT = `
PLAY [all] *****

TASK [web : Write the page] ****
\u001b[31m--- before: /srv/page\u001b[0m
\u001b[32m+++ after: /root/.ansible/tmp/page\u001b[0m
@@ -1,2 +1,2 @@
 title
\u001b[31m-by hand\u001b[0m
\u001b[32m+as it should\u001b[0m
\\ No newline at end of file

\u001b[33mchanged: [web1]\u001b[0m
ok: [web2]

TASK [Look] ****
--- not a difference
ok: [web1]

PLAY RECAP ***
web1 : ok=2 changed=1`.split('\n')

test('what exactly differs is read from the output of the check, per step and server', () => {
  const found = differences(OUTPUT)
  expect([...found.keys()]).toEqual(['web : Write the page'])
  expect(ofStep(found, 'Write the page')).toEqual([{ host: 'web1', lines: [{ kind: 'both', text: 'title' }, { kind: 'is', text: 'by hand' }, { kind: 'should', text: 'as it should' }] }])
  expect(ofStep(found, 'the page')).toEqual([])
})

test('drift shows step, server and lines, and is put right by one run of what is live', async () => {
  const live = { uid: 'd4', number: 4, revision: '', since: '2026-11-24T08:00:00Z', inputs: {} }
  const drift = { result: 'Drifted' as const, number: 4, check: 'c1', checkedAt: '2026-11-24T09:00:00Z', steps: [{ key: 'k', name: 'Write the page', hosts: 1 }], stepsTotal: 3 }
  vi.spyOn(api, 'deployment').mockResolvedValue({ cursor: '', deployment: run({ uid: 'c1' }), steps: [step({ key: 'k', hosts: [{ host: 'web1', state: 'Ok', changed: true, durationMs: 1, message: '' }] })], usual: [], may: { cancel: false, approve: false, deploy: true, trust: false } })
  vi.spyOn(api, 'output').mockResolvedValue({ attempt: 1, cursor: '', first: 1, lines: OUTPUT, total: OUTPUT.length })
  const start = vi.spyOn(api, 'start').mockResolvedValue({ cursor: '', deployment: run({ uid: 'd5' }), steps: [], usual: [], may: { cancel: true, approve: false, deploy: true, trust: false } })
  const panel = mount(DriftPanel, { props: { service: service({ live, drift }), drift, now: 0, mayDeploy: true }, global, attachTo: document.body })
  await flushPromises()
  expect(panel.text()).toContain('3 steps would change something. The servers are no longer what #4 left there.')
  expect(panel.find('summary').text()).toBe('Write the page on web1')
  expect(panel.findAll('.diff > div').map((line) => line.text())).toEqual(['bothtitle', 'nowby hand', '#4 leftas it should'])
  expect(panel.text()).toContain('and 2 more steps')
  await panel.find('button.btn--primary').trigger('click')
  await panel.find('dialog .btn--primary').trigger('click')
  await flushPromises()
  expect(start.mock.calls[0]?.[2]).toEqual({ mode: 'Apply', repeat: 4, reason: 'Put right what was changed by hand' })
  expect(panel.emitted('started')).toHaveLength(1)
})

test('who may not deploy sees drift, too, but is offered nothing', () => {
  const drift = { result: 'Drifted' as const, number: 4, steps: [], stepsTotal: 1 }
  const panel = mount(DriftPanel, { props: { service: service({ drift }), drift, now: 0, mayDeploy: false }, global })
  expect(panel.findAll('button')).toHaveLength(0)
})

const needing = (name: string, ...dependsOn: string[]) => service({ uid: name, name, title: name, dependsOn })

test('the picture of what needs what: each stands right of all it needs, strangers are not in it', () => {
  const all = [needing('shop', 'api', 'cache'), needing('api', 'db'), needing('db'), needing('cache'), needing('mail'), needing('report', 'db', 'gone')]
  const picture = graph(all, 'api')
  expect(picture.nodes.map((node) => [node.name, node.column])).toEqual([['db', 0], ['api', 1], ['shop', 2]])
  expect(picture.lines.map(({ from, to }) => `${from.name}>${to.name}`)).toEqual(['db>api', 'api>shop'])
  expect(graph(all, 'report').nodes.find((node) => node.name === 'gone')?.service).toBeUndefined()
  expect(graph(all, 'mail').nodes).toHaveLength(1)
  expect(graph([needing('a', 'b'), needing('b', 'a')], 'a').nodes).toHaveLength(2)
})

test('what needs what leads there, and is not shown where a service stands alone', async () => {
  vi.spyOn(api, 'servicesOf').mockResolvedValue({ cursor: '', items: [needing('api', 'db'), needing('db')] })
  const panel = mount(DependsPanel, { props: { service: needing('api', 'db') }, global })
  await flushPromises()
  expect(panel.find('header').text()).toBe('What needs whatneeds 1 service')
  expect(panel.findAll('a').map((link) => link.attributes('href'))).toEqual(['/services/team/db'])
  vi.spyOn(api, 'servicesOf').mockResolvedValue({ cursor: '', items: [] })
  const alone = mount(DependsPanel, { props: { service: needing('mail') }, global })
  await flushPromises()
  expect(alone.find('section').exists()).toBe(false)
})
