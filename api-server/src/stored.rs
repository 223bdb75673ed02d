//! What the installation keeps in its own namespace: the signing key, the authority of the
//! listener for runs, and that authority's certificate for all to see. Made if absent. Replicas
//! that start together agree, because the first one to create an object wins and the others read it.

use std::collections::BTreeMap;
use std::time::Duration;

use crds::names::API_SERVER;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;

use crate::identity::key::{self, SigningKey};
use crate::names;
use crate::tls::authority::{self, Authority};

/// What was found or made.
#[derive(Debug)]
pub struct Stored {
    /// Signs tokens.
    pub signing_key: SigningKey,
    /// Signs the listener's certificates.
    pub authority: Authority,
}

/// Read what is there, make what is not.
pub async fn load(client: &Client, namespace: &str, now: Timestamp) -> Result<Stored, Error> {
    let secrets = Api::namespaced(client.clone(), namespace);
    let signing_key = signing_key(&secrets).await?;
    let (authority, certificate) = authority(&secrets, now).await?;
    publish(&Api::namespaced(client.clone(), namespace), &certificate).await?;
    Ok(Stored { signing_key, authority })
}

async fn signing_key(secrets: &Api<Secret>) -> Result<SigningKey, Error> {
    let name = names::SIGNING_KEY;
    let secret = get_or_create(secrets, name, || {
        let (pem, kid) = key::generate()?;
        Ok([(names::SIGNING_KEY_PEM, pem), (names::SIGNING_KEY_ID, kid)])
    })
    .await?;
    let pem = value(&secret, name, names::SIGNING_KEY_PEM)?;
    let kid = value(&secret, name, names::SIGNING_KEY_ID)?;
    let mut key = SigningKey::from_pem(&pem, &kid).map_err(|error| Error::malformed(name, error))?;
    for (pem, kid) in names::OTHER_KEYS {
        if secret.data.as_ref().is_some_and(|data| data.contains_key(pem)) {
            let (pem, kid) = (value(&secret, name, pem)?, value(&secret, name, kid)?);
            key = key.and(&pem, &kid).map_err(|error| Error::malformed(name, error))?;
        }
    }
    Ok(key)
}

/// How soon a key that was replaced is known.
const LOOK: Duration = Duration::from_secs(30);

/// Reads the signing key again and again: it can be replaced without a restart.
pub async fn keep_key(client: Client, namespace: String, key: SigningKey) {
    let secrets = Api::namespaced(client, &namespace);
    loop {
        tokio::time::sleep(LOOK).await;
        match signing_key(&secrets).await {
            Ok(now) if key.become_as(&now) => {
                let kid = key.kid();
                tracing::info!(key.kid = kid, "tokens are signed with key {kid} from now on");
            }
            Ok(_) => {}
            Err(error) => {
                let error = format!("{:#}", anyhow::Error::from(error));
                tracing::warn!(error, "the signing key stays as it is: {error}");
            }
        }
    }
}

async fn authority(secrets: &Api<Secret>, now: Timestamp) -> Result<(Authority, String), Error> {
    let name = names::RUNS_TLS;
    let secret = get_or_create(secrets, name, || {
        let (certificate, key) = authority::generate(now)?;
        Ok([(names::CA_CERTIFICATE, certificate), (names::CA_KEY, key)])
    })
    .await?;
    let certificate = value(&secret, name, names::CA_CERTIFICATE)?;
    let key = value(&secret, name, names::CA_KEY)?;
    let authority =
        Authority::from_pem(&certificate, &key, now).map_err(|error| Error::malformed(name, error))?;
    Ok((authority, certificate))
}

/// The ConfigMap says what the Secret says; where it does not, it is corrected.
async fn publish(maps: &Api<ConfigMap>, certificate: &str) -> Result<(), Error> {
    let name = names::CA;
    let wanted = || BTreeMap::from([(names::CA_CERTIFICATE.to_owned(), certificate.to_owned())]);
    let failed = |source| Error::Kubernetes { object: name, source };
    if let Some(found) = maps.get_opt(name).await.map_err(failed)? {
        return correct(maps, &found, certificate).await;
    }
    let map = ConfigMap { metadata: meta(name), data: Some(wanted()), ..ConfigMap::default() };
    match maps.create(&by_us(), &map).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            let found = maps.get(name).await.map_err(failed)?;
            correct(maps, &found, certificate).await
        }
        Err(source) => Err(failed(source)),
    }
}

