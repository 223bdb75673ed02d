import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { TYPE, type MessageFormatElement } from '@formatjs/icu-messageformat-parser'
import { expect, test } from 'vitest'
import { compile, parts, read as understood, type Tree } from '../icu'
import { SAID } from '@/lib/activity'
import { sayer } from '@/lib/icu'
import { HOST, MARK, PHASE, SERVICE, STEP } from '@/lib/states'

function flat(tree: Tree, path = ''): [string, string][] {
  return Object.entries(tree).flatMap(([key, value]): [string, string][] =>
    typeof value === 'string' ? [[path + key, value]] : flat(value, `${path}${key}.`),
  )
}

// As they are written: an import gives what they are compiled to.
function read(language: string): Map<string, string> {
  const folder = join(import.meta.dirname, '../src/locales')
  const pages = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory())
  const files = [`${language}.json`, ...pages.map(({ name }) => `${name}/${language}.json`)].map((name) => join(folder, name))
  const all = files.filter(existsSync).flatMap((file) => flat(JSON.parse(readFileSync(file, 'utf8'))))
  // What a page says is added to what is said everywhere, so neither may change the other's words.
  expect(all.map(([key]) => key).filter((key, n, keys) => keys.indexOf(key) !== n)).toEqual([])
  return new Map(all)
}
const english = read('en')
const german = read('de')

/** What a sentence asks for, by name, and as what. */
function blanks(elements: readonly MessageFormatElement[]): string[] {
  const of = (element: MessageFormatElement): string[] => {
    if (element.type === TYPE.literal || element.type === TYPE.pound || element.type === TYPE.tag) return []
    const inner = element.type === TYPE.plural || element.type === TYPE.select ? Object.values(element.options).flatMap(({ value }) => blanks(value)) : []
    return [`${element.value}: ${element.type === TYPE.plural || element.type === TYPE.select ? 'decides' : 'is said'}`, ...inner]
  }
  return [...new Set(elements.flatMap(of))].sort()
}

/** The forms of each plural in a sentence, but those of one number. */
function plurals(elements: readonly MessageFormatElement[]): string[][] {
  return elements.flatMap((element): string[][] => {
    if (element.type !== TYPE.plural && element.type !== TYPE.select) return []
    const inner = Object.values(element.options).flatMap(({ value }) => plurals(value))
    return element.type === TYPE.plural ? [Object.keys(element.options).filter((form) => !form.startsWith('=')).sort(), ...inner] : inner
  })
}

test('every sentence is there in both languages, is ICU MessageFormat, and asks for the same', () => {
  expect([...german.keys()].sort()).toEqual([...english.keys()].sort())
  for (const [key, text] of english) expect(blanks(understood(german.get(key) ?? '')), key).toEqual(blanks(understood(text)))
})

