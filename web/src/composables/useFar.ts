import { computed, onScopeDispose, ref, watch } from 'vue'
import { api } from '@/api/client'
import type { Deployment } from '@/api/schema'
import { foldFrom, progress, take, type Fold } from '@/lib/fold'
import { useTopic } from './useTopic'

/** So many runs are followed beside each other; of more it is told every few seconds how far they are. */
const MOST = 8
let followed = 0

/** How far a run is, step by step as it goes: what stands in it is some seconds old. */
export function useFar(run: () => Deployment | undefined) {
  const uid = computed(() => (run()?.phase === 'Running' ? run()?.uid : undefined))
  /** The one that is followed. */
  const mine = ref<string>()
  const fold = ref<Fold>()

  function change(to: string | undefined): void {
    if ((mine.value === undefined) !== (to === undefined)) {
      if (to !== undefined && followed >= MOST) return
      followed += to === undefined ? -1 : 1
    }
    mine.value = to
    fold.value = undefined
  }
  watch(uid, change, { immediate: true })
  onScopeDispose(() => change(undefined))

  useTopic({
    name: () => (mine.value === undefined ? undefined : `deployments/${mine.value}`),
    load: async () => {
      const { cursor, run, steps } = await api.deployment(mine.value ?? '')
      fold.value = foldFrom(run?.attempt ?? 1, Number(run?.cursor.split('.').at(-1) ?? 0), steps, run?.lastBegun)
      return { after: cursor, runAfter: run?.cursor }
    },
    told: (message) => {
      if (message.type === 'events' && fold.value) take(fold.value, message.attempt, message.events)
    },
  })

  return computed(() => {
    const now = run()
    if (now === undefined) return undefined
    const { steps, lastBegun } = fold.value ?? { steps: [], lastBegun: undefined }
    const { done, total, current } = progress(steps)
    if (total === 0) return { ...(now.progress ?? { done: 0, total: 0 }), step: now.step }
    return { done, total, step: (current ?? steps.find((step) => step.key === lastBegun))?.name ?? now.step }
  })
}
