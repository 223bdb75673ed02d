/** The kind of a key in a line of known_hosts, as its file on the server is called: `ed25519`. */
export function kind(line: string): string {
  const type = line.trim().split(/\s+/)[1] ?? ''
  if (type.startsWith('ecdsa-')) return 'ecdsa'
  return type === 'ssh-rsa' || type.startsWith('rsa-') ? 'rsa' : type === 'ssh-ed25519' ? 'ed25519' : '*'
}

/** What somebody types on the server to see the fingerprint that it should have. */
export function command(line: string): string {
  return `ssh-keygen -lf /etc/ssh/ssh_host_${kind(line)}_key.pub`
}

/** Whose key it is, as the list of known servers calls it: `[web1]:2222`. */
export function server(line: string): string {
  return line.trim().split(/\s+/)[0] ?? ''
}
