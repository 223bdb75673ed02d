import './assets/style.css'
import { createPinia } from 'pinia'
import { createApp } from 'vue'
import App from './App.vue'
import { i18n, preferred, use } from './i18n'
import { watchParts } from './lib/renew'
import { router } from './router'

watchParts()
const app = createApp(App).use(createPinia()).use(i18n).use(router)
// The sentences come while the router asks who this is.
void use(preferred()).then(() => app.mount('#app'))
