import type { Activity } from '@/api/schema'
import { SOMEONE } from './someone'
import type { Look } from './states'

/** What the log tells, as the server names it in docs/events.md. Others are for later versions. */
export const SAID = {
  'user.created': { tone: 'rest', shape: 'live' },
  'user.updated': { tone: 'rest', shape: 'nothing' },
  'user.deleted': { tone: 'rest', shape: 'stopped' },
  'user.signedIn': { tone: 'rest', shape: 'live' },
  'user.signedOut': { tone: 'rest', shape: 'skipped' },
  'user.refused': { tone: 'wait', shape: 'warn' },
  'role.bound': { tone: 'rest', shape: 'live' },
  'role.unbound': { tone: 'rest', shape: 'stopped' },
  'token.issued': { tone: 'rest', shape: 'live' },
  'token.revoked': { tone: 'rest', shape: 'stopped' },
  'service.created': { tone: 'rest', shape: 'live' },
  'service.updated': { tone: 'rest', shape: 'nothing' },
  'service.deleted': { tone: 'rest', shape: 'stopped' },
  'deployment.requested': { tone: 'rest', shape: 'pending' },
  'deployment.awaitingApproval': { tone: 'wait', shape: 'waiting' },
  'deployment.approved': { tone: 'good', shape: 'live' },
  'deployment.rejected': { tone: 'rest', shape: 'stopped' },
  'deployment.queued': { tone: 'rest', shape: 'queued' },
  'deployment.started': { tone: 'busy', shape: 'updating' },
  'deployment.finished': { tone: 'good', shape: 'live' },
  'deployment.failed': { tone: 'bad', shape: 'failed' },
  'deployment.cancelled': { tone: 'rest', shape: 'stopped' },
  'deployment.outputRead': { tone: 'rest', shape: 'skipped' },
  'drift.found': { tone: 'wait', shape: 'warn' },
  'drift.gone': { tone: 'good', shape: 'live' },
  'source.changed': { tone: 'rest', shape: 'nothing' },
  'source.unreachable': { tone: 'wait', shape: 'warn' },
  'source.announced': { tone: 'rest', shape: 'nothing' },
} as const satisfies Record<string, Look>

/** An event that has a sentence. */
export type Event = keyof typeof SAID

/** Whether there is a sentence for it. */
export function isSaid(what: string): what is Event {
  return what in SAID
}

/** A text out of what is told with a line. */
export function told(line: Activity, name: string): string | undefined {
  const value = line.data[name]
  return typeof value === 'string' && value !== '' ? value : typeof value === 'number' ? String(value) : undefined
}

/** Who asked for a run, as far as a line tells it. */
function askedBy(line: Activity): string | undefined {
  const by: unknown = line.data['requestedBy']
  if (typeof by !== 'object' || by === null || !('name' in by) || typeof by.name !== 'string') return undefined
  return by.name === SOMEONE ? undefined : by.name
}

/** Who asked for which run: of the lines of a run only the later ones tell it. */
export function requesters(lines: readonly Activity[]): Map<string, string> {
  const found = new Map<string, string>()
  for (const line of lines) {
    const [uid, name] = [told(line, 'uid'), askedBy(line)]
    if (uid !== undefined && name !== undefined) found.set(uid, name)
  }
  return found
}

/** Which kind of lines are shown: how their names begin. */
export const KINDS = { all: '', updates: 'deployment.', services: 'service.', people: 'user.', roles: 'role.', tokens: 'token.' } as const
export type Lines = keyof typeof KINDS
