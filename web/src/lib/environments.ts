import type { Service } from '@/api/schema'

/** The same service in several environments, from where it is tried to where it counts. */
export interface Family {
  key: string
  title: string
  members: Service[]
}

/** From left to right; what stands in none of them comes before staging. */
const ORDER = [['dev', 'development'], ['test', 'testing', 'integration'], ['qa', 'acceptance'], ['preview'], ['staging', 'stage', 'preproduction', 'pre-production'], ['production', 'prod', 'live']]
const BEFORE_STAGING = 3.5

function rank(environment: string): number {
  const found = ORDER.findIndex((names) => names.includes(environment))
  return found < 0 ? BEFORE_STAGING : found
}

/** The name without the environment at its end: `blog-staging` and `blog` are of one family. */
function family(name: string, environment: string): string {
  return name.endsWith(`-${environment}`) ? name.slice(0, -environment.length - 1) : name
}

/** What people call all of them: the title without the environment at its end. */
function common(title: string, environment: string): string {
  const cut = title.toLowerCase().lastIndexOf(environment)
  if (cut <= 0 || title.slice(cut + environment.length).replace(/[)\]\s]/g, '') !== '') return title
  return title.slice(0, cut).replace(/[\s(,:[–-]+$/, '') || title
}

/** The services of one team that say in which environment they are, by what they have in common. */
export function families(services: Iterable<Service>): Family[] {
  const found = new Map<string, { service: Service; environment: string }[]>()
  for (const service of services) {
    const { environment } = service
    if (environment === undefined) continue
    const key = `${service.namespace}/${family(service.name, environment)}`
    found.set(key, [...(found.get(key) ?? []), { service, environment }])
  }
  const all = [...found].map(([key, members]) => {
    members.sort((a, b) => rank(a.environment) - rank(b.environment) || a.service.name.localeCompare(b.service.name))
    const last = members.at(-1)
    return { key, title: last ? common(last.service.title, last.environment) : key, members: members.map(({ service }) => service) }
  })
  return all.sort((a, b) => a.title.localeCompare(b.title) || a.key.localeCompare(b.key))
}

/** Teams in which something stands side by side. */
export function teamsOf(services: Iterable<Service>): string[] {
  return [...new Set(families(services).filter(({ members }) => members.length > 1).flatMap(({ members }) => members.map(({ namespace }) => namespace)))].sort()
}
