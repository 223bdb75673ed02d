import type { Step } from '@/api/schema'
import { HOST } from './states'

/** What a run came to on one server. */
export interface Server {
  host: string
  state: 'fine' | 'bad' | 'handled' | 'working'
  /** Not reached at all, rather than failed. */
  unreachable: boolean
  /** The last step that had to do with it. */
  step: string
  message: string
  changed: number
  /** Of its steps together. */
  seconds: number
}

/** Each server of a run, those that need somebody first. */
export function table(steps: readonly Step[], over: boolean): Server[] {
  const all = new Map<string, Server>()
  for (const step of steps) {
    for (const one of step.hosts) {
      const known = all.get(one.host) ?? { host: one.host, state: over ? 'fine' : 'working', unreachable: false, step: '', message: '', changed: 0, seconds: 0 }
      const mark = HOST[one.state]
      if (mark === 'bad') Object.assign(known, { state: 'bad', step: step.name, message: one.message, unreachable: one.state === 'Unreachable' })
      // It went on after that.
      else if (mark === 'handled' && known.state !== 'bad') Object.assign(known, { state: 'handled', step: step.name, message: one.message })
      else if (known.state !== 'bad' && one.state !== 'Skipped') known.step = step.name
      if (one.changed) known.changed += 1
      known.seconds += one.durationMs / 1_000
      all.set(one.host, known)
    }
  }
  const bad = (one: Server) => (one.state === 'bad' ? 0 : 1)
  return [...all.values()].sort((a, b) => bad(a) - bad(b) || a.host.localeCompare(b.host, undefined, { numeric: true }))
}
