// An organisation to sign in with: oidc-provider, a certified implementation. `node provider.mjs ISSUER PORT REDIRECT SIGNED_OUT`
// listens on all addresses and says so on standard output. Everybody signs in, with any password, as whom they say.
// And a CI system: /job?repository=… is a token for a job of that repository.
import { createPrivateKey, generateKeyPairSync, randomUUID } from 'node:crypto'
import { SignJWT } from 'jose'
import { Provider } from 'oidc-provider'

const [issuer, port, redirect, signedOut] = process.argv.slice(2)
/** Who is called Anna is in the group web. */
const groupsOf = (id) => (id.startsWith('anna') ? ['web'] : [])
const key = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' })

const provider = new Provider(issuer, {
  clients: [{
    client_id: 'fastdeploy', client_secret: 'a secret of the story & more', redirect_uris: [redirect],
    post_logout_redirect_uris: [signedOut], grant_types: ['authorization_code'], response_types: ['code'],
  }],
  claims: { openid: ['sub'], profile: ['preferred_username'], groups: ['groups'] },
  // Everything in the ID token, where Kubernetes looks, too.
  conformIdTokenClaims: false,
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, preferred_username: id, groups: groupsOf(id) }) }),
  pkce: { required: () => true },
  cookies: { keys: ['of this story'] },
  jwks: { keys: [{ ...key, kid: 'story', alg: 'RS256', use: 'sig' }] },
})
provider.use(async (ctx, next) => {
  if (ctx.path !== '/job') return next()
  const job = new SignJWT({ repository: ctx.query.repository }).setProtectedHeader({ alg: 'RS256', kid: 'story' }).setIssuer(issuer)
  job.setAudience(ctx.query.audience).setSubject(`repo:${ctx.query.repository}`).setJti(randomUUID()).setIssuedAt().setExpirationTime('5m')
  ctx.body = await job.sign(createPrivateKey({ key, format: 'jwk' }))
})
provider.listen(Number(port), '0.0.0.0', () => console.log('listening'))
