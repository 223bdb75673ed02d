import type { Tone } from './states'

const COLOUR: Record<Tone, string> = { good: '#177a5b', busy: '#2f6fd6', wait: '#e0a300', bad: '#c23b22', rest: '#183642' }
const SIGN: Record<Tone, string> = {
  good: '<path d="m9 17 5 5 9-11" fill="none" stroke="white" stroke-width="3.5"/>',
  busy: '<path d="M16 24V10M10 15.5 16 9.5l6 6" fill="none" stroke="white" stroke-width="3.5"/>',
  wait: '<path d="M16 8v9l5 3" fill="none" stroke="black" stroke-width="3.5"/>',
  bad: '<path d="m10 10 12 12M22 10 10 22" fill="none" stroke="white" stroke-width="3.5"/>',
  rest: '<path d="M9 23v-6M14 23V13M19 23v-5M24 23V8" fill="none" stroke="white" stroke-width="3"/>',
}

/** What stands on the tab: words, and the state as a picture. */
export function setHead(title: string, tone: Tone): void {
  document.title = title === '' ? 'fastDeploy' : `${title} · fastDeploy`
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="8" fill="${COLOUR[tone]}"/>${SIGN[tone]}</svg>`
  document.querySelector('link[rel=icon]')?.setAttribute('href', `data:image/svg+xml,${encodeURIComponent(svg)}`)
}
