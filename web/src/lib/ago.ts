const UNITS: [Intl.RelativeTimeFormatUnit, number][] = [['day', 86_400_000], ['hour', 3_600_000], ['minute', 60_000]]
/** Older than this is said as a date. Milliseconds. */
const OLD = 30 * 86_400_000

/** How long it is ago, as people say it: `now`, `8 minutes ago`; after a month the date. */
export function ago(time: string, now: number, locale: string): string {
  const passed = Math.max(0, now - Date.parse(time))
  if (passed >= OLD) return new Date(time).toLocaleDateString(locale, { day: 'numeric', month: 'long', year: 'numeric' })
  const said = new Intl.RelativeTimeFormat(locale, { numeric: 'auto' })
  for (const [unit, length] of UNITS) if (passed >= length) return said.format(-Math.floor(passed / length), unit)
  return said.format(0, 'second')
}

/** The same to the second, in the person's own zone, with its name. */
export function exactly(time: string, locale: string): string {
  return new Date(time).toLocaleString(locale, { dateStyle: 'full', timeStyle: 'long' })
}
