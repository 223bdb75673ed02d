import { onScopeDispose, ref, shallowRef, triggerRef } from 'vue'
import { api, Refused } from '@/api/client'
import { BLOCK, blockOf, Lines } from '@/lib/lines'
import { useTopic } from './useTopic'

/** Before a block that could not be read is asked for again. Milliseconds. */
const PAUSE = 1_000

/** The technical output of a run: its newest lines as they come, any others on demand. */
export function useOutput(uid: () => string, open: () => boolean) {
  const lines = shallowRef(new Lines())
  const attempt = ref(1)
  const asked = new Set<number>()
  let timer: ReturnType<typeof setTimeout> | undefined
  onScopeDispose(() => clearTimeout(timer))

  function anew(of: number): void {
    attempt.value = of
    asked.clear()
    lines.value = new Lines()
  }

  const { loading, problem } = useTopic({
    name: () => (open() ? `deployments/${uid()}/output` : undefined),
    load: async () => {
      const { total } = await api.output(uid(), 1, 1)
      const output = await api.output(uid(), Math.max(1, total - BLOCK + 1), BLOCK)
      if (output.attempt !== attempt.value) anew(output.attempt)
      lines.value.put(output.first, output.lines)
      lines.value.total = Math.max(lines.value.total, output.total)
      triggerRef(lines)
      return { after: output.cursor }
    },
    told: (message) => {
      if (message.type !== 'output') return
      if (message.attempt !== attempt.value) anew(message.attempt)
      lines.value.put(message.first, message.lines)
      triggerRef(lines)
    },
  })

  /** Sees to it that these lines come. */
  function need(from: number, to: number): void {
    lines.value.keepNear(from)
    for (let block = blockOf(Math.max(1, from)); block <= blockOf(Math.max(1, to)); block += 1) {
      const start = block * BLOCK + 1
      if (asked.has(block) || lines.value.missing(start, start + BLOCK - 1) === undefined) continue
      asked.add(block)
      void fetchBlock(start).finally(() => asked.delete(block))
    }
  }

  async function fetchBlock(start: number): Promise<void> {
    const mine = lines.value
    const end = Math.min(start + BLOCK - 1, mine.total)
    try {
      for (let from = mine.missing(start, end); from !== undefined; from = mine.missing(start, end)) {
        const output = await api.output(uid(), from, end - from + 1, attempt.value)
        if (mine !== lines.value) return
        mine.lose(from, output.lines.length === 0 ? end + 1 : Math.min(output.first, end + 1))
        mine.put(output.first, output.lines)
        triggerRef(lines)
      }
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      clearTimeout(timer)
      timer = setTimeout(() => need(start, end), PAUSE)
    }
  }

  return { lines, attempt, loading, problem, need }
}
