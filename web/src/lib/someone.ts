/** What the operator writes where Kubernetes did not say who it was. */
export const SOMEONE = 'someone with kubectl'
