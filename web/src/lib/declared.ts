import type { DeclaredInput } from '@/api/schema'

/** Where the form stands in a manifest: lines from the one after `inputs:` to the one before the next field. */
interface Block { from: number; to: number; indent: string }

const indented = (line: string): number => line.length - line.trimStart().length

/** The form of a manifest as it is written in lines; undefined: there is none, or it is written in another way. */
function block(lines: readonly string[], at: number): Block {
  const field = indented(lines[at] ?? '')
  let to = at + 1
  for (let n = to; n < lines.length; n += 1) {
    const line = lines[n] ?? ''
    if (line.trim() === '') continue
    if (indented(line) < field || (indented(line) === field && !line.trimStart().startsWith('-'))) break
    to = n + 1
  }
  const first = lines.slice(at + 1, to).find((line) => line.trim() !== '')
  return { from: at + 1, to, indent: ' '.repeat(first === undefined ? field : indented(first)) }
}

/** The lines of `spec:`, and how its fields are indented; undefined: it is not written in lines. */
function spec(lines: readonly string[]): { at: number; end: number; indent: string } | undefined {
  const at = lines.findIndex((line) => /^spec:\s*$/.test(line))
  const first = lines.slice(at + 1).find((line) => line.trim() !== '' && !line.trimStart().startsWith('#'))
  if (at < 0 || first === undefined || indented(first) === 0) return undefined
  const after = lines.findIndex((line, n) => n > at && line.trim() !== '' && indented(line) === 0)
  return { at, end: after < 0 ? lines.length : after, indent: ' '.repeat(indented(first)) }
}

function inputs(lines: readonly string[]): number | undefined {
  const of = spec(lines)
  const found = of === undefined ? -1 : lines.findIndex((line, n) => n > of.at && n < of.end && line.startsWith(`${of.indent}inputs:`))
  return found < 0 ? undefined : found
}

/** Of what a playbook declares, what the form in this manifest has not. */
export function missing(text: string, declared: readonly DeclaredInput[]): DeclaredInput[] {
  const lines = text.split('\n')
  const at = inputs(lines)
  if (at === undefined) return [...declared]
  const form = lines.slice(at, block(lines, at).to).join('\n')
  const names = new Set([...form.matchAll(/(?:^|[\s{,-])name:\s*["']?([A-Za-z0-9_]+)/g)].map((found) => found[1]))
  return declared.filter((one) => !names.has(one.name))
}

/** The manifest with these in its form; undefined: it is written so that a person has to do that. */
export function added(text: string, declared: readonly DeclaredInput[]): string | undefined {
  const lines = text.split('\n')
  const of = spec(lines)
  if (of === undefined) return undefined
  const items = (indent: string): string[] => declared.flatMap((one) => one.yaml.trimEnd().split('\n').map((line) => indent + line))
  const at = inputs(lines)
  if (at === undefined) {
    lines.splice(of.at + 1, 0, `${of.indent}inputs:`, ...items(of.indent))
    return lines.join('\n')
  }
  if (!/^\s*inputs:\s*(\[\]\s*)?$/.test(lines[at] ?? '')) return undefined
  lines[at] = `${of.indent}inputs:`
  const { to, indent } = block(lines, at)
  lines.splice(to, 0, ...items(indent))
  return lines.join('\n')
}
