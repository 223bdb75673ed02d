//! The objects that the api-server keeps in its own namespace.

/// Secret with the key that signs tokens.
pub const SIGNING_KEY: &str = "fastdeploy-signing-key";
/// In [`SIGNING_KEY`]: an Ed25519 key, PKCS#8 as PEM.
pub const SIGNING_KEY_PEM: &str = "private.pem";
/// In [`SIGNING_KEY`]: the name of that key, as it stands in a token's header.
pub const SIGNING_KEY_ID: &str = "kid";

/// In [`SIGNING_KEY`], while the key is replaced: another one that is believed, and its name.
pub const OTHER_KEYS: [(&str, &str); 2] = [("previous.pem", "previous.kid"), ("next.pem", "next.kid")];

/// Secret with the certificate authority of the listener for runs.
pub const RUNS_TLS: &str = "fastdeploy-runs-tls";
/// In [`RUNS_TLS`] and [`CA`]: the authority's certificate, PEM.
pub const CA_CERTIFICATE: &str = "ca.crt";
/// In [`RUNS_TLS`]: the authority's key, PKCS#8 as PEM.
pub const CA_KEY: &str = "ca.key";

/// ConfigMap with the authority's certificate, for whoever is to trust it: the operator hands it to pods.
pub const CA: &str = "fastdeploy-ca";

/// Secret with the chart's own database: its password, and the URL with it.
pub const DATABASE: &str = "fastdeploy-database";
/// Key in [`DATABASE`].
pub const DATABASE_PASSWORD: &str = "password";
/// Key in [`DATABASE`].
pub const DATABASE_URL: &str = "url";

/// Secret with what Git servers sign their webhooks with: each of its keys is one that counts.
pub const WEBHOOKS: &str = "fastdeploy-webhooks";

/// Secret with the first administrator of the dashboard.
pub const FIRST_ADMIN: &str = "fastdeploy-first-admin";
/// Key in [`FIRST_ADMIN`].
pub const FIRST_ADMIN_NAME: &str = "name";
/// Key in [`FIRST_ADMIN`].
pub const FIRST_ADMIN_PASSWORD: &str = "password";
