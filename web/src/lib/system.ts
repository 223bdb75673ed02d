import type { Health, System, Verdict } from '@/api/schema'
import type { Look } from './states'

/** How a part looks. */
export const HEALTH: Record<Health, Look> = {
  Fine: { tone: 'good', shape: 'live' },
  Attention: { tone: 'wait', shape: 'warn' },
  Broken: { tone: 'bad', shape: 'failed' },
  Unknown: { tone: 'rest', shape: 'pending' },
}

/** The parts, what people depend on most first. */
export const PARTS = ['operator', 'apiServer', 'database', 'mirror', 'reports', 'notifications'] as const
export type Part = (typeof PARTS)[number]

/** How all of it is: what does not work counts before what needs a look. */
export function overall(system: System): { health: Health; parts: number } {
  const all = PARTS.map((part): Verdict => system[part].verdict)
  const found = (['Broken', 'Attention'] as const).find((health) => all.some((one) => one.health === health)) ?? 'Fine'
  return { health: found, parts: all.filter(({ health }) => health === found).length }
}

/** A size as people write it: three figures at most, in units of a thousand. */
export function size(bytes: number, locale: string): string {
  const units = ['byte', 'kilobyte', 'megabyte', 'gigabyte', 'terabyte'] as const
  const step = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(1, bytes)) / 3)))
  const value = bytes / 1_000 ** step
  return new Intl.NumberFormat(locale, { style: 'unit', unit: units[step] ?? 'byte', maximumSignificantDigits: 3 }).format(value)
}
