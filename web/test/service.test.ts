import { flushPromises, mount } from '@vue/test-utils'
import { createMemoryHistory, createRouter } from 'vue-router'
import { expect, test, vi } from 'vitest'
import { api } from '@/api/client'
import type { Deployment } from '@/api/schema'
import DurationChart from '@/components/DurationChart.vue'
import FormPanel from '@/components/FormPanel.vue'
import HistoryPanel from '@/components/HistoryPanel.vue'
import { i18n } from '@/i18n'
import { BASE, chart } from '@/lib/chart'
import * as files from '@/lib/save'
import { belongs, csv, slow } from '@/lib/history'
import { run, service } from './samples'

const router = createRouter({ history: createMemoryHistory(), routes: [{ path: '/deployments/:uid', name: 'deployment', component: {} }] })
const global = { plugins: [i18n, router] }
const ended = (number: number, seconds: number, change: Partial<Deployment> = {}) =>
  run({ uid: `d${number}`, number, phase: 'Succeeded', startedAt: '2026-11-24T08:00:00Z', finishedAt: new Date(Date.parse('2026-11-24T08:00:00Z') + seconds * 1_000).toISOString(), ...change })

test('the picture of durations: oldest left, the longest at the top, failures below the line', () => {
  const picture = chart([ended(5, 100), ended(4, 50), ended(3, 9, { phase: 'Failed' }), ended(2, 50), ended(1, 60), run()], 55)
  expect(picture.bars.map((bar) => bar.run.number)).toEqual([1, 2, 3, 4, 5])
  expect(picture.bars.map((bar) => bar.x)).toEqual([0, 20, 40, 60, 80])
  expect(picture.longest?.run.number).toBe(5)
  expect(picture.longest?.y2).toBe(16)
  expect(picture.bars[2]?.y2).toBeGreaterThan(BASE)
  expect(picture.usual?.seconds).toBe(55)
  expect(chart([ended(1, 50)], 50).usual).toBeUndefined()
  expect(chart(Array.from({ length: 40 }, (_, n) => ended(40 - n, 50)), 50).bars).toHaveLength(24)
})

test('each stroke of the picture leads to its run and has a name', () => {
  const drawn = mount(DurationChart, { props: { runs: [ended(2, 62), ended(1, 9, { phase: 'Failed' })], usualSeconds: 62, now: 0 }, global })
  expect(drawn.findAll('a').map((link) => [link.attributes('href'), link.attributes('aria-label')])).toEqual([
    ['/deployments/d1', '#1, Failed'],
    ['/deployments/d2', '#2, 1\u00a0min\u00a02\u00a0s'],
  ])
  expect(drawn.html()).not.toContain('style=')
})

test('a run belongs to whoever asked for it on purpose', () => {
  const mine = run({ phase: 'Failed', requestedBy: { name: 'anna', via: 'Dashboard' } })
  expect((['all', 'failed', 'mine'] as const).map((shown) => belongs(mine, shown, 'anna'))).toEqual([true, true, true])
  expect(belongs({ ...mine, requestedBy: { name: 'anna', via: 'Change' } }, 'mine', 'anna')).toBe(false)
  expect(belongs({ ...mine, phase: 'Succeeded' }, 'failed', 'anna')).toBe(false)
  expect([slow(ended(1, 70), 60), slow(ended(1, 90), 60), slow(ended(1, 90), undefined)]).toEqual([false, true, false])
})

test('a spreadsheet gets the runs as text, and no formulas', () => {
  const text = csv([ended(7, 58, { note: '=HYPERLINK("x")', inputs: { version: 'v1, final' } }), run()])
  const lines = text.split('\r\n')
  expect(lines).toHaveLength(4)
  expect(lines[1]).toBe(`7,Succeeded,2026-11-24T08:00:00Z,2026-11-24T08:00:00Z,2026-11-24T08:00:58.000Z,58,anna,Dashboard,"'=HYPERLINK(""x"")","{""version"":""v1, final""}",,`)
})

test('the history: ten at first, filtered, with the answers in words, and as a file', async () => {
  const runs = Array.from({ length: 15 }, (_, n) => ended(15 - n, 50, n % 3 === 0 ? { phase: 'Failed', failure: { reason: 'TaskFailed', message: 'disk full' } } : { inputs: { parts: ['a', 'b'] } }))
  const form = [{ name: 'parts', label: 'Which parts?', type: 'multichoice' as const, required: false }]
  const panel = mount(HistoryPanel, { props: { service: service({ inputs: form }), runs, now: 0, loading: false, more: true }, global })
  expect(panel.findAll('li')).toHaveLength(10)
  expect(panel.findAll('li')[1]?.text()).toContain('Which parts? a, b')
  await panel.find('.more button').trigger('click')
  expect(panel.findAll('li')).toHaveLength(15)
  expect(panel.emitted('more')).toHaveLength(1)
  await panel.findAll('.filter button')[1]?.trigger('click')
  expect(panel.findAll('li')).toHaveLength(5)
  expect(panel.findAll('li')[0]?.text()).toContain('disk full')

  const pages = vi.spyOn(api, 'deployments').mockResolvedValueOnce({ cursor: '', items: runs, next: 'n' }).mockResolvedValueOnce({ cursor: '', items: [ended(0, 1, { phase: 'Failed' })] })
  const save = vi.spyOn(files, 'save').mockImplementation(() => undefined)
  await panel.find('header .btn').trigger('click')
  await flushPromises()
  expect(pages).toHaveBeenCalledTimes(2)
  expect(save.mock.calls[0]?.[1]).toBe('blog.csv')
  expect(save.mock.calls[0]?.[0].join('').trim().split('\r\n')).toHaveLength(7)
})

test('what one will be asked can be read before', () => {
  const panel = mount(FormPanel, { props: { inputs: [{ name: 'color', label: 'Color', type: 'choice', required: false, choices: ['blue', 'green'], default: 'blue' }, { name: 'day', type: 'date', required: true }] }, global })
  expect(panel.find('summary').text()).toBe('What you are asked 2 questions')
  expect(panel.findAll('dd').map((one) => one.text())).toEqual(['blue, green blue, if nothing else is answered', 'A day'])
})
