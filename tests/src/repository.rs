//! A Git server, made once and shared by all stories: a pod of the image `repository`, over HTTPS with
//! a certificate of its own authority, with and without a password, and over SSH.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::OnceCell;

use crate::{
    Story, certificates, kubectl,
    manifest::Manifest,
    servers::{self, NAMESPACE, Servers},
};

const HOST: &str = "repository-0.repository.fastdeploy-test-servers.svc.cluster.local";
/// Who may read what is private.
pub const USER: &str = "team";
/// With this password.
pub const PASSWORD: &str = "p@ss word/of the team";

static THERE: servers::Once = OnceCell::const_new();

/// A repository of one story.
pub struct Repository {
    name: String,
    ca: String,
}

impl Repository {
    /// One that everybody may read over HTTPS.
    pub async fn public(story: &Story) -> Result<Self> {
        Self::of(story, "public").await
    }

    /// One that takes a password over HTTPS.
    pub async fn private(story: &Story) -> Result<Self> {
        Self::of(story, "private").await
    }

    async fn of(story: &Story, folder: &str) -> Result<Self> {
        // The servers bring the keys.
        Servers::of(story).await?;
        servers::once(&THERE, Box::pin(make(&story.client))).await?;
        let maps = Api::<ConfigMap>::namespaced(story.client.clone(), NAMESPACE);
        let ca = maps.get("repository-ca").await?.data.unwrap_or_default();
        let ca = ca.get("ca.crt").cloned().context("the repository's authority has no certificate")?;
        Ok(Self { name: format!("{folder}/{}", story.namespace), ca })
    }

    /// Puts a file into a branch, perhaps with a tag; answers the commit.
    pub async fn commit(&self, branch: &str, file: &str, text: &str, tag: Option<&str>) -> Result<String> {
        let mut words = vec!["--namespace", NAMESPACE, "exec", "--stdin", "repository-0", "--", "commit"];
        words.extend([self.name.as_str(), branch, file]);
        words.extend(tag);
        let said = kubectl::ask(&words, text).await?;
        ensure!(said.ok, "commit: {}", said.err);
        Ok(said.out.trim().to_owned())
    }

    /// The address over HTTPS.
    pub fn https(&self) -> String {
        format!("https://{HOST}:8443/git/{}.git", self.name)
    }

    /// The address over SSH.
    pub fn ssh(&self) -> String {
        format!("ssh://git@{HOST}/srv/git/{}.git", self.name)
    }

    /// PEM of the authority that signed its certificate.
    pub fn ca(&self) -> &str {
        &self.ca
    }

    /// How often it was asked for its refs over HTTPS.
    pub async fn checks(&self) -> Result<usize> {
        let log = kubectl::run(&[
            "--namespace",
            NAMESPACE,
            "exec",
            "repository-0",
            "--",
            "cat",
            "/srv/log/requests",
        ])
        .await?;
        let asked = format!("{}.git/info/refs", self.name);
        Ok(log.lines().filter(|line| line.contains(&asked)).count())
    }

    /// Takes a branch back to a commit, as a push by force does.
    pub async fn rewind(&self, branch: &str, commit: &str) -> Result<()> {
        self.git(&["update-ref", &format!("refs/heads/{branch}"), commit]).await.map(drop)
    }

    /// Over SSH, it gives by their ids only commits that a ref points to: so it is with Git's first protocol, and
    /// only HTTPS has the second one here. This commit is one that it does not give.
    pub async fn refuses(&self, commit: &str) -> Result<()> {
        for way in ["AnySHA1", "ReachableSHA1", "TipSHA1"] {
            self.git(&["config", &format!("uploadpack.allow{way}InWant"), "false"]).await?;
        }
        let there = ["--namespace", NAMESPACE, "exec", "repository-0", "--"];
        let accepted = kubectl::run(&[&there[..], &["/usr/sbin/sshd", "-T"]].concat()).await?;
        ensure!(!accepted.contains("GIT_PROTOCOL"), "expected Git's first protocol over SSH, saw {accepted}");
        let script =
            "cd $(mktemp -d) && git init --quiet . && git -c protocol.version=0 fetch --depth=1 $0 $1";
        let words = ["sh", "-c", script, &format!("/srv/git/{}.git", self.name), commit];
        let said = kubectl::ask(&[&there[..], &words].concat(), "").await?;
        let refused = !said.ok && said.err.contains("Server does not allow request for unadvertised object");
        ensure!(refused, "expected the server to refuse {commit}, saw {}", said.err);
        Ok(())
    }

