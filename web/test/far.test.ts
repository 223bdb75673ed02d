import { flushPromises } from '@vue/test-utils'
import { expect, test, vi } from 'vitest'
import { effectScope, nextTick, ref } from 'vue'
import { api } from '@/api/client'
import type { Told } from '@/api/messages'
import type { Deployment } from '@/api/schema'
import { useFar } from '@/composables/useFar'
import { useConnection } from '@/stores/connection'
import { run, step } from './samples'

function server() {
  const topics = new Map<string, (message: Told) => void>()
  vi.spyOn(useConnection(), 'follow').mockImplementation((topic, _from, told) => {
    topics.set(topic, told)
    return () => topics.delete(topic)
  })
  const steps = [step({ key: 'a', name: 'One', state: 'Succeeded' }), step({ key: 'b', name: 'Two' })]
  const may = { cancel: false, approve: false, deploy: false, trust: false }
  vi.spyOn(api, 'deployment').mockResolvedValue({ cursor: 'e.1', deployment: run(), steps, run: { attempt: 1, cursor: 'e.1.4', lastBegun: 'a', lost: [] }, may, usual: [] })
  return topics
}

test('how far a run is comes step by step, and ends with it', async () => {
  const topics = server()
  const now = ref<Deployment | undefined>(run({ progress: { done: 0, total: 2 }, step: 'Early' }))
  const scope = effectScope()
  const far = scope.run(() => useFar(() => now.value))
  expect(far?.value).toEqual({ done: 0, total: 2, step: 'Early' })
  await flushPromises()
  expect(far?.value).toEqual({ done: 1, total: 2, step: 'One' })
  const event = { kind: 'stepStarted', key: 'b', name: 'Two', seq: 5, at: '2026-11-24T08:00:00Z' } as const
  topics.get('deployments/d1')?.({ type: 'events', topic: 'deployments/d1', cursor: 'e.1.5', attempt: 1, events: [event] })
  expect(far?.value).toEqual({ done: 1, total: 2, step: 'Two' })
  now.value = run({ phase: 'Succeeded' })
  await nextTick()
  expect([...topics.keys()]).toEqual([])
  scope.stop()
})

test('of very many runs some are followed, and others once those are not shown any more', async () => {
  const topics = server()
  const runs = Array.from({ length: 47 }, (_, n) => ref<Deployment>(run({ uid: `d${n}`, progress: { done: 3, total: 9 } })))
  const seen = ref(true)
  const scope = effectScope()
  const all = scope.run(() => runs.map((one, n) => useFar(() => one.value, () => n > 1 || seen.value)))
  await flushPromises()
  expect(topics.size).toBe(45)
  expect(all?.[46]?.value).toEqual({ done: 3, total: 9, step: undefined })
  // Two are scrolled away: those that found no place take theirs.
  seen.value = false
  await flushPromises()
  expect(topics.size).toBe(45)
  expect([0, 1, 45, 46].map((n) => topics.has(`deployments/d${n}`))).toEqual([false, false, true, true])
  scope.stop()
  expect(topics.size).toBe(0)
  const later = effectScope()
  later.run(() => useFar(() => runs[31]?.value))
  await flushPromises()
  expect([...topics.keys()]).toEqual(['deployments/d31'])
  later.stop()
})
