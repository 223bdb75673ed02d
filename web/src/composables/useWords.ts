import { useI18n } from 'vue-i18n'
import type { Deployment } from '@/api/schema'

/** What the operator writes where Kubernetes did not say who it was. */
const SOMEONE = 'someone with kubectl'

/** Who asked for a run, and by which way, in words of the page's language. */
export function useWords() {
  const { t } = useI18n()
  return {
    who: (run: Pick<Deployment, 'requestedBy'>): string => (run.requestedBy.name === SOMEONE ? t('who.someone') : run.requestedBy.name),
    via: (run: Pick<Deployment, 'requestedBy'>): string => (run.requestedBy.name === SOMEONE ? '' : t(`via.${run.requestedBy.via}`)),
  }
}
