import type { Deployment } from '@/api/schema'
import { between } from './durations'
import { ended, PHASE, TICK, type Tone } from './states'

/** So many runs are looked back on. */
const RUNS = 24
/** The picture, in its own units from the top: the longest run ends at `TOP`, all stand on `BASE`. */
export const BASE = 118.5
const TOP = 16
const FAILED = 138

/** A run in the picture; `x` and `width` in percent. */
export interface Bar {
  run: Deployment
  x: number
  width: number
  y1: number
  y2: number
  seconds: number | undefined
  tone: Tone
}

/** How long runs took, oldest first. */
export interface Chart {
  bars: Bar[]
  /** How long they usually take, in seconds, and its place; the half in the middle lies from there to there. */
  usual: { seconds: number; y: number; from: number; to: number } | undefined
  longest: Bar | undefined
}

/** The picture of the last runs that ended, out of some of them, newest first; `usually` as the Service says it. */
export function chart(runs: readonly Deployment[], usually: number | undefined): Chart {
  const shown = runs.filter((run) => ended(run.phase)).slice(0, RUNS).reverse()
  const took = shown.map((run) => between(run.startedAt, run.finishedAt))
  const most = Math.max(1, ...shown.map((run, n) => (TICK[run.phase] === 'down' ? 0 : (took[n] ?? 0))))
  const y = (seconds: number) => BASE - ((BASE - TOP) * seconds) / most
  const width = 100 / Math.max(1, shown.length)
  const bars = shown.map((run, n): Bar => {
    const seconds = took[n]
    const ends = { up: [BASE - 0.5, Math.min(BASE - 3, y(seconds ?? 0))], down: [BASE + 0.5, FAILED], dot: [BASE - 3.5, BASE + 2.5], running: [BASE, BASE] }[TICK[run.phase]]
    return { run, x: n * width, width, y1: ends[0] ?? BASE, y2: ends[1] ?? BASE, seconds, tone: PHASE[run.phase].tone }
  })
  const well = bars.filter((bar) => bar.run.phase === 'Succeeded' && bar.seconds !== undefined)
  const sorted = well.map((bar) => bar.seconds ?? 0).sort((a, b) => a - b)
  const at = (share: number) => sorted[Math.round(share * (sorted.length - 1))] ?? 0
  const usual = sorted.length < 3 || usually === undefined ? undefined : { seconds: usually, y: y(Math.min(usually, most)), from: y(at(0.75)), to: y(at(0.25)) }
  const longest = well.reduce<Bar | undefined>((best, bar) => (best === undefined || (bar.seconds ?? 0) > (best.seconds ?? 0) ? bar : best), undefined)
  return { bars, usual, longest }
}
