import { flushPromises, mount } from '@vue/test-utils'
import { createMemoryHistory, createRouter } from 'vue-router'
import { expect, test, vi } from 'vitest'
import { api, Refused } from '@/api/client'
import { promotion } from '@/api/promotion'
import type { Input } from '@/api/schema'
import DeployDialog from '@/components/DeployDialog.vue'
import InputField from '@/components/InputField.vue'
import PromoteDialog from '@/components/PromoteDialog.vue'
import { i18n, learn } from '@/i18n'
import { forget, opening, refused, secrets, sent } from '@/lib/form'
import { run, service } from './samples'

const router = createRouter({ history: createMemoryHistory(), routes: [{ path: '/', name: 'home', component: {} }] })
const global = { plugins: [i18n, router] }
const pin: Input = { name: 'pin', label: 'PIN', type: 'secret', required: true }
const form: Input[] = [{ name: 'version', type: 'text', required: false }, pin, { name: 'token', type: 'secret', required: false }]
const made = { cursor: '', deployment: run(), steps: [], usual: [], may: { cancel: true, approve: false, deploy: true, trust: false } }

test('a secret goes its own way, and is never taken from what was answered before', () => {
  const answers = opening(form, { version: 'v1', pin: '1234' })
  expect(answers).toEqual({ version: 'v1', pin: '', token: '' })
  answers['pin'] = ' 12 34 '
  expect(sent(form, answers)).toEqual({ version: 'v1' })
  // As it was typed.
  expect(secrets(form, answers)).toEqual({ secretInputs: { values: { pin: ' 12 34 ' } } })
  forget(form, answers)
  expect(answers).toEqual({ version: 'v1', pin: '', token: '' })
  expect(secrets(form, answers)).toEqual({})
})

test('what the server says of a secret stands at its field', () => {
  expect(refused(form, { field: 'secretInputs.values.pin', message: 'secretInputs.values.pin: write at least 4 characters.' })).toEqual({ name: 'pin', message: 'write at least 4 characters.' })
  expect(refused(form, { field: 'inputs.pin', message: 'inputs.pin: an answer is required' })).toEqual({ name: 'pin', message: 'an answer is required' })
  expect(refused(form, { field: 'reason', message: 'reason: too long' })).toBeUndefined()
})

test('a secret is dots until somebody wants to look, and no browser is asked to keep it', async () => {
  const field = mount(InputField, { props: { input: pin, error: undefined, modelValue: '' }, global })
  const input = () => field.find('input')
  expect(['type', 'autocomplete', 'spellcheck', 'autocapitalize'].map((name) => input().attributes(name))).toEqual(['password', 'new-password', 'false', 'none'])
  expect(field.find('label').attributes('for')).toBe(input().attributes('id'))
  await input().setValue('1234')
  expect(field.emitted('update:modelValue')).toEqual([['1234']])
  const button = field.find('button')
  expect(button.text()).toBe('ShowPIN')
  await button.trigger('click')
  expect([input().attributes('type'), button.text()]).toEqual(['text', 'HidePIN'])
})

test('the lines of a key that is pasted stay lines', async () => {
  const field = mount(InputField, { props: { input: pin, error: undefined, modelValue: '', 'onUpdate:modelValue': (modelValue: unknown) => field.setProps({ modelValue }) }, global })
  const clipboardData = { getData: () => '-----BEGIN KEY-----\r\nabc\r\n-----END KEY-----\r\n' }
  await field.find('input').trigger('paste', { clipboardData })
  await flushPromises()
  expect(field.find('textarea').element.value).toBe('-----BEGIN KEY-----\nabc\n-----END KEY-----\n')
  expect(field.find('textarea').classes()).toContain('hidden')
  await field.find('button').trigger('click')
  expect(field.find('textarea').classes()).not.toContain('hidden')
})

test('a secret is sent once, shown nowhere, kept nowhere, and gone with the dialog', async () => {
  const start = vi.spyOn(api, 'start').mockRejectedValueOnce(new Refused(422, 'InvalidInput', 'secretInputs.values.pin: too short', 'secretInputs.values.pin')).mockResolvedValue(made)
  const dialog = mount(DeployDialog, { props: { service: service({ inputs: form, live: { uid: 'd0', number: 1, revision: '', since: '', inputs: { version: 'v1' } } }) }, global, attachTo: document.body })
  await dialog.find('form').trigger('submit')
  expect(dialog.find('.error').text()).toBe('An answer is needed here.')
  expect(document.activeElement?.getAttribute('type')).toBe('password')
  expect(start).not.toHaveBeenCalled()
  await dialog.find('input[type=password]').setValue('hunter2')
  expect(dialog.find('.say').text()).toBe('version: v1 · PIN: ••••')
  await dialog.find('form').trigger('submit')
  await flushPromises()
  expect(dialog.find('.error').text()).toBe('too short')
  await dialog.find('form').trigger('submit')
  await flushPromises()
  expect(start.mock.calls[1]?.[2]).toEqual({ mode: 'Apply', inputs: { version: 'v1' }, secretInputs: { values: { pin: 'hunter2' } } })
  expect(JSON.stringify([{ ...localStorage }, { ...sessionStorage }, location.href, dialog.html()])).not.toContain('hunter2')
  await dialog.find('dialog').trigger('close')
  expect(dialog.find<HTMLInputElement>('input[type=password]').element.value).toBe('')
})

test('a promotion asks for the secrets that are missing there', async () => {
  await learn('environments')
  const plan = { cursor: '', may: true, number: 12, same: false, leftOut: [], inputs: [], missing: [{ field: 'inputs.pin', message: 'inputs.pin: an answer is required' }] }
  vi.spyOn(promotion, 'look').mockResolvedValue(plan)
  const go = vi.spyOn(promotion, 'go').mockResolvedValue(made)
  const dialog = mount(PromoteDialog, { props: { from: service(), to: service({ name: 'shop', inputs: form }) }, global, attachTo: document.body })
  await flushPromises()
  expect(dialog.findAll('input[type=password]')).toHaveLength(1)
  await dialog.find('form').trigger('submit')
  expect(dialog.find('.error').text()).toBe('An answer is needed here.')
  await dialog.find('input[type=password]').setValue('hunter2')
  await dialog.find('form').trigger('submit')
  await flushPromises()
  expect(go.mock.calls[0]?.[2]).toEqual({ to: 'shop', mode: 'Apply', inputs: {}, number: 12, secretInputs: { values: { pin: 'hunter2' } } })
})
