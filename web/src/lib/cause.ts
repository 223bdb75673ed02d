/** Whose it is: what stands before it in the row has worked. */
export type Whose = 'ours' | 'instructions' | 'server'

/** Of the docs' reasons, those that lie in the instructions, or on a server; all others are ours. */
const INSTRUCTIONS = ['TaskFailed', 'SyntaxError', 'AnsibleFailed', 'InvalidInput', 'InvalidSpec', 'SecretMissing', 'VaultPassword', 'NothingDone', 'Timeout']
const SERVER = ['HostUnreachable', 'AuthenticationFailed', 'HostKeyChanged', 'BecomeFailed', 'HealthCheckFailed']

/** What the words of a failed step give away, the surest first. */
const SIGNS = [
  ['DiskFull', 'server', /no space left on device|disk (is )?full|ENOSPC|disk quota exceeded/i],
  ['Memory', 'server', /cannot allocate memory|out of memory|oom-?kill/i],
  ['ReadOnly', 'server', /read-only file system/i],
  ['Packages', 'server', /failed to (fetch|update apt cache)|unable to locate package|no package matching|could not (get lock|resolve host)|temporary failure (in name resolution|resolving)|repository .* (not found|does not have a release)/i],
  ['Sudo', 'server', /missing sudo password|incorrect sudo password|a password is required|is not in the sudoers/i],
  ['Permission', 'server', /permission denied|operation not permitted|EACCES/i],
  ['Answer', 'server', /status code was (-1|5\d\d)|http error 5\d\d|502 bad gateway|503 service unavailable/i],
  ['Refused', 'server', /connection refused|timed? ?out when waiting|timeout when waiting for/i],
  ['Undefined', 'instructions', /is undefined|undefined variable|has no attribute/i],
  ['Missing', 'instructions', /no such file or directory|could not find or access|does not exist/i],
] as const satisfies readonly (readonly [string, Whose, RegExp])[]

/** A sign of `cause.…` in the locales. */
export type Sign = (typeof SIGNS)[number][0]

/** What probably was the cause of a failure, and whose it is. */
export function cause(failure: { reason: string; message: string }): { sign: Sign | undefined; whose: Whose } {
  if (failure.reason === 'TaskFailed') {
    const found = SIGNS.find(([, , words]) => words.test(failure.message))
    if (found) return { sign: found[0], whose: found[1] }
  }
  if (SERVER.includes(failure.reason)) return { sign: undefined, whose: 'server' }
  return { sign: undefined, whose: INSTRUCTIONS.includes(failure.reason) ? 'instructions' : 'ours' }
}
