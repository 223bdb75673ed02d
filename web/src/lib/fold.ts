import type { HostResult, RunEvent } from '@/api/messages'
import type { Step, StepHost } from '@/api/schema'

/** Results that are kept per step; of more servers only the counts. */
const MAX_HOSTS = 200

/** What a run's events have come to. The same as the server's `protocol/src/fold.rs`. */
export interface Fold {
  attempt: number
  /** The last event that was taken. */
  seq: number
  steps: Step[]
  /** The step that began last: what was not planned comes behind it. */
  lastBegun: string | undefined
}

/** From what the server has folded already. */
export function foldFrom(attempt: number, seq: number, steps: Step[], lastBegun?: string): Fold {
  return { attempt, seq, steps: steps.map((step) => ({ ...step, hosts: [...step.hosts] })), lastBegun }
}

/** Takes events in order; one that was taken before changes nothing, a new attempt begins anew. */
export function take(fold: Fold, attempt: number, events: readonly RunEvent[]): void {
  if (attempt < fold.attempt) return
  if (attempt > fold.attempt) Object.assign(fold, { attempt, seq: 0, steps: [], lastBegun: undefined })
  for (const event of events) {
    if (event.seq <= fold.seq) continue
    fold.seq = event.seq
    apply(fold, event)
  }
}

function apply(fold: Fold, event: RunEvent): void {
  switch (event.kind) {
    case 'plan':
      for (const planned of event.steps) {
        const step = place(fold, planned.key)
        step.name = planned.name
        step.section = planned.section ?? ''
        step.conditional = planned.conditional ?? false
      }
      break
    case 'stepStarted': {
      const known = fold.steps.some((step) => step.key === event.key)
      const step = place(fold, event.key)
      step.name = event.name
      if (!known) {
        step.section = event.section ?? ''
        step.conditional = event.conditional ?? false
      }
      step.state = 'Running'
      step.startedAt ??= event.at
      // The next batch of servers (`serial`).
      delete step.finishedAt
      fold.lastBegun = event.key
      break
    }
    case 'hostRetried': {
      const { host, attempt, of } = event
      place(fold, event.key).retrying = { host, attempt, of }
      break
    }
    case 'hostResult':
      result(place(fold, event.key), event)
      break
    case 'stepFinished': {
      const step = place(fold, event.key)
      step.state = event.state
      step.finishedAt = event.at
      delete step.retrying
      break
    }
    case 'diff':
    case 'statistics':
    case 'finished':
    case 'unknown':
      break
  }
}

function result(step: Step, event: HostResult): void {
  const { host, state, changed, durationMs, message = '' } = event
  if (step.retrying?.host === host) delete step.retrying
  const bad = state === 'Failed' || state === 'Unreachable'
  if (bad) step.failed += 1
  else if (state === 'Skipped') step.skipped += 1
  else step.ok += 1
  if (changed) step.changed += 1
  if (bad && step.message === '') step.message = message
  if (step.hosts.length >= MAX_HOSTS) return
  const shown: StepHost = { host, state, changed, durationMs, message }
  if (event.attempts !== undefined && event.attempts > 1) shown.attempts = event.attempts
  if (event.items) shown.items = event.items
  if (event.error) shown.error = event.error
  if (event.warnings) shown.warnings = event.warnings
  if (event.deprecations) shown.deprecations = event.deprecations
  step.hosts.push(shown)
}

/** A step that was not planned stands behind the one that began last. */
function place(fold: Fold, key: string): Step {
  const known = fold.steps.find((step) => step.key === key)
  if (known) return known
  const step: Step = {
    key,
    name: '',
    section: '',
    state: 'Pending',
    conditional: false,
    ok: 0,
    changed: 0,
    failed: 0,
    skipped: 0,
    message: '',
    hosts: [],
  }
  const last = fold.steps.findIndex((other) => other.key === fold.lastBegun)
  fold.steps.splice(last < 0 ? fold.steps.length : last + 1, 0, step)
  // As it is reactive now, if the steps are.
  return fold.steps.find((other) => other.key === key) ?? step
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
