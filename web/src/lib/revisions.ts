import type { Form } from '@/api/schema'

export type Commit = Form['commits'][number]
export type Revision = Form['revisions'][number]

/** As much of a commit's id as people read; a name is left as it is. */
export function short(revision: string): string {
  return /^[0-9a-f]{40}$/.test(revision) ? revision.slice(0, 8) : revision
}

/** Those that somebody looks for: by name, or by the beginning of the id. */
export function fitting(all: readonly Revision[], words: string): Revision[] {
  const wanted = words.trim().toLowerCase()
  return all.filter(({ name, commit }) => commit.startsWith(wanted) || name.toLowerCase().includes(wanted))
}
