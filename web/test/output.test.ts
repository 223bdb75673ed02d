import { flushPromises, mount } from '@vue/test-utils'
import { expect, test, vi } from 'vitest'
import { api } from '@/api/client'
import type { Told } from '@/api/messages'
import LogView from '@/components/LogView.vue'
import { i18n } from '@/i18n'
import { marked, pieces } from '@/lib/ansi'
import { redacted, summary } from '@/lib/help'
import { BLOCK, Lines } from '@/lib/lines'
import { around, lineAt, reaches, unit } from '@/lib/window'
import { useConnection } from '@/stores/connection'

const MILLION = 1_000_000
const many = (first: number, count: number) => Array.from({ length: count }, (_, n) => `line ${first + n}`)

test('of a million lines only those that are near are kept', () => {
  const lines = new Lines()
  for (let first = 1; first <= 200_000; first += BLOCK) lines.put(first, many(first, BLOCK))
  lines.total = MILLION
  lines.keepNear(100_500)
  expect(lines.at(100_500)).toBe('line 100500')
  expect(lines.at(1)).toBeUndefined()
  expect(lines.missing(100_001, 101_000)).toBeUndefined()
  expect(lines.missing(200_001, 200_100)).toBe(200_001)
})

test('lines that are lost keep their numbers and stay empty', () => {
  const lines = new Lines()
  lines.put(1, ['a'])
  lines.lose(2, 4)
  lines.put(4, ['d'])
  expect([1, 2, 3, 4].map((n) => lines.at(n))).toEqual(['a', '', '', 'd'])
})

test('a window draws few of very many lines, and its height stays below what browsers draw', () => {
  expect(around(500_000, MILLION)).toEqual({ from: 499_940, to: 500_120 })
  expect(around(10, 300)).toEqual({ from: 1, to: 300 })
  expect(unit(MILLION, 24) * MILLION).toBeLessThan(10_000_000)
  expect(unit(100, 24)).toBe(24)
  expect(reaches({ from: 100, to: 300 }, { from: 105, to: 123 }, MILLION)).toBe(false)
  expect(reaches({ from: 1, to: 300 }, { from: 2, to: 20 }, MILLION)).toBe(true)
})

test('who drags the bar to the end or the start sees the last and the first line', () => {
  const high = unit(MILLION, 24)
  const whole = MILLION * high
  expect(lineAt({ top: 0, height: 432, whole }, MILLION, high)).toBe(1)
  expect(lineAt({ top: whole - 432, height: 432, whole }, MILLION, high)).toBe(MILLION)
  expect(lineAt({ top: whole / 2, height: 432, whole }, MILLION, high)).toBeGreaterThan(499_000)
})

test('output is text, whatever it contains, and what is looked for is marked', async () => {
  vi.spyOn(api, 'output').mockResolvedValue({ attempt: 1, first: 1, lines: ['<img src=x onerror=alert(1)> \u001b[31mred <b>\u001b[0m'], total: 1, cursor: 'c' })
  vi.spyOn(useConnection(), 'follow').mockReturnValue(() => undefined)
  const view = mount(LogView, { props: { uid: 'd1', name: 'Blog #1', over: true }, global: { plugins: [i18n] }, attachTo: document.body })
  view.find('details').element.open = true
  await view.find('details').trigger('toggle')
  await flushPromises()
  expect(view.find('.ln').text()).toContain('<img src=x onerror=alert(1)> red <b>')
  expect(view.findAll('.ln img, .ln b')).toHaveLength(0)
  expect(view.find('.a-red').text()).toBe('red <b>')
  expect(marked(pieces('a Fatal one'), 'fatal').map(({ text, found }) => [text, found ?? false])).toEqual([['a ', false], ['Fatal', true], [' one', false]])
  view.unmount()
})

test('lines that come are shown as they come, a new attempt begins anew', async () => {
  vi.spyOn(api, 'output').mockResolvedValue({ attempt: 1, first: 1, lines: ['one'], total: 1, cursor: 'c' })
  let tell: (message: Told) => void = () => undefined
  vi.spyOn(useConnection(), 'follow').mockImplementation((_topic, _from, told) => {
    tell = told
    return () => undefined
  })
  const view = mount(LogView, { props: { uid: 'd1', name: 'Blog #1', over: false }, global: { plugins: [i18n] }, attachTo: document.body })
  view.find('details').element.open = true
  await view.find('details').trigger('toggle')
  await flushPromises()
  tell({ type: 'output', topic: '', cursor: '', attempt: 1, first: 2, lines: ['two', 'three'] })
  await flushPromises()
  expect(view.findAll('.ln').map((line) => line.text())).toEqual(['Line1one', 'Line2two', 'Line3three'])
  tell({ type: 'output', topic: '', cursor: '', attempt: 2, first: 1, lines: ['again'] })
  await flushPromises()
  expect(view.findAll('.ln').map((line) => line.text())).toEqual(['Line1again'])
  view.unmount()
})

test('a summary for others holds no secret', () => {
  expect(redacted('https://ann:hunter2@git.example.com/x')).toBe('https://••••@git.example.com/x')
  expect(redacted('password=hunter2 next')).toBe('password=•••• next')
  expect(redacted('"api_key": "abc def", ok')).toBe('"api_key": ••••, ok')
  expect(redacted('Authorization: Bearer abcdefgh12345')).not.toContain('abcdefgh')
  expect(redacted('No space left on device')).toBe('No space left on device')
  expect(summary([['Step', 'Copy'], ['Nothing', undefined], ['Said', 'token: x1']])).toBe('Step: Copy\nSaid: token: ••••')
})
