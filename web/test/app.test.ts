import { shallowMount } from '@vue/test-utils'
import { createPinia, setActivePinia } from 'pinia'
import { expect, test, vi } from 'vitest'
import App from '@/App.vue'
import { i18n } from '@/i18n'
import { router } from '@/router'
import { useConnection } from '@/stores/connection'
import { useSession } from '@/stores/session'

test('who is known before the page is there hears what changes, too', () => {
  const pinia = createPinia()
  setActivePinia(pinia)
  useSession().$patch({ user: { name: 'anna', admin: false } as never })
  const start = vi.spyOn(useConnection(), 'start').mockImplementation(() => undefined)
  shallowMount(App, { global: { plugins: [pinia, i18n, router] } })
  expect(start).toHaveBeenCalledOnce()
})
