import { mount } from '@vue/test-utils'
import { createMemoryHistory, createRouter } from 'vue-router'
import { expect, test } from 'vitest'
import FailureCard from '@/components/FailureCard.vue'
import TrustServer from '@/components/run/TrustServer.vue'
import { i18n } from '@/i18n'
import { command } from '@/lib/hostkey'
import { run, service } from './samples'

const router = createRouter({ history: createMemoryHistory(), routes: [{ path: '/services/:namespace/:name', name: 'service', component: {} }] })
const global = { plugins: [i18n, router] }
const hostKey = { fingerprint: 'SHA256:abc', knownHosts: 'web1 ssh-ed25519 AAAA' }

test('which file on the server has the fingerprint', () => {
  expect(command('web1 ssh-ed25519 AAAA')).toBe('ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub')
  expect(command('[10.0.0.1]:2222 ecdsa-sha2-nistp256 AAAA')).toContain('ssh_host_ecdsa_key.pub')
  expect(command('')).toContain('ssh_host_*_key.pub')
})

test('a server is trusted only after its fingerprint was compared', async () => {
  const dialog = mount(TrustServer, { props: { host: 'web1', serverKey: hostKey, mayDeploy: true }, global, attachTo: document.body })
  expect(dialog.text()).toContain('SHA256:abc')
  expect(dialog.text()).not.toContain(hostKey.knownHosts)
  const again = dialog.find('.dialog__foot .btn--primary')
  expect(again.attributes('aria-disabled')).toBe('true')
  await again.trigger('click')
  expect(dialog.emitted('again')).toBeUndefined()
  await dialog.find('input[type=checkbox]').setValue(true)
  expect(dialog.text()).toContain(hostKey.knownHosts)
  await again.trigger('click')
  expect(dialog.emitted('again')).toHaveLength(1)
})

test('only a failure with a key that nobody confirmed offers to trust it', () => {
  const failure = { reason: 'HostKeyChanged', host: 'web1', message: 'another key' }
  const text = (more: object) => mount(FailureCard, { props: { deployment: run({ phase: 'Failed', failure: { ...failure, ...more } }), service: service(), mayDeploy: true }, global }).text()
  expect(text({ hostKey })).toContain('Trust this server')
  expect(text({})).not.toContain('Trust this server')
})
