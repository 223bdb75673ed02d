import type { Deployment, Difference, Input, Service } from '@/api/schema'
import { ended } from './states'

/** Why one cannot go back to a run. */
export type No = 'live' | 'Failed' | 'NothingDone' | 'Cancelled'

/** A run that one may or may not go back to. */
export interface Earlier {
  run: Deployment
  /** None: one can. */
  no: No | undefined
  /** For how long it was live, in seconds. */
  lived: number | undefined
}

/** The runs that were to bring all servers to one state, newest first, out of those of a Service, newest first. */
export function earlier(runs: readonly Deployment[], live: Service['live']): Earlier[] {
  const whole = runs.filter((run) => run.number !== undefined && run.mode === 'Apply' && run.limit === undefined && ended(run.phase))
  let until: number | undefined
  return whole.map((run) => {
    const worked = run.phase === 'Succeeded'
    const at = run.finishedAt === undefined ? undefined : Date.parse(run.finishedAt)
    const lived = worked && at !== undefined && until !== undefined ? (until - at) / 1_000 : undefined
    if (worked) until = at
    const no = run.uid === live?.uid ? 'live' : run.phase === 'Failed' || run.phase === 'NothingDone' || run.phase === 'Cancelled' ? run.phase : undefined
    return { run, no, lived }
  })
}

/** What it is that changes: an answer of the form, a setting, a file, the source as a whole, anything else. */
export type Kind = 'answer' | 'setting' | 'file' | 'source' | 'other'

/** Something that will not be as it is. */
export interface Change {
  kind: Kind
  name: string
  before: string | undefined
  after: string | undefined
}

const PLACES: readonly [prefix: string, kind: Kind][] = [['inputs.', 'answer'], ['variables.', 'setting'], ['source.files.', 'file']]
/** They say no more than what stands elsewhere. */
const SILENT = ['digest', 'source.git.reference']

/** Differences of a comparison, as people look at them. */
export function changes(differences: readonly Difference[], inputs: readonly Input[]): Change[] {
  const commits = differences.some(({ path }) => path === 'source.git.commit')
  return differences.flatMap(({ path, before, after }): Change[] => {
    if (SILENT.includes(path) || (path === 'source.git.commit' && differences.some((one) => one.path === 'revision'))) return []
    const values = { before: text(before), after: text(after) }
    // Of files that stand in the Service itself the revision is only their sum.
    if (path === 'revision' && !commits && differences.some((one) => one.path.startsWith('source.files.'))) return []
    if (path === 'revision' || path.startsWith('source.git.')) return [{ kind: 'source', name: path, ...values }]
    const [prefix, kind] = PLACES.find(([one]) => path.startsWith(one)) ?? ['', 'other' as const]
    const name = path.slice(prefix.length)
    const asked = kind === 'answer' ? inputs.find((input) => input.name === name.split('.')[0]) : undefined
    return [{ kind, name: asked?.label ?? name, ...values }]
  })
}

function text(value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined
  return typeof value === 'string' ? value : JSON.stringify(value)
}
