import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { kubectl } from './page'

/** A Service of its own in a namespace of its own: Ansible runs in the run's pod itself. */
export class Sample {
  readonly namespace = `story-page-${randomBytes(3).toString('hex')}`
  constructor(readonly title: string) {}

  create(tasks: string, inputs = '[]', more = 'policy: {}', inventory = '{local: true}'): void {
    kubectl('create', 'namespace', this.namespace)
    kubectl('label', 'namespace', this.namespace, 'fastdeploy.dev/story=page')
    const service = `
apiVersion: fastdeploy.dev/v1alpha1
kind: Service
metadata: {name: sample, namespace: ${this.namespace}}
spec:
  title: ${this.title}
  playbook: deploy.yml
  inventory: ${inventory}
  inputs: ${inputs}
  ${more}
  source:
    inline:
      deploy.yml: |
        - hosts: all
          gather_facts: false
          tasks:
${tasks.trim().split('\n').map((line) => `            ${line}`).join('\n')}
`
    execFileSync('kubectl', ['apply', '--filename', '-'], { input: service, encoding: 'utf8' })
  }

  /** What Kubernetes says of its Deployments: one line each. */
  runs(path: string): string[] {
    const all = kubectl('--namespace', this.namespace, 'get', 'fdep', '--output', `jsonpath={range .items[*]}{${path}}{"\\n"}{end}`)
    return all.trim().split('\n').filter((line) => line !== '')
  }

  /** In the pod of the run that is on. */
  inPod(...command: string[]): void {
    const pod = kubectl('--namespace', this.namespace, 'get', 'pods', '--field-selector', 'status.phase=Running', '--output', 'name').trim()
    kubectl('--namespace', this.namespace, 'exec', pod, '--', ...command)
  }

  remove(): void {
    kubectl('delete', 'namespace', this.namespace, '--wait=false')
  }
}
