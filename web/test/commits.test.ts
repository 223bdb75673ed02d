import { flushPromises, mount } from '@vue/test-utils'
import { expect, test, vi } from 'vitest'
import { api } from '@/api/client'
import type { Form, Input } from '@/api/schema'
import DeployDialog from '@/components/DeployDialog.vue'
import InputField from '@/components/InputField.vue'
import { i18n } from '@/i18n'
import { fitting, short } from '@/lib/revisions'
import { run, service } from './samples'

const global = { plugins: [i18n] }
const id = (n: number) => `${n}`.repeat(40)
const commits = Array.from({ length: 7 }, (_, n) => ({ commit: id(n + 1), subject: `Change ${n + 1}`, author: n % 2 ? 'Ben' : 'Anna', at: new Date(Date.now() - (n + 1) * 86_400_000).toISOString() }))
const revisions = Array.from({ length: 7 }, (_, n) => ({ name: `v1.${12 - n}`, commit: id(n + 1) }))
const form: Form = { inputs: [], live: {}, branches: [{ name: 'main', commit: id(1) }], tags: revisions, revisions, commits }
const made = { cursor: '', deployment: run(), steps: [], usual: [], may: { cancel: true, approve: false, deploy: true, trust: false } }

test('a version is found by its name or its commit', () => {
  expect(fitting(revisions, ' V1.1 ').map(({ name }) => name)).toEqual(['v1.12', 'v1.11', 'v1.10'])
  expect(fitting(revisions, '2222').map(({ name }) => name)).toEqual(['v1.11'])
  expect([short(id(4)), short('main')]).toEqual(['44444444', 'main'])
})

async function opened(offers: Form) {
  vi.spyOn(api, 'form').mockResolvedValue(offers)
  const dialog = mount(DeployDialog, { props: { service: service() }, global, attachTo: document.body })
  await flushPromises()
  return dialog
}

test('one chooses what to deploy from the versions that the service permits', async () => {
  const start = vi.spyOn(api, 'start').mockResolvedValue(made)
  const dialog = await opened(form)
  const rows = () => dialog.findAll('.ver').map((row) => row.text())
  expect(rows()).toHaveLength(1 + 5)
  expect(rows()[1]).toMatch(/^v1\.12\s*11111111$/)
  await dialog.find('#v-find').setValue('v9')
  expect([rows().length, dialog.find('.vers--box .muted').text()]).toEqual([1, 'No version is called so.'])
  await dialog.find('#v-find').setValue('')
  await dialog.find('.vers__all button').trigger('click')
  expect(rows()).toHaveLength(1 + 7)
  await dialog.find('input[value="v1.7"]').setValue(true)
  expect(dialog.find('.say').text()).toBe('v1.7')
  await dialog.find('form').trigger('submit')
  await flushPromises()
  expect(start.mock.calls[0]?.[2]).toMatchObject({ revision: 'v1.7' })
})

test('where a branch is followed there is nothing else to choose, whatever else the repository has', async () => {
  const dialog = await opened({ ...form, revisions: [] })
  expect(dialog.find('.ver').exists()).toBe(false)
})

test('an answer that is a commit is chosen from rows, or typed', async () => {
  const input: Input = { name: 'commit', label: 'Commit', type: 'gitCommit', required: true }
  const field = mount(InputField, { props: { input, error: undefined, commits, modelValue: '', 'onUpdate:modelValue': (modelValue: unknown) => field.setProps({ modelValue }) }, global })
  expect(field.element.tagName).toBe('FIELDSET')
  expect(field.findAll('.ver')).toHaveLength(5)
  await field.findAll('input[type=radio]')[1]?.setValue(true)
  expect(field.props('modelValue')).toBe(id(2))
  const typed = field.find<HTMLInputElement>('input:not([type=radio])')
  expect(typed.element.value).toBe('')
  await typed.setValue(' abcdef12 ')
  expect(field.props('modelValue')).toBe('abcdef12')
  expect(field.find('input:checked').exists()).toBe(false)
  // Without any to choose from it is a line of text.
  await field.setProps({ commits: [] })
  expect(field.find('input').attributes('type')).toBe('text')
})
