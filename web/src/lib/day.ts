import type { Service } from '@/api/schema'
import { PHASE, TICK, type Tone } from './states'

const DAY = 86_400_000
/** What a Service remembers of its last runs. */
const REMEMBERED = 10

/** A run on the line of a day: `x` in percent, `height` from 0 to 1. */
export interface DayMark {
  uid: string
  x: number
  way: 'up' | 'down' | 'dot' | 'running'
  height: number
  tone: Tone
}

/** The last 24 hours of some Services. */
export interface Day {
  marks: DayMark[]
  worked: number
  failed: number
  /** A Service had more runs than it remembers, so there were more. */
  more: boolean
  /** From ten in the evening to six in the morning, in percent. */
  nights: { x: number; width: number }[]
}

/** What happened in the 24 hours before now. */
export function day(services: readonly Service[], now: number): Day {
  const start = now - DAY
  const ticks = services.flatMap((service) => service.recent).filter((tick) => tick.finishedAt !== undefined && Date.parse(tick.finishedAt) > start)
  const longest = Math.max(1, ...ticks.map((tick) => tick.seconds ?? 0))
  const marks = ticks.map((tick): DayMark => ({
    uid: tick.uid,
    x: Math.min(100, (100 * (Date.parse(tick.finishedAt ?? '') - start)) / DAY),
    way: TICK[tick.phase],
    height: Math.sqrt((tick.seconds ?? 0) / longest),
    tone: PHASE[tick.phase].tone,
  }))
  const running = services.flatMap((service) => service.active ?? [])
  marks.push(...running.map((run): DayMark => ({ uid: run.uid, x: 99.7, way: 'running', height: 0.8, tone: 'busy' })))
  return {
    marks,
    worked: ticks.filter((tick) => TICK[tick.phase] === 'up').length,
    failed: ticks.filter((tick) => TICK[tick.phase] === 'down').length,
    more: services.some((service) => service.recent.length >= REMEMBERED && Date.parse(service.recent[0]?.finishedAt ?? '') > start),
    nights: nights(start, now),
  }
}

function nights(start: number, now: number): { x: number; width: number }[] {
  const from = new Date(start)
  const all: { x: number; width: number }[] = []
  for (let past = -1; past <= 1; past += 1) {
    const [dusk, dawn] = [new Date(from), new Date(from)]
    dusk.setDate(from.getDate() + past)
    dusk.setHours(22, 0, 0, 0)
    dawn.setDate(from.getDate() + past + 1)
    dawn.setHours(6, 0, 0, 0)
    const [left, right] = [Math.max(start, dusk.getTime()), Math.min(now, dawn.getTime())]
    if (right > left) all.push({ x: (100 * (left - start)) / DAY, width: (100 * (right - left)) / DAY })
  }
  return all
}
