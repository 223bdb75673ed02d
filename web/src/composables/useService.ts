import { computed, ref } from 'vue'
import { api } from '@/api/client'
import { useDeployments } from '@/stores/deployments'
import { useServices } from '@/stores/services'
import { useTopic } from './useTopic'

/** A Service with its last runs, as they change. It is not waited for: nothing is shown until it is there. */
export function useService(place: () => { namespace: string; name: string } | undefined) {
  const services = useServices()
  const deployments = useDeployments()
  const mayDeploy = ref(false)
  /** Where older runs begin; none: all are there. */
  const next = ref<string>()

  const { loading, problem } = useTopic({
    name: () => {
      const at = place()
      return at === undefined ? undefined : `services/${at.namespace}/${at.name}`
    },
    load: async () => {
      const { namespace, name } = place() ?? { namespace: '', name: '' }
      const answer = await api.service(namespace, name)
      const runs = await api.deployments(namespace, name)
      services.set(answer.service)
      runs.items.forEach(deployments.set)
      next.value = runs.next
      mayDeploy.value = answer.may.deploy
      // What was read first was true first: what changed in between comes again.
      return { after: answer.cursor }
    },
    told: (message) => {
      if (message.type === 'service') services.set(message.service)
      else if (message.type === 'deployment') deployments.set(message.deployment)
    },
  })
  const service = computed(() => {
    const at = place()
    return at === undefined ? undefined : services.named(at.namespace, at.name)
  })
  const runs = computed(() => {
    const at = place()
    return at === undefined ? [] : deployments.of(at.namespace, at.name)
  })
  /** Older runs, too. */
  async function more(): Promise<void> {
    const at = place()
    if (at === undefined || next.value === undefined) return
    const page = await api.deployments(at.namespace, at.name, next.value)
    page.items.forEach(deployments.set)
    next.value = page.next
  }
  return { service, runs, loading, problem, mayDeploy: computed(() => mayDeploy.value && service.value?.suspended !== true), mayEver: mayDeploy, more, next }
}
