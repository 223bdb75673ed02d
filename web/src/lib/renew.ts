import { ref } from 'vue'

// Parts of the page that are fetched later belong to one build. After an upgrade they are gone from the server.

/** What is said about it, if anything: a key of `top.…` in the locales. */
export type RenewalNote = 'renewed' | 'partAway'

const KEY = 'fastdeploy-renewed'
/** So soon after one, another reload would change nothing. Milliseconds. */
const ONCE = 60_000
/** So long the note stands. */
const READ = 10_000

export const note = ref<RenewalNote>()

/** Which script a page begins with: another one is another build. */
export function entry(html: string): string | undefined {
  return /<script[^>]*\ssrc="([^"]+)"/.exec(html)?.[1]
}

/** Whether a part that is missing comes with a reload: the server answers, and it was not tried just now. It may have
 * another build, or the network was away for a moment. */
export function reloads(there: string | undefined, last: number, now: number): boolean {
  return there !== undefined && now - last > ONCE
}

function say(what: RenewalNote): void {
  note.value = what
  setTimeout(() => (note.value = undefined), READ)
}

async function missed(): Promise<void> {
  const page = await fetch('/', { cache: 'no-store' }).then((answer) => (answer.ok ? answer.text() : ''), () => '')
  if (reloads(entry(page), Number(sessionStorage.getItem(KEY) ?? 0), Date.now())) {
    sessionStorage.setItem(KEY, String(Date.now()))
    location.reload()
  } else say('partAway')
}

/** To be called once. Says so if the page was loaded anew by itself. */
export function watchParts(): void {
  addEventListener('vite:preloadError', () => void missed())
  const last = Number(sessionStorage.getItem(KEY) ?? 0)
  if (last > 0 && Date.now() - last < READ) say('renewed')
}
