import { createPinia, setActivePinia } from 'pinia'
import { beforeEach, vi } from 'vitest'
import { use } from '@/i18n'

await use('en')

beforeEach(() => {
  setActivePinia(createPinia())
  localStorage.clear()
  // Dialogs are the browser's; happy-dom draws none.
  HTMLDialogElement.prototype.showModal = vi.fn(function (this: HTMLDialogElement) {
    this.open = true
  })
})
