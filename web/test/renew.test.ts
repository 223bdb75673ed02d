import { expect, test } from 'vitest'
import { entry, reloads } from '@/lib/renew'

test('another build is known by the script that its page begins with', () => {
  expect(entry('<html><script type="module" crossorigin src="/assets/index-a1.js"></script></html>')).toBe('/assets/index-a1.js')
  expect(entry('<p>the server is away</p>')).toBeUndefined()
})

test('a part that is missing is worth one reload where the server answers', () => {
  const minute = 60_000
  expect(reloads('/b.js', 0, 2 * minute)).toBe(true)
  expect(reloads('/b.js', 1.5 * minute, 2 * minute)).toBe(false)
  // A server that is away: a reload would lose even what is there.
  expect(reloads(undefined, 0, 2 * minute)).toBe(false)
})
