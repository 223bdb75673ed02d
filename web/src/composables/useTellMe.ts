import { ref, watch } from 'vue'

/** Whether this browser tells when something has ended, once a person has asked for it. */
export function useTellMe(over: () => boolean, words: () => { title: string; body: string }) {
  /** Browsers offer it only to pages that came by HTTPS, or of this machine. */
  const possible = 'Notification' in window && window.isSecureContext
  const state = ref<'no' | 'yes' | 'denied'>('no')

  async function ask(): Promise<void> {
    if (!possible) return
    const answer = Notification.permission === 'default' ? await Notification.requestPermission() : Notification.permission
    state.value = answer === 'granted' ? 'yes' : 'denied'
  }
  watch(over, (ended) => {
    if (!ended || state.value !== 'yes') return
    const { title, body } = words()
    // One per run: a second tab replaces the first one's.
    const note = new Notification(title, { body, tag: location.pathname })
    note.onclick = () => {
      window.focus()
      note.close()
    }
    state.value = 'no'
  })
  return { possible, state, ask }
}
