import { mount } from '@vue/test-utils'
import { nextTick, reactive } from 'vue'
import { createMemoryHistory, createRouter } from 'vue-router'
import { expect, test, vi } from 'vitest'
import { api, Refused } from '@/api/client'
import ProgressBar from '@/components/ProgressBar.vue'
import ServiceCard from '@/components/ServiceCard.vue'
import ServiceTable from '@/components/ServiceTable.vue'
import StepList from '@/components/StepList.vue'
import { i18n } from '@/i18n'
import { few, pace, parts, percent } from '@/lib/pace'
import { run, service, step } from './samples'

const routes = [{ path: '/', name: 'home', component: {} }, { path: '/services/:namespace/:name', name: 'service', component: {} }, { path: '/deployments/:uid', name: 'deployment', component: {} }]
const global = { plugins: [i18n, createRouter({ history: createMemoryHistory(), routes })] }
const at = (seconds: number) => new Date(seconds * 1_000).toISOString()
const many = (length = 2_000) => Array.from({ length }, (_, n) => step({ key: `s${n}`, name: `Step ${n}`, ...(n < length / 2 ? { state: 'Succeeded' as const, startedAt: at(n), finishedAt: at(n + 1) } : n === length / 2 ? { state: 'Running' as const, startedAt: at(n) } : {}) }))

test('of many steps only the one that is on is drawn anew as time passes, and only the one of which something is heard', async () => {
  const drawn: string[] = []
  // Whoever draws a step reads its name.
  const steps = reactive(many(400).map((one) => Object.defineProperty(one, 'name', { enumerable: true, get: () => (drawn.push(one.key), `Step ${one.key}`) })))
  const list = mount(StepList, { props: { steps, now: 202_000, over: false, expected: ['web1'] }, global })
  expect(list.findAll('li .step')).toHaveLength(400)
  expect(list.find('.steps').classes()).toContain('steps--many')
  expect(list.find('[aria-current=step] .step__time').text()).toContain('2')
  expect(new Set(drawn).size).toBe(400)
  drawn.length = 0
  await list.setProps({ now: 203_000 })
  expect(list.find('[aria-current=step] .step__time').text()).toContain('3')
  expect(drawn).toEqual(['s200'])
  steps[200]?.hosts.push({ host: 'web1', state: 'Failed', changed: false, durationMs: 1, message: 'disk full' })
  await nextTick()
  expect(drawn).toEqual(['s200', 's200'])
  expect(list.find('[aria-current=step]').text()).toContain('disk full')
})

test('a bar of thousands of steps has parts that can be seen, and says the same', () => {
  const bar = parts(many(), pace([]), 1_000_500, false)
  const drawn = few(bar, 60)
  expect(drawn).toHaveLength(59)
  expect(percent(drawn)).toBe(percent(bar))
  expect([drawn[0]?.state, drawn[29]?.state, drawn.at(-1)?.state]).toEqual(['done', 'now', 'next'])
  expect(few(parts([step({ state: 'Failed' }), step({ state: 'Succeeded' })], pace([]), 0, true), 1)[0]?.state).toBe('bad')
  expect(mount(ProgressBar, { props: { steps: many(), label: '', text: '' }, global }).findAll('.bar i').length).toBeLessThanOrEqual(60)
  vi.spyOn(api, 'deployment').mockRejectedValue(new Refused(404, 'NotFound', ''))
  const card = mount(ServiceCard, { props: { service: service({ state: 'Updating', active: run({ progress: { done: 500, total: 2_000 } }) }), now: 0 }, global })
  expect([card.findAll('.bar i').length, card.findAll('.bar .is-done').length]).toEqual([40, 10])
})

test('a long table stays one for those who do not see it', () => {
  const table = mount(ServiceTable, { props: { services: Array.from({ length: 500 }, (_, n) => service({ uid: `s${n}`, title: `Service ${n}` })), now: 0, label: 'All' }, global })
  expect(table.find('[role=table]').classes()).toContain('table--long')
  expect(table.findAll('[role=rowgroup] > [role=row] > [role=rowheader]')).toHaveLength(500)
  expect(table.findAll('[role=columnheader]')).toHaveLength(6)
})
