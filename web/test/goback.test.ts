import { flushPromises, mount } from '@vue/test-utils'
import { expect, test, vi } from 'vitest'
import { createMemoryHistory, createRouter } from 'vue-router'
import { api, Refused } from '@/api/client'
import type { Activity, Comparison } from '@/api/schema'
import ActivityRow from '@/components/ActivityRow.vue'
import ChangeList from '@/components/ChangeList.vue'
import DeployDialog from '@/components/DeployDialog.vue'
import ApprovalCard from '@/components/run/ApprovalCard.vue'
import { i18n } from '@/i18n'
import { requesters } from '@/lib/activity'
import { diff } from '@/lib/diff'
import { changes, earlier } from '@/lib/goback'
import { preview } from '@/lib/preview'
import { run, service, step } from './samples'

const router = createRouter({
  history: createMemoryHistory(),
  routes: [{ path: '/services/:namespace/:name', name: 'service', component: {} }, { path: '/deployments/:uid', name: 'deployment', component: {} }],
})
const global = { plugins: [i18n, router] }
const ended = (number: number, change = {}) => run({ uid: `d${number}`, number, phase: 'Succeeded', finishedAt: `2026-11-2${number}T08:00:00Z`, ...change })
const live = { uid: 'd4', number: 4, revision: 'r', since: '2026-11-24T08:00:00Z', inputs: {} }

test('one goes back to what worked as a whole, and sees for how long it was live', () => {
  const runs = [run({ uid: 'd5', number: 5 }), ended(4), ended(3, { phase: 'Failed' }), run({ uid: 'p', mode: 'Check', phase: 'Succeeded' }), ended(2), ended(1, { limit: 'web1' })]
  expect(earlier(runs, live).map(({ run: { number }, no, lived }) => [number, no, lived])).toEqual([[4, 'live', undefined], [3, 'Failed', undefined], [2, undefined, 2 * 86_400]])
})

test('differences are named as people know them, and what says the same twice is said once', () => {
  const inputs = [{ name: 'size', label: 'How many?', type: 'number' as const, required: false }]
  const found = changes([{ path: 'inputs.size', before: 1, after: 2 }, { path: 'digest', before: 'a', after: 'b' }, { path: 'revision', before: 'sha256:1', after: 'sha256:2' }, { path: 'source.files.deploy.yml', before: 'x' }, { path: 'options.forks', after: 5 }], inputs)
  expect(found).toEqual([
    { kind: 'answer', name: 'How many?', before: '1', after: '2' },
    { kind: 'file', name: 'deploy.yml', before: 'x', after: undefined },
    { kind: 'other', name: 'options.forks', before: undefined, after: '5' },
  ])
  const git = changes([{ path: 'revision', before: 'abc', after: 'def' }, { path: 'source.git.commit', before: 'abc', after: 'def' }, { path: 'source.git.reference', before: 'x', after: 'y' }], [])
  expect(git).toEqual([{ kind: 'source', name: 'revision', before: 'abc', after: 'def' }])
})

test('a comparison shows what is not the same and a little around it, named and not only coloured', () => {
  expect(diff('a\nb\nc\nd\ne\nf\ng', 'a\nb\nc\nd\nx\nf\ng\nh').map(({ kind, text }) => `${kind[0]}${text}`)).toEqual(['bc', 'bd', 'oe', 'nx', 'bf', 'bg', 'nh'])
  expect(diff('same', 'same')).toEqual([])
  const comparison: Comparison = { before: run(), after: run(), whole: true, differences: [{ path: 'source.files.site.yml', before: 'port: 80', after: 'port: <b>81</b>' }] }
  const list = mount(ChangeList, { props: { comparison, inputs: [] }, global })
  expect(list.findAll('.diff > div').map((row) => row.text())).toEqual(['as it isport: 80', 'as it will beport: <b>81</b>'])
})

