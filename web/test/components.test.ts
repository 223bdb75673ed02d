import { flushPromises, mount } from '@vue/test-utils'
import { expect, test, vi } from 'vitest'
import { createMemoryHistory, createRouter } from 'vue-router'
import { api, Refused } from '@/api/client'
import DeployDialog from '@/components/DeployDialog.vue'
import FailureCard from '@/components/FailureCard.vue'
import InputField from '@/components/InputField.vue'
import ServiceCard from '@/components/ServiceCard.vue'
import StepList from '@/components/StepList.vue'
import { i18n } from '@/i18n'
import { useDeployments } from '@/stores/deployments'
import { useServices } from '@/stores/services'
import { run, service, step } from './samples'

const router = createRouter({
  history: createMemoryHistory(),
  routes: [
    { path: '/', name: 'home', component: {} },
    { path: '/activity', name: 'activity', component: {} },
    { path: '/approvals', name: 'approvals', component: {} },
    { path: '/back/:namespace/:name', name: 'goback', component: {} },
    { path: '/services/:namespace/:name', name: 'service', component: {} },
    { path: '/deployments/:uid', name: 'deployment', component: {} },
  ],
})
const global = { plugins: [i18n, router] }
const form = [{ name: 'version', label: 'Version', type: 'text' as const, required: true, pattern: 'v[0-9]+' }]

test('what a form lacks is said at its field, and nothing is sent', async () => {
  const start = vi.spyOn(api, 'start')
  const dialog = mount(DeployDialog, { props: { service: service({ inputs: form }) }, global, attachTo: document.body })
  await dialog.find('form').trigger('submit')
  expect(dialog.find('.error').text()).toBe('An answer is needed here.')
  expect(start).not.toHaveBeenCalled()
})

test('what the server refuses is said at its field, and a new try is a new deed', async () => {
  const start = vi.spyOn(api, 'start').mockRejectedValueOnce(new Refused(422, 'InvalidInput', 'inputs.version: `v9` is not there', 'inputs.version'))
  const dialog = mount(DeployDialog, { props: { service: service({ inputs: form }) }, global, attachTo: document.body })
  await dialog.find('input').setValue('v9')
  await dialog.find('form').trigger('submit')
  await flushPromises()
  expect(dialog.find('.error').text()).toBe('`v9` is not there')
  expect(document.activeElement?.getAttribute('aria-invalid')).toBe('true')
  start.mockResolvedValueOnce({ cursor: '', deployment: run(), steps: [], usual: [], may: { cancel: true, approve: false, deploy: true, trust: false } })
  await dialog.find('form').trigger('submit')
  await flushPromises()
  expect(dialog.emitted('started')).toEqual([[run()]])
  expect(start.mock.calls[0]?.[2]).toEqual({ mode: 'Apply', inputs: { version: 'v9' } })
  expect(start.mock.calls[0]?.[3]).not.toBe(start.mock.calls[1]?.[3])
})

test('an answer that got lost is asked for again by the same key: nothing starts twice', async () => {
  vi.useFakeTimers()
  const start = vi.spyOn(api, 'start').mockReset().mockRejectedValueOnce(new Refused(0, 'Unreachable', ''))
  start.mockResolvedValueOnce({ cursor: '', deployment: run(), steps: [], usual: [], may: { cancel: true, approve: false, deploy: true, trust: false } })
  const dialog = mount(DeployDialog, { props: { service: service() }, global, attachTo: document.body })
  await dialog.find('form').trigger('submit')
  await vi.advanceTimersByTimeAsync(400)
  expect(dialog.emitted('started')).toHaveLength(1)
  expect(start.mock.calls[0]?.[3]).toBe(start.mock.calls[1]?.[3])

  // A server that stays away: it is said, and pressing again is the same deed.
  start.mockRejectedValue(new Refused(0, 'Unreachable', ''))
  await dialog.find('form').trigger('submit')
  await vi.advanceTimersByTimeAsync(10_000)
  expect(dialog.find('[role=alert]').text()).toContain('nothing is started twice')
  await dialog.find('form').trigger('submit')
  await vi.advanceTimersByTimeAsync(10_000)
  const keys = start.mock.calls.slice(2).map((call) => call[3])
  expect(keys).toHaveLength(10)
  expect(new Set(keys).size).toBe(1)
  vi.useRealTimers()
})

