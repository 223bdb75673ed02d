import { computed, onScopeDispose, ref, watch } from 'vue'
import type { Deployment } from '@/api/schema'
import { progress } from '@/lib/fold'
import { useSteps } from './useSteps'

/** So many runs are followed beside each other (a page may follow 50 topics); of more it is told every few seconds how far they are. */
const MOST = 45
const followed = ref(0)

/** How far a run is, step by step as it goes while somebody sees it: what stands in it is some seconds old. */
export function useFar(run: () => Deployment | undefined, seen = () => true) {
  const uid = computed(() => (run()?.phase === 'Running' && seen() ? run()?.uid : undefined))
  /** The one that is followed. */
  const mine = ref<string>()

  function change(to: string | undefined): void {
    if ((mine.value === undefined) !== (to === undefined)) {
      if (to !== undefined && followed.value >= MOST) return
      followed.value += to === undefined ? -1 : 1
    }
    mine.value = to
  }
  // Who found no place takes one as soon as there is.
  watch([uid, () => followed.value < MOST], () => change(uid.value), { immediate: true })
  onScopeDispose(() => change(undefined))

  const { fold } = useSteps(() => mine.value)

  return computed(() => {
    const now = run()
    if (now === undefined) return undefined
    const { steps, lastBegun } = fold.value ?? { steps: [], lastBegun: undefined }
    const { done, total, current } = progress(steps)
    if (total === 0) return { ...(now.progress ?? { done: 0, total: 0 }), step: now.step }
    return { done, total, step: (current ?? steps.find((step) => step.key === lastBegun))?.name ?? now.step }
  })
}
