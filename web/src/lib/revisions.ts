import type { Form } from '@/api/schema'

export type Commit = Form['commits'][number]

/** As much of a commit's id as people read; a name is left as it is. */
export function short(revision: string): string {
  return /^[0-9a-f]{40}$/.test(revision) ? revision.slice(0, 8) : revision
}

/** Somebody types the id of a commit, or its beginning. */
export function isId(words: string): boolean {
  return /^[0-9a-f]{7,40}$/.test(words)
}

/** What one can choose from: a version, a branch, or a commit. */
export interface Revision { kind: 'tag' | 'branch' | 'commit'; value: string; name: string; commit: string; of?: Commit }

/**
 * Where a branch is followed, its last commits, the newest first: nothing else may be chosen there. Else tags, the highest
 * number first: that is what people mean by versions; then branches.
 */
export function revisions(form: Form): Revision[] {
  const named = (kind: 'tag' | 'branch', list: Form['tags']): Revision[] =>
    [...list].sort((a, b) => b.name.localeCompare(a.name, undefined, { numeric: true })).map(({ name, commit }) => ({ kind, value: name, name, commit }))
  const commits = form.commits.map((of): Revision => ({ kind: 'commit', value: of.commit, name: of.subject, commit: of.commit, of }))
  return commits.length > 0 ? commits : [...named('tag', form.tags), ...named('branch', form.branches)]
}

/** Those that somebody looks for: by name, by who made it, by the beginning of the id. */
export function fitting(all: readonly Revision[], words: string): Revision[] {
  const wanted = words.trim().toLowerCase()
  return all.filter(({ name, commit, of }) => commit.startsWith(wanted) || [name, of?.author ?? ''].some((text) => text.toLowerCase().includes(wanted)))
}
