import { computed, ref } from 'vue'

const KEY = 'fastdeploy-home'
/** So many fit on a page of cards that one still looks over. */
const MANY = 24

/** Cards for few, a table for many, unless somebody has chosen. */
export function useHomeView(total: () => number) {
  const chosen = ref(localStorage.getItem(KEY))
  const view = computed<'cards' | 'table'>(() => (chosen.value === 'cards' || chosen.value === 'table' ? chosen.value : total() > MANY ? 'table' : 'cards'))
  return {
    view,
    choose: (one: 'cards' | 'table'): void => {
      chosen.value = one
      localStorage.setItem(KEY, one)
    },
  }
}