test('several answers are sent in the order of the form', async () => {
  const field = mount(InputField, {
    props: { input: { name: 'parts', type: 'multichoice', required: false, choices: ['a', 'b', 'c'] }, error: undefined, modelValue: ['c'] },
    global,
  })
  await field.findAll('input')[0]?.setValue(true)
  expect(field.emitted('update:modelValue')).toEqual([[['a', 'c']]])
})

test('a step tells how it went on each server, also to those who do not see it', () => {
  const list = mount(StepList, {
    props: {
      steps: [
        step({ state: 'Failed', message: 'disk full', hosts: [
          { host: 'web1', state: 'Ok', changed: true, durationMs: 1, message: '' },
          { host: 'web2', state: 'Failed', changed: false, durationMs: 1, message: 'disk full' },
        ] }),
        step({ key: 'a:9#1', name: 'Handler', conditional: true }),
      ],
      now: 0,
      over: true,
    },
    global,
  })
  expect(list.findAll('.step')).toHaveLength(1)
  expect(list.find('.vh').text()).toContain('web1 changed. web2 failed.')
  expect(list.find('.step__more').text()).toBe('web2: disk full')
})

test('a failure says what happened, whose it is and what to do', () => {
  const failure = { reason: 'HostUnreachable', step: 'Copy', host: 'web2', message: 'timed out', hint: 'Check that the server is on.' }
  const card = mount(FailureCard, { props: { deployment: run({ phase: 'Failed', failure }), service: service(), mayDeploy: false, mayTrust: false }, global })
  expect(card.text()).toContain('On web2 the step Copy did not work.')
  expect(card.find('.trail b').text()).toBe('Server web2')
  expect(card.text()).toContain('Check that the server is on.')
  expect(card.find('button').attributes('aria-disabled')).toBe('true')
  expect(card.text()).toContain('You may look, but not deploy')
})

test('a card shows a run as soon as it is on, and the way to it', () => {
  const active = run({ progress: { done: 2, total: 4 }, step: 'Install' })
  const card = mount(ServiceCard, { props: { service: service({ state: 'Updating', active }), now: 0 }, global })
  expect(card.find('.card__meta').text()).toBe('Last by anna')
  expect(card.text()).toContain('anna is updating it: Install')
  expect(card.find('[role=progressbar]').attributes('aria-valuenow')).toBe('50')
  expect(card.find('.btn').attributes('href')).toBe('/deployments/d1')
})

test('late news of before do not make an ended run run again', () => {
  const deployments = useDeployments()
  deployments.set(run({ phase: 'Succeeded' }))
  deployments.set(run({ phase: 'Running' }))
  expect(deployments.all.get('d1')?.phase).toBe('Succeeded')
  deployments.set(run({ uid: 'd2', createdAt: '2026-11-24T09:00:00Z' }))
  expect(deployments.of('team', 'blog').map((one) => one.uid)).toEqual(['d2', 'd1'])
})

test('services that are gone are not shown', () => {
  const services = useServices()
  services.set(service())
  services.set(service({ uid: 's2', name: 'shop' }))
  services.keep(new Set(['s2']))
  expect([services.named('team', 'blog'), services.named('team', 'shop')?.uid]).toEqual([undefined, 's2'])
})

test('between the end of a run and the word of its service a card offers to look, not to deploy', () => {
  const active = run({ phase: 'Succeeded', progress: { done: 4, total: 4 } })
  const card = mount(ServiceCard, { props: { service: service({ state: 'Updating', active, message: 'Deployment running' }), now: 0 }, global })
  expect(card.find('.card__say').text()).toBe('Done. It is still tidying up.')
  expect(card.find('[role=progressbar]').exists()).toBe(false)
  expect(card.findAll('.btn').map((one) => one.text())).toEqual(['Watch'])
})

test('a preview is no reason to wait: the card stays as it is', () => {
  const card = mount(ServiceCard, { props: { service: service({ active: run({ mode: 'Check' }), live: { uid: 'd0', number: 3, revision: '', since: '2026-11-24T08:00:00Z', inputs: {} } }), now: 0 }, global })
  expect(card.find('.card__say').text()).toContain('#3 is live')
  expect(card.find('.btn').text()).toContain('Deploy')
})
