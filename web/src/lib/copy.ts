/** Puts text on the clipboard; whether that worked. Browsers offer it only to pages that came by HTTPS, or of this machine. */
export async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text)
    return true
  } catch {
    return false
  }
}
