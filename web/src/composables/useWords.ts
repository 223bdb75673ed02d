import { useI18n } from 'vue-i18n'
import type { Deployment, Failure } from '@/api/schema'
import { SOMEONE } from '@/lib/someone'

/** Who asked for a run, and by which way, in words of the page's language. */
export function useWords() {
  const { t, te } = useI18n()
  /** Why something is as it is: the operator's own sentence is English, and one of the technical details. */
  const because = (reason: string | undefined): string => (reason === undefined || reason === '' ? '' : te(`reason.${reason}`) ? t(`reason.${reason}`) : t('reason.Unknown'))
  return {
    because,
    /** What went wrong: of a step in the words of the server, else by its reason. */
    wrong: (failure: Failure): string => (failure.step === undefined && failure.reason !== 'TaskFailed' ? because(failure.reason) : failure.message),
    who: (run: Pick<Deployment, 'requestedBy'>): string => (run.requestedBy.name === SOMEONE ? t('who.someone') : run.requestedBy.name),
    /** An answer of a form, as people say it. */
    said: (answer: unknown): string => (Array.isArray(answer) ? answer.join(', ') : answer === true ? t('form.yes') : answer === false ? t('form.no') : String(answer ?? '')),
    via: (run: Pick<Deployment, 'requestedBy'>): string => (run.requestedBy.name === SOMEONE ? '' : t(`via.${run.requestedBy.via}`)),
  }
}
