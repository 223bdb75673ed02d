import { createI18n } from 'vue-i18n'

export const LANGUAGES = { en: 'English', de: 'Deutsch' } as const
export type Language = keyof typeof LANGUAGES

const KEY = 'fastdeploy-language'
/** Both have every sentence, so only the one that is spoken is fetched. */
const SENTENCES = { en: () => import('./locales/en.json'), de: () => import('./locales/de.json') } as const

/** As it was chosen on this machine; else the browser's. */
export function preferred(): Language {
  const chosen = localStorage.getItem(KEY)
  if (chosen === 'en' || chosen === 'de') return chosen
  return navigator.languages.some((language) => language.startsWith('de')) && !navigator.language.startsWith('en') ? 'de' : 'en'
}

export const i18n = createI18n({ legacy: false, locale: preferred(), fallbackLocale: false, messages: {} })

/** Changes the language, as soon as its sentences are there. */
export async function use(language: Language): Promise<void> {
  const sentences = await SENTENCES[language]()
  i18n.global.setLocaleMessage(language, sentences.default)
  i18n.global.locale.value = language
  document.documentElement.lang = language
}

/** The same, and remembers it on this machine. */
export async function speak(language: Language): Promise<void> {
  await use(language)
  localStorage.setItem(KEY, language)
}
