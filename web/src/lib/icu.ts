/**
 * What a sentence in ICU MessageFormat is made of, once it was read in the build: text; an argument; an argument as a
 * number; an argument that decides between forms, by a number's plural category, or by what it says.
 */
export type Part = string | [name: string, forms?: 0 | Forms]
export interface Forms { [form: string]: Part[] }

/** What vue-i18n hands to a message. `T`: text, or also what stands between tags. */
interface Context<T> {
  named(name: string): unknown
  interpolate(value: unknown): T
  normalize(parts: (string | T)[]): T
}

/** What makes the sentences of a language. */
export function sayer(language: string) {
  const plurals = new Intl.PluralRules(language)
  const numbers = new Intl.NumberFormat(language)
  const number = (value: unknown) => (typeof value === 'number' ? numbers.format(value) : value)

  function chosen(forms: Forms, value: unknown): Part[] {
    const form = typeof value === 'number' ? plurals.select(value) : String(value)
    return forms[`=${String(value)}`] ?? forms[form] ?? forms['other'] ?? []
  }

  function* put<T>(parts: readonly Part[], context: Context<T>): Generator<string | T> {
    for (const part of parts) {
      if (typeof part === 'string') yield part
      else {
        const value = context.named(part[0])
        if (part[1]) yield* put(chosen(part[1], value), context)
        else yield context.interpolate(part[1] === 0 ? number(value) : value)
      }
    }
  }

  return (...parts: Part[]) => <T>(context: Context<T>): T => context.normalize([...put(parts, context)])
}
