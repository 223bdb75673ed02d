import { expect, test } from 'vitest'
import { pieces, plain } from '@/lib/ansi'
import { between, duration, left, when } from '@/lib/durations'
import { opening, sent, wrong } from '@/lib/form'
import { newKey } from '@/lib/key'
import { count, version } from '@/lib/summary'
import type { Input } from '@/api/schema'
import { service } from './samples'

test('colours of a terminal become classes, everything else of it is left out', () => {
  expect(pieces('\u001b[0;31mfatal\u001b[0m: \u001b[1mx')).toEqual([
    { text: 'fatal', classes: ['a-red'] },
    { text: ': ', classes: [] },
    { text: 'x', classes: ['a-bold'] },
  ])
  expect(plain('\u001b[2K\u001b[1;32mok\u001b[0m\u001b]0;title\u0007!\u001b')).toBe('ok!')
  expect(pieces('<b>&amp;')).toEqual([{ text: '<b>&amp;', classes: [] }])
})

test('durations are said as people say them', () => {
  const said = [0, 0.4, 1.2, 59.6, 108, 3_600, 3_725].map((seconds) => duration(seconds).replaceAll('\u00a0', ' '))
  expect(said).toEqual(['< 1 s', '< 1 s', '1 s', '1 min', '1 min 48 s', '1 h', '1 h 2 min'])
  expect([3, 41, 61, 118].map((seconds) => left(seconds).replaceAll('\u00a0', ' '))).toEqual(['5 s', '45 s', '1 min 10 s', '2 min'])
  expect(between('2026-11-24T08:00:00Z', '2026-11-24T08:00:02.5Z')).toBe(2.5)
  expect(between(undefined, '2026-11-24T08:00:02Z')).toBeUndefined()
  const now = Date.parse('2026-11-24T18:00:00')
  expect(when('2026-11-24T08:05:00', now, 'en-GB')).toBe('08:05')
  expect(when('2026-11-22T08:05:00', now, 'en-GB')).toBe('Sunday, 08:05')
  expect(when('2026-10-12T08:05:00', now, 'en-GB')).toBe('12 October')
})

const inputs: Input[] = [
  { name: 'version', type: 'text', required: true, pattern: 'v[0-9]+' },
  { name: 'count', type: 'number', required: false, minimum: 1, maximum: 9, default: 3 },
  { name: 'fast', type: 'boolean', required: false },
  { name: 'size', type: 'choice', required: false, choices: ['small', 'large'], default: 'small' },
  { name: 'parts', type: 'multichoice', required: false, choices: ['a', 'b'] },
  { name: 'day', type: 'date', required: false },
]

test('a form opens with what was answered last, where it still fits', () => {
  expect(opening(inputs, { version: 'v7', count: 100, size: 'huge', gone: 1 })).toMatchObject({ version: 'v7', count: 3, size: 'small', parts: [] })
})

test('what is sent has the types that the form asks for, and no empty answers', () => {
  expect(sent(inputs, { version: 'v1', count: '4', fast: undefined, size: '', parts: [], day: '' })).toEqual({ version: 'v1', count: 4 })
})

test.each([
  ['version', '', 'required'], ['version', 'x', 'pattern'], ['version', 'v1', undefined], ['version', 'v1x', 'pattern'],
  ['count', '', undefined], ['count', 'x', 'number'], ['count', '0', 'small'], ['count', '10', 'large'], ['count', '9', undefined],
  ['fast', false, undefined], ['size', 'huge', 'choice'], ['parts', ['a', 'c'], 'choice'], ['parts', ['b'], undefined],
  ['day', '24.11.2026', 'date'], ['day', '2026-11-24', undefined],
])('%s: %j is %s', (name, answer, expected) => {
  const input = inputs.find((one) => one.name === name)
  expect(input && wrong(input, answer)).toBe(expected)
})

test('a pattern that browsers cannot read is left to the server', () => {
  expect(wrong({ name: 'x', type: 'text', required: false, pattern: '(?P<a>x)' }, 'y')).toBeUndefined()
})

test('services are counted by what they need', () => {
  const states = ['Failed', 'NeedsYou', 'Updating', 'Live', 'Never', 'Paused', 'Unknown'] as const
  expect(count(states.map((state) => service({ state })))).toEqual({ need: 2, updating: 1, rest: 4 })
  expect([version({ inputs: { version: 'v2' }, number: 7 }), version({ inputs: {}, number: 7 }), version({ inputs: {} })]).toEqual(['v2', '#7', ''])
})

test('keys are never the same', () => {
  expect(newKey()).toMatch(/^[0-9a-f]{32}$/)
  expect(newKey()).not.toBe(newKey())
})