    async fn git(&self, words: &[&str]) -> Result<String> {
        let path = format!("/srv/git/{}.git", self.name);
        let there = ["--namespace", NAMESPACE, "exec", "repository-0", "--", "git", "-C", &path];
        kubectl::run(&[&there[..], words].concat()).await
    }

    /// Takes it away, or gives it back.
    pub async fn there(&self, there: bool) -> Result<()> {
        let path = format!("/srv/git/{}", self.name);
        let (from, to) = (format!("{path}.git"), format!("{path}.away"));
        let (from, to) = if there { (to, from) } else { (from, to) };
        kubectl::run(&["--namespace", NAMESPACE, "exec", "repository-0", "--", "mv", &from, &to])
            .await
            .map(drop)
    }
}

/// A Secret with which private repositories are read over HTTPS.
pub fn password() -> Manifest {
    Manifest(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "git-password"},
        "stringData": {"username": USER, "password": PASSWORD}}))
}

/// A Secret with which repositories are read over SSH.
pub async fn key(story: &Story) -> Result<Manifest> {
    let login = Api::<Secret>::namespaced(story.client.clone(), NAMESPACE).get("login").await?;
    let known = Api::<ConfigMap>::namespaced(story.client.clone(), NAMESPACE).get("known-hosts").await?;
    let key = login.data.unwrap_or_default().remove("ssh-privatekey").context("login has no key")?.0;
    // The repository has the same host key as the servers.
    let known = known.data.unwrap_or_default().remove("known_hosts").context("no known_hosts")?;
    let host_key =
        known.lines().next().and_then(|line| line.split_once(' ')).context("an empty known_hosts")?.1;
    Ok(Manifest(
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "git-key"}, "stringData": {
            "ssh-privatekey": String::from_utf8(key)?, "known_hosts": format!("{HOST} {host_key}\n"),
        }}),
    ))
}

async fn make(client: &Client) -> Result<()> {
    if Api::<ConfigMap>::namespaced(client.clone(), NAMESPACE).get_opt("repository-ca").await?.is_none() {
        for manifest in keys()? {
            servers::apply(client, &manifest).await?;
        }
    }
    let image = std::env::var("FASTDEPLOY_REPOSITORY_IMAGE")
        .context("no image for a Git server: set FASTDEPLOY_REPOSITORY_IMAGE (make env does)")?;
    let service = "{apiVersion: v1, kind: Service, metadata: {name: repository}, spec: {clusterIP: None, selector: {app: repository}, publishNotReadyAddresses: true, ports: [{name: ssh, port: 22}, {name: https, port: 8443}]}}";
    servers::apply(client, &Manifest::yaml(service)).await?;
    let set = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "repository"},
        "spec": {
            "serviceName": "repository", "replicas": 1, "selector": {"matchLabels": {"app": "repository"}},
            "template": {"metadata": {"labels": {"app": "repository"}}, "spec": {
                "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 1,
                "containers": [{
                    "name": "repository", "image": image, "imagePullPolicy": "IfNotPresent",
                    "readinessProbe": {"tcpSocket": {"port": 8443}, "periodSeconds": 1},
                    "volumeMounts": [{"name": "keys", "mountPath": "/etc/repository", "readOnly": true}],
                }],
                "volumes": [{"name": "keys", "projected": {"sources": [
                    {"secret": {"name": "repository-tls", "items": [{"key": "tls.crt", "path": "tls/tls.crt"}, {"key": "tls.key", "path": "tls/tls.key"}]}},
                    {"secret": {"name": "repository-users"}},
                    {"configMap": {"name": "target-authorized-keys"}},
                    {"secret": {"name": "target-host-keys", "items": [{"key": "ssh_host_ed25519_key", "path": "host-keys/ssh_host_ed25519_key", "mode": 256}]}},
                ]}}],
            }},
        },
    });
    servers::started(client, &Manifest(set), 1).await
}

fn keys() -> Result<Vec<Manifest>> {
    let signed = certificates::signed(HOST)?;
    let secret = |name: &str, data: serde_json::Value| {
        Manifest(
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}),
        )
    };
    Ok(vec![
        secret("repository-tls", json!({"tls.crt": signed.certificate, "tls.key": signed.key})),
        secret("repository-users", json!({"users": format!("{USER}:{PASSWORD}\n")})),
        // Last: that it is there says that the others are.
        Manifest(
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "repository-ca"}, "data": {"ca.crt": signed.authority}}),
        ),
    ])
}
