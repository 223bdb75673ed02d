/** A piece of a line in one style: classes of the stylesheet. */
export interface Piece {
  text: string
  classes: string[]
  /** It is what somebody looks for. */
  found?: boolean
}

const COLOURS: Record<number, string> = {
  30: 'a-dim', 31: 'a-red', 32: 'a-green', 33: 'a-yellow', 34: 'a-blue', 35: 'a-purple', 36: 'a-cyan',
  90: 'a-dim', 91: 'a-red', 92: 'a-green', 93: 'a-yellow', 94: 'a-blue', 95: 'a-purple', 96: 'a-cyan',
}
// A colour (CSI … m), any other CSI sequence, an OSC sequence, a single escape.
const ESCAPE = /\u001b(?:\[([0-9;]*)m|\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|.)?/g

/** A line of a terminal as pieces; what is no colour is left out. */
export function pieces(line: string): Piece[] {
  const found: Piece[] = []
  let [bold, dim, colour, from] = [false, false, '', 0]
  const add = (text: string): void => {
    if (text === '') return
    const classes = [bold && 'a-bold', dim && 'a-dim', colour].filter((name) => typeof name === 'string' && name !== '')
    found.push({ text, classes: classes.map(String) })
  }
  for (const match of line.matchAll(ESCAPE)) {
    add(line.slice(from, match.index))
    from = match.index + match[0].length
    if (match[1] === undefined) continue
    for (const code of match[1].split(';').map(Number)) {
      if (code === 0) [bold, dim, colour] = [false, false, '']
      else if (code === 1) bold = true
      else if (code === 2) dim = true
      else if (code === 22) [bold, dim] = [false, false]
      else if (code === 39) colour = ''
      else colour = COLOURS[code] ?? colour
    }
  }
  add(line.slice(from))
  return found
}

/** The line without any style. */
export function plain(line: string): string {
  return line.replace(ESCAPE, '')
}

/** The same pieces, with what somebody looks for apart. */
export function marked(all: readonly Piece[], words: string): Piece[] {
  if (words === '') return [...all]
  const wanted = words.toLowerCase()
  return all.flatMap(({ text, classes }) => {
    const low = text.toLowerCase()
    // A letter that is longer in the other case would move what is marked.
    if (low.length !== text.length) return [{ text, classes }]
    const parts: Piece[] = []
    let from = 0
    for (let at = low.indexOf(wanted); at >= 0; at = low.indexOf(wanted, from)) {
      if (at > from) parts.push({ text: text.slice(from, at), classes })
      parts.push({ text: text.slice(at, at + wanted.length), classes, found: true })
      from = at + wanted.length
    }
    if (from < text.length) parts.push({ text: text.slice(from), classes })
    return parts
  })
}
