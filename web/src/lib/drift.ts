import { pieces } from './ansi'

/** What one server has otherwise than it was left, as Ansible prints it with `diff`. */
export interface Difference {
  host: string
  /** Lines, without marks: `is` stands on the server, `should` was left there, `both` is around it. */
  lines: { kind: 'is' | 'should' | 'both'; text: string }[]
}

/** More lines than this of one difference say no more. */
const MOST = 60
const TASK = /^(?:TASK|RUNNING HANDLER) \[(.*)\] \**$/
const RESULT = /^(\w+): \[([^\]\s]+)(?: -> [^\]]*)?\]/

/** The differences in the output of a check, by the name of the step. Read from what people read, so nothing more is kept. */
export function differences(output: readonly string[]): Map<string, Difference[]> {
  const found = new Map<string, Difference[]>()
  let [task, lines]: [string, Difference['lines']] = ['', []]
  /** Within a difference: its two heads were there. */
  let inside = false
  for (const raw of output) {
    const line = pieces(raw).map(({ text }) => text).join('')
    const begun = TASK.exec(line)
    const result = RESULT.exec(line)
    if (begun) [task, lines, inside] = [begun[1] ?? '', [], false]
    else if (result) {
      const all = found.get(task) ?? []
      if (result[1] === 'changed' && lines.length > 0) found.set(task, [...all, { host: result[2] ?? '', lines: lines.slice(0, MOST) }])
      ;[lines, inside] = [[], false]
    } else if (line.startsWith('--- ')) inside = true
    else if (inside && !line.startsWith('+++ ') && !line.startsWith('@@') && !line.startsWith('\\')) {
      const kind = line.startsWith('-') ? 'is' : line.startsWith('+') ? 'should' : 'both'
      if (line !== '') lines.push({ kind, text: line.slice(1) })
    }
  }
  return found
}

/** Of one step: Ansible writes the role before its name. */
export function ofStep(all: ReadonlyMap<string, Difference[]>, name: string): Difference[] {
  return [...all].flatMap(([task, differences]) => (task === name || task.endsWith(` : ${name}`) ? differences : []))
}
