import type { Step } from '@/api/schema'

/** What a preview has found. */
export interface Preview {
  /** Steps that would change something, and where. */
  changes: { key: string; name: string; hosts: string[] }[]
  /** Names of steps that were left out on each server: what they would do is not known. */
  left: string[]
}

/** Read from the steps of a run that changed nothing. */
export function preview(steps: readonly Step[]): Preview {
  const changes = steps.filter((step) => step.changed > 0).map((step) => ({ key: step.key, name: step.name, hosts: step.hosts.filter((host) => host.changed).map(({ host }) => host) }))
  const left = steps.filter((step) => step.state === 'Skipped').map(({ name }) => name)
  return { changes, left }
}
