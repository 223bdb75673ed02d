import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { APIRequestContext } from '@playwright/test'
import { expect, kubectl } from './page'

const SYSTEM = ['--namespace', 'fastdeploy-system']
const PROGRAM = fileURLToPath(new URL('provider.mjs', import.meta.url))

function apply(...objects: object[]): void {
  const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects })
  execFileSync('kubectl', [...SYSTEM, 'apply', '--filename', '-'], { input, encoding: 'utf8' })
}

/** An address of this machine that pods reach as well as the browser. */
function here(): string {
  return kubectl('get', 'nodes', '--output', 'jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}')
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  return port
}

/** An organisation that people can sign in with, and whose pipelines are trusted by these rules, as long as a story is told. */
export class Organisation {
  private constructor(readonly issuer: string, private readonly program: ChildProcess, private readonly request: APIRequestContext) {}

  static async begin(name: string, site: string, request: APIRequestContext, rules: object[] = []): Promise<Organisation> {
    const port = await freePort()
    const issuer = `http://${here()}:${port}`
    const program = spawn(process.execPath, [PROGRAM, issuer, String(port), `${site}/api/v1/session/oidc/callback`, `${site}/sign-in`], { stdio: ['ignore', 'pipe', 'ignore'] })
    await once(createInterface({ input: program.stdout }), 'line')
    const settings = { issuer, clientId: 'fastdeploy', url: site, displayName: name, usernameClaim: 'preferred_username', usernamePrefix: 'oidc:', groupsPrefix: 'oidc:', scopes: ['profile', 'groups'] }
    apply(
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'fastdeploy-sign-in' }, data: { 'oidc.json': JSON.stringify(settings), 'federation.json': JSON.stringify({ url: site, rules: rules.map((rule) => ({ issuer, ...rule })) }) } },
      { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'fastdeploy-oidc' }, stringData: { 'client-secret': 'a secret of the story & more' } },
    )
    const organisation = new Organisation(issuer, program, request)
    await organisation.offered(name)
    return organisation
  }

  /** The kubelet brings what is new into the pod, sooner if the pod itself changes. */
  private async offered(name: string | undefined): Promise<void> {
    const pods = [...SYSTEM, 'annotate', 'pods', '--selector', 'app.kubernetes.io/component=api-server', '--overwrite']
    await expect
      .poll(
        async () => {
          kubectl(...pods, `fastdeploy.dev/story=${Date.now()}`)
          const ways: { organisation?: { name: string } } = await (await this.request.get('/api/v1/session/ways')).json()
          return ways.organisation?.name
        },
        { timeout: 150_000, intervals: [3_000] },
      )
      .toBe(name)
  }

  async end(): Promise<void> {
    this.program.kill()
    kubectl(...SYSTEM, 'delete', 'configmap/fastdeploy-sign-in', 'secret/fastdeploy-oidc', '--ignore-not-found')
    await this.offered(undefined)
  }
}
