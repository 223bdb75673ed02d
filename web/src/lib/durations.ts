/** `1 min 48 s`: no break inside, units that every language here understands. */
export function duration(seconds: number): string {
  // What Kubernetes says has whole seconds: 0 is some part of one.
  if (seconds < 0.95) return '<\u00a01\u00a0s'
  const all = Math.round(seconds)
  const [hours, minutes, rest] = [Math.floor(all / 3_600), Math.floor((all % 3_600) / 60), all % 60]
  const parts = hours > 0 ? [[hours, 'h'], [minutes, 'min']] : minutes > 0 ? [[minutes, 'min'], [rest, 's']] : [[rest, 's']]
  const said = parts.filter(([amount], n) => n === 0 || amount !== 0)
  return said.map(([amount, unit]) => `${amount}\u00a0${unit}`).join('\u00a0')
}

/** Seconds left, rounded so that the figure does not jitter: by 5 below a minute, by 10 above. */
export function left(seconds: number): string {
  const step = seconds < 60 ? 5 : 10
  return duration(Math.max(step, Math.ceil(seconds / step) * step))
}

/** Seconds between two times; none if one is missing. */
export function between(start: string | undefined, end: string | number | undefined): number | undefined {
  if (start === undefined || end === undefined) return undefined
  const seconds = ((typeof end === 'number' ? end : Date.parse(end)) - Date.parse(start)) / 1_000
  return Number.isFinite(seconds) ? Math.max(0, seconds) : undefined
}

/** How this person writes times: the machine's own way of the page's language. */
export function localeOf(language: string): string {
  return navigator.languages.find((one) => one.startsWith(language)) ?? language
}

/** When it was, as people say it: today the time, this week the day, else the date. */
export function when(time: string, now: number, locale: string): string {
  const at = new Date(time)
  const today = new Date(now)
  const clock = at.toLocaleTimeString(locale, { hour: '2-digit', minute: '2-digit' })
  if (at.toDateString() === today.toDateString()) return clock
  const days = (now - at.getTime()) / 86_400_000
  if (days < 6) return `${at.toLocaleDateString(locale, { weekday: 'long' })}, ${clock}`
  const year: Intl.DateTimeFormatOptions = at.getFullYear() === today.getFullYear() ? {} : { year: 'numeric' }
  return at.toLocaleDateString(locale, { day: 'numeric', month: 'long', ...year })
}
