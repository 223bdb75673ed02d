import { useI18n } from 'vue-i18n'
import type { Deployment } from '@/api/schema'
import { SOMEONE } from '@/lib/someone'

/** Who asked for a run, and by which way, in words of the page's language. */
export function useWords() {
  const { t } = useI18n()
  return {
    who: (run: Pick<Deployment, 'requestedBy'>): string => (run.requestedBy.name === SOMEONE ? t('who.someone') : run.requestedBy.name),
    /** An answer of a form, as people say it. */
    said: (answer: unknown): string => (Array.isArray(answer) ? answer.join(', ') : answer === true ? t('form.yes') : answer === false ? t('form.no') : String(answer ?? '')),
    via: (run: Pick<Deployment, 'requestedBy'>): string => (run.requestedBy.name === SOMEONE ? '' : t(`via.${run.requestedBy.via}`)),
  }
}
