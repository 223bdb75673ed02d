import { flushPromises, mount } from '@vue/test-utils'
import { createMemoryHistory, createRouter } from 'vue-router'
import { afterEach, expect, test, vi } from 'vitest'
import { api, Refused } from '@/api/client'
import { people } from '@/api/people'
import { i18n, learn } from '@/i18n'
import { asks, EMPTY, faults, manifest, nameOf, servers, unanswered } from '@/lib/newservice'
import { yaml } from '@/lib/yaml'
import AddPage from '@/pages/AddPage.vue'

const routes = [{ path: '/', name: 'home', component: {} }, { path: '/add', name: 'add', component: {} }, { path: '/services/:namespace/:name', name: 'service', component: {} }]
const account = (add: { everywhere: boolean; namespaces: string[] }) => ({ name: 'mia', kubernetesUser: 'fastdeploy:mia', groups: [], password: true, mustChange: false, may: { users: false, roles: false, system: false, add } })

afterEach(() => vi.useRealTimers())

test('YAML: what could be read as something else is quoted', () => {
  expect(yaml({ a: 'plain words', b: '*', c: 'yes', d: '1.0', e: 'a: b', f: { g: [], h: {}, i: ['x', { j: true }] }, k: '' })).toBe(
    'a: plain words\nb: "*"\nc: "yes"\nd: "1.0"\ne: "a: b"\nf:\n  g: []\n  h: {}\n  i:\n    - x\n    - j: true\nk: ""\n',
  )
  // Neither a line break nor a quote gets out of its place.
  expect(yaml({ a: 'x\nspec: {}', b: '"', 'c: d': '#' })).toBe('a: "x\\nspec: {}"\nb: "\\""\n"c: d": "#"\n')
})

test('a short name comes from what people call it', () => {
  expect([nameOf('Company blog'), nameOf('Größe & Übersicht'), nameOf('  –  '), nameOf('é'.repeat(60))]).toEqual(['company-blog', 'groesse-uebersicht', '', 'e'.repeat(40).replace(/e/g, (_, n) => (n % 2 === 0 ? 'e' : '-')).replace(/-+$/, '')])
})

test('a manifest has what was answered and nothing else', () => {
  const answers = { ...EMPTY, title: 'Company blog', team: 'web', name: 'blog', repository: 'https://git.example.com/web/blog.git', branch: 'main', folder: '/deploy/' }
  expect(manifest(answers)).toBe(`apiVersion: fastdeploy.dev/v1alpha1
kind: Service
metadata:
  name: blog
  namespace: web
spec:
  title: Company blog
  source:
    git:
      url: "https://git.example.com/web/blog.git"
      branch: main
      path: deploy
  playbook: deploy.yml
  inventory:
    local: true
  policy:
    deploy: Manual
`)
  const some = manifest({ ...answers, follow: 'versions', environment: 'production', servers: 'web1 10.0.0.5\nweb2\n\n', user: 'deploy', key: 'ssh', hosts: 'known', login: 'git', when: 'OnChange' })
  expect(some).toContain('  environment: production\n')
  expect(some).toContain('      semver: "*"\n      path: deploy\n      secretRef:\n        name: git\n')
  expect(some).not.toContain('branch')
  expect(some).toContain('    inline:\n      all:\n        hosts:\n          web1:\n            ansible_host: "10.0.0.5"\n          web2: {}\n')
  expect(some).toContain('  credentials:\n    ssh:\n      secretRef:\n        name: ssh\n      user: deploy\n    knownHosts:\n      configMapRef:\n        name: known\n')
  expect(manifest({ ...answers, servers: 'web1', known: 'first' })).toContain('knownHosts:\n      trust: OnFirstUse\n')
})

