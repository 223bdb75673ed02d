import { flushPromises, mount } from '@vue/test-utils'
import { expect, test, vi } from 'vitest'
import { api } from '@/api/client'
import type { Form, Input } from '@/api/schema'
import DeployDialog from '@/components/DeployDialog.vue'
import InputField from '@/components/InputField.vue'
import { i18n } from '@/i18n'
import { fitting, isId, revisions, short } from '@/lib/revisions'
import { run, service } from './samples'

const global = { plugins: [i18n] }
const id = (n: number) => `${n}`.repeat(40)
const commits = Array.from({ length: 7 }, (_, n) => ({ commit: id(n + 1), subject: `Change ${n + 1}`, author: n % 2 ? 'Ben' : 'Anna', at: new Date(Date.now() - (n + 1) * 86_400_000).toISOString() }))
const form: Form = { inputs: [], live: {}, branches: [{ name: 'main', commit: id(1) }], tags: [{ name: 'v9', commit: id(3) }, { name: 'v10', commit: id(2) }], commits }
const made = { cursor: '', deployment: run(), steps: [], usual: [], may: { cancel: true, approve: false, deploy: true, trust: false } }

test('of a branch its commits are offered, as they are; else versions, the highest first, then branches', () => {
  const all = revisions(form)
  expect(revisions({ ...form, commits: [] }).map(({ name }) => name)).toEqual(['v10', 'v9', 'main'])
  expect(all.map(({ name }) => name).slice(0, 2)).toEqual(['Change 1', 'Change 2'])
  expect(fitting(all, ' ben ').map(({ name }) => name)).toEqual(['Change 2', 'Change 4', 'Change 6'])
  expect(fitting(all, '2222').map(({ name }) => name)).toEqual(['Change 2'])
  expect([short(id(4)), short('main'), isId('abcdef1'), isId('main'), isId('abc')]).toEqual(['44444444', 'main', true, false, false])
})

test('one chooses what to deploy from rows that say what, who and when, or by an id', async () => {
  vi.spyOn(api, 'form').mockResolvedValue(form)
  const start = vi.spyOn(api, 'start').mockResolvedValue(made)
  const dialog = mount(DeployDialog, { props: { service: service() }, global, attachTo: document.body })
  await flushPromises()
  const rows = () => dialog.findAll('.ver').map((row) => row.text())
  expect(rows()).toHaveLength(1 + 5)
  expect(rows()[1]).toMatch(/^Change 1\s*11111111 · Anna · yesterday\s*commit$/)
  await dialog.find('.vers__all button').trigger('click')
  expect(rows()).toHaveLength(1 + 7)
  await dialog.find(`input[value="${id(6)}"]`).setValue(true)
  expect(dialog.find('.say').text()).toBe('66666666')
  await dialog.find('form').trigger('submit')
  await flushPromises()
  expect(start.mock.calls[0]?.[2]).toMatchObject({ revision: id(6) })

  // An older one is not listed.
  await dialog.find('#v-find').setValue('abcdef12')
  expect(rows().at(-1)).toMatch(/^abcdef12\s*Typed by its id\.\s*commit$/)
  await dialog.find('input[value="abcdef12"]').setValue(true)
  await dialog.find('#v-find').setValue('')
  expect(dialog.find<HTMLInputElement>('input[value="abcdef12"]').element.checked).toBe(true)
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
