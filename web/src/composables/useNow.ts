import { onScopeDispose, ref } from 'vue'

/** The time, as often as that, or once a second: milliseconds since 1970. */
export function useNow(every = 1_000) {
  const now = ref(Date.now())
  const timer = setInterval(() => (now.value = Date.now()), every)
  onScopeDispose(() => clearInterval(timer))
  return now
}
