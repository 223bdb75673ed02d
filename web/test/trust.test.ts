import { flushPromises, mount } from '@vue/test-utils'
import { createMemoryHistory, createRouter } from 'vue-router'
import { afterEach, expect, test, vi } from 'vitest'
import { api, Refused } from '@/api/client'
import FailureCard from '@/components/FailureCard.vue'
import TrustServer from '@/components/run/TrustServer.vue'
import { i18n } from '@/i18n'
import { command, server } from '@/lib/hostkey'
import { run, service } from './samples'

const router = createRouter({ history: createMemoryHistory(), routes: [{ path: '/services/:namespace/:name', name: 'service', component: {} }] })
const global = { plugins: [i18n, router] }
const hostKey = { fingerprint: 'SHA256:abc', knownHosts: '[web1]:2222 ssh-ed25519 AAAA', known: 'SHA256:old' }
const shown = { uid: 'd1', host: 'web1', serverKey: hostKey, mayDeploy: true, mayTrust: true }
afterEach(() => vi.restoreAllMocks())

test('which file on the server has the fingerprint, and whose key it is', () => {
  expect(command('web1 ssh-ed25519 AAAA')).toBe('ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub')
  expect(command('[10.0.0.1]:2222 ecdsa-sha2-nistp256 AAAA')).toContain('ssh_host_ecdsa_key.pub')
  expect(command('')).toContain('ssh_host_*_key.pub')
  expect(server('[web1]:2222 ssh-ed25519 AAAA')).toBe('[web1]:2222')
})

test('a server is trusted only after its fingerprint was compared, and then one deploys again', async () => {
  const trust = vi.spyOn(api, 'trust').mockResolvedValue({ knownHosts: hostKey.knownHosts })
  const dialog = mount(TrustServer, { props: shown, global, attachTo: document.body })
  expect(dialog.text()).toContain('SHA256:abc')
  expect(dialog.text()).toContain('known by this one: SHA256:old')
  expect(dialog.text()).not.toContain(hostKey.knownHosts)
  const button = dialog.find('.dialog__foot .btn--primary')
  expect(button.attributes('aria-disabled')).toBe('true')
  await button.trigger('click')
  expect(trust).not.toHaveBeenCalled()
  await dialog.find('input[type=checkbox]').setValue(true)
  expect(dialog.text()).toContain(hostKey.knownHosts)
  expect(button.text()).toContain('Trust this server')
  await button.trigger('click')
  await flushPromises()
  expect(trust).toHaveBeenCalledExactlyOnceWith('d1', 'SHA256:abc')
  expect(dialog.find('[role=status]').text()).toContain('known by its new key')
  expect(dialog.emitted('again')).toBeUndefined()
  await button.trigger('click')
  expect(dialog.emitted('again')).toHaveLength(1)
})

test('what the server has against it is said, and nothing looks trusted', async () => {
  vi.spyOn(api, 'trust').mockRejectedValue(new Refused(409, 'OtherKey', 'The server showed another key.'))
  const dialog = mount(TrustServer, { props: shown, global, attachTo: document.body })
  await dialog.find('input[type=checkbox]').setValue(true)
  await dialog.find('.dialog__foot .btn--primary').trigger('click')
  await flushPromises()
  expect(dialog.find('[role=alert]').text()).toBe('The server showed another key.')
  expect(dialog.find('[role=status]').exists()).toBe(false)
})

test('who may not change the service gets the line to hand on, and hears who may', async () => {
  const trust = vi.spyOn(api, 'trust')
  const props = { ...shown, mayTrust: false, serverKey: { fingerprint: 'SHA256:abc', knownHosts: hostKey.knownHosts } }
  const dialog = mount(TrustServer, { props, global, attachTo: document.body })
  expect(dialog.text()).toContain('no key of it was known')
  expect(dialog.text()).toContain('Whoever looks after the service may do that')
  await dialog.find('input[type=checkbox]').setValue(true)
  const button = dialog.find('.dialog__foot .btn--primary')
  expect(button.text()).not.toContain('Trust this server')
  await button.trigger('click')
  expect(trust).not.toHaveBeenCalled()
  expect(dialog.emitted('again')).toHaveLength(1)
})

test('only a failure with a key that nobody confirmed offers to trust it', () => {
  const failure = { reason: 'HostKeyChanged', host: 'web1', message: 'another key' }
  const text = (more: object) => mount(FailureCard, { props: { deployment: run({ phase: 'Failed', failure: { ...failure, ...more } }), service: service(), mayDeploy: true, mayTrust: false }, global }).text()
  expect(text({ hostKey })).toContain('Trust this server')
  expect(text({})).not.toContain('Trust this server')
})
