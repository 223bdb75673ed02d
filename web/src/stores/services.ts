import { defineStore } from 'pinia'
import { reactive } from 'vue'
import type { Service } from '@/api/schema'

/** Services by uid. Answers and live news go through the same door. */
export const useServices = defineStore('services', () => {
  const all = reactive(new Map<string, Service>())
  return {
    all,
    set: (service: Service): void => void all.set(service.uid, service),
    remove: (uid: string): void => void all.delete(uid),
    /** Those that the server did not name are gone. */
    keep: (uids: ReadonlySet<string>): void => {
      for (const uid of all.keys()) if (!uids.has(uid)) all.delete(uid)
    },
    named: (namespace: string, name: string): Service | undefined =>
      [...all.values()].find((service) => service.namespace === namespace && service.name === name),
  }
})
