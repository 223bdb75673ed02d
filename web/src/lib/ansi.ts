/** A piece of a line in one style: classes of the stylesheet. */
export interface Piece {
  text: string
  classes: string[]
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
