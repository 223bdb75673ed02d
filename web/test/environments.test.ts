import { flushPromises, mount } from '@vue/test-utils'
import { createMemoryHistory, createRouter } from 'vue-router'
import { expect, test, vi } from 'vitest'
import { api, Refused } from '@/api/client'
import { promotion } from '@/api/promotion'
import type { Promotion } from '@/api/schema'
import PromoteDialog from '@/components/PromoteDialog.vue'
import { i18n, learn } from '@/i18n'
import { families, teamsOf } from '@/lib/environments'
import EnvironmentsPage from '@/pages/EnvironmentsPage.vue'
import { run, service } from './samples'

const routes = [{ path: '/', name: 'home', component: {} }, { path: '/services/:namespace/:name', name: 'service', component: {} }, { path: '/deployments/:uid', name: 'deployment', component: {} }]
const router = createRouter({ history: createMemoryHistory(), routes })
const global = { plugins: [i18n, router] }
const live = (version: string, number: number) => ({ uid: `r${number}`, number, revision: `main@sha1:${'a'.repeat(40)}`, since: '2026-11-27T09:00:00Z', inputs: { version } })
const staging = service({ uid: 's', name: 'blog-staging', title: 'Blog (staging)', environment: 'staging', live: live('v2', 12), last: run({ uid: 'r12', phase: 'Succeeded', requestedBy: { name: 'anna', via: 'Dashboard' } }) })
const production = service({ uid: 'p', name: 'blog', title: 'Blog', environment: 'production', live: live('v1', 3), inputs: [{ name: 'version', type: 'text', required: true }, { name: 'size', type: 'number', required: true, label: 'How many' }] })

function plan(change: Partial<Promotion> = {}): Promotion {
  return {
    cursor: '', may: true, number: 12, same: false, leftOut: [{ name: 'debug', why: 'Unknown' }], missing: [],
    revision: { from: `main@sha1:${'b'.repeat(40)}`, to: `main@sha1:${'a'.repeat(40)}`, commit: 'a'.repeat(40) },
    inputs: [{ name: 'version', label: 'Version', from: 'v1', to: 'v2' }, { name: 'color', label: 'Color', from: 'red', to: 'red' }], ...change,
  }
}

test('services that differ only by environment are a family, from where it is tried to where it counts', () => {
  const other = service({ uid: 'q', name: 'blog-qa', title: 'Blog', environment: 'qa' })
  const strange = service({ uid: 'x', name: 'blog-canary', title: 'Blog', environment: 'canary' })
  const elsewhere = service({ uid: 'e', namespace: 'other', name: 'blog-test', environment: 'test' })
  const found = families([production, strange, staging, other, elsewhere, service({ uid: 'n', name: 'wiki' })])
  expect(found.map(({ title, members }) => [title, members.map(({ environment }) => environment)])).toEqual([['Blog', ['test']], ['Blog', ['qa', 'canary', 'staging', 'production']]])
  expect(teamsOf([production, staging, elsewhere])).toEqual(['team'])
  expect(families([service({ title: 'Staging', name: 'staging', environment: 'staging' })])[0]?.title).toBe('Staging')
})

test('they stand side by side: what is live, since when, by whom; and what has no other beside it is named', async () => {
  await learn('environments')
  const wiki = service({ uid: 'w', name: 'wiki', title: 'Wiki', environment: 'production' })
  vi.spyOn(api, 'servicesOf').mockResolvedValue({ cursor: '', items: [production, staging, wiki] })
  const page = mount(EnvironmentsPage, { props: { namespace: 'team' }, global })
  await flushPromises()
  expect(page.findAll('.env-card').map((card) => card.text())).toEqual([expect.stringMatching(/^staging.*v2.*anna$/), expect.stringMatching(/^production.*v1/)])
  expect(page.find('.envs__step button').text()).toBe('Promote to production')
  expect(page.text()).toContain('In one environment only: Wiki')
})

test('what will change is shown, the reason asked for, and then it starts with the run that was looked at', async () => {
  await learn('environments')
  vi.spyOn(promotion, 'look').mockResolvedValue(plan())
  const go = vi.spyOn(promotion, 'go').mockRejectedValueOnce(new Refused(409, 'OtherLive', 'Another run is live.')).mockResolvedValue({ cursor: '', deployment: run({ uid: 'd9' }), steps: [], usual: [], may: { cancel: true, approve: false, deploy: true, trust: false } })
  const dialog = mount(PromoteDialog, { props: { from: staging, to: production }, global, attachTo: document.body })
  await flushPromises()
  expect(dialog.find('.fromto').text()).toMatch(/Live in production now\s*v1\s*As it is in staging\s*v2/)
  expect(dialog.findAll('.facts > div').map((row) => row.text())).toEqual(['Instructionsmain · bbbbbbb → main · aaaaaaa', 'Versionv1 → v2'])
  expect(dialog.text()).toContain('One answer stays as it is.')
  expect(dialog.text()).toContain('debug: production does not ask for it.')
  await dialog.find('#p-note').setValue(' approved by all ')
  await dialog.find('form').trigger('submit')
  await flushPromises()
  expect(dialog.find('[role=alert]').text()).toContain('Something else is live by now.')
  await dialog.find('form').trigger('submit')
  await flushPromises()
  expect(go).toHaveBeenLastCalledWith('team', 'blog-staging', { to: 'blog', mode: 'Apply', inputs: {}, number: 12, reason: 'approved by all' }, expect.any(String))
  // Another deed has another key.
  expect(go.mock.calls[0]?.[3]).not.toBe(go.mock.calls[1]?.[3])
  expect(dialog.emitted('started')?.[0]).toEqual([expect.objectContaining({ uid: 'd9' })])
})

test('what the other one asks besides is asked, and a promotion that is not possible says why', async () => {
  await learn('environments')
  vi.spyOn(promotion, 'look').mockResolvedValueOnce(plan({ missing: [{ field: 'inputs.size', message: 'inputs.size: an answer is required' }] }))
  const go = vi.spyOn(promotion, 'go').mockResolvedValue({ cursor: '', deployment: run(), steps: [], usual: [], may: { cancel: true, approve: false, deploy: true, trust: false } })
  const dialog = mount(PromoteDialog, { props: { from: staging, to: production }, global, attachTo: document.body })
  await flushPromises()
  go.mockClear()
  await dialog.find('form').trigger('submit')
  await flushPromises()
  expect(go).not.toHaveBeenCalled()
  await dialog.find('.dialog__form input[inputmode=decimal]').setValue('3')
  await dialog.find('form').trigger('submit')
  await flushPromises()
  expect(go.mock.calls[0]?.[2]).toMatchObject({ inputs: { size: 3 } })

  for (const [change, words] of [
    [{ may: false }, 'You may not deploy to production.'],
    [{ hindrance: { reason: 'OtherSource', field: 'source.git.url', detail: 'x' } }, 'do not come from the same source (source.git.url)'],
    [{ missing: [{ field: 'inputs.newer', message: 'x' }] }, 'does not know how to ask for: inputs.newer'],
  ] as const) {
    vi.spyOn(promotion, 'look').mockResolvedValueOnce(plan(change as Partial<Promotion>))
    const not = mount(PromoteDialog, { props: { from: staging, to: production }, global, attachTo: document.body })
    await flushPromises()
    expect(not.text()).toContain(words)
    expect(not.find('[type=submit]').attributes('aria-disabled')).toBe('true')
    not.unmount()
  }
})
