import type { RunEvent } from '@/api/messages'
import type { Step } from '@/api/schema'

/** Results that are kept per step; of more servers only the counts. */
const MAX_HOSTS = 200

/** What a run's events have come to. The same as the server's `protocol/src/fold.rs`. */
export interface Fold {
  attempt: number
  /** The last event that was taken. */
  seq: number
  steps: Step[]
}

/** From what the server has folded already. */
export function foldFrom(attempt: number, seq: number, steps: Step[]): Fold {
  return { attempt, seq, steps: steps.map((step) => ({ ...step, hosts: [...step.hosts] })) }
}

/** Takes events in order; one that was taken before changes nothing, a new attempt begins anew. */
export function take(fold: Fold, attempt: number, events: readonly RunEvent[]): void {
  if (attempt < fold.attempt) return
  if (attempt > fold.attempt) Object.assign(fold, { attempt, seq: 0, steps: [] })
  for (const event of events) {
    if (event.seq <= fold.seq) continue
    fold.seq = event.seq
    apply(fold.steps, event)
  }
}

function apply(steps: Step[], event: RunEvent): void {
  switch (event.kind) {
    case 'plan':
      for (const planned of event.steps) {
        const step = place(steps, planned.key)
        step.name = planned.name
        step.section = planned.section ?? ''
        step.conditional = planned.conditional ?? false
      }
      break
    case 'stepStarted': {
      const step = place(steps, event.key)
      step.name = event.name
      step.state = 'Running'
      step.startedAt ??= event.at
      break
    }
    case 'hostResult': {
      const step = place(steps, event.key)
      const { host, state, changed, durationMs, message = '' } = event
      if (state === 'Ok' || state === 'Ignored' || state === 'Rescued') step.ok += 1
      if (changed) step.changed += 1
      if ((state === 'Failed' || state === 'Unreachable') && step.message === '') step.message = message
      if (step.hosts.length < MAX_HOSTS) step.hosts.push({ host, state, changed, durationMs, message })
      break
    }
    case 'stepFinished': {
      const step = place(steps, event.key)
      step.state = event.state
      step.finishedAt = event.at
      break
    }
    case 'finished':
      break
  }
}

/** A step that was not planned stands behind the one that began last. */
function place(steps: Step[], key: string): Step {
  const known = steps.find((step) => step.key === key)
  if (known) return known
  const step: Step = { key, name: '', section: '', state: 'Pending', conditional: false, ok: 0, changed: 0, message: '', hosts: [] }
  steps.splice(behind(steps), 0, step)
  const placed = steps.find((other) => other.key === key)
  return placed ?? step
}

function behind(steps: readonly Step[]): number {
  let [place, began] = [-1, '']
  steps.forEach((step, n) => {
    if (step.startedAt !== undefined && step.startedAt >= began) [place, began] = [n, step.startedAt]
  })
  return place < 0 ? steps.length : place + 1
}

/** What people see: what runs only sometimes, once it has begun. */
export function shown(steps: readonly Step[]): Step[] {
  return steps.filter((step) => !step.conditional || step.state !== 'Pending')
}

/** How far a run is. */
export function progress(steps: readonly Step[]): { done: number; total: number; current: Step | undefined } {
  const all = shown(steps)
  const done = all.filter((step) => step.state !== 'Pending' && step.state !== 'Running').length
  return { done, total: all.length, current: all.findLast((step) => step.state === 'Running') }
}

/** The servers of a run, by name: which one answers first must not move the columns. */
export function servers(steps: readonly Step[]): string[] {
  const names = new Set(steps.flatMap((step) => step.hosts.map((host) => host.host)))
  return [...names].sort((a, b) => a.localeCompare(b, undefined, { numeric: true }))
}
