/** Why the way over the organisation led back to the page: the server's words. */
export const TROUBLES = ['none', 'away', 'lost', 'denied', 'refused', 'groups', 'taken', 'closed'] as const
export type Trouble = (typeof TROUBLES)[number]

/** The word in the address; what nobody of us wrote is `refused`. */
export function troubleOf(said: unknown): Trouble | undefined {
  if (typeof said !== 'string') return undefined
  return TROUBLES.find((trouble) => trouble === said) ?? 'refused'
}

/** A place of this page, if it is one: nobody is led elsewhere by what stands in an address. */
export function ownPath(said: unknown): string | undefined {
  return typeof said === 'string' && /^\/(?![/\\])[\x21-\x5b\x5d-\x7e]*$/.test(said) ? said : undefined
}

/** Where the browser goes to sign in with the organisation, to come back to this place. */
export function toOrganisation(next: string | undefined): string {
  return `/api/v1/session/oidc/start${next === undefined ? '' : `?next=${encodeURIComponent(next)}`}`
}
