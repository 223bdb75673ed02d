import { execFileSync } from 'node:child_process'
import { kubectl } from './page'

/** The same playbook; production asks for one thing more. */
function service(team: string, environment: string, more = ''): object {
  return {
    apiVersion: 'fastdeploy.dev/v1alpha1', kind: 'Service', metadata: { name: `shop-${environment}`, namespace: team },
    spec: {
      title: `Shop (${environment})`, environment, playbook: 'deploy.yml', inventory: { local: true }, policy: {},
      inputs: [{ name: 'version', label: 'Version', type: 'text', required: true }, ...(more === '' ? [{ name: 'debug', label: 'Debug', type: 'boolean' }] : [{ name: more, label: 'How many', type: 'number', required: true }])],
      source: { inline: { 'deploy.yml': '- hosts: all\n  gather_facts: false\n  tasks:\n    - ansible.builtin.debug: {msg: "{{ version }}"}\n' } },
    },
  }
}

/** A team with a shop in two environments; nothing is live. */
export function begin(team: string): void {
  kubectl('create', 'namespace', team)
  kubectl('label', 'namespace', team, 'fastdeploy.dev/story=page')
  const items = [service(team, 'staging'), service(team, 'production', 'size')]
  execFileSync('kubectl', ['apply', '--filename', '-'], { input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items }), encoding: 'utf8' })
}
