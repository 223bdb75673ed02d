//! Two servers with sshd, made once and shared by all stories: pods of the image `target`, as in
//! `manifests/samples`. What a run really did is read from them, not from what anybody reports.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Error, Result, bail, ensure};
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, Pod, Secret},
};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, Patch, PatchParams},
    runtime::wait::await_condition,
};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::{Story, kubectl, manifest::Manifest, pods};

/// Where the servers are.
pub const NAMESPACE: &str = "fastdeploy-test-servers";
const DOMAIN: &str = "server.fastdeploy-test-servers.svc.cluster.local";

static THERE: Once = OnceCell::const_new();

/// What all stories share: made by whoever comes first; if that failed, everybody is told so at once.
pub(crate) type Once = OnceCell<Result<(), String>>;

/// Makes it, unless that was done or tried before.
pub(crate) async fn once(there: &Once, make: impl Future<Output = Result<()>>) -> Result<()> {
    let try_it = || async { make.await.map_err(|error| format!("{error:#}")) };
    there.get_or_init(try_it).await.clone().map_err(Error::msg)
}

/// The servers, and what a story needs to sign in to them.
#[derive(Clone, Debug)]
pub struct Servers {
    proof: String,
}

impl Servers {
    /// Makes the servers, unless they are there, and hands the keys to the story.
    pub async fn of(story: &Story) -> Result<Self> {
        once(&THERE, Box::pin(make(&story.client))).await?;
        let secrets = Api::<Secret>::namespaced(story.client.clone(), NAMESPACE);
        let maps = Api::<ConfigMap>::namespaced(story.client.clone(), NAMESPACE);
        let key = secrets.get("login").await?.data.unwrap_or_default();
        let known = maps.get("known-hosts").await?.data.unwrap_or_default();
        story.apply(&secret("login", &json!(key))).await?;
        story.apply(&config_map("known-hosts", &json!(known))).await?;
        Ok(Self { proof: format!("/tmp/{}", story.namespace) })
    }

    /// The fields of a Service that deploys to them.
    pub fn spec(&self) -> Value {
        json!({
            "inventory": {"inline": {"all": {
                "hosts": {"server-0": {"ansible_host": host(0)}, "server-1": {"ansible_host": host(1)}},
                "vars": {"ansible_python_interpreter": "/usr/bin/python3"},
            }}},
            "credentials": {
                "ssh": {"secretRef": {"name": "login"}, "user": "deploy"},
                "knownHosts": {"configMapRef": {"name": "known-hosts"}},
            },
        })
    }

    /// A shell command that leaves a line on a server, for [`Self::proofs`].
    pub fn prove(&self) -> String {
        format!("echo Ansible was here >> {}", self.proof)
    }

    /// How many lines [`Self::prove`] has left on a server.
    pub async fn proofs(&self, server: u8) -> Result<usize> {
        Ok(self.run(server, &format!("cat {} 2>/dev/null || true", self.proof)).await?.lines().count())
    }

    /// What a command on a server prints.
    pub async fn run(&self, server: u8, command: &str) -> Result<String> {
        kubectl::run(&[
            "--namespace",
            NAMESPACE,
            "exec",
            &format!("server-{server}"),
            "--",
            "sh",
            "-c",
            command,
        ])
        .await
    }

    /// What a server answers over HTTP on port 8000.
    pub async fn site(&self, server: u8, path: &str) -> Result<String> {
        let url = format!("/api/v1/namespaces/{NAMESPACE}/pods/server-{server}:8000/proxy{path}");
        kubectl::run(&["get", "--raw", &url]).await
    }
}

/// Address of a server.
pub fn host(server: u8) -> String {
    format!("server-{server}.{DOMAIN}")
}

/// A Secret with these values, already in base64.
fn secret(name: &str, data: &Value) -> Manifest {
    Manifest(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}))
}

fn config_map(name: &str, data: &Value) -> Manifest {
    Manifest(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}))
}

async fn make(client: &Client) -> Result<()> {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {
        "name": NAMESPACE,
        // sshd and sudo begin as root.
        "labels": {"fastdeploy.dev/test": "servers", "pod-security.kubernetes.io/enforce": "baseline"},
    }});
    apply(client, &Manifest(namespace)).await?;
    if Api::<Secret>::namespaced(client.clone(), NAMESPACE).get_opt("login").await?.is_none() {
        for keys in make_keys().await? {
            apply(client, &keys).await?;
        }
    }
    let service = "{apiVersion: v1, kind: Service, metadata: {name: server}, spec: {clusterIP: None, selector: {app: server}, ports: [{name: ssh, port: 22}]}}";
    apply(client, &Manifest::yaml(service)).await?;
    started(client, &stateful_set(client).await?, 2).await
}

