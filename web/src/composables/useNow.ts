import { onScopeDispose, ref } from 'vue'

/** The time, once a second: milliseconds since 1970. */
export function useNow() {
  const now = ref(Date.now())
  const timer = setInterval(() => (now.value = Date.now()), 1_000)
  onScopeDispose(() => clearInterval(timer))
  return now
}
