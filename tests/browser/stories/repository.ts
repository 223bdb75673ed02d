import { execFileSync } from 'node:child_process'
import { kubectl } from './page'

const HTTP = `
server.modules = ("mod_alias", "mod_cgi", "mod_setenv")
server.document-root = "/srv/none"
server.port = 8080
server.errorlog = "/dev/stderr"
alias.url = ("/git" => "/usr/local/bin/backend")
cgi.assign = ("" => "")
setenv.set-environment = ("GIT_PROJECT_ROOT" => "/srv/git", "GIT_HTTP_EXPORT_ALL" => "1")
`

/** A Git server of one's own, with one repository. */
export class Repository {
  constructor(
    readonly namespace: string,
    readonly name: string,
  ) {
    const image = process.env['FASTDEPLOY_REPOSITORY_IMAGE']
    if (image === undefined) throw new Error('FASTDEPLOY_REPOSITORY_IMAGE is not set: eval "$(make -s env)" first')
    const start = 'install -d /srv/none /srv/log && touch /srv/log/requests && exec lighttpd -D -f /in/http.conf'
    const items = [
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: { 'http.conf': HTTP } },
      { apiVersion: 'v1', kind: 'Service', metadata: { name }, spec: { selector: { app: name }, ports: [{ port: 8080 }] } },
      {
        apiVersion: 'v1', kind: 'Pod', metadata: { name, labels: { app: name } },
        spec: {
          automountServiceAccountToken: false, terminationGracePeriodSeconds: 1, volumes: [{ name: 'in', configMap: { name } }],
          containers: [{ name: 'git', image, imagePullPolicy: 'IfNotPresent', command: ['sh', '-c', start], readinessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1 }, volumeMounts: [{ name: 'in', mountPath: '/in' }] }],
        },
      },
    ]
    execFileSync('kubectl', ['--namespace', namespace, 'apply', '--filename', '-'], { input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items }), encoding: 'utf8' })
    kubectl('--namespace', namespace, 'wait', '--for=condition=Ready', `pod/${name}`, '--timeout=60s')
  }

  get url(): string {
    return `http://${this.name}.${this.namespace}.svc.cluster.local:8080/git/site.git`
  }

  /** Puts a file into a branch, perhaps with a tag: the commit. */
  commit(branch: string, file: string, text: string, ...tag: string[]): string {
    return execFileSync('kubectl', ['--namespace', this.namespace, 'exec', '--stdin', this.name, '--', 'commit', 'site', branch, file, ...tag], { input: text, encoding: 'utf8' }).trim()
  }
}
