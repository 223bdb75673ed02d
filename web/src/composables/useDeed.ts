import { ref } from 'vue'
import { useI18n } from 'vue-i18n'
import { Refused } from '@/api/client'

/** Something that a person does once at a time: whether it is on, and what the server has against it. */
export function useDeed() {
  const { t } = useI18n()
  const busy = ref(false)
  const problem = ref('')
  /** Which field it is about, if it is about one. */
  const field = ref<string>()

  /** Answers whether it was done. */
  async function act(deed: () => Promise<unknown>): Promise<boolean> {
    if (busy.value) return false
    busy.value = true
    problem.value = ''
    field.value = undefined
    try {
      await deed()
      return true
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      problem.value = error.status === 0 ? t('deed.unreachable') : error.message
      field.value = error.field
      return false
    } finally {
      busy.value = false
    }
  }
  return { busy, problem, field, act }
}
