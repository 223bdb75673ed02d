import { expect, type Page } from '@playwright/test'

/** Every page that needs no run of its own, and how one gets there once signed in. */
export const PAGES: readonly { name: string; open: (page: Page) => Promise<void> }[] = [
  {
    name: 'home',
    open: async (page) => {
      await page.goto('/')
      await page.getByRole('article', { name: 'Company blog' }).waitFor()
    },
  },
  {
    name: 'home-table',
    open: async (page) => {
      await page.getByRole('button', { name: 'Table' }).click()
      await page.getByRole('row').filter({ hasText: 'Company blog' }).waitFor()
    },
  },
  {
    name: 'service',
    open: async (page) => {
      await page.goto('/services/fastdeploy-demo/blog')
      await page.getByRole('listitem').filter({ hasText: '#' }).first().waitFor()
    },
  },
  {
    name: 'deploy',
    open: async (page) => {
      await page.getByRole('button', { name: 'Deploy' }).click()
      await page.getByRole('dialog').getByLabel('Headline').waitFor()
    },
  },
  {
    name: 'failed',
    open: async (page) => {
      await page.goto('/services/fastdeploy-demo/broken')
      await page.getByRole('listitem').filter({ hasText: 'did not work' }).getByRole('link').first().click()
      await page.getByRole('heading', { name: 'What happened' }).waitFor()
      await page.getByRole('button', { name: 'Ask for help' }).click()
      await page.getByText('Show technical output').click()
      await page.getByRole('log').waitFor()
    },
  },
  {
    name: 'deployment',
    open: async (page) => {
      await page.goto('/services/fastdeploy-demo/blog')
      await page.getByRole('listitem').filter({ hasText: 'updated with' }).getByRole('link').first().click()
      // Of an older run the servers of a step may be forgotten.
      await page.getByRole('region', { name: 'Steps' }).getByRole('listitem').first().waitFor()
      await expect(page.getByRole('heading', { level: 1 })).toContainText('updated')
    },
  },
  {
    name: 'edit',
    open: async (page) => {
      await page.goto('/services/fastdeploy-demo/blog/edit')
      await expect(page.getByLabel('The service as YAML')).toHaveValue(/title: Company blog/)
    },
  },
  {
    name: 'goback',
    open: async (page) => {
      await page.goto('/services/fastdeploy-demo/blog/back')
      // A new installation has nothing to go back to yet, and says so.
      const changes = page.getByRole('region', { name: 'Is taken back' }).locator('li, .muted')
      await changes.or(page.getByText('There is nothing yet that one could go back to.')).first().waitFor()
    },
  },
  {
    name: 'add',
    open: async (page) => {
      await page.goto('/add')
      await page.getByLabel('What people call it').fill('Company shop')
      await page.getByRole('textbox', { name: 'Servers' }).fill('web1 10.0.0.5')
      await page.getByRole('textbox', { name: 'Secret with the SSH key' }).waitFor()
    },
  },
  {
    name: 'activity',
    open: async (page) => {
      await page.goto('/activity')
      await page.getByRole('region', { name: 'Activity' }).getByRole('listitem').first().waitFor()
    },
  },
  {
    name: 'approvals',
    open: async (page) => {
      await page.goto('/approvals')
      await page.getByRole('heading', { level: 1, name: /waits? for a yes/ }).waitFor()
    },
  },
  {
    name: 'people',
    open: async (page) => {
      await page.goto('/people')
      await page.getByRole('region', { name: 'Accounts' }).getByRole('row').nth(1).waitFor()
      await page.getByRole('heading', { name: 'Who may do what' }).waitFor()
    },
  },
  {
    name: 'system',
    open: async (page) => {
      await page.goto('/system')
      await page.getByRole('region', { name: 'Parts' }).getByRole('listitem').nth(5).waitFor()
    },
  },
  {
    name: 'account',
    open: async (page) => {
      await page.goto('/account')
      await page.getByLabel('New password').waitFor()
    },
  },
  {
    name: 'nothing',
    open: async (page) => {
      await page.goto('/nothing')
      await page.getByRole('heading', { name: 'There is nothing here' }).waitFor()
    },
  },
]
