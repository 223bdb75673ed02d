//! Files as for `kubectl apply`: Services, and the ConfigMaps and Secrets that they name.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use crds::{Deployment, Service};
use k8s_openapi::{
    ByteString,
    api::core::v1::{ConfigMap, Secret},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

/// What stands in files.
#[derive(Debug, Default)]
pub struct Manifests {
    /// The Services, each with the file.
    pub services: Vec<(PathBuf, Service)>,
    /// How many Deployments.
    pub deployments: usize,
    /// By name.
    pub config_maps: BTreeMap<String, ConfigMap>,
    /// By name, everything in `data`.
    pub secrets: BTreeMap<String, Secret>,
    /// Fields that do not exist: a cluster would lose them without a word, or refuse them.
    pub unknown: Vec<String>,
    /// Kinds that are nothing to us.
    pub others: usize,
}

impl Manifests {
    /// Reads files of YAML or JSON, each with any number of objects.
    pub fn read(files: &[PathBuf]) -> Result<Self> {
        let mut found = Self::default();
        for file in files {
            let text =
                fs::read_to_string(file).with_context(|| format!("failed to read {}", file.display()))?;
            found.add(file, &text)?;
        }
        Ok(found)
    }

    fn add(&mut self, file: &Path, text: &str) -> Result<()> {
        for (number, document) in serde_yaml::Deserializer::from_str(text).enumerate() {
            let at = || format!("{}, object {}", file.display(), number + 1);
            let value = Value::deserialize(document).with_context(at)?;
            if value.is_null() {
                continue;
            }
            let word = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let (version, kind) = (word("apiVersion"), word("kind"));
            match (version.as_str(), kind.as_str()) {
                ("fastdeploy.dev/v1alpha1", "Service") => {
                    let service = self.object(file, value).with_context(at)?;
                    self.services.push((file.to_owned(), service));
                }
                ("fastdeploy.dev/v1alpha1", "Deployment") => {
                    let _: Deployment = self.object(file, value).with_context(at)?;
                    self.deployments += 1;
                }
                ("v1", "ConfigMap") => {
                    let map: ConfigMap = self.object(file, value).with_context(at)?;
                    self.config_maps.insert(map.metadata.name.clone().unwrap_or_default(), map);
                }
                ("v1", "Secret") => {
                    let mut secret: Secret = self.object(file, value).with_context(at)?;
                    // As the API server does.
                    for (key, text) in secret.string_data.take().unwrap_or_default() {
                        secret.data.get_or_insert_default().insert(key, ByteString(text.into_bytes()));
                    }
                    self.secrets.insert(secret.metadata.name.clone().unwrap_or_default(), secret);
                }
                ("", _) | (_, "") => {
                    bail!("{}: this is no object of Kubernetes: it lacks apiVersion or kind", at())
                }
                (version, "Service" | "Deployment") if version != "v1" && version != "apps/v1" => {
                    bail!("{}: apiVersion: {version} is unknown; write fastdeploy.dev/v1alpha1", at());
                }
                _ => self.others += 1,
            }
        }
        Ok(())
    }

    fn object<T: DeserializeOwned>(&mut self, file: &Path, value: Value) -> Result<T> {
        let object = serde_ignored::deserialize(value, |path| {
            let path = path.to_string();
            if path != "apiVersion" && path != "kind" {
                self.unknown.push(format!("{}: {path}: there is no such field", file.display()));
            }
        });
        Ok(object?)
    }

    /// One more key of a ConfigMap.
    pub fn set_config(&mut self, given: &Given) -> Result<()> {
        let text = String::from_utf8(given.content()?)
            .with_context(|| format!("{} is no text", given.file.display()))?;
        let map = self.config_maps.entry(given.name.clone()).or_default();
        map.data.get_or_insert_default().insert(given.key.clone(), text);
        Ok(())
    }

    /// One more key of a Secret.
    pub fn set_secret(&mut self, given: &Given) -> Result<()> {
        let value = ByteString(given.content()?);
        let secret = self.secrets.entry(given.name.clone()).or_default();
        secret.data.get_or_insert_default().insert(given.key.clone(), value);
        Ok(())
    }
}

/// `NAME/KEY=FILE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Of the ConfigMap or Secret.
    pub name: String,
    /// The key in it.
    pub key: String,
    /// Where the value stands.
    pub file: PathBuf,
}

