import { onScopeDispose, ref, watch, type Ref } from 'vue'

/** What is less than this far below or above what is seen counts, too: it is current when somebody scrolls to it. */
const NEAR = '200px'
const told = new WeakMap<Element, (on: boolean) => void>()
let observer: IntersectionObserver | undefined

/** Whether somebody sees this part of the page. */
export function useOnScreen(element: Readonly<Ref<Element | null>>): Readonly<Ref<boolean>> {
  const on = ref(false)
  function change(now: Element | null, before: Element | null | undefined): void {
    if (before) {
      observer?.unobserve(before)
      told.delete(before)
      on.value = false
    }
    if (now === null) return
    observer ??= new IntersectionObserver((entries) => entries.forEach(({ target, isIntersecting }) => told.get(target)?.(isIntersecting)), { rootMargin: NEAR })
    told.set(now, (seen) => (on.value = seen))
    observer.observe(now)
  }
  watch(element, change, { immediate: true })
  onScopeDispose(() => change(null, element.value))
  return on
}
