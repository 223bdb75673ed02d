import type { Step } from '@/api/schema'
import { between } from './durations'
import { shown } from './fold'

/** Seconds that each step took in a run that worked, by key and by name. */
export interface Pace {
  keys: ReadonlyMap<string, number>
  names: ReadonlyMap<string, number>
}

/** A step of which nothing is known takes so long. Seconds. */
const UNKNOWN = 1
/** The step that is on fills no more of its part than this until it has ended. */
const ALMOST = 0.95
/** So far beyond what is usual is longer than usual: a share, and seconds. */
const LATE = { share: 1.25, seconds: 5 }

/** What can be learned from the steps of a run. */
export function pace(steps: readonly Step[]): Pace {
  const known = steps.flatMap((step): [Step, number][] => {
    const seconds = between(step.startedAt, step.finishedAt)
    return seconds === undefined ? [] : [[step, seconds]]
  })
  return {
    keys: new Map(known.map(([step, seconds]) => [step.key, seconds])),
    names: new Map(known.map(([step, seconds]) => [named(step), seconds])),
  }
}

function named(step: Step): string {
  return `${step.section}\n${step.name}`
}

/** Seconds that this step usually takes. The same place in the instructions may hold another step by now. */
export function lasts(step: Step, from: Pace): number | undefined {
  return from.names.get(named(step)) ?? from.keys.get(step.key)
}

/** Of a bar, one step: how wide, and how much of it is done, 0 to 1. */
export interface Part {
  key: string
  section: string
  state: 'done' | 'now' | 'bad' | 'off' | 'next'
  width: number
  done: number
}

/** The bar: as wide as each step usually lasts, but never so narrow that it is not seen. */
export function parts(steps: readonly Step[], from: Pace, now: number, over: boolean): Part[] {
  const all = shown(steps)
  const whole = all.reduce((sum, step) => sum + (lasts(step, from) ?? UNKNOWN), 0)
  return all.map((step) => {
    const seconds = lasts(step, from)
    const width = Math.max(seconds ?? UNKNOWN, whole / 100)
    const at = { key: step.key, section: step.section, width }
    if (step.state === 'Failed' || step.state === 'Unreachable') return { ...at, state: 'bad', done: 1 }
    if (step.state === 'Pending') return { ...at, state: over ? 'off' : 'next', done: 0 }
    if (step.state !== 'Running') return { ...at, state: 'done', done: 1 }
    if (over) return { ...at, state: 'off', done: 0 }
    const passed = between(step.startedAt, now) ?? 0
    return { ...at, state: 'now', done: seconds === undefined || seconds === 0 ? 0.5 : Math.min(ALMOST, passed / seconds) }
  })
}

/** The same in so many parts that they can be seen: steps that stand side by side are one. */
export function few(bar: readonly Part[], most: number): Part[] {
  const size = Math.ceil(bar.length / most)
  if (size <= 1) return [...bar]
  return Array.from({ length: Math.ceil(bar.length / size) }, (_, n) => merged(bar.slice(n * size, (n + 1) * size)))
}

function merged(bar: readonly Part[]): Part {
  const [first] = bar
  if (first === undefined) throw new Error('a part of a bar is at least one step')
  const width = bar.reduce((sum, part) => sum + part.width, 0)
  const done = bar.reduce((sum, part) => sum + part.width * part.done, 0) / width
  const has = (state: Part['state']) => bar.some((part) => part.state === state)
  const state = has('bad') ? 'bad' : has('off') ? 'off' : bar.every((part) => part.state === first.state) ? first.state : 'now'
  return { ...first, state, width, done }
}

/** Whole percent of a bar; 100 only when all of it is done. */
export function percent(bar: readonly Part[]): number {
  const whole = bar.reduce((sum, part) => sum + part.width, 0)
  const done = bar.reduce((sum, part) => sum + (part.state === 'bad' || part.state === 'off' ? 0 : part.width * part.done), 0)
  return whole === 0 ? 0 : Math.min(done < whole ? 99 : 100, Math.round((100 * done) / whole))
}

/** What can be said about the time that is left. */
export type Left = { seconds: number } | 'longer' | 'unknown'

/** From what is known of the steps, else of the whole run. */
export function timeLeft(steps: readonly Step[], from: Pace, since: number | undefined, usually: number | undefined, now: number): Left {
  if (since === undefined) return 'unknown'
  const whole = usually ?? [...from.keys.values()].reduce((sum, seconds) => sum + seconds, 0)
  if (whole === 0) return 'unknown'
  if (since > whole * LATE.share + LATE.seconds) return 'longer'
  const open = shown(steps).filter((step) => step.state === 'Pending' || step.state === 'Running')
  const known = open.map((step) => ({ step, seconds: lasts(step, from) }))
  if (open.length === 0 || known.some(({ seconds }) => seconds === undefined)) return { seconds: Math.max(0, whole - since) }
  return {
    seconds: known.reduce((sum, { step, seconds = 0 }) => {
      const passed = step.state === 'Running' ? (between(step.startedAt, now) ?? 0) : 0
      return sum + Math.max(0, seconds - passed)
    }, 0),
  }
}
