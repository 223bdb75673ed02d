import { createPinia, setActivePinia } from 'pinia'
import { beforeEach, vi } from 'vitest'
import { use } from '@/i18n'

await use('en')

beforeEach(() => {
  setActivePinia(createPinia())
  localStorage.clear()
  // Happy-dom lays nothing out: all of the page is seen.
  vi.stubGlobal(
    'IntersectionObserver',
    class {
      constructor(private told: (entries: { target: Element; isIntersecting: boolean }[]) => void) {}
      observe(target: Element) {
        this.told([{ target, isIntersecting: true }])
      }
      unobserve() {}
    },
  )
  // Dialogs are the browser's; happy-dom draws none.
  HTMLDialogElement.prototype.showModal = vi.fn(function (this: HTMLDialogElement) {
    this.open = true
  })
})
