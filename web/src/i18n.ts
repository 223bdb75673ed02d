import { createI18n } from 'vue-i18n'
import de from './locales/de.json'
import en from './locales/en.json'

export const LANGUAGES = { en: 'English', de: 'Deutsch' } as const
export type Language = keyof typeof LANGUAGES

const KEY = 'fastdeploy-language'

function preferred(): Language {
  const chosen = localStorage.getItem(KEY)
  if (chosen === 'en' || chosen === 'de') return chosen
  return navigator.languages.some((language) => language.startsWith('de')) && !navigator.language.startsWith('en') ? 'de' : 'en'
}

export const i18n = createI18n({ legacy: false, locale: preferred(), fallbackLocale: 'en', messages: { en, de } })

/** Changes the language, and remembers it on this machine. */
export function speak(language: Language): void {
  i18n.global.locale.value = language
  localStorage.setItem(KEY, language)
  document.documentElement.lang = language
}
