import type { Deployment, HostOutcome, Service, StepError, StepItems, StepOutcome } from './schema'

/** What happens in a run; others than these are for later versions. */
export type RunEvent = { seq: number; at: string } & (
  | { kind: 'plan'; steps: { key: string; name: string; section?: string; conditional?: boolean }[] }
  | { kind: 'stepStarted'; key: string; name: string; section?: string; conditional?: boolean }
  | { kind: 'hostRetried'; key: string; host: string; attempt: number; of: number }
  | { kind: 'diff'; key: string; host: string; text: string }
  | HostResult
  | { kind: 'stepFinished'; key: string; state: StepOutcome }
  | { kind: 'statistics' | 'finished' | 'unknown' }
)

/** How a step went on one server. */
export interface HostResult {
  kind: 'hostResult'
  key: string
  host: string
  state: HostOutcome
  changed: boolean
  durationMs: number
  message?: string
  attempts?: number
  items?: StepItems
  error?: StepError
  warnings?: string[]
  deprecations?: string[]
}

/** To the server. */
export type ToServer =
  | { type: 'signIn'; token: string }
  | { type: 'renew'; token: string }
  | { type: 'subscribe'; topic: string; after: string; runAfter?: string }
  | { type: 'unsubscribe'; topic: string }
  | { type: 'ping' }

/** About a topic. */
export type Told =
  | { type: 'subscribed'; topic: string }
  | { type: 'reset'; topic: string }
  | { type: 'refused'; topic: string; reason: string; detail: string }
  | { type: 'service'; topic: string; cursor: string; service: Service }
  | { type: 'deployment'; topic: string; cursor: string; deployment: Deployment }
  | { type: 'gone'; topic: string; cursor: string; kind: string; uid: string }
  | { type: 'events'; topic: string; cursor: string; attempt: number; events: RunEvent[] }
  | { type: 'output'; topic: string; cursor: string; attempt: number; first: number; lines: string[] }

/** From the server. */
export type FromServer =
  | { type: 'ready'; user: string; expiresAt: string }
  | { type: 'renewed'; expiresAt: string }
  | { type: 'pong' }
  | Told

/** What the server says, if it is a message at all: both are of one release, so the type is enough. */
export function parse(text: string): FromServer | undefined {
  try {
    const message: unknown = JSON.parse(text)
    return isMessage(message) ? message : undefined
  } catch {
    return undefined
  }
}

function isMessage(value: unknown): value is FromServer {
  return typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string'
}
