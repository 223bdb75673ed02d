import { defineStore } from 'pinia'
import { ref } from 'vue'
import { api, Refused, useTokens } from '@/api/client'
import type { Account, Session } from '@/api/schema'

/** So long before its end a token is replaced. Milliseconds. */
const EARLY = 60_000
const FIRST_PAUSE = 500
const LONGEST_PAUSE = 5_000

/** Who is signed in. The token is in memory only; what keeps somebody signed in is a cookie that no script sees. */
export const useSession = defineStore('session', () => {
  const user = ref<Account>()
  /** The server does not answer, and it is not known yet who this is. */
  const waiting = ref(false)
  let [token, endsAt] = ['', 0]
  let refreshing: Promise<string> | undefined
  const told = new Set<(token: string) => void>()

  function take(session: Session): string {
    token = session.token
    endsAt = Date.parse(session.expiresAt)
    user.value = session.user
    told.forEach((tell) => tell(token))
    return token
  }

  /** One at a time, however many ask. */
  function refresh(): Promise<string> {
    refreshing ??= api
      .refresh()
      .then(take, (error: unknown) => {
        if (error instanceof Refused && error.status === 401) forget()
        throw error
      })
      .finally(() => (refreshing = undefined))
    return refreshing
  }

  /** Whether the cookie still signs in. A server that is away has not said no: it is asked again. */
  async function resume(): Promise<boolean> {
    for (let pause = FIRST_PAUSE; ; pause = Math.min(LONGEST_PAUSE, pause * 2)) {
      try {
        await refresh()
        waiting.value = false
        return true
      } catch (error) {
        if (!(error instanceof Refused)) throw error
        if (error.status !== 0 && error.status !== 429 && error.status < 500) {
          waiting.value = false
          return false
        }
      }
      waiting.value = true
      await new Promise((resolve) => setTimeout(resolve, pause))
    }
  }

  function forget(): void {
    token = ''
    user.value = undefined
  }

  useTokens({
    current: async () => (token !== '' && Date.now() < endsAt - EARLY ? token : await refresh()),
    renewed: async (old) => (token !== '' && token !== old ? token : await refresh()),
  })

  return {
    user,
    /** A token that counts. */
    current: async (): Promise<string> => (token !== '' && Date.now() < endsAt - EARLY ? token : await refresh()),
    refresh,
    resume,
    waiting,
    signIn: async (name: string, password: string): Promise<void> => void take(await api.signIn(name, password)),
    /** Answers where the browser goes to sign out of the organisation, too. */
    signOut: async (): Promise<string | undefined> => {
      const out = await api.signOut()
      forget()
      return out?.next
    },
    forget,
    /** Tells each newer token. */
    onToken: (tell: (token: string) => void) => told.add(tell),
    /** Milliseconds until it should be refreshed. */
    refreshIn: (): number => Math.max(0, endsAt - EARLY - Date.now()),
  }
})
