import { flushPromises, mount } from '@vue/test-utils'
import { expect, test, vi } from 'vitest'
import { createMemoryHistory, createRouter } from 'vue-router'
import QueueNotice from '@/components/run/QueueNotice.vue'
import RunHead from '@/components/run/RunHead.vue'
import RunProgress from '@/components/run/RunProgress.vue'
import ServerTable from '@/components/run/ServerTable.vue'
import StepList from '@/components/StepList.vue'
import { i18n } from '@/i18n'
import { cause } from '@/lib/cause'
import { pace } from '@/lib/pace'
import { before } from '@/lib/queue'
import { run, step } from './samples'

const router = createRouter({ history: createMemoryHistory(), routes: [{ path: '/deployments/:uid', name: 'deployment', component: {} }] })
const global = { plugins: [i18n, router] }
const host = (name: string, state: 'Ok' | 'Failed' | 'Rescued' | 'Unreachable', message = '') => ({ host: name, state, changed: state === 'Ok', durationMs: 2_000, message })

test('the words of a failed step give its cause away', () => {
  const sign = (message: string) => cause({ reason: 'TaskFailed', message }).sign
  expect(sign('OSError: [Errno 28] No space left on device')).toBe('DiskFull')
  expect(sign('E: Unable to locate package nginxx')).toBe('Packages')
  expect(sign('Status code was 502 and not [200]: HTTP Error 502')).toBe('Answer')
  expect(sign('Missing sudo password')).toBe('Sudo')
  expect(sign("'port' is undefined")).toBe('Undefined')
  expect(cause({ reason: 'TaskFailed', message: 'The video library has no licence' })).toEqual({ sign: undefined, whose: 'instructions' })
  expect(cause({ reason: 'HostUnreachable', message: 'No space left on device' })).toEqual({ sign: undefined, whose: 'server' })
  expect(cause({ reason: 'ImagePull', message: '' }).whose).toBe('ours')
})

test('who waits sees who is before, and in which order', () => {
  const mine = run({ uid: 'me', phase: 'Queued', createdAt: '2026-11-24T08:10:00Z' })
  const all = [
    mine,
    run({ uid: 'later', phase: 'Queued', createdAt: '2026-11-24T08:11:00Z' }),
    run({ uid: 'first', phase: 'Running', number: 7, createdAt: '2026-11-24T08:00:00Z', startedAt: '2026-11-24T08:00:00Z' }),
    run({ uid: 'done', phase: 'Succeeded', createdAt: '2026-11-24T07:00:00Z' }),
    run({ uid: 'second', phase: 'Queued', number: 8, createdAt: '2026-11-24T08:05:00Z', requestedBy: { name: 'ben', via: 'Dashboard' } }),
  ]
  expect(before(mine, all).map((one) => one.uid)).toEqual(['first', 'second'])
  const notice = mount(QueueNotice, { props: { run: mine, runs: all, usualSeconds: 60, now: Date.parse('2026-11-24T08:00:20Z') }, global })
  expect(notice.find('h2').text()).toBe('2 updates are before this one')
  expect(notice.findAll('li').map((one) => one.text())).toEqual(['anna is updating with #7', '#8 by ben waits its turn'])
  expect(notice.text()).toContain('about 1 min 40 s'.replace(/ /g, '\u00a0').replace('about\u00a0', 'about '))
})

test('servers that failed stand first, with how far they got', () => {
  const steps = [
    step({ name: 'Copy', hosts: [host('web10', 'Ok'), host('web2', 'Ok'), host('web1', 'Rescued', 'was not there')] }),
    step({ key: 'b', name: 'Install', hosts: [host('web10', 'Failed', 'disk full'), host('web2', 'Ok')] }),
  ]
  const view = mount(ServerTable, { props: { steps, counts: undefined, over: true }, global })
  const rows = view.findAll('tbody tr').map((row) => row.text())
  expect(rows[0]).toContain('web10FailedInstalldisk full1')
  expect(rows[1]).toContain('web1Handled')
  expect(rows[2]).toContain('web2FineInstall2')
})

test('what was handled says so, and a section says how far it is', () => {
  const steps = [step({ section: 'Prepare', state: 'Rescued', name: 'Remove', hosts: [host('web1', 'Rescued', 'not found')] }), step({ key: 'b', section: 'Prepare', name: 'Next' })]
  const list = mount(StepList, { props: { steps, now: 0, over: false, expected: ['web1', 'web2'] }, global })
  expect(list.find('h3').text()).toBe('Prepare 1 of 2')
  expect(list.find('.step__more').text()).toContain('On web1 this did not work, and the instructions are made for that: they went on. not found')
  // The second server has its column before it answers.
  expect(list.findAll('.dots__name').map((one) => one.text())).toEqual(['web1', 'web2'])
})

test('progress says the step, for how long, and what is left', () => {
  const earlier = pace([step({ startedAt: '2026-11-24T07:00:00Z', finishedAt: '2026-11-24T07:00:40Z' })])
  const steps = [step({ state: 'Running', startedAt: '2026-11-24T08:00:00Z', name: 'One' })]
  const view = mount(RunProgress, { props: { run: run({ startedAt: '2026-11-24T08:00:00Z' }), steps, usual: earlier, usualSeconds: 45, now: Date.parse('2026-11-24T08:00:10Z') }, global })
  expect(view.text().replace(/\u00a0/g, ' ')).toContain('Step 1 of 1 One for 10 s, usually 40 s')
  expect(view.find('.eta').text().replace(/\u00a0/g, ' ')).toBe('about 30 s left')
  expect(view.find('[role=progressbar]').attributes('aria-valuenow')).toBe('25')
})

test('a browser tells the end when it was asked to, and says when it may not', async () => {
  const shown = vi.fn()
  const requestPermission = vi.fn(async () => 'granted')
  const Note = Object.assign(
    function Note(title: string, options: NotificationOptions) {
      shown(title, options.body)
    },
    { permission: 'default', requestPermission },
  )
  vi.stubGlobal('Notification', Note)
  vi.stubGlobal('isSecureContext', true)
  const view = mount(RunHead, { props: { run: run({ number: 7 }), service: undefined, mayCancel: true, mayDeploy: true }, global })
  await view.findAll('button').find((one) => one.text() === 'Tell me when it is done')?.trigger('click')
  await flushPromises()
  await view.setProps({ run: run({ number: 7, phase: 'Succeeded' }) })
  expect(shown).toHaveBeenCalledExactlyOnceWith('Blog: Done', 'Update #7 has ended.')

  requestPermission.mockResolvedValueOnce('denied')
  const denied = mount(RunHead, { props: { run: run(), service: undefined, mayCancel: true, mayDeploy: true }, global })
  await denied.findAll('button').find((one) => one.text() === 'Tell me when it is done')?.trigger('click')
  await flushPromises()
  expect(denied.find('[role=status]').text()).toContain('does not let fastDeploy show messages')
  vi.unstubAllGlobals()
})
