import { expect, test } from 'vitest'
import { added, missing } from '@/lib/declared'

const port = { name: 'web_port', help: 'Where', yaml: '- name: web_port\n  type: number\n  default: 8080\n' }
const name = { name: 'web_name', yaml: '- name: web_name\n  type: text\n' }
const both = [port, name]

test('what a form lacks is added to it, where it stands and as it is indented', () => {
  const bare = 'kind: Service\nspec:\n  playbook: a.yml\n  source: {}\n'
  const once = added(bare, both)
  expect(once).toBe('kind: Service\nspec:\n  inputs:\n  - name: web_port\n    type: number\n    default: 8080\n  - name: web_name\n    type: text\n  playbook: a.yml\n  source: {}\n')
  expect(missing(bare, both)).toEqual(both)
  expect(missing(once ?? '', both)).toEqual([])
  const deeper = 'spec:\n    inputs:\n      - name: web_name\n        type: text\n\n    playbook: a.yml\n'
  expect(missing(deeper, both)).toEqual([port])
  expect(added(deeper, [port])).toBe('spec:\n    inputs:\n      - name: web_name\n        type: text\n      - name: web_port\n        type: number\n        default: 8080\n\n    playbook: a.yml\n')
  expect(added('spec:\n  inputs: []\n  playbook: a.yml', [name])).toBe('spec:\n  inputs:\n  - name: web_name\n    type: text\n  playbook: a.yml')
})

test('a name elsewhere is none of the form, and what is written in another way is left to a person', () => {
  expect(missing('spec:\n  credentials:\n    name: web_port\n  inputs:\n  - {type: text, name: "web_name"}\n  steps:\n  - name: web_port\n', both)).toEqual([port])
  expect(added('spec:\n  inputs: [{name: a, type: text}]\n', both)).toBeUndefined()
  expect(missing('spec:\n  inputs: [{name: web_name, type: text}]\n', both)).toEqual([port])
  for (const odd of ['', 'spec: {}', 'spec:\n', 'spec:\nkind: Service', '{"spec": {}}']) expect(added(odd, both)).toBeUndefined()
  // A block of text is not looked into.
  expect(missing('spec:\n  source:\n    inline:\n      a.yml: |\n        inputs:\n        - name: web_port\n', [port])).toEqual([port])
})
