import { onScopeDispose, ref, watch } from 'vue'
import { api, Refused } from '@/api/client'

/** So many finds are asked for at once: the most that the server answers. */
const PAGE = 500
/** More finds than this nobody steps through. */
export const MOST = 1_000
/** Before a word that is being written is looked for. Milliseconds. */
const PAUSE = 250

/** Finds lines of an output, also those that are not on the page. */
export function useSearch(uid: () => string, attempt: () => number, total: () => number) {
  const words = ref('')
  /** Numbers of the lines. */
  const hits = ref<number[]>([])
  const at = ref(0)
  const busy = ref(false)
  let round = 0
  let timer: ReturnType<typeof setTimeout> | undefined
  /** From where on it was not looked yet. */
  let next = 1

  async function look(): Promise<void> {
    const mine = ++round
    busy.value = true
    try {
      while (mine === round && hits.value.length < MOST) {
        // What comes in the meantime is looked through with the next round.
        const end = total()
        const found = await api.search(uid(), words.value, next, PAGE, attempt())
        if (mine !== round) return
        if (found.hits.length > 0) hits.value = [...hits.value, ...found.hits.map(({ line }) => line)].slice(0, MOST)
        next = found.next ?? Math.max(end, found.hits.at(-1)?.line ?? 0) + 1
        if (found.next === undefined) break
      }
    } catch (error) {
      if (!(error instanceof Refused)) throw error
    } finally {
      if (mine === round) busy.value = false
    }
  }

  watch([words, attempt], () => {
    round += 1
    clearTimeout(timer)
    hits.value = []
    at.value = 0
    next = 1
    busy.value = false
    if (words.value.length > 1) timer = setTimeout(() => void look(), PAUSE)
  })
  // What comes while somebody looks is looked through as well.
  watch(total, () => {
    if (words.value.length > 1 && !busy.value && next > 1 && total() >= next) void look()
  })
  onScopeDispose(() => {
    round += 1
    clearTimeout(timer)
  })

  function step(by: number): void {
    if (hits.value.length > 0) at.value = (at.value + by + hits.value.length) % hits.value.length
  }
  return { words, hits, at, busy, step }
}