/// Applies a StatefulSet whose pods have its name as `app`, and waits until all of them are ready as it says now;
/// if they are not, tells what became of them.
pub(crate) async fn started(client: &Client, set: &Manifest, replicas: i32) -> Result<()> {
    let name = &set.name();
    let sets = Api::<StatefulSet>::namespaced(client.clone(), NAMESPACE);
    // One of an earlier day may be unable to start, as its image is gone. A set that starts one after the other
    // waits for it forever, instead of making a newer one.
    let there = Api::<Pod>::namespaced(client.clone(), NAMESPACE)
        .list(&ListParams::default().labels(&format!("app={name}")))
        .await?;
    if !there.iter().all(pods::is_ready) {
        sets.delete(name, &DeleteParams::foreground()).await?;
        let gone = await_condition(sets.clone(), name, |set: Option<&StatefulSet>| set.is_none());
        tokio::time::timeout(Duration::from_mins(1), gone).await.context("expected a set to go")??;
    }
    apply(client, set).await?;
    let ready = |set: Option<&StatefulSet>| {
        let (set, status) = (set, set.and_then(|set| set.status.as_ref()));
        status.is_some_and(|status| {
            status.ready_replicas == Some(replicas)
                && status.update_revision == status.current_revision
                && status.observed_generation == set.and_then(|set| set.metadata.generation)
        })
    };
    let waited = tokio::time::timeout(Duration::from_mins(2), await_condition(sets, name, ready)).await;
    if let Ok(watched) = waited {
        return watched.map(drop).context("the watch of a StatefulSet");
    }
    let described =
        ["--namespace", NAMESPACE, "describe", &format!("statefulset/{name}"), &format!("pod/{name}-0")];
    let of_pods = kubectl::ask(&described, "").await?;
    let log = ["--namespace", NAMESPACE, "logs", "--tail=20", &format!("{name}-0")];
    let log = kubectl::ask(&log, "").await?;
    bail!(
        "expected {name} to be ready within two minutes, saw:\n{}{}{}{}",
        of_pods.out,
        of_pods.err,
        log.out,
        log.err
    )
}

pub(crate) async fn apply(client: &Client, manifest: &Manifest) -> Result<()> {
    let resource = manifest.resource();
    let api: Api<kube::api::DynamicObject> = if resource.kind == "Namespace" {
        Api::all_with(client.clone(), &resource)
    } else {
        Api::namespaced_with(client.clone(), NAMESPACE, &resource)
    };
    let params = PatchParams::apply("tests").force();
    api.patch(&manifest.name(), &params, &Patch::Apply(&manifest.0)).await?;
    Ok(())
}

/// The sample's servers under our name.
async fn stateful_set(client: &Client) -> Result<Manifest> {
    let sample = include_str!("../../manifests/samples/10-servers.yaml");
    let first = sample.split("\n---\n").next().unwrap_or_default();
    let text = first
        .replace("name: web", "name: server")
        .replace("serviceName: web", "serviceName: server")
        .replace("app: web", "app: server")
        .replace("fastdeploy-demo", NAMESPACE)
        // Octal in the YAML of Kubernetes, a text in everybody else's.
        .replace("mode: 0400", "mode: 256");
    let mut set = Manifest::yaml(&text);
    set.0["spec"]["template"]["spec"]["containers"][0]["image"] = image(client).await?.into();
    Ok(set)
}

/// The image of this build, or that of the sample on this cluster.
pub(crate) async fn image(client: &Client) -> Result<String> {
    if let Ok(image) = std::env::var("FASTDEPLOY_TARGET_IMAGE") {
        return Ok(image);
    }
    let sample = Api::<StatefulSet>::namespaced(client.clone(), "fastdeploy-demo").get("web").await;
    let pod = sample
        .context("no image for servers: set FASTDEPLOY_TARGET_IMAGE")?
        .spec
        .and_then(|s| s.template.spec);
    pod.and_then(|pod| pod.containers.into_iter().next()?.image).context("the sample's servers have no image")
}

async fn make_keys() -> Result<Vec<Manifest>> {
    let folder = Folder::make()?;
    for name in ["id", "host"] {
        let file = folder.0.join(name);
        let made = tokio::process::Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
            .arg(file)
            .status()
            .await
            .context("ssh-keygen is not in the PATH")?;
        ensure!(made.success(), "ssh-keygen failed: {made}");
    }
    let read = |name: &str| std::fs::read_to_string(folder.0.join(name));
    let host_key = read("host.pub")?;
    let known = [0, 1].map(|n| format!("{} {host_key}", host(n))).concat();
    let string_data = |name: &str, key: &str, value: String| {
        Manifest(
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {key: value}}),
        )
    };
    Ok(vec![
        string_data("target-host-keys", "ssh_host_ed25519_key", read("host")?),
        config_map("target-authorized-keys", &json!({"authorized_keys": read("id.pub")?})),
        config_map("known-hosts", &json!({"known_hosts": known})),
        // Last: that it is there says that the others are.
        string_data("login", "ssh-privatekey", read("id")?),
    ])
}

/// A folder that goes away.
struct Folder(PathBuf);

impl Folder {
    fn make() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("fastdeploy-tests-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
