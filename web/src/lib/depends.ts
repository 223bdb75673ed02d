import type { Service } from '@/api/schema'

/** What a picture of dependencies needs to know of a Service. */
export type Needing = Pick<Service, 'uid' | 'name' | 'title' | 'state' | 'dependsOn'>

/** A place in the picture: columns from left to right, each Service right of all that it needs. */
export interface Node {
  name: string
  /** None: it is needed, but there is no such Service. */
  service: Needing | undefined
  column: number
  row: number
}

export interface Graph {
  nodes: Node[]
  /** From what is needed to what needs it. */
  lines: { from: Node; to: Node }[]
  columns: number
  rows: number
}

/** All that a Service needs, and all that needs it, however far; nothing where it stands alone. */
export function graph(all: readonly Needing[], name: string): Graph {
  const by = new Map(all.map((one) => [one.name, one]))
  const needs = (one: string) => by.get(one)?.dependsOn ?? []
  const needing = (one: string) => all.filter((other) => other.dependsOn.includes(one)).map((other) => other.name)
  const shown = new Set([name])
  const walk = (next: (one: string) => readonly string[], from: string) => {
    for (const one of next(from)) if (!shown.has(one)) {
      shown.add(one)
      walk(next, one)
    }
  }
  walk(needs, name)
  const upstream = new Set(shown)
  walk((one) => (upstream.has(one) && one !== name ? [] : needing(one)), name)

  const columns = new Map<string, number>()
  /** Circles do not come through, but a half-made one may be seen: whoever is on the way counts as first. */
  const column = (one: string, way: readonly string[] = []): number => {
    const known = columns.get(one)
    if (known !== undefined) return known
    const before = needs(one).filter((other) => shown.has(other) && !way.includes(other))
    const found = before.length === 0 ? 0 : 1 + Math.max(...before.map((other) => column(other, [...way, one])))
    columns.set(one, found)
    return found
  }
  const rows = new Map<number, number>()
  const nodes = [...shown].sort((a, b) => (a === name ? -1 : b === name ? 1 : a.localeCompare(b))).map((one) => {
    const at = column(one)
    const row = rows.get(at) ?? 0
    rows.set(at, row + 1)
    return { name: one, service: by.get(one), column: at, row }
  })
  // Whoever reads them one after the other begins with what comes first.
  nodes.sort((a, b) => a.column - b.column || a.row - b.row)
  const lines = nodes.flatMap((to) => nodes.filter((from) => needs(to.name).includes(from.name)).map((from) => ({ from, to })))
  return { nodes, lines, columns: Math.max(...nodes.map((one) => one.column)) + 1, rows: Math.max(...rows.values()) }
}
