/** Rows that are drawn before and behind the line that is looked at. */
const BEFORE = 60
const BEHIND = 120
/** So few rows are drawn all. */
const FEW = 400
/** Rows from the edge of what is drawn at which it is drawn anew. */
const EDGE = 20
/** Browsers draw no element that is much higher than this. Pixels, as all here. */
const HIGHEST = 8_000_000

/** Numbers of the lines that are drawn, both included. */
export interface Drawn {
  from: number
  to: number
}

/** How high one line counts that is not drawn: a million of them still fit. */
export function unit(total: number, row: number): number {
  return total === 0 ? row : Math.min(row, HIGHEST / total)
}

/** What is drawn when this line is looked at. */
export function around(line: number, total: number): Drawn {
  if (total <= FEW) return { from: 1, to: total }
  const from = Math.max(1, Math.min(line, total) - BEFORE)
  return { from, to: Math.min(total, Math.max(line, 1) + BEHIND) }
}

/** Whether what is drawn reaches far enough around the lines that are seen. */
export function reaches(drawn: Drawn, seen: Drawn, total: number): boolean {
  return (drawn.from === 1 || seen.from - drawn.from >= EDGE) && (drawn.to >= total || drawn.to - seen.to >= EDGE)
}

/** The line at a place that is above or below what is drawn: who drags the bar goes there. */
export function lineAt(place: { top: number; height: number; whole: number }, total: number, high: number): number {
  const fromEnd = (place.whole - place.top - place.height) / high
  const fromStart = place.top / high
  return Math.round(Math.min(total, Math.max(1, fromStart < total / 2 ? fromStart + 1 : total - fromEnd)))
}
