//! Where a Service's playbook comes from.

use std::{collections::BTreeMap, time::Duration};

use kube::KubeSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::service::NameRef;

/// Where the playbook comes from.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.git), has(self.inline), has(self.configMap), has(self.image)].filter(x, x).size() == 1").message("source: write exactly one of git, inline, configMap or image"))]
pub struct Source {
    /// A Git repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<Git>,
    /// Files right here, path to content: for small playbooks, at most 256 kB in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 100))]
    #[x_kube(validation = Rule::new("self.all(p, size(p) <= 250 && p.matches('^[A-Za-z0-9_.@+-]+(/[A-Za-z0-9_.@+-]+)*$') && !p.matches('(^|/)[.][.](/|$)'))").message("source.inline: write paths such as deploy.yml or roles/web/tasks/main.yml, without a leading / and without .."))]
    #[x_kube(validation = Rule::new("self.map(p, size(self[p])).sum() <= 262144").message("source.inline: more than 256 kB in all; put large playbooks into a ConfigMap or a repository"))]
    pub inline: Option<BTreeMap<String, FileContent>>,
    /// A ConfigMap of the same namespace; its keys are the files. A change of it is a change of the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<NameRef>,
    /// A folder of the image that `runner.image` names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
}

/// A folder of the runner's image.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// The whole path, for example `/opt/playbooks`.
    #[schemars(length(min = 2, max = 250))]
    #[x_kube(validation = Rule::new("self.startsWith('/') && !self.split('/').exists(p, p == '..')").message("source.image.path: write the whole path, for example /opt/playbooks"))]
    pub path: String,
}

/// A Git repository. Without `branch`, `tag`, `semver` or `commit` it is the repository's own branch.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.branch), has(self.tag), has(self.semver), has(self.commit)].filter(x, x).size() <= 1").message("source.git: write at most one of branch, tag, semver or commit"))]
pub struct Git {
    /// `https://…`, `ssh://…` or `git@host:path`. Credentials belong into `secretRef`.
    #[schemars(length(min = 1, max = 1000))]
    #[x_kube(validation = Rule::new("self.matches('^(https?://[^\\\\s@/]+/[^\\\\s]*|ssh://([A-Za-z0-9_.-]+@)?[^\\\\s@/:]+(:[0-9]+)?/[^\\\\s]+|[A-Za-z0-9_.-]+@[A-Za-z0-9_.-]+:[^\\\\s]+)$')").message("source.git.url: write https://host/path, ssh://user@host/path or user@host:path; passwords and tokens belong into secretRef"))]
    pub url: String,
    /// The newest commit of this branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 250), regex(pattern = "^[^-\\s][^\\s]*$"))]
    pub branch: Option<String>,
    /// This tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 250), regex(pattern = "^[^-\\s][^\\s]*$"))]
    pub tag: Option<String>,
    /// The tag with the highest version in this range, for example `^1.2` or `>=1.0 <2.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub semver: Option<String>,
    /// Exactly this commit, by its whole id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = "^([0-9a-f]{40}|[0-9a-f]{64})$"))]
    pub commit: Option<String>,
    /// The folder with the playbook; Ansible starts there. Default: the top. Only changes below it, and below
    /// `include`, are changes of the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 250))]
    #[x_kube(validation = Rule::new("!self.startsWith('/') && !self.endsWith('/') && !self.startsWith('-') && !self.split('/').exists(p, p == '..' || p == '.' || p == '')").message("source.git.path: write a folder of the repository, for example deploy or sites/blog"))]
    pub path: Option<String>,
    /// What else of the repository is needed, for example shared roles: folders or files, from the top.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(min = 1, max = 250), regex(pattern = "^[^-/\\s][^\\s]*$")), extend("x-kubernetes-list-type" = "set"))]
    #[x_kube(validation = Rule::new("self.all(i, !i.endsWith('/') && !i.split('/').exists(p, p == '..' || p == '.' || p == ''))").message("source.git.include: write folders or files of the repository, for example shared/roles"))]
    pub include: Vec<String>,
    /// A Secret: `username` and `password`, or `token`, for HTTPS; `ssh-privatekey` and `known_hosts` for SSH.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<NameRef>,
    /// PEM of the authorities that signed the server's certificate, where they are not public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65_536))]
    pub ca_bundle: Option<String>,
    /// A proxy for HTTPS, as http://host:port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 500), regex(pattern = "^https?://[^\\s@]+$"))]
    pub proxy: Option<String>,
    /// How often the repository is looked at; 10 seconds to 24 hours. Default: 5m.
    #[serde(default = "default_interval")]
    #[schemars(length(max = 20), regex(pattern = "^([0-9]{1,5}h)?([0-9]{1,5}m)?([0-9]{1,6}s)?$"))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]+h)?([0-9]+m)?([0-9]+s)?$') && size(self) > 0 && duration(self) >= duration('10s') && duration(self) <= duration('24h')").message("source.git.interval: write a duration from 10s to 24h, for example 5m"))]
    pub interval: String,
}