test.each([['en', english], ['de', german]] as const)('every plural of %s has the forms that the language has, and no other', (language, sentences) => {
  const forms = [...new Intl.PluralRules(language).resolvedOptions().pluralCategories].sort()
  let found = 0
  for (const [key, text] of sentences) {
    expect(text, key).not.toMatch(/ \| |\{'/)
    for (const plural of plurals(understood(text))) {
      found++
      expect(plural, key).toEqual(forms)
    }
  }
  expect(found).toBeGreaterThan(30)
})

test('a sentence says what it is given, in the way of its language', () => {
  const say = (language: string, sentence: string, given: Record<string, unknown>) =>
    sayer(language)(...parts(sentence))({ named: (name) => given[name], interpolate: String, normalize: (all) => all.join('') })
  const steps = '{n, plural, =0 {nothing} one {# step of {who}} other {# steps of {who}}}'
  expect([0, 1, 2, 2_000].map((n) => say('en', steps, { n, who: 'anna' }))).toEqual(['nothing', '1 step of anna', '2 steps of anna', '2,000 steps of anna'])
  expect(say('de', steps, { n: 2_000, who: 'anna' })).toBe('2.000 steps of anna')
  expect(say('pl', '{n, plural, one {plik} few {pliki} many {plików} other {pliku}}', { n: 3 })).toBe('pliki')
  expect(say('en', '{how, select, well {fine} other {not fine}}, #{number}', { how: 'well', number: 1_234 })).toBe('fine, #1234')
  // Signs that mean something elsewhere are only signs, and braces are written in apostrophes.
  expect(say('en', "it's <b> a@b | c $t(x) '{'{n}'}'", { n: 1 })).toBe("it's <b> a@b | c $t(x) {1}")
})

test('what is no sentence of this page breaks the build, and says where', () => {
  for (const wrong of ['{n', '{n, plural, one {x}}', '{at, date, short}', '{n, selectordinal, other {#th}}']) expect(() => compile({ a: { b: wrong } }, 'en'), wrong).toThrow('en.a.b: ')
  expect(compile({ a: 'only text', b: '{n} of {m}' }, 'en')).toMatch(/^export default \{"a":"only text","b":say\(\["n"\]," of ",\["m"\]\)\}$/m)
})

test('every state has a word', () => {
  for (const [part, states] of Object.entries({ service: SERVICE, phase: PHASE, step: STEP, mark: MARK, history: PHASE, 'run.say': PHASE, 'run.preview': PHASE, did: SAID })) {
    for (const state of Object.keys(states)) expect(english.has(`${part}.${state}`), `${part}.${state}`).toBe(true)
  }
  expect(Object.values(HOST).every((mark) => english.has(`mark.${mark}`))).toBe(true)
})

test('every reason of the docs has words', () => {
  const docs = readFileSync(join(import.meta.dirname, '../../docs/reasons.md'), 'utf8')
  const reasons = [...docs.matchAll(/^\| `(\w+)` \|/gm)].map((match) => `reason.${match[1]}`)
  expect(reasons.length).toBeGreaterThan(50)
  expect(reasons.filter((reason) => !english.has(reason) || !german.has(reason))).toEqual([])
})

test('whatever a run may fail of, there is something to do', () => {
  const docs = readFileSync(join(import.meta.dirname, '../../docs/reasons.md'), 'utf8')
  const named = [...docs.matchAll(/^\| `(\w+)` \|/gm)].map((match) => match[1] ?? '')
  // How a run ends that nobody has to do something about; the others say how things stand.
  const others = ['Cancelled', 'Superseded', 'Replaced', 'ApprovalRejected', 'ApprovalExpired', 'ApprovalVoid', 'HistoryLost']
  const failures = named.slice(named.indexOf('TaskFailed')).filter((reason) => !others.includes(reason))
  expect(failures.length).toBeGreaterThan(25)
  expect(failures.filter((reason) => !english.has(`hint.${reason}`))).toEqual([])
})

test('no sentence is unused, and none that is used is missing', () => {
  const folder = join(import.meta.dirname, '../src')
  const source = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(vue|ts)$/.test(name) && !name.includes('schema'))
    .map((name) => readFileSync(join(folder, name), 'utf8'))
    .join('\n')
  const used = new Set([...source.matchAll(/\bt\(\s*'([\w.]+)'|keypath="([\w.]+)"|'((?:card|fail|service|run|deploy)\.(?!yml)\w+)'/g)].map((match) => match[1] ?? match[2] ?? match[3] ?? ''))
  const families = [...source.matchAll(/`([\w.]+)\.\$\{/g)].map((match) => `${match[1]}.`)
  // Names of events look like sentences' names, and have sentences of their own.
  for (const key of used) if (!(key in SAID)) expect(english.has(key), key).toBe(true)
  // A choice between sentences names them without calling anything.
  const named = new Set([...source.matchAll(/'(\w+(?:\.\w+)+)'/g)].map((match) => match[1]))
  const unused = [...english.keys()].filter((key) => !used.has(key) && !named.has(key) && !families.some((family) => key.startsWith(family)))
  expect(unused).toEqual([])
})

test('no visible text stands in a template', () => {
  const folder = join(import.meta.dirname, '../src')
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.vue'))) {
    const source = readFileSync(join(folder, name), 'utf8')
    const template = source.slice(source.indexOf('<template>')).replace(/\{\{[\s\S]*?\}\}/g, '').replace(/<!--[\s\S]*?-->/g, '')
    // Tags with their attributes, which may contain arrows.
    const words = template.replace(/<\/?[A-Za-z][\w.-]*(?:\s+[^\s=>]+(?:="[^"]*")?)*\s*\/?>/g, ' ').match(/[A-Za-zäöüß]{2,}/g) ?? []
    expect(words.filter((word) => !['fast', 'Deploy'].includes(word)), name).toEqual([])
    expect(template, name).not.toMatch(/\sstyle="|v-html/)
  }
})
