const KEY = 'fastdeploy-theme'

/** As it was chosen on this machine; else as the system says. */
export function applyTheme(): void {
  const chosen = localStorage.getItem(KEY)
  if (chosen === 'light' || chosen === 'dark') document.documentElement.dataset['theme'] = chosen
}

/** Light becomes dark, dark becomes light. */
export function switchTheme(): void {
  const root = document.documentElement
  const dark = root.dataset['theme'] === 'dark' || (root.dataset['theme'] === undefined && matchMedia('(prefers-color-scheme: dark)').matches)
  root.dataset['theme'] = dark ? 'light' : 'dark'
  localStorage.setItem(KEY, root.dataset['theme'])
}
