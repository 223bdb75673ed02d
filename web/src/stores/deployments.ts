import { defineStore } from 'pinia'
import { reactive } from 'vue'
import type { Deployment } from '@/api/schema'
import { ended } from '@/lib/states'

/** Deployments by uid. Answers and live news go through the same door. */
export const useDeployments = defineStore('deployments', () => {
  const all = reactive(new Map<string, Deployment>())
  return {
    all,
    /** A run that has ended never runs again: late news of before are old. */
    set: (deployment: Deployment): void => {
      const known = all.get(deployment.uid)
      if (known !== undefined && ended(known.phase) && !ended(deployment.phase)) return
      all.set(deployment.uid, deployment)
    },
    /** Of a Service, newest first. */
    of: (namespace: string, service: string): Deployment[] =>
      [...all.values()]
        .filter((run) => run.namespace === namespace && run.service === service)
        .sort((a, b) => (a.createdAt === b.createdAt ? (a.uid < b.uid ? 1 : -1) : a.createdAt < b.createdAt ? 1 : -1)),
  }
})
