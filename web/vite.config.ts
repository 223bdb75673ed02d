import { readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { gzipSync } from 'node:zlib'
import vue from '@vitejs/plugin-vue'
import type { Plugin } from 'vite'
import { defineConfig } from 'vitest/config'
import { icu } from './icu.ts'

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

/** What a browser may have to load before it shows a page. Bytes, compressed. */
const BUDGET = 120_000

/** A build whose first page weighs too much is no build: what is always there, a language, and the heaviest page. */
function budget(): Plugin {
  return {
    name: 'budget',
    apply: 'build',
    generateBundle(_options, bundle) {
      const chunks = Object.values(bundle).flatMap((file) => (file.type === 'chunk' ? [file] : []))
      const weigh = (names: ReadonlySet<string>) => chunks.reduce((sum, chunk) => sum + (names.has(chunk.fileName) ? gzipSync(chunk.code, { level: 9 }).length : 0), 0)
      const reach = (name: string, seen = new Set<string>()): Set<string> => {
        if (seen.has(name)) return seen
        seen.add(name)
        chunks.find((chunk) => chunk.fileName === name)?.imports.forEach((other) => reach(other, seen))
        return seen
      }
      const of = (folder: string) => chunks.filter((chunk) => chunk.facadeModuleId?.includes(folder))
      const entry = chunks.filter((chunk) => chunk.isEntry).flatMap((chunk) => [...reach(chunk.fileName)])
      const language = Math.max(...of('/src/locales/').map((chunk) => weigh(new Set([chunk.fileName]))))
      const pages = of('/src/pages/').map((chunk) => ({ name: chunk.name, bytes: language + weigh(new Set([...entry, ...reach(chunk.fileName)])) }))
      const heaviest = pages.reduce((most, page) => (page.bytes > most.bytes ? page : most))
      this.info(`the heaviest first page is ${heaviest.name}: ${heaviest.bytes} bytes of JavaScript, compressed; ${BUDGET} are allowed`)
      if (heaviest.bytes > BUDGET) this.error(`${heaviest.name} loads ${heaviest.bytes} bytes of JavaScript before it is there; ${BUDGET} are allowed`)
    },
  }
}

// `npm run dev` shows the page with live code before any fastDeploy: FASTDEPLOY_URL, or that of `make up`.
const api = process.env['FASTDEPLOY_URL'] ?? 'http://127.0.0.1:30090'

export default defineConfig({
  plugins: [vue(), icu(), budget(), gzip()],
  // The sentences are read in the build: no compiler of vue-i18n's own.
  resolve: { alias: { '@': resolve(import.meta.dirname, 'src'), 'vue-i18n': 'vue-i18n/dist/vue-i18n.runtime.mjs' } },
  // Vue's and vue-i18n's older ways of writing components: nothing here uses them.
  define: { __VUE_OPTIONS_API__: 'false', __VUE_I18N_LEGACY_API__: 'false', __VUE_I18N_FULL_INSTALL__: 'true', __INTLIFY_DROP_MESSAGE_COMPILER__: 'true', __INTLIFY_PROD_DEVTOOLS__: 'false' },
  // A Content-Security-Policy without 'unsafe-inline' and data: in scripts and styles.
  build: { assetsInlineLimit: 0, modulePreload: { polyfill: false } },
  server: { proxy: { '/api': { target: api, ws: true } } },
  test: { environment: 'happy-dom', setupFiles: ['test/setup.ts'] },
})
