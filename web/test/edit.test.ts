import { flushPromises, mount } from '@vue/test-utils'
import { createMemoryHistory, createRouter } from 'vue-router'
import { expect, test, vi } from 'vitest'
import { api, Refused } from '@/api/client'
import { i18n } from '@/i18n'
import EditPage from '@/pages/EditPage.vue'
import { service } from './samples'

const router = createRouter({ history: createMemoryHistory(), routes: [{ path: '/', name: 'home', component: {} }, { path: '/services/:namespace/:name', name: 'service', component: {} }] })
const global = { plugins: [i18n, router] }

test('what the playbook declares and the form lacks is offered, and saved like all else by whoever looks at it', async () => {
  vi.spyOn(api, 'service').mockResolvedValue({ cursor: '', service: service(), may: { deploy: true, change: true, delete: true } })
  vi.spyOn(api, 'deployments').mockResolvedValue({ cursor: '', items: [] })
  vi.spyOn(api, 'manifest').mockResolvedValue({ text: 'spec:\n  title: Blog\n', etag: '"1"' })
  const declared = [{ name: 'web_port', help: 'Where it answers', yaml: '- name: web_port\n  type: number\n' }]
  vi.spyOn(api, 'plan').mockResolvedValue({ steps: [], declared, notes: [] })
  const change = vi.spyOn(api, 'changeManifest')
  const page = mount(EditPage, { props: { namespace: 'team', name: 'blog' }, global, attachTo: document.body })
  await flushPromises()
  const offer = page.find('section[aria-labelledby=h-declared]')
  expect(offer.text()).toContain('web_port Where it answers')
  await offer.find('button').trigger('click')
  await flushPromises()
  const text = page.find('textarea')
  expect(text.element.value).toBe('spec:\n  inputs:\n  - name: web_port\n    type: number\n  title: Blog\n')
  expect(page.find('section[aria-labelledby=h-declared]').exists()).toBe(false)
  expect(change).not.toHaveBeenCalled()
  // Taken out again it is offered again; where nobody but a person can put it, it is shown.
  await text.setValue('spec:\n  inputs: [{name: a, type: text}]\n')
  expect(page.find('section[aria-labelledby=h-declared] button').exists()).toBe(false)
  expect(page.find('pre').text()).toBe('- name: web_port\n  type: number')
})

test('what was written is checked and compared before it can be saved, with the ETag of what was read', async () => {
  vi.spyOn(api, 'service').mockResolvedValue({ cursor: '', service: service(), may: { deploy: true, change: true, delete: true } })
  vi.spyOn(api, 'deployments').mockResolvedValue({ cursor: '', items: [] })
  vi.spyOn(api, 'manifest').mockResolvedValue({ text: 'spec:\n  title: Blog\n', etag: '"1"' })
  const change = vi.spyOn(api, 'changeManifest').mockImplementation(async (_namespace, _name, text) => ({ text, etag: '"2"' }))
  const page = mount(EditPage, { props: { namespace: 'team', name: 'blog' }, global, attachTo: document.body })
  await flushPromises()
  const text = page.find('textarea')
  await text.setValue('spec:\n  title: Our blog\n')
  expect(page.text()).not.toContain('Save this')
  await page.find('form').trigger('submit')
  await flushPromises()
  expect(page.findAll('.diff > div').map((line) => line.text())).toEqual(['bothspec:', 'now  title: Blog', 'then  title: Our blog', 'both'])
  // What is written after it was checked is not what was checked.
  await text.setValue('spec:\n  title: Blogs\n')
  expect(page.text()).not.toContain('Save this')
  await text.setValue('spec:\n  title: Our blog\n')
  await page.find('section .btn--primary').trigger('click')
  await flushPromises()
  expect(change.mock.calls.map((call) => call.slice(3))).toEqual([['"1"', true], ['"1"', false]])
  expect(page.text()).toContain('Saved.')

  // Refused field by field; and nobody's change is lost.
  change.mockRejectedValueOnce(new Refused(422, 'Refused', 'it is refused', undefined, [{ field: 'spec.inventory', message: 'write one' }]))
  await page.find('form').trigger('submit')
  await flushPromises()
  expect(page.find('[role=alert]').text()).toContain('spec.inventory write one')
  change.mockRejectedValueOnce(new Refused(412, 'Changed', ''))
  await text.setValue('mine')
  await page.find('form').trigger('submit')
  await flushPromises()
  expect(page.find('[role=alert]').text()).toContain('Somebody else has changed it')
  expect(text.element.value).toBe('mine')
})
