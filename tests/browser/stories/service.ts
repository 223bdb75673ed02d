import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { kubectl } from './page'

/** A Service of its own in a namespace of its own: Ansible runs in the run's pod itself. */
export class Sample {
  readonly namespace = `story-page-${randomBytes(3).toString('hex')}`
  constructor(readonly title: string) {}

  create(tasks: string, inputs = '[]', more = 'policy: {}', inventory = '{local: true}'): void {
    this.apply(`
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
`)
  }

  /** One that is a program of its own instead of a playbook. */
  script(text: string): void {
    this.apply(`
  script: deploy.sh
  inventory: {local: true}
  source: {inline: {deploy.sh: ${JSON.stringify(`#!/bin/sh\n${text.trim()}\n`)}}}
`)
  }

  /** Its namespace, and in it the Service that is described, if there is one. */
  apply(spec?: string): void {
    const namespace = `{apiVersion: v1, kind: Namespace, metadata: {name: ${this.namespace}, labels: {fastdeploy.dev/story: page}}}\n`
    const service = `---
apiVersion: fastdeploy.dev/v1alpha1
kind: Service
metadata: {name: sample, namespace: ${this.namespace}}
spec:
  title: ${this.title}${spec}`
    execFileSync('kubectl', ['apply', '--filename', '-'], { input: spec === undefined ? namespace : namespace + service, encoding: 'utf8' })
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
