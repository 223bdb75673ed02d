//! What the operator keeps in its own namespace: the key for HMACs of Secret values; and what it
//! reads there: the authority of the listener for claims.

use std::{collections::BTreeMap, io::Read};

use k8s_openapi::{
    ByteString,
    api::core::v1::{ConfigMap, Secret},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Api, Client, api::PostParams};

const DIGEST_KEY: &str = "fastdeploy-digest-key";

/// The key for HMACs: made once, then read. Losing it makes every Service with Secret variables
/// look changed, so it is backed up with the other Secrets of the namespace.
pub async fn digest_key(client: &Client, namespace: &str) -> anyhow::Result<Vec<u8>> {
    let api = Api::<Secret>::namespaced(client.clone(), namespace);
    for _ in 0..2 {
        if let Some(secret) = api.get_opt(DIGEST_KEY).await? {
            let key = secret.data.and_then(|mut data| data.remove("key")).map(|value| value.0);
            return key
                .filter(|key| key.len() >= 32)
                .ok_or_else(|| anyhow::anyhow!("Secret {DIGEST_KEY} has no key of at least 32 bytes"));
        }
        let mut key = vec![0; 32];
        std::fs::File::open("/dev/urandom")?.read_exact(&mut key)?;
        let secret = Secret {
            metadata: ObjectMeta { name: Some(DIGEST_KEY.into()), ..ObjectMeta::default() },
            data: Some(BTreeMap::from([("key".to_owned(), ByteString(key))])),
            ..Secret::default()
        };
        match api.create(&PostParams::default(), &secret).await {
            Ok(_) => {}
            // Another replica was faster: its key is the key.
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            Err(error) => return Err(error.into()),
        }
    }
    anyhow::bail!("Secret {DIGEST_KEY} could not be made")
}

/// The authority's certificate. Read anew for each run, so that it may change.
pub async fn authority(client: &Client, namespace: &str, name: &str) -> Result<Option<String>, kube::Error> {
    let config_map = Api::<ConfigMap>::namespaced(client.clone(), namespace).get_opt(name).await?;
    Ok(config_map.and_then(|map| map.data).and_then(|mut data| data.remove("ca.crt")))
}
