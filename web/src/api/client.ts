import type { DeploymentAnswer, DeploymentPage, Output, Problem, ServiceAnswer, ServicePage, Session, Start, StopHow } from './schema'

/** The server said no, or did not answer: `status` 0. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly reason: string,
    detail: string,
    readonly field?: string,
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

async function send(method: string, path: string, options: { token?: string; body?: unknown; key?: string }): Promise<Response> {
  const headers = new Headers()
  if (options.token !== undefined) headers.set('authorization', `Bearer ${options.token}`)
  if (options.body !== undefined) headers.set('content-type', 'application/json')
  if (options.key !== undefined) headers.set('idempotency-key', options.key)
  const init: RequestInit = { method, headers }
  if (options.body !== undefined) init.body = JSON.stringify(options.body)
  let response: Response
  try {
    response = await fetch(`/api/v1${path}`, init)
  } catch {
    throw new Refused(0, 'Unreachable', '')
  }
  if (response.ok) return response
  const problem: Partial<Problem> = await response.json().catch(() => ({}))
  throw new Refused(response.status, problem.reason ?? 'Unknown', problem.detail ?? '', problem.field)
}

async function asked<T>(method: string, path: string, body?: unknown, key?: string): Promise<T> {
  if (!tokens) throw new Refused(401, 'SignedOut', '')
  const options = { ...(body === undefined ? {} : { body }), ...(key === undefined ? {} : { key }) }
  const token = await tokens.current()
  try {
    return await (await send(method, path, { token, ...options })).json()
  } catch (error) {
    if (!(error instanceof Refused) || error.status !== 401) throw error
    // Once more, with a newer token.
    const newer = await tokens.renewed(token)
    return await (await send(method, path, { token: newer, ...options })).json()
  }
}

const part = encodeURIComponent

/** The API, as the page uses it. */
export const api = {
  signIn: async (name: string, password: string): Promise<Session> =>
    (await send('POST', '/session', { body: { name, password } })).json(),
  refresh: async (): Promise<Session> => (await send('POST', '/session/refresh', {})).json(),
  signOut: async (): Promise<void> => void (await send('DELETE', '/session', {})),
  services: (after?: string): Promise<ServicePage> =>
    asked('GET', `/services?limit=200${after === undefined ? '' : `&after=${part(after)}`}`),
  service: (namespace: string, name: string): Promise<ServiceAnswer> =>
    asked('GET', `/services/${part(namespace)}/${part(name)}`),
  deployments: (namespace: string, name: string, after?: string): Promise<DeploymentPage> =>
    asked(
      'GET',
      `/services/${part(namespace)}/${part(name)}/deployments?limit=20${after === undefined ? '' : `&after=${part(after)}`}`,
    ),
  deployment: (uid: string): Promise<DeploymentAnswer> => asked('GET', `/deployments/${part(uid)}`),
  start: (namespace: string, name: string, what: Start, key: string): Promise<DeploymentAnswer> =>
    asked('POST', `/services/${part(namespace)}/${part(name)}/deployments`, what, key),
  stop: (uid: string, how: StopHow): Promise<DeploymentAnswer> =>
    asked('POST', `/deployments/${part(uid)}/cancel`, { how }),
  output: (uid: string, from: number, limit: number): Promise<Output> =>
    asked('GET', `/deployments/${part(uid)}/output?from=${from}&limit=${limit}`),
}
