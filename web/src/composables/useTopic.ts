import { onScopeDispose, ref, watch } from 'vue'
import { Refused } from '@/api/client'
import type { Told } from '@/api/messages'
import { useConnection } from '@/stores/connection'

const FIRST_PAUSE = 1_000
const LONGEST_PAUSE = 10_000

/** What a page shows: loaded once, followed from there, loaded anew where that cannot go on. */
export interface Topic {
  /** Its name; none: nothing is followed. */
  name: () => string | undefined
  /** Loads all of it; answers from where to follow. */
  load: () => Promise<{ after: string; runAfter?: string | undefined }>
  /** Takes what is new. */
  told: (message: Told) => void
}

export function useTopic(topic: Topic) {
  const connection = useConnection()
  /** Nothing is there to be shown yet. */
  const loading = ref(true)
  /** It cannot be shown, and will not be by waiting. */
  const problem = ref<Refused>()
  let stop: (() => void) | undefined
  let timer: ReturnType<typeof setTimeout> | undefined
  /** What was begun for another topic, or before another try, does not count. */
  let round = 0

  async function begin(name: string, pause: number): Promise<void> {
    const mine = ++round
    try {
      const from = await topic.load()
      if (mine !== round) return
      loading.value = false
      problem.value = undefined
      stop = connection.follow(name, from, (message) => {
        if (message.type === 'reset') again(name, 0)
        else if (message.type === 'refused') problem.value = new Refused(404, message.reason, message.detail)
        else topic.told(message)
      })
    } catch (error) {
      if (mine !== round) return
      const waits = error instanceof Refused && (error.status === 0 || error.status === 429 || error.status >= 500)
      if (waits) again(name, Math.min(LONGEST_PAUSE, pause * 2))
      else if (error instanceof Refused) problem.value = error
      else throw error
    }
  }

  function again(name: string, pause: number): void {
    clearTimeout(timer)
    timer = setTimeout(() => void begin(name, Math.max(FIRST_PAUSE, pause)), pause)
  }

  function end(): void {
    round += 1
    clearTimeout(timer)
    stop?.()
    stop = undefined
  }

  watch(
    topic.name,
    (name) => {
      end()
      loading.value = true
      problem.value = undefined
      if (name !== undefined) void begin(name, FIRST_PAUSE / 2)
    },
    { immediate: true },
  )
  onScopeDispose(end)
  return { loading, problem }
}
