import type { HostOutcome, RunPhase, ServiceState, Step, StepOutcome } from '@/api/schema'

/** What a colour says: nothing to do, in motion, waits for a person, did not work, at rest. */
export type Tone = 'good' | 'busy' | 'wait' | 'bad' | 'rest'
/** A symbol of the sprite. */
export type Shape =
  | 'live' | 'failed' | 'waiting' | 'paused' | 'stopped' | 'updating' | 'never' | 'queued' | 'pending' | 'nothing' | 'skipped' | 'handled' | 'warn'

/** How a state looks: shape and colour; its word is in the locales under the same key. */
export interface Look {
  tone: Tone
  shape: Shape
}

/** Of a Service. */
export const SERVICE: Record<ServiceState, Look> = {
  Live: { tone: 'good', shape: 'live' },
  Updating: { tone: 'busy', shape: 'updating' },
  Failed: { tone: 'bad', shape: 'failed' },
  NeedsYou: { tone: 'wait', shape: 'waiting' },
  Paused: { tone: 'rest', shape: 'paused' },
  Never: { tone: 'rest', shape: 'never' },
  Unknown: { tone: 'rest', shape: 'pending' },
}

/** Of a run. */
export const PHASE: Record<RunPhase, Look> = {
  Pending: { tone: 'rest', shape: 'pending' },
  AwaitingApproval: { tone: 'wait', shape: 'waiting' },
  Queued: { tone: 'rest', shape: 'queued' },
  Preparing: { tone: 'busy', shape: 'updating' },
  Running: { tone: 'busy', shape: 'updating' },
  Succeeded: { tone: 'good', shape: 'live' },
  NothingDone: { tone: 'rest', shape: 'nothing' },
  Failed: { tone: 'bad', shape: 'failed' },
  Cancelled: { tone: 'rest', shape: 'stopped' },
}

/** Of a step. */
export const STEP: Record<StepOutcome, Look> = {
  Pending: { tone: 'rest', shape: 'pending' },
  Running: { tone: 'busy', shape: 'updating' },
  Succeeded: { tone: 'good', shape: 'live' },
  Failed: { tone: 'bad', shape: 'failed' },
  Skipped: { tone: 'rest', shape: 'skipped' },
  Rescued: { tone: 'good', shape: 'handled' },
  Unreachable: { tone: 'bad', shape: 'failed' },
  Cancelled: { tone: 'rest', shape: 'stopped' },
}

/** A mark for one server of a step. */
export type Mark = 'changed' | 'same' | 'working' | 'waiting' | 'elsewhere' | 'bad' | 'handled'

/** Of a server. */
export const HOST: Record<HostOutcome, Mark> = {
  Ok: 'same',
  Skipped: 'elsewhere',
  Failed: 'bad',
  Ignored: 'handled',
  Rescued: 'handled',
  Unreachable: 'bad',
}

/** The colour of a mark. */
export const MARK: Record<Mark, Tone> = {
  changed: 'good',
  same: 'good',
  working: 'busy',
  waiting: 'rest',
  elsewhere: 'rest',
  bad: 'bad',
  handled: 'good',
}

/** Which way a run's tick goes on its line. */
export const TICK: Record<RunPhase, 'up' | 'down' | 'dot' | 'running'> = {
  Pending: 'running',
  AwaitingApproval: 'running',
  Queued: 'running',
  Preparing: 'running',
  Running: 'running',
  Succeeded: 'up',
  NothingDone: 'dot',
  Failed: 'down',
  Cancelled: 'dot',
}

/** Whether a run has ended. */
export function ended(phase: RunPhase): boolean {
  return TICK[phase] !== 'running'
}

/** How a step fares on a server. */
export function markOf(step: Step, name: string, over: boolean): Mark {
  const host = step.hosts.find((one) => one.host === name)
  if (host) return host.changed && HOST[host.state] === 'same' ? 'changed' : HOST[host.state]
  if (step.state === 'Running') return over ? 'elsewhere' : 'working'
  return step.state === 'Pending' && !over ? 'waiting' : 'elsewhere'
}
