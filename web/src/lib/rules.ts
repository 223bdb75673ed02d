import type { Rules, Window } from '@/api/schema'

const DAYS = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'] as const
type Day = (typeof DAYS)[number]
const MINUTE = 60_000
const DAY = 1_440

/** Minutes after midnight of `08:00`; 1440 of `24:00`. */
function minutes(clock: string): number {
  const [hours = 0, rest = 0] = clock.split(':').map(Number)
  return hours * 60 + rest
}

/** Day and minute on the clock of that zone. A zone that this browser does not know is taken as UTC. */
function clock(now: number, timeZone: string): { day: Day; minute: number } {
  const of = (zone: string) => new Intl.DateTimeFormat('en-US', { timeZone: zone, weekday: 'short', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }).formatToParts(now)
  let parts: Intl.DateTimeFormatPart[]
  try {
    parts = of(timeZone)
  } catch {
    parts = of('UTC')
  }
  const value = (type: Intl.DateTimeFormatPartTypes) => parts.find((one) => one.type === type)?.value ?? ''
  return { day: DAYS.find((day) => day === value('weekday')) ?? 'Mon', minute: Number(value('hour')) * 60 + Number(value('minute')) }
}

/** Whether this moment lies in the window; one that ends before it begins ends on the next day. */
function inside(window: Window, now: number): boolean {
  const { day, minute } = clock(now, window.timeZone)
  const [from, to] = [minutes(window.from), minutes(window.to)]
  const begins = (on: Day) => window.days.length === 0 || window.days.includes(on)
  const yesterday = DAYS[(DAYS.indexOf(day) + 6) % 7] ?? 'Sun'
  if (to > from) return begins(day) && minute >= from && minute < to
  return (begins(day) && minute >= from) || (begins(yesterday) && minute < to)
}

/** Whether a run that a person asks for may start now. The same as the operator's `calendar/windows.rs`. */
export function open(rules: Pick<Rules, 'windows'>, now: number): boolean {
  const ours = rules.windows.filter((one) => one.everyone)
  const allowing = ours.filter((one) => one.allow)
  return (allowing.length === 0 || allowing.some((one) => inside(one, now))) && !ours.some((one) => !one.allow && inside(one, now))
}

/** When it will be, in milliseconds, to the minute; none: not within a week. */
export function opens(rules: Pick<Rules, 'windows'>, now: number): number | undefined {
  const minute = Math.ceil(now / MINUTE) * MINUTE
  // Windows begin and end at whole minutes, and mostly at quarters: those are tried first.
  const quarter = 15 * MINUTE
  const first = Math.ceil(minute / quarter) * quarter
  for (let at = first; at <= now + 8 * DAY * MINUTE; at += quarter) {
    if (!open(rules, at)) continue
    for (let earlier = Math.max(minute, at - quarter + MINUTE); earlier < at; earlier += MINUTE) if (open(rules, earlier)) return earlier
    return at
  }
  return undefined
}

/** Days as people write them: `Mon – Fri`, `Sat, Sun`; none: every day. */
export function days(window: Window, locale: string): string {
  if (window.days.length === 0 || window.days.length === 7) return ''
  const places = window.days.map((day) => DAYS.indexOf(day)).sort((a, b) => a - b)
  // 2024-01-01 was a Monday.
  const name = (place: number) => new Date(Date.UTC(2024, 0, 1 + place)).toLocaleDateString(locale, { weekday: 'short', timeZone: 'UTC' })
  const [first = 0, last = 0] = [places[0], places.at(-1)]
  return places.length > 2 && last - first === places.length - 1 ? `${name(first)} – ${name(last)}` : places.map(name).join(', ')
}

/** What a schedule says in words, where it is one of those that most people write: a clock, and one day of the week or none. */
export function simple(cron: string): { at: string; day: Day | undefined } | undefined {
  const found = /^(\d{1,2}) (\d{1,2}) \* \* (\*|[0-7])$/.exec(cron.trim())
  if (!found) return undefined
  const [, minute = '', hour = '', day = '*'] = found
  return { at: `${hour.padStart(2, '0')}:${minute.padStart(2, '0')}`, day: day === '*' ? undefined : DAYS[(Number(day) + 6) % 7] }
}

/** The whole name of a day. */
export function dayName(day: Day, locale: string): string {
  return new Date(Date.UTC(2024, 0, 1 + DAYS.indexOf(day))).toLocaleDateString(locale, { weekday: 'long', timeZone: 'UTC' })
}
