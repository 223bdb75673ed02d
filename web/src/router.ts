import { createRouter, createWebHistory } from 'vue-router'
import { useSession } from '@/stores/session'

export const router = createRouter({
  history: createWebHistory(),
  routes: [
    { path: '/sign-in', name: 'sign-in', component: () => import('@/pages/SignInPage.vue') },
    { path: '/', name: 'home', component: () => import('@/pages/HomePage.vue') },
    { path: '/services/:namespace/:name', name: 'service', component: () => import('@/pages/ServicePage.vue'), props: true },
    { path: '/deployments/:uid', name: 'deployment', component: () => import('@/pages/DeploymentPage.vue'), props: true },
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
