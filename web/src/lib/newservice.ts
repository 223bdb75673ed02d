import type { FieldError } from '@/api/schema'
import { yaml, type Plain } from './yaml'

/** What the form asks, in its order. */
export const QUESTIONS = [
  'title', 'team', 'name', 'environment',
  'repository', 'follow', 'branch', 'versions', 'login', 'folder', 'playbook',
  'servers', 'user', 'key', 'known', 'hosts',
  'when',
] as const
export type Question = (typeof QUESTIONS)[number]
export type Answers = Record<Question, string>

export const EMPTY: Answers = {
  title: '', team: '', name: '', environment: '',
  repository: '', follow: 'branch', branch: '', versions: '*', login: '', folder: '', playbook: 'deploy.yml',
  servers: '', user: '', key: '', known: 'list', hosts: '',
  when: 'Manual',
}

/** Longest name of a Service. */
const LONGEST = 40

/** A name that Kubernetes takes, from what people call it. */
export function nameOf(title: string): string {
  const plain = title.toLowerCase().replaceAll('ä', 'ae').replaceAll('ö', 'oe').replaceAll('ü', 'ue').replaceAll('ß', 'ss').normalize('NFD')
  return plain.replace(/[^a-z0-9]+/g, '-').slice(0, LONGEST).replace(/^-+|-+$/g, '')
}

/** The servers: one a line, perhaps with an address behind it. */
export function servers(text: string): { name: string; address: string | undefined }[] {
  const lines = text.split('\n').map((line) => line.trim().split(/[\s,]+/)).filter(([name]) => name !== undefined && name !== '')
  return lines.map(([name = '', address]) => ({ name, address }))
}

/** Whether a question makes sense after those answers. */
export function asks(question: Question, answers: Answers): boolean {
  const some = servers(answers.servers).length > 0
  switch (question) {
    case 'branch': return answers.follow === 'branch'
    case 'versions': return answers.follow === 'versions'
    case 'user': case 'key': case 'known': return some
    case 'hosts': return some && answers.known === 'list'
    default: return true
  }
}

/** Of these, none may stay empty. */
const NEEDED: readonly Question[] = ['title', 'team', 'name', 'repository', 'versions', 'playbook', 'hosts']
export function isNeeded(question: Question): boolean {
  return NEEDED.includes(question)
}
export function unanswered(answers: Answers): Question[] {
  return NEEDED.filter((question) => asks(question, answers) && answers[question].trim() === '')
}

/** Only what was answered. */
function some(fields: Record<string, Plain | undefined>): Record<string, Plain> {
  return Object.fromEntries(Object.entries(fields).filter((pair): pair is [string, Plain] => pair[1] !== undefined && pair[1] !== ''))
}
const ref = (name: string): Plain | undefined => (name === '' ? undefined : { name })

/** The manifest, as it will be sent. */
export function manifest(answers: Answers): string {
  const said = (question: Question) => (asks(question, answers) ? answers[question].trim() : '')
  const hosts = servers(answers.servers)
  const ssh = some({ secretRef: ref(said('key')), user: said('user') })
  const known = hosts.length === 0 ? undefined : answers.known === 'first' ? { trust: 'OnFirstUse' } : said('hosts') === '' ? undefined : { configMapRef: { name: said('hosts') } }
  const credentials = some({ ssh: hosts.length > 0 && Object.keys(ssh).length > 0 ? ssh : undefined, knownHosts: known })
  return yaml({
    apiVersion: 'fastdeploy.dev/v1alpha1',
    kind: 'Service',
    metadata: { name: said('name'), namespace: said('team') },
    spec: some({
      title: said('title'),
      environment: said('environment'),
      source: { git: { url: said('repository'), ...some({ branch: said('branch'), semver: said('versions'), path: said('folder').replace(/^\/+|\/+$/g, ''), secretRef: ref(said('login')) }) } },
      playbook: said('playbook'),
      inventory: hosts.length === 0 ? { local: true } : { inline: { all: { hosts: Object.fromEntries(hosts.map(({ name, address }) => [name, address === undefined ? {} : { ansible_host: address }])) } } },
      credentials: Object.keys(credentials).length > 0 ? credentials : undefined,
      policy: { deploy: answers.when },
    }),
  })
}

/** Where an answer stands in the manifest. */
const PLACE: readonly (readonly [string, Question])[] = [
  ['metadata.namespace', 'team'], ['metadata.name', 'name'], ['spec.title', 'title'], ['spec.environment', 'environment'],
  ['spec.source.git.url', 'repository'], ['spec.source.git.branch', 'branch'], ['spec.source.git.semver', 'versions'], ['spec.source.git.path', 'folder'],
  ['spec.source.git.secretRef', 'login'], ['spec.source.git', 'repository'], ['spec.source', 'repository'], ['spec.playbook', 'playbook'], ['spec.inventory', 'servers'],
  ['spec.credentials.ssh.user', 'user'], ['spec.credentials.ssh', 'key'], ['spec.credentials.knownHosts', 'hosts'], ['spec.policy', 'when'],
]

/** What the cluster has against it, each at its question; the rest is said once. */
export function faults(errors: readonly FieldError[]): { at: Partial<Record<Question, string>>; rest: string[] } {
  const at: Partial<Record<Question, string>> = {}
  const rest: string[] = []
  for (const { field, message } of errors) {
    const place = PLACE.find(([path]) => field === path || field.startsWith(`${path}.`) || field.startsWith(`${path}[`))
    if (place === undefined) rest.push(message)
    else at[place[1]] ??= message
  }
  return { at, rest }
}
