import { defineConfig, devices } from '@playwright/test'

// The page of `make up`, in the system's own Chromium: `eval "$(make -s env)"` says where and who.
const url = process.env['FASTDEPLOY_URL']
if (url === undefined) throw new Error('FASTDEPLOY_URL is not set: eval "$(make -s env)" first')

const phone = { ...devices['Pixel 7'], viewport: { width: 360, height: 740 } }
const desk = { viewport: { width: 1280, height: 800 } }

export default defineConfig({
  testDir: 'stories',
  // The runs are real: several pages, one cluster.
  workers: 2,
  fullyParallel: true,
  timeout: 120_000,
  expect: { timeout: 30_000 },
  forbidOnly: true,
  // One that is green when told again is listed as flaky: with real pods coming and going, Chromium
  // at times takes the machine's network for changed and breaks off what it was loading.
  retries: 1,
  reporter: [['list']],
  outputDir: '../../target/browser/results',
  use: {
    baseURL: url,
    locale: 'en-GB',
    // Of a failure its last sight, and what was on the page before; a film of each story would take half of the machine.
    screenshot: 'only-on-failure',
    trace: { mode: 'retain-on-failure', screenshots: false },
    actionTimeout: 20_000,
    navigationTimeout: 20_000,
    launchOptions: { executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-dev-shm-usage'] },
  },
  projects: [
    { name: 'desk', testIgnore: /screenshots|phone|restart/, use: desk },
    { name: 'phone', testMatch: /phone/, use: phone },
    { name: 'restart', testMatch: /restart/, use: desk, dependencies: ['desk', 'phone'] },
    { name: 'screenshots', testMatch: /screenshots/, use: desk },
  ],
})
