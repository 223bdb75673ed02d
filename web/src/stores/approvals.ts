import { defineStore } from 'pinia'
import { ref } from 'vue'
import { api, Refused } from '@/api/client'
import type { Deployment } from '@/api/schema'
import { useConnection } from './connection'
import { useDeployments } from './deployments'

/** What other pages do not hear of is looked for so often. Milliseconds. */
const OFTEN = 10_000
/** Several news at once are looked after once. */
const TOGETHER = 300

/** Runs of all Services that wait until somebody agrees. */
export const useApprovals = defineStore('approvals', () => {
  const deployments = useDeployments()
  const connection = useConnection()
  const waiting = ref<Deployment[]>([])
  /** The server has answered. */
  const known = ref(false)
  let [timer, soon]: (ReturnType<typeof setInterval> | undefined)[] = []
  let stopNews: (() => void) | undefined

  async function load(): Promise<void> {
    try {
      const page = await api.find({ phase: 'AwaitingApproval', limit: 100 })
      page.items.forEach(deployments.set)
      waiting.value = page.items
      known.value = true
    } catch (error) {
      // It is asked again soon.
      if (!(error instanceof Refused)) throw error
    }
  }

  function stop(): void {
    clearInterval(timer)
    clearTimeout(soon)
    stopNews?.()
  }

  return {
    waiting,
    known,
    load,
    /** Keeps itself up to date from now on. */
    start: (): void => {
      stop()
      void load()
      timer = setInterval(() => {
        if (document.visibilityState === 'visible') void load()
      }, OFTEN)
      stopNews = connection.onNews(() => {
        clearTimeout(soon)
        soon = setTimeout(() => void load(), TOGETHER)
      })
    },
    stop,
  }
})
