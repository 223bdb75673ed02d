import type { Deployment, Service, Step } from '@/api/schema'

export function service(change: Partial<Service> = {}): Service {
  return {
    uid: 's1', id: 1, namespace: 'team', name: 'blog', title: 'Blog', state: 'Live', reason: 'Deployed', message: '', suspended: false,
    deploy: 'Manual', playbook: 'deploy.yml', inputs: [], recent: [], rules: { windows: [], approval: false, rollback: false, correct: false }, dependsOn: [], gone: false, ...change,
  }
}

export function run(change: Partial<Deployment> = {}): Deployment {
  return {
    uid: 'd1', id: 1, namespace: 'team', name: 'blog-1', service: 'blog', serviceTitle: 'Blog', phase: 'Running', message: '',
    requestedBy: { name: 'anna', via: 'Dashboard' }, createdAt: '2026-11-24T08:00:00Z', mode: 'Apply', inputs: {}, outputs: {}, gone: false, ...change,
  }
}

export function step(change: Partial<Step> = {}): Step {
  return { key: 'a:1#1', name: 'One', section: '', state: 'Pending', conditional: false, ok: 0, changed: 0, failed: 0, skipped: 0, message: '', hosts: [], ...change }
}
