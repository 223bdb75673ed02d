import { Refused } from '@/api/client'

/** Between two tries. Milliseconds. */
const PAUSES = [300, 700, 1_500, 3_000]

/** Does it again while the server does not answer: only for what may be sent twice without being done twice. */
export async function patiently<T>(deed: () => Promise<T>): Promise<T> {
  for (const pause of PAUSES) {
    try {
      return await deed()
    } catch (error) {
      if (!(error instanceof Refused) || (error.status !== 0 && error.status < 500)) throw error
    }
    await new Promise((resolve) => setTimeout(resolve, pause))
  }
  return await deed()
}
