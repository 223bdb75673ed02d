import { nextTick, ref, watch, type Ref } from 'vue'
import { around, lineAt, reaches, unit, type Drawn } from '@/lib/window'

/** So near to the end counts as at the end. Pixels. */
const NEAR = 8

/** Draws only those of very many rows that are seen. A row is an element with `data-line`, as high as it likes. */
export function useWindow(body: Readonly<Ref<HTMLElement | null>>, total: () => number, row: number) {
  const drawn = ref<Drawn>({ from: 1, to: 0 })
  /** The end is looked at, and stays looked at when more comes. */
  const follow = ref(true)
  /** Where it was put by us: such a scroll is not a person's. */
  let put = -1

  function rows(): HTMLElement[] {
    return [...(body.value?.querySelectorAll<HTMLElement>('[data-line]') ?? [])]
  }
  function scrollTo(top: number): void {
    if (!body.value) return
    body.value.scrollTop = top
    put = body.value.scrollTop
  }
  function seen(): Drawn | undefined {
    const box = body.value
    if (!box) return undefined
    const all = rows().filter((one) => one.offsetTop + one.offsetHeight > box.scrollTop && one.offsetTop < box.scrollTop + box.clientHeight)
    const [first, last] = [all[0], all.at(-1)]
    return first && last ? { from: Number(first.dataset['line']), to: Number(last.dataset['line']) } : undefined
  }

  /** Draws around a line, which stays where it is on the screen. */
  async function draw(line: number, offset: number): Promise<void> {
    drawn.value = around(line, total())
    await nextTick()
    const element = rows().find((one) => Number(one.dataset['line']) === line)
    if (element) scrollTo(element.offsetTop - offset)
  }

  async function end(): Promise<void> {
    drawn.value = around(total(), total())
    await nextTick()
    if (body.value && follow.value) scrollTo(body.value.scrollHeight)
  }

  /** Shows a line in the middle. */
  async function show(line: number): Promise<void> {
    follow.value = false
    await draw(line, (body.value?.clientHeight ?? 0) / 2 - row)
  }

  function scrolled(): void {
    const box = body.value
    if (!box || Math.abs(box.scrollTop - put) < 1) return
    put = -1
    // Scrolling up lets go, the end takes hold again.
    follow.value = box.scrollHeight - box.scrollTop - box.clientHeight < NEAR
    const now = seen()
    if (now === undefined) {
      const high = unit(total(), row)
      void draw(lineAt({ top: box.scrollTop, height: box.clientHeight, whole: box.scrollHeight }, total(), high), 0)
    } else if (!reaches(drawn.value, now, total())) {
      const first = rows().find((one) => Number(one.dataset['line']) === now.from)
      void draw(now.from, (first?.offsetTop ?? 0) - box.scrollTop)
    }
  }

  watch(
    total,
    (now, before) => {
      if (follow.value || drawn.value.to === 0) void end()
      // Where less was drawn than there was room for.
      else if (drawn.value.to >= (before ?? 0)) drawn.value = { from: drawn.value.from, to: Math.min(now, Math.max(drawn.value.to, around(drawn.value.from, now).to)) }
    },
    { flush: 'post' },
  )
  watch(follow, (yes) => {
    if (yes) void end()
  })

  return { drawn, follow, scrolled, show, end }
}
