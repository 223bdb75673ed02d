import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { api, Refused } from '@/api/client'
import { useSession } from '@/stores/session'

const session = () => ({ token: 't', expiresAt: new Date(Date.now() + 600_000).toISOString(), user: { name: 'anna', admin: false } })

beforeEach(() => vi.useFakeTimers())
afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

test('a server that is away has not said no: it is asked until it answers', async () => {
  const refresh = vi.spyOn(api, 'refresh')
  for (const status of [0, 503, 429]) refresh.mockRejectedValueOnce(new Refused(status, 'x', ''))
  refresh.mockResolvedValueOnce(session())
  const store = useSession()
  const resumed = store.resume()
  await vi.advanceTimersByTimeAsync(600)
  expect([store.waiting, store.user]).toEqual([true, undefined])
  await vi.advanceTimersByTimeAsync(10_000)
  expect(await resumed).toBe(true)
  expect([store.waiting, store.user?.name]).toEqual([false, 'anna'])
})

test('a no is a no', async () => {
  vi.spyOn(api, 'refresh').mockRejectedValue(new Refused(401, 'SignedOut', ''))
  expect(await useSession().resume()).toBe(false)
})

test('many requests at once refresh once, and each newer token is told', async () => {
  const refresh = vi.spyOn(api, 'refresh').mockResolvedValue(session())
  const store = useSession()
  const told = vi.fn()
  store.onToken(told)
  await Promise.all([store.current(), store.current(), store.refresh()])
  expect(refresh).toHaveBeenCalledOnce()
  expect(told).toHaveBeenCalledWith('t')
  // Until shortly before it ends.
  await store.current()
  expect(refresh).toHaveBeenCalledOnce()
  await vi.advanceTimersByTimeAsync(545_000)
  await store.current()
  expect(refresh).toHaveBeenCalledTimes(2)
})
