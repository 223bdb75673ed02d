import type {
  ActivityPage, Comparison, DeploymentAnswer, DeploymentPage, FieldError, Form, Found, Output, Plan, Problem, ServiceAnswer, ServicePage, Session, SignedOut, Start, StopHow, Trusted, Ways, YesOrNo,
} from './schema'

/** The server said no, or did not answer: `status` 0. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly reason: string,
    detail: string,
    readonly field?: string,
    /** Everything that is wrong, field by field. */
    readonly errors: readonly FieldError[] = [],
  ) {
    super(detail)
  }
}

/** Where requests get their token, and what they do when it does not count any more. */
export interface Tokens {
  current(): Promise<string>
  renewed(old: string): Promise<string>
}

let tokens: Tokens | undefined

/** To be called once, before the first request of somebody who is signed in. */
export function useTokens(from: Tokens): void {
  tokens = from
}

/** What goes with a request: JSON, or a manifest with the ETag of what was read. */
interface Sent { body?: unknown; key?: string; yaml?: string; etag?: string }

async function send(method: string, path: string, options: Sent & { token?: string }): Promise<Response> {
  const headers = new Headers()
  if (options.token !== undefined) headers.set('authorization', `Bearer ${options.token}`)
  if (options.body !== undefined) headers.set('content-type', 'application/json')
  if (options.key !== undefined) headers.set('idempotency-key', options.key)
  if (options.yaml !== undefined) headers.set('content-type', 'application/yaml')
  if (options.etag !== undefined) headers.set('if-match', options.etag)
  const init: RequestInit = { method, headers }
  if (options.yaml !== undefined) init.body = options.yaml
  if (options.body !== undefined) init.body = JSON.stringify(options.body)
  let response: Response
  try {
    response = await fetch(`/api/v1${path}`, init)
  } catch {
    throw new Refused(0, 'Unreachable', '')
  }
  if (response.ok) return response
  const problem: Partial<Problem> = await response.json().catch(() => ({}))
  throw new Refused(response.status, problem.reason ?? 'Unknown', problem.detail ?? '', problem.field, problem.errors ?? [])
}

/** An answer to somebody who is signed in. */
async function answered(method: string, path: string, options: Sent = {}): Promise<Response> {
  if (!tokens) throw new Refused(401, 'SignedOut', '')
  const token = await tokens.current()
  try {
    return await send(method, path, { token, ...options })
  } catch (error) {
    if (!(error instanceof Refused) || error.status !== 401) throw error
    // Once more, with a newer token.
    return await send(method, path, { token: await tokens.renewed(token), ...options })
  }
}

/** A request of somebody who is signed in; `T` is void where the answer has no body. */
export async function asked<T>(method: string, path: string, body?: unknown, key?: string): Promise<T> {
  return await content(await answered(method, path, { ...(body === undefined ? {} : { body }), ...(key === undefined ? {} : { key }) }))
}

async function content<T>(response: Response): Promise<T> {
  const text = await response.text()
  return JSON.parse(text === '' ? 'null' : text)
}

export const part = encodeURIComponent

/** What is asked for, as the end of an address; what is not set is left out. */
function query(wanted: Readonly<Record<string, string | number | undefined>>): string {
  const pairs = Object.entries(wanted).flatMap(([name, value]) => (value === undefined || value === '' ? [] : [`${name}=${part(value)}`]))
  return pairs.length === 0 ? '' : `?${pairs.join('&')}`
}

/** Which runs of all Services. */
export interface FindRuns { namespace?: string; service?: string; phase?: string; by?: string; limit?: number; after?: string }

/** Which lines of the activity. */
export interface FindActivity { what?: string; who?: string; namespace?: string; limit?: number; before?: number }

/** A Service as it is written, and what a change of it has to name. */
export interface Manifest { text: string; etag: string }

async function manifest(answer: Promise<Response>): Promise<Manifest> {
  const response = await answer
  return { text: await response.text(), etag: response.headers.get('etag') ?? '' }
}

