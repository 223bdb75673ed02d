import { defineAsyncComponent, type Component } from 'vue'

/** When a page has come to rest. Milliseconds. */
const REST = 800

/** A part that is not there at first: fetched when it is shown, or before, once the page is at rest. */
export function soon(load: () => Promise<{ default: Component }>): Component {
  // A failure then is tried again, and told, when the part is needed.
  setTimeout(() => void load().catch(() => undefined), REST)
  return defineAsyncComponent(load)
}
