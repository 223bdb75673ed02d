import { flushPromises, mount } from '@vue/test-utils'
import { createMemoryHistory, createRouter } from 'vue-router'
import { expect, test, vi } from 'vitest'
import { api, Refused } from '@/api/client'
import { people } from '@/api/people'
import type { BindingList, ServiceToken, User } from '@/api/schema'
import RolesPanel from '@/components/RolesPanel.vue'
import TokensPanel from '@/components/TokensPanel.vue'
import UsersPanel from '@/components/UsersPanel.vue'
import AccountPage from '@/pages/AccountPage.vue'
import PeoplePage from '@/pages/PeoplePage.vue'
import { i18n } from '@/i18n'
import { service } from './samples'

const router = createRouter({ history: createMemoryHistory(), routes: [{ path: '/', name: 'home', component: {} }] })
const global = { plugins: [i18n, router] }
const user = (change: Partial<User> = {}): User => ({ name: 'ben', admin: false, disabled: false, groups: [], mustChange: false, createdAt: '2026-11-01T00:00:00Z', ...change })
const token = (change: Partial<ServiceToken> = {}): ServiceToken => ({ id: 't1', name: 'Build', kind: 'service', verbs: ['deploy'], createdBy: 'mia', createdAt: '2026-11-01T00:00:00Z', expiresAt: '2027-01-01T00:00:00Z', ...change })
const account = (change: object = {}) => ({ name: 'mia', kubernetesUser: 'fastdeploy:mia', groups: [], password: true, mustChange: false, may: { users: true, roles: true, system: false, add: { everywhere: false, namespaces: [] } }, ...change })
const button = (of: ReturnType<typeof mount>, text: string) => of.findAll('button').find((one) => one.text().startsWith(text))

test('a new account comes with a password that is shown once', async () => {
  const list = vi.spyOn(people, 'users').mockResolvedValueOnce([]).mockResolvedValue([user({ mustChange: true })])
  const create = vi.spyOn(people, 'createUser').mockResolvedValue({ name: 'ben', password: 'correct horse' })
  const panel = mount(UsersPanel, { props: { now: 0 }, global, attachTo: document.body })
  await flushPromises()
  await button(panel, 'Add somebody')?.trigger('click')
  await panel.find('#user-name').setValue(' ben ')
  await panel.find('form').trigger('submit')
  await flushPromises()
  expect(create).toHaveBeenCalledWith({ name: 'ben', admin: false })
  expect(panel.find('.once code').text()).toBe('correct horse')
  expect(panel.find('tbody').text()).toContain('a password that was handed over')
  expect(list).toHaveBeenCalledTimes(2)
  expect(panel.find('form').exists()).toBe(false)
})

test('what the server has against it is said, and what was written stays', async () => {
  vi.spyOn(people, 'users').mockResolvedValue([])
  vi.spyOn(people, 'createUser').mockRejectedValue(new Refused(409, 'NameTaken', 'The name ben was given before.', 'name'))
  const panel = mount(UsersPanel, { props: { now: 0 }, global })
  await flushPromises()
  await button(panel, 'Add somebody')?.trigger('click')
  await panel.find('#user-name').setValue('ben')
  await panel.find('form').trigger('submit')
  await flushPromises()
  expect(panel.find('[role=alert]').text()).toBe('The name ben was given before.')
  expect(panel.find('#user-name').attributes('aria-invalid')).toBe('true')
  expect(panel.find<HTMLInputElement>('#user-name').element.value).toBe('ben')
})

test('nobody is removed by one click, and a refusal is said where it was asked for', async () => {
  vi.spyOn(people, 'users').mockResolvedValue([user({ admin: true })])
  const remove = vi.spyOn(people, 'removeUser').mockRejectedValueOnce(new Refused(409, 'LastAdmin', 'There would be no administrator left.')).mockResolvedValue(undefined)
  const panel = mount(UsersPanel, { props: { now: 0 }, global, attachTo: document.body })
  await flushPromises()
  await button(panel, 'Remove')?.trigger('click')
  expect(remove).not.toHaveBeenCalled()
  await panel.find('dialog .btn--stop').trigger('click')
  await flushPromises()
  expect(panel.find('dialog [role=alert]').text()).toBe('There would be no administrator left.')
  await panel.find('dialog .btn--stop').trigger('click')
  await flushPromises()
  expect(remove).toHaveBeenLastCalledWith('ben')
  expect(panel.find('dialog').exists()).toBe(false)
})