impl Given {
    fn content(&self) -> Result<Vec<u8>> {
        fs::read(&self.file).with_context(|| format!("failed to read {}", self.file.display()))
    }
}

impl std::str::FromStr for Given {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split_once('=').and_then(|(to, file)| Some((to.split_once('/')?, file)));
        match parts {
            Some(((name, key), file)) if plain(name) && plain(key) && !file.is_empty() => {
                Ok(Self { name: name.to_owned(), key: key.to_owned(), file: PathBuf::from(file) })
            }
            _ => Err("write NAME/KEY=FILE, for example blog-ssh/ssh-privatekey=/home/me/.ssh/id_ed25519"
                .to_owned()),
        }
    }
}

/// As Kubernetes has it for keys; it becomes the name of a file.
fn plain(word: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !word.is_empty() && word.chars().all(fine) && !word.starts_with("..") && word != "."
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Manifests> {
        let mut found = Manifests::default();
        found.add(Path::new("f.yaml"), text)?;
        Ok(found)
    }

    const SERVICE: &str = "
apiVersion: fastdeploy.dev/v1alpha1
kind: Service
metadata: {name: blog, labls: {}}
spec: {source: {inline: {deploy.yml: x}}, playbook: deploy.yml, inventory: {local: true}, inptus: [], policy: {timeuot: 5m}, variables: {any: {thing: 1}}}
---
apiVersion: v1
kind: Secret
metadata: {name: s}
data: {a: b25l}
stringData: {b: two}
---
# nothing
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {k: v}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: other}}
";

    #[test]
    fn objects_are_told_apart_and_what_does_not_exist_is_named() {
        let found = read(SERVICE).expect("read");
        assert_eq!((found.services.len(), found.others), (1, 1));
        let data = found.secrets["s"].data.as_ref().expect("data");
        assert_eq!((data["a"].0.as_slice(), data["b"].0.as_slice()), (&b"one"[..], &b"two"[..]));
        assert_eq!(found.config_maps["c"].data.as_ref().expect("data")["k"], "v");
        let mut unknown = found.unknown;
        unknown.sort();
        let fields = ["metadata.labls", "spec.inptus", "spec.policy.timeuot"];
        assert_eq!(unknown, fields.map(|field| format!("f.yaml: {field}: there is no such field")));
    }

    #[test]
    fn what_is_no_object_of_ours_is_refused_with_a_sentence() {
        for (text, said) in [
            ("a: [", "f.yaml, object 1"),
            ("a: 1", "lacks apiVersion or kind"),
            ("{apiVersion: fastdeploy.dev/v1, kind: Service}", "write fastdeploy.dev/v1alpha1"),
            (
                "{apiVersion: fastdeploy.dev/v1alpha1, kind: Service, metadata: {name: a}, spec: {source: {}}}",
                "inventory",
            ),
        ] {
            let error = format!("{:#}", read(text).expect_err(text));
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn a_key_cannot_leave_its_folder() {
        let given: Given = "blog-ssh/ssh-privatekey=/a/b=c".parse().expect("given");
        assert_eq!((given.key.as_str(), given.file), ("ssh-privatekey", PathBuf::from("/a/b=c")));
        for odd in ["a=b", "a/=b", "/k=b", "a/../k=b", "a/..=b", "a/.=b", "a/b/c=d", "a/k="] {
            assert!(odd.parse::<Given>().is_err(), "{odd}");
        }
    }
}
