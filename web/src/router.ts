import { createRouter, createWebHistory } from 'vue-router'
import { learn } from '@/i18n'
import { useSession } from '@/stores/session'

/** A page that has sentences of its own, besides those that are everywhere. */
function saying<T>(sentences: string, page: () => Promise<T>): () => Promise<T> {
  return async () => (await Promise.all([page(), learn(sentences)]))[0]
}

export const router = createRouter({
  history: createWebHistory(),
  routes: [
    { path: '/sign-in', name: 'sign-in', component: () => import('@/pages/SignInPage.vue') },
    { path: '/', name: 'home', component: () => import('@/pages/HomePage.vue') },
    { path: '/teams/:namespace/environments', name: 'environments', component: saying('environments', () => import('@/pages/EnvironmentsPage.vue')), props: true },
    { path: '/add', name: 'add', component: saying('add', () => import('@/pages/AddPage.vue')) },
    { path: '/services/:namespace/:name', name: 'service', component: () => import('@/pages/ServicePage.vue'), props: true },
    { path: '/services/:namespace/:name/back', name: 'goback', component: () => import('@/pages/GoBackPage.vue'), props: true },
    { path: '/services/:namespace/:name/edit', name: 'edit', component: () => import('@/pages/EditPage.vue'), props: true },
    { path: '/approvals', name: 'approvals', component: () => import('@/pages/ApprovalsPage.vue') },
    { path: '/activity', name: 'activity', component: () => import('@/pages/ActivityPage.vue') },
    { path: '/deployments/:uid', name: 'deployment', component: saying('hints', () => import('@/pages/DeploymentPage.vue')), props: true },
    { path: '/people', name: 'people', component: () => import('@/pages/PeoplePage.vue') },
    { path: '/system', name: 'system', component: saying('system', () => import('@/pages/SystemPage.vue')) },
    { path: '/account', name: 'account', component: () => import('@/pages/AccountPage.vue') },
    { path: '/:path(.*)*', name: 'nowhere', component: () => import('@/pages/NotFoundPage.vue') },
  ],
  scrollBehavior: (_to, _from, saved) => saved ?? { top: 0 },
})

router.beforeEach(async (to) => {
  const session = useSession()
  if (session.user || to.name === 'sign-in') return true
  if (await session.resume()) return true
  return { name: 'sign-in', query: to.fullPath === '/' ? {} : { next: to.fullPath } }
})
