/** Lines that are asked for at once, and kept together. */
export const BLOCK = 1_000
/** Blocks that are kept; those far from what is looked at go first. */
const KEPT = 60

/** Lines of an output by their number, of which only some are here: numbers begin at 1. */
export class Lines {
  private readonly blocks = new Map<number, (string | undefined)[]>()
  /** How many there are, here or not. */
  total = 0

  /** A line; none: it is not here. */
  at(number: number): string | undefined {
    return this.blocks.get(blockOf(number))?.[(number - 1) % BLOCK]
  }

  /** Takes lines from number `first` on. */
  put(first: number, lines: readonly string[]): void {
    lines.forEach((line, n) => {
      const at = blockOf(first + n)
      let block = this.blocks.get(at)
      if (block === undefined) this.blocks.set(at, (block = []))
      block[(first + n - 1) % BLOCK] = line
    })
    this.total = Math.max(this.total, first + lines.length - 1)
  }

  /** Numbers from `first` up to before `end` that the server does not have: they are lost, and stay empty. */
  lose(first: number, end: number): void {
    this.put(first, Array.from({ length: Math.max(0, end - first) }, (_, n) => this.at(first + n) ?? ''))
  }

  /** The first number of this range that is not here. */
  missing(from: number, to: number): number | undefined {
    for (let number = Math.max(1, from); number <= Math.min(to, this.total); number += 1) {
      if (this.at(number) === undefined) return number
    }
    return undefined
  }

  /** Lets go of what is far from this line. */
  keepNear(number: number): void {
    if (this.blocks.size <= KEPT) return
    const far = [...this.blocks.keys()].sort((a, b) => Math.abs(b - blockOf(number)) - Math.abs(a - blockOf(number)))
    for (const block of far.slice(0, this.blocks.size - KEPT)) this.blocks.delete(block)
  }
}

/** The block in which a line is. */
export function blockOf(number: number): number {
  return Math.floor((number - 1) / BLOCK)
}
