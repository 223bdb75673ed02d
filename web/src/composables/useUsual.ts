import { shallowRef, watch } from 'vue'
import { api, Refused } from '@/api/client'
import { servers } from '@/lib/fold'
import { pace, type Pace } from '@/lib/pace'

/** How long each step took when it last worked, and on which servers: from the run that is live. */
export function useUsual(live: () => string | undefined) {
  const usual = shallowRef<Pace>(pace([]))
  const expected = shallowRef<string[]>([])
  watch(
    live,
    async (uid) => {
      if (uid === undefined) return
      try {
        const { steps } = await api.deployment(uid)
        usual.value = pace(steps)
        expected.value = servers(steps)
      } catch (error) {
        // It only makes the bar better: without it each step counts the same.
        if (!(error instanceof Refused)) throw error
      }
    },
    { immediate: true },
  )
  return { usual, expected }
}