async fn correct(maps: &Api<ConfigMap>, found: &ConfigMap, certificate: &str) -> Result<(), Error> {
    let name = names::CA;
    if found.data.as_ref().and_then(|data| data.get(names::CA_CERTIFICATE)).is_some_and(|v| v == certificate)
    {
        return Ok(());
    }
    let patch = Patch::Merge(json!({ "data": { names::CA_CERTIFICATE: certificate } }));
    let params = PatchParams { field_manager: Some(API_SERVER.to_owned()), ..PatchParams::default() };
    maps.patch(name, &params, &patch).await.map_err(|source| Error::Kubernetes { object: name, source })?;
    tracing::warn!(config_map.name = name, "corrected ConfigMap {name}: it did not hold our authority");
    Ok(())
}

/// What goes into a Secret that is made.
pub type Make<const N: usize> = Result<[(&'static str, String); N], anyhow::Error>;

/// Read it; where there is none, make it. Another replica that is faster has the word.
pub async fn get_or_create<const N: usize>(
    secrets: &Api<Secret>,
    name: &'static str,
    make: impl FnOnce() -> Make<N>,
) -> Result<Secret, Error> {
    let failed = |source| Error::Kubernetes { object: name, source };
    if let Some(found) = secrets.get_opt(name).await.map_err(failed)? {
        return Ok(found);
    }
    let content = make().map_err(Error::Make)?;
    let data = content.map(|(key, value)| (key.to_owned(), ByteString(value.into_bytes())));
    let secret = Secret { metadata: meta(name), data: Some(data.into()), ..Secret::default() };
    match secrets.create(&by_us(), &secret).await {
        Ok(secret) => {
            tracing::info!(secret.name = name, "made Secret {name}: there was none");
            Ok(secret)
        }
        // Another replica was faster: its word counts.
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            secrets.get(name).await.map_err(failed)
        }
        Err(source) => Err(failed(source)),
    }
}

fn by_us() -> PostParams {
    PostParams { field_manager: Some(API_SERVER.to_owned()), ..PostParams::default() }
}

fn meta(name: &str) -> ObjectMeta {
    let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    ObjectMeta {
        name: Some(name.to_owned()),
        labels: Some(BTreeMap::from([
            label("app.kubernetes.io/part-of", "fastdeploy"),
            label("app.kubernetes.io/managed-by", API_SERVER),
        ])),
        ..ObjectMeta::default()
    }
}

/// A key of a Secret, as text.
pub fn value(secret: &Secret, object: &'static str, key: &'static str) -> Result<String, Error> {
    let bytes = secret.data.as_ref().and_then(|data| data.get(key)).ok_or(Error::Missing { object, key })?;
    String::from_utf8(bytes.0.clone()).map_err(|_| Error::Missing { object, key })
}

/// Why there is nothing to work with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The Kubernetes API does not answer, or says no. Trying again helps.
    #[error("failed to read or create {object}")]
    Kubernetes {
        /// Which object.
        object: &'static str,
        /// What was said.
        source: kube::Error,
    },
    /// An object that somebody else made, or damaged.
    #[error("Secret {object} has no text under {key}: add it, or delete the Secret and start anew")]
    Missing {
        /// Which Secret.
        object: &'static str,
        /// Which of its keys.
        key: &'static str,
    },
    /// An object that somebody else made, or damaged.
    #[error("Secret {object} cannot be used; mend it, or delete it and start anew")]
    Malformed {
        /// Which Secret.
        object: &'static str,
        /// What is wrong.
        source: anyhow::Error,
    },
    /// No new key could be made.
    #[error("failed to make a key")]
    Make(#[source] anyhow::Error),
}

impl Error {
    fn malformed(object: &'static str, error: impl Into<anyhow::Error>) -> Self {
        Self::Malformed { object, source: error.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_without_a_key_is_named_in_the_error() {
        let secret: Secret = serde_yaml::from_str("data: {kid: YQ==, private.pem: /w==}").unwrap();
        assert_eq!(value(&secret, names::SIGNING_KEY, "kid").unwrap(), "a");
        for (secret, key) in [(Secret::default(), "kid"), (secret.clone(), "ca.key"), (secret, "private.pem")]
        {
            let error = value(&secret, names::SIGNING_KEY, key).unwrap_err().to_string();
            assert!(error.contains("fastdeploy-signing-key has no text under"), "{error}");
        }
    }
}
