import type { Told, ToServer } from '@/api/messages'
import { parse } from '@/api/messages'

/** After so much silence the server is asked whether it is there. Milliseconds, as all here. */
const SILENCE = 25_000
const ANSWER = 10_000
const FIRST_PAUSE = 500
const LONGEST_PAUSE = 15_000
/** Close codes of the server. */
const SIGNED_OUT = 4000

/** What a connection needs from outside. */
export interface Outside {
  open(): WebSocket
  token(): Promise<string>
  /** The connection is there, or not. */
  connected(yes: boolean): void
  /** The token does not count any more, and no newer one is to be had. */
  signedOut(): void
  /** An object has changed. */
  news?(): void
}

interface Topic {
  after: string
  runAfter?: string | undefined
  told: (message: Told) => void
}

/** One socket for the whole page: keeps itself up, and goes on with each topic where it was. */
export class Live {
  private socket: WebSocket | undefined
  private readonly topics = new Map<string, Topic>()
  private ready = false
  private wanted = false
  private tries = 0
  private timer: ReturnType<typeof setTimeout> | undefined

  constructor(private readonly outside: Outside) {}

  /** Opens, and again whenever it must. */
  start(): void {
    if (this.wanted) return
    this.wanted = true
    void this.open()
  }

  /** Closes for good. */
  stop(): void {
    this.wanted = false
    this.tries = 0
    this.topics.clear()
    this.drop()
  }

  /** Follows a topic from a cursor on; answers how to stop that. */
  follow(topic: string, from: { after: string; runAfter?: string | undefined }, told: (message: Told) => void): () => void {
    const followed: Topic = { ...from, told }
    this.topics.set(topic, followed)
    if (this.ready) this.subscribe(topic, followed)
    return () => {
      if (this.topics.get(topic) !== followed) return
      this.topics.delete(topic)
      this.say({ type: 'unsubscribe', topic })
    }
  }

  /** There is a newer token. */
  renew(token: string): void {
    this.say({ type: 'renew', token })
  }

  /** The machine woke up, or the network came back: no reason to wait. */
  hurry(): void {
    if (!this.wanted) return
    if (this.ready) this.ask()
    else if (this.socket === undefined) void this.open()
  }

  private async open(): Promise<void> {
    clearTimeout(this.timer)
    let token: string
    try {
      token = await this.outside.token()
    } catch {
      if (this.wanted) this.later()
      return
    }
    if (!this.wanted || this.socket !== undefined) return
    const socket = this.outside.open()
    this.socket = socket
    this.watch()
    socket.onopen = () => socket.send(JSON.stringify({ type: 'signIn', token } satisfies ToServer))
    socket.onmessage = (message) => this.heard(String(message.data))
    socket.onclose = (event) => {
      if (this.socket !== socket) return
      this.drop()
      if (event.code === SIGNED_OUT && this.tries > 0) this.outside.signedOut()
      else if (this.wanted) this.later()
    }
  }

  private heard(text: string): void {
    this.watch()
    const message = parse(text)
    if (message === undefined) return
    if (message.type === 'ready') {
      this.ready = true
      this.tries = 0
      this.watch()
      this.outside.connected(true)
      this.topics.forEach((topic, name) => this.subscribe(name, topic))
    } else if ('topic' in message) {
      const topic = this.topics.get(message.topic)
      if (topic === undefined) return
      if (message.type === 'events') topic.runAfter = message.cursor
      else if ('cursor' in message) topic.after = message.cursor
      // Whoever follows loads anew, and follows anew.
      if (message.type === 'reset' || message.type === 'refused') this.topics.delete(message.topic)
      topic.told(message)
      if (message.type === 'service' || message.type === 'deployment' || message.type === 'gone') this.outside.news?.()
    }
  }

  private subscribe(name: string, { after, runAfter }: Topic): void {
    this.say({ type: 'subscribe', topic: name, after, ...(runAfter === undefined ? {} : { runAfter }) })
  }

  private say(message: ToServer): void {
    if (this.ready) this.socket?.send(JSON.stringify(message))
  }

  private ask(): void {
    this.say({ type: 'ping' })
    clearTimeout(this.timer)
    this.timer = setTimeout(() => this.lost(), ANSWER)
  }

  /** Something came: it is there. */
  private watch(): void {
    clearTimeout(this.timer)
    this.timer = setTimeout(() => (this.ready ? this.ask() : this.lost()), this.ready ? SILENCE : ANSWER)
  }

  private lost(): void {
    this.drop()
    if (this.wanted) this.later()
  }

  private drop(): void {
    clearTimeout(this.timer)
    const socket = this.socket
    this.socket = undefined
    this.ready = false
    this.outside.connected(false)
    socket?.close()
  }

  private later(): void {
    const pause = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** this.tries)
    this.tries += 1
    // Not all pages at once after a restart of the server.
    this.timer = setTimeout(() => void this.open(), pause * (0.5 + Math.random() / 2))
  }
}
