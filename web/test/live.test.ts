import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Told } from '@/api/messages'
import { Live } from '@/lib/live'

/** A socket that says what it is told to, and remembers what it heard. */
class Socket {
  static all: Socket[] = []
  onopen: (() => void) | undefined
  onmessage: ((event: { data: string }) => void) | undefined
  onclose: ((event: { code: number }) => void) | undefined
  heard: Record<string, unknown>[] = []
  closed = false
  constructor() {
    Socket.all.push(this)
  }
  send(text: string): void {
    this.heard.push(JSON.parse(text))
  }
  close(): void {
    this.closed = true
  }
  says(message: object): void {
    this.onmessage?.({ data: JSON.stringify(message) })
  }
  opens(): void {
    this.onopen?.()
    this.says({ type: 'ready', user: 'anna', expiresAt: '' })
  }
}

const connected = vi.fn()
const signedOut = vi.fn()
let live: Live

beforeEach(async () => {
  vi.useFakeTimers()
  Socket.all = []
  live = new Live({ open: () => new Socket() as unknown as WebSocket, token: async () => 'token', connected, signedOut })
  live.start()
  await vi.advanceTimersByTimeAsync(0)
})
afterEach(() => {
  live.stop()
  vi.useRealTimers()
  vi.clearAllMocks()
})

function socket(): Socket {
  const last = Socket.all.at(-1)
  if (!last) throw new Error('no socket was opened')
  return last
}

test('signs in first, then follows', () => {
  live.follow('services', { after: 'e.1' }, () => undefined)
  expect(socket().heard).toEqual([])
  socket().opens()
  expect(socket().heard).toEqual([
    { type: 'signIn', token: 'token' },
    { type: 'subscribe', topic: 'services', after: 'e.1' },
  ])
  expect(connected).toHaveBeenLastCalledWith(true)
})

test('after a break it goes on behind the last thing it heard', async () => {
  const told: Told[] = []
  live.follow('deployments/x', { after: 'e.1' }, (message) => told.push(message))
  socket().opens()
  socket().says({ type: 'deployment', topic: 'deployments/x', cursor: 'e.5', deployment: {} })
  socket().says({ type: 'events', topic: 'deployments/x', cursor: 'e.1.9', attempt: 1, events: [] })
  socket().says({ type: 'events', topic: 'other', cursor: 'e.1.99', attempt: 1, events: [] })
  expect(told).toHaveLength(2)
  socket().onclose?.({ code: 1006 })
  expect(connected).toHaveBeenLastCalledWith(false)
  await vi.advanceTimersByTimeAsync(1_000)
  expect(Socket.all).toHaveLength(2)
  socket().opens()
  expect(socket().heard.at(-1)).toEqual({ type: 'subscribe', topic: 'deployments/x', after: 'e.5', runAfter: 'e.1.9' })
})

test('what is reset is followed no more until it is loaded anew', async () => {
  const told: Told[] = []
  live.follow('services', { after: 'old' }, (message) => told.push(message))
  socket().opens()
  socket().says({ type: 'reset', topic: 'services' })
  socket().says({ type: 'service', topic: 'services', cursor: 'x', service: {} })
  expect(told).toEqual([{ type: 'reset', topic: 'services' }])
  socket().onclose?.({ code: 1006 })
  await vi.advanceTimersByTimeAsync(1_000)
  socket().opens()
  expect(socket().heard).toHaveLength(1)
})

test('a newer token keeps the socket, and one that stopped following is not told', () => {
  const told = vi.fn()
  const stop = live.follow('services', { after: 'e.1' }, told)
  socket().opens()
  live.renew('newer')
  stop()
  expect(socket().heard.slice(2)).toEqual([{ type: 'renew', token: 'newer' }, { type: 'unsubscribe', topic: 'services' }])
  socket().says({ type: 'service', topic: 'services', cursor: 'x', service: {} })
  socket().onmessage?.({ data: 'no json' })
  socket().onmessage?.({ data: '3' })
  expect(told).not.toHaveBeenCalled()
})

test('silence is asked about, and no answer is a break', async () => {
  socket().opens()
  await vi.advanceTimersByTimeAsync(25_000)
  expect(socket().heard.at(-1)).toEqual({ type: 'ping' })
  socket().says({ type: 'pong' })
  await vi.advanceTimersByTimeAsync(25_000)
  expect(Socket.all).toHaveLength(1)
  await vi.advanceTimersByTimeAsync(10_000)
  expect(Socket.all[0]?.closed).toBe(true)
  await vi.advanceTimersByTimeAsync(1_000)
  expect(Socket.all).toHaveLength(2)
})

test('it tries ever more seldom, and gives up only when nobody is signed in', async () => {
  vi.spyOn(Math, 'random').mockReturnValue(1)
  for (const [n, pause] of [500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000].entries()) {
    socket().onclose?.({ code: 1006 })
    await vi.advanceTimersByTimeAsync(pause - 1)
    expect(Socket.all).toHaveLength(n + 1)
    await vi.advanceTimersByTimeAsync(1)
    expect(Socket.all).toHaveLength(n + 2)
  }
  socket().onclose?.({ code: 4000 })
  expect(signedOut).toHaveBeenCalledOnce()
})
