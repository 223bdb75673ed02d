import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { parse, TYPE, type MessageFormatElement } from '@formatjs/icu-messageformat-parser'
import type { Plugin } from 'vite'
import type { Part } from './src/lib/icu'

/** What is written in a file of sentences. */
export type Tree = { [key: string]: string | Tree }

/** A sentence in ICU MessageFormat, read. What is no tag stays text: `<` is a sign like others. */
export function read(sentence: string): MessageFormatElement[] {
  return parse(sentence, { ignoreTag: true, requiresOtherClause: true })
}

/** A sentence as what the page puts together. Dates and the like the page formats itself. */
export function parts(sentence: string): Part[] {
  return read(sentence).map((element) => part(element))
}

function part(element: MessageFormatElement, counted?: string): Part {
  switch (element.type) {
    case TYPE.literal:
      return element.value
    case TYPE.argument:
      return [element.value]
    case TYPE.number:
      return [element.value, 0]
    case TYPE.pound:
      if (counted === undefined) throw new Error('# stands outside of a plural')
      return [counted, 0]
    case TYPE.select:
    case TYPE.plural: {
      if (element.type === TYPE.plural && (element.pluralType === 'ordinal' || element.offset !== 0)) break
      const inner = element.type === TYPE.plural ? element.value : counted
      return [element.value, Object.fromEntries(Object.entries(element.options).map(([form, { value }]) => [form, value.map((one) => part(one, inner))]))]
    }
  }
  throw new Error(`${JSON.stringify(element)} is nothing that sentences of this page are made of`)
}

/** A file of sentences as a module: what is not only text is put together by a function, so that nothing is read, and nothing evaluated, in the browser. */
export function compile(tree: Tree, language: string): string {
  const write = (node: string | Tree, path: string): string => {
    if (typeof node !== 'string') return `{${Object.entries(node).map(([key, value]) => `${JSON.stringify(key)}:${write(value, `${path}.${key}`)}`).join(',')}}`
    try {
      const [first = '', ...rest] = parts(node)
      return rest.length === 0 && typeof first === 'string' ? JSON.stringify(first) : `say(${[first, ...rest].map((one) => JSON.stringify(one)).join(',')})`
    } catch (error) {
      throw new Error(`${language}${path}: ${node}`, { cause: error })
    }
  }
  return `import { sayer } from '@/lib/icu'\nconst say = sayer(${JSON.stringify(language)})\nexport default ${write(tree, '')}\n`
}

/** The files of sentences are imported as what `compile` makes of them. */
export function icu(): Plugin {
  const written = /\/locales\/(?:\w+\/)?(\w+)\.json$/
  return {
    name: 'icu',
    enforce: 'pre',
    resolveId(source, importer) {
      if (importer === undefined || !written.test(source)) return null
      const file = source.startsWith('/src/') ? resolve(import.meta.dirname, source.slice(1)) : resolve(importer, '..', source)
      // Not a .json, which others would read as such.
      return `\0${file}.js`
    },
    load(id) {
      const file = id.startsWith('\0') ? id.slice(1, -'.js'.length) : ''
      const language = written.exec(file)?.[1]
      if (language === undefined) return null
      this.addWatchFile(file)
      return compile(JSON.parse(readFileSync(file, 'utf8')), language)
    },
  }
}
