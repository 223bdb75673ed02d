import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { SAID } from '@/lib/activity'
import { HOST, MARK, PHASE, SERVICE, STEP } from '@/lib/states'

type Tree = { [key: string]: string | Tree }

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

test('every sentence is there in both languages, with the same blanks', () => {
  expect([...german.keys()].sort()).toEqual([...english.keys()].sort())
  for (const [key, text] of english) {
    const blanks = (sentence: string) => [...new Set(sentence.match(/\{\w+\}/g) ?? [])].sort()
    expect(blanks(german.get(key) ?? ''), key).toEqual(blanks(text))
  }
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