test('whoever may agree does so to what was looked at, and sees it when that is another by now', async () => {
  vi.spyOn(api, 'compare').mockRejectedValue(new Refused(404, 'NotFound', ''))
  const decide = vi.spyOn(api, 'decide').mockRejectedValueOnce(new Refused(409, 'OtherDigest', 'Look again, then decide.'))
  const waiting = run({ phase: 'AwaitingApproval', digest: 'v1:a' })
  const card = mount(ApprovalCard, { props: { run: waiting, service: service({ live }), may: true }, global })
  await card.find('.btn--primary').trigger('click')
  await flushPromises()
  expect(card.find('[role=alert]').text()).toBe('Look again, then decide.')
  decide.mockResolvedValueOnce({ cursor: '', deployment: run(), steps: [], usual: [], may: { cancel: true, approve: true, deploy: true, trust: false } })
  await card.find('.btn--stop').trigger('click')
  await flushPromises()
  expect(decide.mock.calls).toEqual([['d1', 'Approved', 'v1:a'], ['d1', 'Rejected', 'v1:a']])
  expect(card.emitted('decided')).toEqual([[run()]])
  await card.setProps({ may: false })
  await card.find('.btn--primary').trigger('click')
  expect(decide).toHaveBeenCalledTimes(2)
})

test('a preview tells what would change, and what it cannot know', () => {
  const host = { host: 'web1', state: 'Ok' as const, changed: true, durationMs: 1, message: '' }
  expect(preview([step({ key: 'a', name: 'Write', state: 'Succeeded', changed: 1, hosts: [host, { ...host, host: 'web2', changed: false }] }), step({ key: 'b', name: 'Shell', state: 'Skipped' })])).toEqual({ changes: [{ key: 'a', name: 'Write', hosts: ['web1'] }], left: ['Shell'] })
})

test('only the servers that failed are done again, without a question; a preview is another deed than the run', async () => {
  vi.spyOn(api, 'plan').mockResolvedValue({ steps: [], declared: [], notes: [] })
  vi.spyOn(api, 'form').mockResolvedValue({ inputs: [], live: {}, commits: [], branches: [], tags: [], revisions: [{ name: 'v1', commit: 'abc' }] })
  const start = vi.spyOn(api, 'start').mockRejectedValue(new Refused(500, 'x', ''))
  const form = [{ name: 'version', type: 'text' as const, required: true }]
  const rest = mount(DeployDialog, { props: { service: service({ inputs: form }), failedOf: { number: 7, hosts: ['web2'] } }, global, attachTo: document.body })
  vi.useFakeTimers()
  await rest.find('form').trigger('submit')
  await vi.advanceTimersByTimeAsync(10_000)
  expect(start.mock.calls[0]?.[2]).toEqual({ mode: 'Apply', failedOf: 7 })
  await rest.findAll('.dialog__foot button')[1]?.trigger('click')
  expect(start.mock.calls.at(-1)?.[2]).toEqual({ mode: 'Check', failedOf: 7 })
  expect(start.mock.calls.at(-1)?.[3]).not.toBe(start.mock.calls[0]?.[3])
  vi.useRealTimers()
  const other = mount(DeployDialog, { props: { service: service() }, global, attachTo: document.body })
  await flushPromises()
  await other.find('input[value=v1]').setValue(true)
  await other.find('form').trigger('submit')
  expect(start.mock.calls.at(-1)?.[2]).toEqual({ mode: 'Apply', inputs: {}, revision: 'v1' })
})

test('the activity speaks in sentences, also of what a later server tells', () => {
  const line: Activity = { id: 1, at: '2026-11-24T08:00:00Z', what: 'deployment.requested', who: 'fastdeploy:anna', namespace: 'team', service: 'blog', subject: 'blog-1', address: '', kind: 'event', agent: '', requestId: '', data: JSON.parse('{"uid": "d1", "number": 7, "note": "New <b>prices</b>"}') }
  const say = (change: Partial<Activity>) => mount(ActivityRow, { props: { line: { ...line, ...change }, now: Date.parse(line.at) }, global }).find('.say').text()
  expect(say({})).toBe('anna asked for #7 of blog“New <b>prices</b>” · team')
  expect(say({ who: '' })).toMatch(/^#7 of blog was asked for/)
  const later: Activity = { ...line, id: 2, what: 'deployment.started', who: '', data: JSON.parse('{"uid": "d1", "requestedBy": {"name": "anna", "via": "Dashboard"}}') }
  expect(requesters([later, line])).toEqual(new Map([['d1', 'anna']]))
  expect(mount(ActivityRow, { props: { line: { ...line, who: '' }, now: 0, asked: 'anna' }, global }).find('.say').text()).toMatch(/^anna asked for #7 of blog/)
  expect(say({ what: 'user.signedIn', who: 'anna', subject: 'anna', data: {}, namespace: '' })).toBe('anna signed in')
  expect(say({ what: 'moon.landed', who: 'anna', subject: 'moon', data: {}, namespace: '' })).toBe('anna: moon.landed moon')
})
