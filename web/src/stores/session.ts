import { defineStore } from 'pinia'
import { ref } from 'vue'
import { api, Refused, useTokens } from '@/api/client'
import type { Account, Session } from '@/api/schema'

/** So long before its end a token is replaced. Milliseconds. */
const EARLY = 60_000

/** Who is signed in. The token is in memory only; what keeps somebody signed in is a cookie that no script sees. */
export const useSession = defineStore('session', () => {
  const user = ref<Account>()
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
    signIn: async (name: string, password: string): Promise<void> => void take(await api.signIn(name, password)),
    signOut: async (): Promise<void> => {
      await api.signOut()
      forget()
    },
    forget,
    /** Tells each newer token. */
    onToken: (tell: (token: string) => void) => told.add(tell),
    /** Milliseconds until it should be refreshed. */
    refreshIn: (): number => Math.max(0, endsAt - EARLY - Date.now()),
  }
})
