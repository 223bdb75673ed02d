import { computed, ref, shallowRef, triggerRef } from 'vue'
import { api } from '@/api/client'
import { useTopic } from './useTopic'

/** Lines that are loaded at once, and that are kept on the page. */
const PAGE = 1_000
const KEPT = 5_000

/** The technical output of a run, from its end: the newest lines, the earlier ones on demand. */
export function useOutput(uid: () => string, open: () => boolean) {
  const lines = shallowRef<string[]>([])
  /** Number of the first line that is on the page. */
  const first = ref(1)
  let attempt = 0

  function append(from: number, more: readonly string[]): void {
    const expected = first.value + lines.value.length
    if (lines.value.length === 0) first.value = from
    // Lines that were lost leave their numbers.
    else if (from > expected) lines.value.push(...Array.from({ length: Math.min(from - expected, KEPT) }, () => ''))
    lines.value.push(...more.slice(Math.max(0, expected - from) * (lines.value.length > 0 ? 1 : 0)))
    const over = lines.value.length - KEPT
    if (over > 0) {
      lines.value.splice(0, over)
      first.value += over
    }
    triggerRef(lines)
  }

  const { loading, problem } = useTopic({
    name: () => (open() ? `deployments/${uid()}/output` : undefined),
    load: async () => {
      const { total } = await api.output(uid(), 1, 1)
      const output = await api.output(uid(), Math.max(1, total - PAGE + 1), PAGE)
      attempt = output.attempt
      lines.value = []
      first.value = output.first
      append(output.first, output.lines)
      return { after: output.cursor }
    },
    told: (message) => {
      if (message.type !== 'output') return
      if (message.attempt !== attempt) {
        attempt = message.attempt
        lines.value = []
      }
      append(message.first, message.lines)
    },
  })

  async function earlier(): Promise<void> {
    const from = Math.max(1, first.value - PAGE)
    const output = await api.output(uid(), from, first.value - from)
    if (output.lines.length === 0) return
    lines.value.unshift(...output.lines)
    first.value = output.first
    // The end is dropped: whoever reads the beginning can come back to it.
    triggerRef(lines)
  }

  return { lines, first, loading, problem, earlier, hasEarlier: computed(() => first.value > 1) }
}
