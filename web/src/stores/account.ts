import { defineStore } from 'pinia'
import { ref } from 'vue'
import { people } from '@/api/people'
import type { OwnAccount } from '@/api/schema'

/** What whoever is signed in may do besides Services. Asked for once; without an answer nothing is offered. */
export const useAccount = defineStore('account', () => {
  const mine = ref<OwnAccount>()
  /** The server has answered, or will not. */
  const asked = ref(false)
  async function load(): Promise<void> {
    mine.value = await people.account().catch(() => undefined)
    asked.value = true
  }
  return { mine, asked, load, forget: (): void => void (mine.value = undefined) }
})
