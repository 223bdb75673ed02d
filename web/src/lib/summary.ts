import type { Deployment, Service } from '@/api/schema'

/** Where a Service stands on the page of all. */
export type Group = 'need' | 'updating' | 'rest'

/** Those that need somebody come first. */
export function group(service: Service): Group {
  if (service.state === 'Failed' || service.state === 'NeedsYou') return 'need'
  return service.state === 'Updating' ? 'updating' : 'rest'
}

/** How many stand where. */
export function count(services: readonly Service[]): Record<Group, number> {
  const counts: Record<Group, number> = { need: 0, updating: 0, rest: 0 }
  for (const service of services) counts[group(service)] += 1
  return counts
}

/** What people call what is on the servers: an answer that names a version, else the run's number. */
export function version(run: { number?: number; inputs: Record<string, unknown> }): string {
  const named = run.inputs['version'] ?? run.inputs['tag'] ?? run.inputs['release']
  if (typeof named === 'string' && named !== '') return named
  return run.number === undefined ? '' : `#${run.number}`
}

/** The run that changes its servers just now. A preview and a check change nothing, so nobody has to wait for them. */
export function onIt(service: Pick<Service, 'active'>): Deployment | undefined {
  return service.active?.mode === 'Apply' ? service.active : undefined
}
