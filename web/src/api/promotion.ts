import { asked, part } from './client'
import type { DeploymentAnswer, Promote, Promotion } from './schema'

/** From one environment to the next. */
export const promotion = {
  look: (namespace: string, from: string, to: string): Promise<Promotion> => asked('GET', `/services/${part(namespace)}/${part(from)}/promotion?to=${part(to)}`),
  go: (namespace: string, from: string, what: Promote, key: string): Promise<DeploymentAnswer> => asked('POST', `/services/${part(namespace)}/${part(from)}/promote`, what, key),
}
