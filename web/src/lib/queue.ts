import type { Deployment } from '@/api/schema'
import { ended } from './states'

/** Those of a Service that are before this one, the next first. */
export function before(run: Deployment, all: readonly Deployment[]): Deployment[] {
  const earlier = (one: Deployment) => one.createdAt < run.createdAt || (one.createdAt === run.createdAt && one.uid < run.uid)
  return all
    .filter((one) => one.uid !== run.uid && !ended(one.phase) && (earlier(one) || one.phase === 'Running' || one.phase === 'Preparing'))
    .sort((a, b) => (a.createdAt < b.createdAt ? -1 : 1))
}
