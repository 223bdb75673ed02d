/** What YAML can hold, as far as a manifest needs it. */
export type Plain = string | number | boolean | readonly Plain[] | { readonly [key: string]: Plain }

/** A text that is itself without quotes: no sign that means something, no word that is a number, a date or a yes. */
const BARE = /^[A-Za-z_/][\w./@+-]*(?: [\w./@+-]+)*$/
const WORDS = /^(?:true|false|yes|no|on|off|null|y|n)$/i

function scalar(value: string | number | boolean): string {
  if (typeof value !== 'string') return String(value)
  return BARE.test(value) && !WORDS.test(value) ? value : JSON.stringify(value)
}

/** As YAML: blocks, two blanks a level, so that people can read it. */
export function yaml(value: Plain, indent = ''): string {
  if (typeof value !== 'object') return `${indent}${scalar(value)}\n`
  if (isList(value)) return value.map((one) => `${indent}- ${yaml(one, `${indent}  `).trimStart()}`).join('')
  return Object.entries(value)
    .map(([key, one]) => {
      const name = `${indent}${scalar(key)}:`
      if (typeof one !== 'object') return `${name} ${scalar(one)}\n`
      if (Object.keys(one).length === 0) return `${name} ${isList(one) ? '[]' : '{}'}\n`
      return `${name}\n${yaml(one, `${indent}  `)}`
    })
    .join('')
}

function isList(value: Plain): value is readonly Plain[] {
  return Array.isArray(value)
}
