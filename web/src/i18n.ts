import { createI18n } from 'vue-i18n'

export const LANGUAGES = { en: 'English', de: 'Deutsch' } as const
export type Language = keyof typeof LANGUAGES

const KEY = 'fastdeploy-language'
/** Both have every sentence, so only the one that is spoken is fetched. */
const SENTENCES = { en: () => import('./locales/en.json'), de: () => import('./locales/de.json') } as const
/** What only one page says, in a folder of its name: fetched with that page. */
const OF_PAGES = import.meta.glob<typeof import('./locales/en.json')>('./locales/*/*.json', { import: 'default' })
const learned = new Set<string>()

/** As it was chosen on this machine; else the browser's. */
export function preferred(): Language {
  const chosen = localStorage.getItem(KEY)
  if (chosen === 'en' || chosen === 'de') return chosen
  return navigator.languages.some((language) => language.startsWith('de')) && !navigator.language.startsWith('en') ? 'de' : 'en'
}

export const i18n = createI18n({
  legacy: false,
  locale: preferred(),
  fallbackLocale: false,
  messages: {},
  // What has to be put together is a function already: what is still text is only text.
  messageCompiler: (sentence) => () => sentence,
})

/** Changes the language, as soon as its sentences are there. */
export async function use(language: Language): Promise<void> {
  const sentences = await SENTENCES[language]()
  i18n.global.setLocaleMessage(language, sentences.default)
  await Promise.all([...learned].map((page) => add(page, language)))
  i18n.global.locale.value = language
  document.documentElement.lang = language
}

async function add(page: string, language: Language): Promise<void> {
  const sentences = await OF_PAGES[`./locales/${page}/${language}.json`]?.()
  if (sentences) i18n.global.mergeLocaleMessage(language, sentences)
}

/** What a page says is known from now on, in whichever language. */
export async function learn(page: string): Promise<void> {
  learned.add(page)
  await add(page, i18n.global.locale.value === 'de' ? 'de' : 'en')
}

/** The same, and remembers it on this machine. */
export async function speak(language: Language): Promise<void> {
  await use(language)
  localStorage.setItem(KEY, language)
}