/** The API, as the page uses it. */
export const api = {
  signIn: async (name: string, password: string): Promise<Session> =>
    (await send('POST', '/session', { body: { name, password } })).json(),
  refresh: async (): Promise<Session> => (await send('POST', '/session/refresh', {})).json(),
  /** Where the browser signs out of the organisation, too; nothing, if there is no such place. */
  signOut: async (): Promise<SignedOut | null> => content(await send('DELETE', '/session', {})),
  signInWays: async (): Promise<Ways> => content(await send('GET', '/session/ways', {})),
  services: (after?: string): Promise<ServicePage> =>
    asked('GET', `/services?limit=200${after === undefined ? '' : `&after=${part(after)}`}`),
  /** Of one namespace; at most 200. */
  servicesOf: (namespace: string): Promise<ServicePage> => asked('GET', `/services?limit=200&namespace=${part(namespace)}`),
  manifest: (namespace: string, name: string): Promise<Manifest> => manifest(answered('GET', `/services/${part(namespace)}/${part(name)}/manifest`)),
  /** Makes a Service; with `dry` it is checked only. */
  createManifest: (yaml: string, dry: boolean): Promise<Manifest> => manifest(answered('POST', `/services${dry ? '?dryRun=All' : ''}`, { yaml })),
  /** With `dry` it is checked only; the answer is the manifest as it is, or would be. */
  changeManifest: (namespace: string, name: string, yaml: string, etag: string, dry: boolean): Promise<Manifest> =>
    manifest(answered('PUT', `/services/${part(namespace)}/${part(name)}/manifest${dry ? '?dryRun=All' : ''}`, { yaml, etag })),
  service: (namespace: string, name: string): Promise<ServiceAnswer> =>
    asked('GET', `/services/${part(namespace)}/${part(name)}`),
  deployments: (namespace: string, name: string, after?: string, limit = 20): Promise<DeploymentPage> =>
    asked(
      'GET',
      `/services/${part(namespace)}/${part(name)}/deployments?limit=${limit}${after === undefined ? '' : `&after=${part(after)}`}`,
    ),
  deployment: (uid: string): Promise<DeploymentAnswer> => asked('GET', `/deployments/${part(uid)}`),
  start: (namespace: string, name: string, what: Start, key: string): Promise<DeploymentAnswer> =>
    asked('POST', `/services/${part(namespace)}/${part(name)}/deployments`, what, key),
  stop: (uid: string, how: StopHow): Promise<DeploymentAnswer> =>
    asked('POST', `/deployments/${part(uid)}/cancel`, { how }),
  /** Runs of all Services that one may see, newest first. */
  find: (which: FindRuns): Promise<DeploymentPage> => asked('GET', `/deployments${query({ ...which })}`),
  /** While an upgrade is on, a server of before may answer, which knows of neither. */
  form: async (namespace: string, name: string): Promise<Form> => ({ ...{ revisions: [], commits: [] }, ...(await asked<Form>('GET', `/services/${part(namespace)}/${part(name)}/form`)) }),
  plan: (namespace: string, name: string): Promise<Plan> => asked('GET', `/services/${part(namespace)}/${part(name)}/plan`),
  decide: (uid: string, decision: YesOrNo, digest: string): Promise<DeploymentAnswer> =>
    asked('POST', `/deployments/${part(uid)}/approval`, { decision, digest }),
  /** The key that a run was shown, and that somebody has compared, becomes the one by which the server is recognised. */
  trust: (uid: string, fingerprint: string): Promise<Trusted> => asked('POST', `/deployments/${part(uid)}/trust`, { fingerprint }),
  /** What a run was given, against what another was given. */
  compare: (uid: string, before: string): Promise<Comparison> => asked('GET', `/deployments/${part(uid)}/comparison${query({ with: before })}`),
  activity: (which: FindActivity): Promise<ActivityPage> => asked('GET', `/activity${query({ ...which })}`),
  activityFile: async (which: FindActivity): Promise<string> => (await answered('GET', `/activity/csv${query({ ...which })}`)).text(),
  output: (uid: string, from: number, limit: number, attempt?: number): Promise<Output> =>
    asked('GET', `/deployments/${part(uid)}/output${query({ from, limit, attempt })}`),
  search: (uid: string, q: string, from: number, limit: number, attempt?: number): Promise<Found> =>
    asked('GET', `/deployments/${part(uid)}/output/search${query({ q, from, limit, attempt })}`),
}
