import type { Deployment, Service } from '@/api/schema'
import { between } from './durations'
import { TICK } from './states'

/** Which runs are shown. */
export type Shown = 'all' | 'failed' | 'mine'

/** Whether a run is one of those. */
export function belongs(run: Deployment, shown: Shown, me: string): boolean {
  if (shown === 'failed') return TICK[run.phase] === 'down'
  return shown === 'all' || (run.requestedBy.name === me && run.requestedBy.via !== 'Change' && run.requestedBy.via !== 'Schedule')
}

/** Whether it took notably longer than a run of its Service usually takes. */
export function slow(run: Deployment, usual: number | undefined): boolean {
  const took = between(run.startedAt, run.finishedAt)
  return run.phase === 'Succeeded' && took !== undefined && usual !== undefined && took > usual * 1.25 + 5
}

/** What was filled in, by the question as people see it. */
export function answers(run: Deployment, service: Service | undefined): { question: string; answer: unknown }[] {
  return Object.entries(run.inputs).map(([name, answer]) => ({ question: service?.inputs.find((input) => input.name === name)?.label ?? name, answer }))
}

const COLUMNS = ['number', 'state', 'asked', 'started', 'finished', 'seconds', 'by', 'via', 'note', 'inputs', 'revision', 'failure'] as const

/** For a spreadsheet, after RFC 4180: a line per run, the names of the columns first. */
export function csv(runs: readonly Deployment[]): string {
  const lines = runs.map((run) =>
    [
      run.number, run.phase, run.createdAt, run.startedAt, run.finishedAt, between(run.startedAt, run.finishedAt), run.requestedBy.name,
      run.requestedBy.via, run.note, Object.keys(run.inputs).length === 0 ? '' : JSON.stringify(run.inputs), run.revision, run.failure?.message,
    ].map(cell).join(','),
  )
  return [COLUMNS.join(','), ...lines].join('\r\n') + '\r\n'
}

function cell(value: string | number | undefined): string {
  if (value === undefined) return ''
  if (typeof value === 'number') return String(value)
  // A spreadsheet would take these for a formula; what somebody typed is data.
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
