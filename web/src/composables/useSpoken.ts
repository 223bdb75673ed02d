import { ref, watch } from 'vue'

/** How often a screen reader hears what changes all the time. Milliseconds. */
const SPOKEN = 10_000

/** A sentence for those who do not see the page: at once when the state is another one, else not more often than every ten seconds. */
export function useSpoken(state: () => string | undefined, sentence: () => string) {
  const spoken = ref('')
  let at = 0
  watch(
    () => [state(), sentence()],
    ([now], [before]) => {
      if (now === before && Date.now() - at < SPOKEN) return
      at = Date.now()
      spoken.value = sentence()
    },
  )
  return spoken
}