fn default_interval() -> String {
    "5m".into()
}

impl Git {
    /// The same for all Services of a namespace that read the same repository in the same way: they share
    /// one check. No secret value is in it.
    pub fn repository(&self, namespace: &str) -> String {
        let secret = self.secret_ref.as_ref().map(|reference| reference.name.as_str());
        // Without credentials it is the same repository in every namespace.
        let from = secret.map(|secret| (namespace, secret));
        let key = format!("{}\n{from:?}\n{:?}\n{:?}", self.url, self.ca_bundle, self.proxy);
        hex::encode(&Sha256::digest(key)[..16])
    }

    /// What is followed, by the name under which its commits are kept: that of a ref (`refs/heads/main`), or the id of the
    /// commit that is named. Which ref the repository's own branch or a range means, the revision says that was found last
    /// (`main@sha1:…`).
    pub fn followed(&self, revision: &str) -> Option<String> {
        let found = || revision.rsplit_once("@sha1:").map(|(name, _)| name);
        match (&self.branch, &self.tag, &self.semver, &self.commit) {
            (Some(branch), ..) => Some(format!("refs/heads/{branch}")),
            (_, Some(tag), ..) => Some(format!("refs/tags/{tag}")),
            (_, _, Some(_), _) => found().map(|name| format!("refs/tags/{name}")),
            (.., Some(commit)) => Some(commit.clone()),
            _ => found().map(|name| format!("refs/heads/{name}")),
        }
    }

    /// How often it is looked at.
    pub fn every(&self) -> Duration {
        crate::duration::parse(&self.interval).unwrap_or(Duration::from_mins(5))
    }

    /// The folders that are used: `path` (or the top, as an empty text) first, then `include`.
    pub fn folders(&self) -> Vec<String> {
        let path = self.path.clone().unwrap_or_default();
        let mut folders = vec![path];
        folders.extend(self.include.iter().cloned());
        folders
    }

    /// A path below `path`, from the top of the repository.
    pub fn below(&self, path: &str) -> String {
        self.path.as_ref().map_or_else(|| path.to_owned(), |folder| format!("{folder}/{path}"))
    }
}

/// Text of a file.
#[derive(schemars::JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FileContent(#[schemars(length(max = 262_144))] pub String);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_followed_is_called_by_the_ref_that_was_found() {
        for (git, revision, followed) in [
            (json!({}), "main@sha1:4f2a", Some("refs/heads/main")),
            (json!({}), "", None),
            (json!({"branch": "a@sha1:b"}), "", Some("refs/heads/a@sha1:b")),
            (json!({"branch": "next"}), "main@sha1:4f2a", Some("refs/heads/next")),
            (json!({"tag": "v1"}), "", Some("refs/tags/v1")),
            (json!({"semver": "^1"}), "v1.2.0@sha1:4f2a", Some("refs/tags/v1.2.0")),
            (json!({"semver": "^1"}), "sha1:4f2a", None),
            (json!({"commit": "4f2a"}), "sha1:4f2a", Some("4f2a")),
        ] {
            let mut source = json!({"url": "https://git.example.com/blog.git"});
            source.as_object_mut().unwrap().extend(git.as_object().unwrap().clone());
            let git: Git = serde_json::from_value(source).unwrap();
            assert_eq!(git.followed(revision).as_deref(), followed, "{git:?}");
        }
    }
}
