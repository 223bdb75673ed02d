/** What looks like a secret, although the runner masks those that it knows. */
const SECRETS: readonly [RegExp, string][] = [
  [/\b([a-z][a-z0-9+.-]*:\/\/)[^\s/@:]+:[^\s/@]+@/gi, '$1••••@'],
  [/\b(bearer|basic)\s+[\w.~+/=-]{8,}/gi, '$1 ••••'],
  [/\b([\w-]*(?:passw(?:or)?d|passwort|secret|token|api[_-]?key|private[_-]?key|credential)s?["']?\s*[:=]\s*)("[^"]*"|'[^']*'|[^\s,;&]+)/gi, '$1••••'],
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(-----END [A-Z ]*PRIVATE KEY-----|$)/g, '••••'],
]

/** The text without what looks like a secret. */
export function redacted(text: string): string {
  return SECRETS.reduce((rest, [pattern, mask]) => rest.replace(pattern, mask), text)
}

/** A summary that can be sent to anybody: one fact per line, nothing that was filled in. */
export function summary(facts: readonly (readonly [string, string | undefined])[]): string {
  return facts.flatMap(([name, value]) => (value === undefined || value === '' ? [] : [`${name}: ${redacted(value)}`])).join('\n')
}
