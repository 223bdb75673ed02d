import { ref, watch } from 'vue'
import { api } from '@/api/client'
import type { Told } from '@/api/messages'
import type { DeploymentAnswer } from '@/api/schema'
import { foldFrom, take, type Fold } from '@/lib/fold'
import { useTopic } from './useTopic'

/** What else is done with what comes. */
export interface Besides {
  loaded?: (answer: DeploymentAnswer) => void
  told?: (message: Told) => void
}

/** The steps of a run, as they go on; none: nothing is followed. */
export function useSteps(uid: () => string | undefined, besides: Besides = {}) {
  const fold = ref<Fold>()
  // Before the topic is followed: what stood there is of another run.
  watch(uid, () => (fold.value = undefined), { flush: 'sync' })

  const { problem } = useTopic({
    name: () => (uid() === undefined ? undefined : `deployments/${uid()}`),
    load: async () => {
      const answer = await api.deployment(uid() ?? '')
      besides.loaded?.(answer)
      const { run } = answer
      fold.value = foldFrom(run?.attempt ?? 1, Number(run?.cursor.split('.').at(-1) ?? 0), answer.steps, run?.lastBegun)
      return { after: answer.cursor, runAfter: run?.cursor }
    },
    told: (message) => {
      if (message.type === 'events' && fold.value) take(fold.value, message.attempt, message.events)
      besides.told?.(message)
    },
  })
  return { fold, problem }
}
