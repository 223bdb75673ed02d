import { expect, test } from 'vitest'
import { pace, parts, percent, timeLeft } from '@/lib/pace'
import { step } from './samples'

const START = Date.parse('2026-11-24T08:00:00Z')
const at = (seconds: number) => new Date(START + seconds * 1_000).toISOString()
const earlier = pace([
  step({ key: 'a', name: 'Copy', state: 'Succeeded', startedAt: at(0), finishedAt: at(10) }),
  step({ key: 'b', name: 'Build', state: 'Succeeded', startedAt: at(10), finishedAt: at(40) }),
])
const now = [
  step({ key: 'a', name: 'Copy', state: 'Succeeded', startedAt: at(0), finishedAt: at(9) }),
  step({ key: 'moved', name: 'Build', state: 'Running', startedAt: at(9) }),
]

test('a bar is as wide as its steps usually last, also where a step has moved', () => {
  const bar = parts(now, earlier, START + 24_000, false)
  expect(bar.map(({ state, width }) => [state, width])).toEqual([['done', 10], ['now', 30]])
  expect(bar[1]?.done).toBe(0.5)
  expect(percent(bar)).toBe(63)
})

test('a step that takes longer does not fill its part, and only the end is 100 %', () => {
  expect(parts(now, earlier, START + 500_000, false)[1]?.done).toBe(0.95)
  expect(percent(parts(now, earlier, START + 500_000, false))).toBeLessThan(100)
  expect(percent(parts(now.slice(0, 1), earlier, START, true))).toBe(100)
  expect(percent([])).toBe(0)
})

test('what has ended without its steps shows where it stopped', () => {
  const bar = parts([...now, step({ key: 'c', name: 'Check' }), step({ key: 'd', name: 'Mail', state: 'Failed' })], earlier, START, true)
  expect(bar.map((part) => part.state)).toEqual(['done', 'off', 'off', 'bad'])
})

test('the time that is left is that of the steps to come, then longer than usual', () => {
  expect(timeLeft(now, earlier, 24, 40, START + 24_000)).toEqual({ seconds: 15 })
  expect(timeLeft(now, pace([]), 24, 40, START + 24_000)).toEqual({ seconds: 16 })
  expect(timeLeft(now, earlier, 56, 40, START)).toBe('longer')
  expect(timeLeft(now, pace([]), 24, undefined, START)).toBe('unknown')
  expect(timeLeft(now, earlier, undefined, 40, START)).toBe('unknown')
})
