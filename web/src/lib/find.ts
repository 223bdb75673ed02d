import type { Service } from '@/api/schema'

/** Without case and accents, so that `muller` finds `Müller`. */
function plain(text: string): string {
  return text.normalize('NFD').replace(/\p{M}/gu, '').toLowerCase()
}

/** Whether each of the words stands somewhere in what people see of a Service. */
export function matches(service: Service, words: string): boolean {
  const wanted = plain(words).split(/\s+/).filter((word) => word !== '')
  if (wanted.length === 0) return true
  const runs = [service.last, service.active].flatMap((run) => (run ? [run.requestedBy.name, run.note ?? '', `#${run.number ?? ''}`] : []))
  const text = plain([service.title, service.name, service.namespace, service.description ?? '', ...Object.values(service.live?.inputs ?? {}), ...runs].join(' '))
  return wanted.every((word) => text.includes(word))
}

/** The teams of some Services, by name. */
export function teams(services: Iterable<Service>): string[] {
  return [...new Set([...services].map((service) => service.namespace))].sort((a, b) => a.localeCompare(b))
}
