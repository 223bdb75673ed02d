import { asked, part } from './client'
import type { Binding, BindingList, DeliveryList, Handover, MadeToken, NewBinding, NewToken, NewUser, OwnAccount, System, TokenList, User, UserChange, UserPage } from './schema'

const of = (namespace: string, name: string) => `/services/${part(namespace)}/${part(name)}`

async function users(): Promise<User[]> {
  const all: User[] = []
  let after: string | undefined
  do {
    const page = await asked<UserPage>('GET', `/users?limit=200${after === undefined ? '' : `&after=${part(after)}`}`)
    all.push(...page.items)
    after = page.next
  } while (after !== undefined)
  return all
}

/** Accounts, roles, tokens, and who was told what. */
export const people = {
  account: (): Promise<OwnAccount> => asked('GET', '/account'),
  system: (): Promise<System> => asked('GET', '/system'),
  changePassword: (old: string, fresh: string): Promise<void> => asked('POST', '/account/password', { old, new: fresh }),
  users,
  createUser: (user: NewUser): Promise<Handover> => asked('POST', '/users', user),
  changeUser: (name: string, change: UserChange): Promise<void> => asked('PATCH', `/users/${part(name)}`, change),
  removeUser: (name: string): Promise<void> => asked('DELETE', `/users/${part(name)}`),
  resetPassword: (name: string): Promise<Handover> => asked('POST', `/users/${part(name)}/password`, {}),
  roles: (): Promise<BindingList> => asked('GET', '/roles'),
  bind: (binding: NewBinding): Promise<Binding> => asked('POST', '/roles', binding),
  unbind: (namespace: string, name: string): Promise<void> => asked('DELETE', `/roles/${part(namespace)}/${part(name)}`),
  tokens: (namespace: string, name: string): Promise<TokenList> => asked('GET', `${of(namespace, name)}/tokens`),
  createToken: (namespace: string, name: string, token: NewToken): Promise<MadeToken> => asked('POST', `${of(namespace, name)}/tokens`, token),
  revokeToken: (namespace: string, name: string, id: string): Promise<void> => asked('DELETE', `${of(namespace, name)}/tokens/${part(id)}`),
  deliveries: (namespace: string, name: string): Promise<DeliveryList> => asked('GET', `${of(namespace, name)}/deliveries`),
  deliverAgain: (namespace: string, name: string, id: string): Promise<void> => asked('POST', `${of(namespace, name)}/deliveries/${part(id)}/retry`),
}