test('roles: counted on the ladder, given, and taken only where they were given', async () => {
  const items: BindingList['items'] = [
    { name: 'a', role: 'admin', subjects: [{ kind: 'Group', name: 'fastdeploy:admins' }], ours: false },
    { name: 'b', namespace: 'web', role: 'deployer', subjects: [{ kind: 'User', name: 'fastdeploy:ben' }], ours: true },
    { name: 'c', namespace: 'web', role: 'deployer', subjects: [{ kind: 'User', name: 'ben' }], ours: true },
  ]
  vi.spyOn(people, 'roles').mockResolvedValue({ items, may: { bind: true, unbind: true } })
  const bind = vi.spyOn(people, 'bind').mockResolvedValue({ name: 'c', namespace: 'web', role: 'viewer', subjects: [], ours: true })
  const unbind = vi.spyOn(people, 'unbind').mockResolvedValue(undefined)
  const panel = mount(RolesPanel, { global, attachTo: document.body })
  await flushPromises()
  expect(panel.findAll('.ladder li').map((step) => step.find('.sub').text())).toEqual(['nobody', '2 have it', 'nobody', 'one has it'])
  const rows = panel.findAll('tbody tr')
  expect(rows.map((row) => row.text())).toEqual(['admins Everything every team given elsewhere', 'ben Deploy web Take away ben', 'ben (of the organisation) Deploy web Take away ben (of the organisation)'].map((text) => text.replaceAll(' ', '')).map((text) => expect.stringMatching(new RegExp(text.split('').map((one) => one.replace(/[()]/, '\\$&')).join('\\s*')))))
  await button(panel, 'Give a role')?.trigger('click')
  await panel.find('#role-name').setValue('oidc:web')
  await panel.find('input[value=Group]').setValue(true)
  await panel.find('#role-team').setValue('web')
  await panel.find('#role-role').setValue('viewer')
  await panel.find('form').trigger('submit')
  await flushPromises()
  expect(bind).toHaveBeenCalledWith({ namespace: 'web', role: 'viewer', subject: { kind: 'Group', name: 'oidc:web' }, knownBy: 'Organisation' })
  await panel.find('tbody .btn--stop').trigger('click')
  await panel.find('dialog .btn--stop').trigger('click')
  await flushPromises()
  expect(unbind).toHaveBeenCalledWith('web', 'b')
})

test('tokens of a service: those that count, a new one shown once, ended for good', async () => {
  const now = Date.parse('2026-11-26T00:00:00Z')
  const ended = [token({ id: 't2', revokedAt: '2026-11-02T00:00:00Z' }), token({ id: 't3', expiresAt: '2026-11-20T00:00:00Z' })]
  vi.spyOn(people, 'tokens').mockResolvedValue({ items: [token(), ...ended] })
  const create = vi.spyOn(people, 'createToken').mockResolvedValue({ token: 'eyJ.x.y', id: 't4', expiresAt: '' })
  const revoke = vi.spyOn(people, 'revokeToken').mockResolvedValue(undefined)
  const panel = mount(TokensPanel, { props: { service: service(), now }, global, attachTo: document.body })
  await flushPromises()
  expect(panel.findAll('tbody tr')).toHaveLength(1)
  await button(panel, 'New token')?.trigger('click')
  await panel.find('#token-name').setValue('CI')
  await panel.findAll('input[type=checkbox]')[1]?.setValue(true)
  await panel.find('form').trigger('submit')
  await flushPromises()
  expect(create).toHaveBeenCalledWith('team', 'blog', { name: 'CI', verbs: ['deploy', 'cancel'], days: 90 })
  expect(panel.find('.once code').text()).toBe('eyJ.x.y')
  await panel.find('tbody .btn--stop').trigger('click')
  await panel.find('dialog .btn--stop').trigger('click')
  await flushPromises()
  expect(revoke).toHaveBeenCalledWith('team', 'blog', 't1')
})

test('whoever may not see tokens sees nothing of them', async () => {
  vi.spyOn(people, 'tokens').mockRejectedValue(new Refused(403, 'Forbidden', 'no'))
  const panel = mount(TokensPanel, { props: { service: service(), now: 0 }, global })
  await flushPromises()
  expect(panel.text()).toBe('')
})

test('one changes one\u2019s password; where an organisation keeps it, it is said', async () => {
  vi.spyOn(people, 'account').mockResolvedValueOnce(account({ mustChange: true })).mockResolvedValue(account())
  const change = vi.spyOn(people, 'changePassword').mockRejectedValueOnce(new Refused(403, 'WrongPassword', 'That is not your password until now.', 'old')).mockResolvedValue(undefined)
  vi.spyOn(api, 'refresh').mockRejectedValue(new Refused(0, 'Unreachable', ''))
  const page = mount(AccountPage, { global, attachTo: document.body })
  await flushPromises()
  expect(page.text()).toContain('Somebody else chose this password.')
  await page.find('#old').setValue('a')
  await page.find('#new').setValue('a longer sentence')
  await page.find('form').trigger('submit')
  await flushPromises()
  expect(page.find('[role=alert]').text()).toBe('That is not your password until now.')
  expect(page.find('#old').attributes('aria-invalid')).toBe('true')
  await page.find('form').trigger('submit')
  await flushPromises()
  expect(change).toHaveBeenLastCalledWith('a', 'a longer sentence')
  expect(page.find('[role=status]').text()).toContain('The password is changed.')
  expect(page.find<HTMLInputElement>('#new').element.value).toBe('')
})

test('the page of people is there for those who may see it', async () => {
  vi.spyOn(people, 'account').mockResolvedValue(account({ may: { users: false, roles: false, system: false, add: { everywhere: false, namespaces: [] } } }))
  const page = mount(PeoplePage, { global })
  await flushPromises()
  expect(page.text()).toContain('There is nothing here')
})
