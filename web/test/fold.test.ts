import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { expect, test } from 'vitest'
import type { RunEvent } from '@/api/messages'
import { foldFrom, progress, servers, shown, take } from '@/lib/fold'

const at = '2026-11-24T08:00:00Z'
const events: RunEvent[] = [
  { seq: 1, at, kind: 'plan', steps: [{ key: 'a:1#1', name: 'A' }, { key: 'a:2#1', name: 'B' }, { key: 'a:9#1', name: 'H', conditional: true }] },
  { seq: 2, at, kind: 'stepStarted', key: 'a:1#1', name: 'A of all' },
  { seq: 3, at, kind: 'hostResult', key: 'a:1#1', host: 'w1', state: 'Ok', changed: true, durationMs: 5 },
  { seq: 5, at, kind: 'hostResult', key: 'a:1#1', host: 'w2', state: 'Failed', changed: false, durationMs: 5, message: 'disk full' },
  { seq: 6, at, kind: 'stepFinished', key: 'a:1#1', state: 'Failed' },
  { seq: 7, at, kind: 'stepStarted', key: 'b:3#1', name: 'included' },
]

test('steps stand in planned order, and what was not planned where it began', () => {
  const fold = foldFrom(1, 0, [])
  take(fold, 1, events)
  expect(fold.steps.map((step) => [step.key, step.state])).toEqual([
    ['a:1#1', 'Failed'],
    ['b:3#1', 'Running'],
    ['a:2#1', 'Pending'],
    ['a:9#1', 'Pending'],
  ])
  expect(fold.steps[0]).toMatchObject({ name: 'A of all', ok: 1, changed: 1, message: 'disk full' })
  expect(progress(fold.steps)).toMatchObject({ done: 1, total: 3, current: { name: 'included' } })
  expect(shown(fold.steps)).toHaveLength(3)
  expect(servers(fold.steps)).toEqual(['w1', 'w2'])
})

interface Vector {
  name: string
  events: RunEvent[]
  expected: { steps: unknown[]; done: number; total: number; current: string | null; lastBegun: string | null }
}
// Those of protocol/src/fold.rs: both come to the same.
const vectors = JSON.parse(readFileSync(resolve(process.cwd(), '../protocol/vectors/fold.json'), 'utf8')) as Vector[]

test.each(vectors)('as the server folds: $name', ({ events, expected }) => {
  const fold = foldFrom(1, 0, [])
  take(fold, 1, events)
  const { done, total, current } = progress(fold.steps)
  expect({ steps: fold.steps, done, total, current: current?.key ?? null, lastBegun: fold.lastBegun ?? null }).toEqual(expected)
})

test('events that come again change nothing, wherever the server had folded to', () => {
  const whole = foldFrom(1, 0, [])
  take(whole, 1, events)
  for (let known = 0; known <= events.length; known++) {
    const server = foldFrom(1, 0, [])
    take(server, 1, events.slice(0, known))
    const page = foldFrom(1, server.seq, server.steps, server.lastBegun)
    take(page, 1, events)
    take(page, 1, events)
    expect(page).toEqual(whole)
  }
})

test('a new attempt begins anew, and an old one is heard no more', () => {
  const fold = foldFrom(1, 0, [])
  take(fold, 1, events)
  take(fold, 2, [{ seq: 1, at, kind: 'stepStarted', key: 'a:1#1', name: 'A' }])
  expect(fold.steps).toHaveLength(1)
  take(fold, 1, events)
  expect(fold.steps).toHaveLength(1)
})