test('what is asked and what is missing depends on the answers', () => {
  expect(unanswered(EMPTY)).toEqual(['title', 'team', 'name', 'repository'])
  expect(unanswered({ ...EMPTY, servers: 'web1' })).toContain('hosts')
  expect(unanswered({ ...EMPTY, servers: 'web1', known: 'first' })).not.toContain('hosts')
  expect(asks('key', EMPTY)).toBe(false)
  expect(servers(' a, 10.0.0.1 \n\nb')).toEqual([{ name: 'a', address: '10.0.0.1' }, { name: 'b', address: undefined }])
})

test('each fault stands at its question, what belongs nowhere is said once', () => {
  const error = (field: string, message = field) => ({ field, message })
  expect(faults([error('spec.source.git.url'), error('spec.source.git'), error('spec.credentials.ssh.user'), error('spec.inventory.inline'), error('spec.policy'), error('spec.runner')])).toEqual({
    at: { repository: 'spec.source.git.url', user: 'spec.credentials.ssh.user', servers: 'spec.inventory.inline', when: 'spec.policy' },
    rest: ['spec.runner'],
  })
})

async function page(add = { everywhere: true, namespaces: [] as string[] }) {
  await learn('add')
  vi.spyOn(people, 'account').mockResolvedValue(account(add))
  const router = createRouter({ history: createMemoryHistory(), routes })
  await router.push('/add?team=web')
  const mounted = mount(AddPage, { global: { plugins: [i18n, router] }, attachTo: document.body })
  await flushPromises()
  const fill = async (label: string, text: string) => {
    const found = mounted.findAll('label').find((one) => one.text().startsWith(label))
    await mounted.find(`#${found?.attributes('for')}`).setValue(text)
  }
  return { mounted, router, fill }
}

test('a service is added: checked by the cluster, faults at their fields, then made, and its page is there', async () => {
  vi.useFakeTimers()
  const { mounted, router, fill } = await page()
  const create = vi.spyOn(api, 'createManifest').mockRejectedValueOnce(new Refused(422, 'Refused', 'no', undefined, [{ field: 'spec.source.git.url', message: 'source.git.url: write https://host/path' }])).mockResolvedValue({ text: '', etag: '' })
  await mounted.find('form').trigger('submit')
  await flushPromises()
  expect(create).not.toHaveBeenCalled()
  expect(mounted.text()).toContain('3 answers are missing.')
  await fill('What people call it', 'Company blog')
  await fill('Address of the repository', 'nowhere')
  expect(mounted.find('.add__code').text()).toContain('name: company-blog')
  // The cluster is asked while one writes.
  await vi.advanceTimersByTimeAsync(800)
  expect(create).toHaveBeenCalledTimes(1)
  expect(create.mock.calls[0]?.[1]).toBe(true)
  expect(mounted.find('.error').text()).toBe('source.git.url: write https://host/path')
  await fill('Address of the repository', 'https://git.example.com/web/blog.git')
  await mounted.find('form').trigger('submit')
  await flushPromises()
  expect(create.mock.calls.map(([, dry]) => dry)).toEqual([true, true, false])
  expect(create.mock.calls[2]?.[0]).toContain('namespace: web')
  expect(router.currentRoute.value.params).toEqual({ namespace: 'web', name: 'company-blog' })
})

test('a name that is taken and a team that is not one\u2019s own are said at their fields', async () => {
  const { mounted, fill } = await page({ everywhere: false, namespaces: ['web'] })
  vi.spyOn(api, 'createManifest').mockRejectedValueOnce(new Refused(409, 'Exists', 'There is a service blog.')).mockRejectedValueOnce(new Refused(403, 'Forbidden', 'You may not do this.'))
  await fill('What people call it', 'Blog')
  await fill('Address of the repository', 'https://git.example.com/web/blog.git')
  for (const said of ['There is a service blog.', 'You may not do this.']) {
    await mounted.find('form').trigger('submit')
    await flushPromises()
    expect(mounted.findAll('.error').map((one) => one.text())).toEqual([said])
  }
})

test('whoever may add nothing finds nothing here', async () => {
  const { mounted } = await page({ everywhere: false, namespaces: [] })
  expect(mounted.text()).toContain('There is nothing here')
})
