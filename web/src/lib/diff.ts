/** A line of a comparison: in both, only in what was, only in what is. */
export interface DiffLine {
  kind: 'both' | 'old' | 'new'
  text: string
}

/** More lines than this are compared as a whole: the table of a comparison grows with their square. */
const MOST = 800
/** Lines around a difference that are shown. */
const AROUND = 2

/** What is not the same in two texts, line by line, with a little of what is the same around it. */
export function diff(before: string, after: string): DiffLine[] {
  const [old, fresh] = [before.split('\n'), after.split('\n')]
  if (old.length > MOST || fresh.length > MOST) return [...old.map((text) => ({ kind: 'old' as const, text })), ...fresh.map((text) => ({ kind: 'new' as const, text }))]
  return near(lines(old, fresh))
}

function lines(old: readonly string[], fresh: readonly string[]): DiffLine[] {
  // How many lines the rest of both have in common.
  const common = Array.from({ length: old.length + 1 }, () => new Uint16Array(fresh.length + 1))
  const at = (i: number, j: number) => common[i]?.[j] ?? 0
  for (let i = old.length - 1; i >= 0; i -= 1) {
    for (let j = fresh.length - 1; j >= 0; j -= 1) {
      const row = common[i]
      if (row) row[j] = old[i] === fresh[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1))
    }
  }
  const found: DiffLine[] = []
  let [i, j] = [0, 0]
  while (i < old.length || j < fresh.length) {
    if (i < old.length && j < fresh.length && old[i] === fresh[j]) {
      found.push({ kind: 'both', text: old[i] ?? '' })
      i += 1
      j += 1
    } else if (j >= fresh.length || (i < old.length && at(i + 1, j) >= at(i, j + 1))) {
      found.push({ kind: 'old', text: old[i] ?? '' })
      i += 1
    } else {
      found.push({ kind: 'new', text: fresh[j] ?? '' })
      j += 1
    }
  }
  return found
}

function near(all: readonly DiffLine[]): DiffLine[] {
  return all.filter((line, n) => line.kind !== 'both' || all.slice(Math.max(0, n - AROUND), n + AROUND + 1).some((one) => one.kind !== 'both'))
}
