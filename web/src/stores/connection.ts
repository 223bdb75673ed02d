import { defineStore } from 'pinia'
import { ref } from 'vue'
import { Live } from '@/lib/live'
import { useSession } from './session'

/** Before somebody is told that the connection is away. Milliseconds. */
const PATIENCE = 5_000

/** The socket of this page, and whether it is there. */
export const useConnection = defineStore('connection', () => {
  const session = useSession()
  const connected = ref(false)
  /** For so long that people should know. */
  const away = ref(false)
  let patience: ReturnType<typeof setTimeout> | undefined
  const listeners = new Set<() => void>()
  let renewal: ReturnType<typeof setTimeout> | undefined

  const live = new Live({
    open: () => new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/api/v1/ws`),
    token: () => session.current(),
    connected: (yes) => {
      connected.value = yes
      clearTimeout(patience)
      if (yes) away.value = false
      else patience = setTimeout(() => (away.value = true), PATIENCE)
    },
    signedOut: () => session.forget(),
    news: () => listeners.forEach((tell) => tell()),
  })

  session.onToken((token) => {
    live.renew(token)
    plan()
  })

  function plan(): void {
    clearTimeout(renewal)
    renewal = setTimeout(() => void session.refresh().catch(() => (session.user ? plan() : undefined)), Math.max(1_000, session.refreshIn()))
  }

  return {
    connected,
    away,
    start: (): void => {
      plan()
      live.start()
    },
    stop: (): void => {
      clearTimeout(renewal)
      live.stop()
      clearTimeout(patience)
      away.value = false
    },
    hurry: (): void => live.hurry(),
    follow: live.follow.bind(live),
    /** Tells whenever something that is followed has changed, whatever it is; answers how to stop that. */
    onNews: (tell: () => void): (() => void) => {
      listeners.add(tell)
      return () => listeners.delete(tell)
    },
  }
})
