import { readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { gzipSync } from 'node:zlib'
import VueI18nPlugin from '@intlify/unplugin-vue-i18n/vite'
import vue from '@vitejs/plugin-vue'
import type { Plugin } from 'vite'
import { defineConfig } from 'vitest/config'

/** Compressed once, here: the server sends the .gz as it is. */
function gzip(): Plugin {
  return {
    name: 'gzip',
    apply: 'build',
    // As it was written: other plugins change the bundle until then.
    writeBundle({ dir = 'dist' }, bundle) {
      for (const name of Object.keys(bundle)) {
        const file = resolve(dir, name)
        writeFileSync(`${file}.gz`, gzipSync(readFileSync(file), { level: 9 }))
      }
    },
  }
}

// `npm run dev` shows the page with live code before any fastDeploy: FASTDEPLOY_URL, or that of `make up`.
const api = process.env['FASTDEPLOY_URL'] ?? 'http://127.0.0.1:30090'

export default defineConfig({
  plugins: [vue(), VueI18nPlugin({ include: resolve(import.meta.dirname, 'src/locales/*.json') }), gzip()],
  resolve: { alias: { '@': resolve(import.meta.dirname, 'src') } },
  // A Content-Security-Policy without 'unsafe-inline' and data: in scripts and styles.
  build: { assetsInlineLimit: 0, modulePreload: { polyfill: false } },
  server: { proxy: { '/api': { target: api, ws: true } } },
  test: { environment: 'happy-dom', setupFiles: ['test/setup.ts'] },
})
