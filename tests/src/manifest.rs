//! Services and Deployments from the few lines that a story is about.

use kube::{Resource, core::GroupVersionKind};
use serde_json::{Value, json};

use crate::Servers;

/// A manifest to apply.
#[derive(Clone, Debug)]
pub struct Manifest(pub Value);

/// A Service whose playbook runs in the run's own pod, by hand, unless said otherwise.
pub fn service(name: &str) -> Manifest {
    Manifest(json!({
        "apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Service", "metadata": {"name": name},
        "spec": {"playbook": "deploy.yml", "inventory": {"local": true}},
    }))
    .tasks("[{name: Say hello, ansible.builtin.debug: {msg: hello}}]")
}

/// A Deployment of a Service.
pub fn deployment(name: &str, service: &str) -> Manifest {
    Manifest(json!({
        "apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"service": service},
    }))
}

// Builders: whoever drops one notices, because nothing is applied.
#[allow(clippy::return_self_not_must_use)]
impl Manifest {
    /// From YAML.
    pub fn yaml(text: &str) -> Self {
        Self(parse(text))
    }

    /// The tasks of the playbook's only play.
    pub fn tasks(self, yaml: &str) -> Self {
        let play = json!([{"hosts": "all", "gather_facts": false, "tasks": parse(yaml)}]);
        self.playbook(&serde_yaml::to_string(&play).expect("a play is plain data"))
    }

    /// The whole playbook, word by word.
    pub fn playbook(mut self, text: &str) -> Self {
        self.0["spec"]["source"] = json!({"inline": {"deploy.yml": text}});
        self
    }

    /// More fields of the spec, in place of those that are there.
    pub fn with(mut self, yaml: &str) -> Self {
        merge(&mut self.0["spec"], parse(yaml));
        self
    }

    /// Every change is deployed.
    pub fn on_change(self) -> Self {
        self.with("policy: {deploy: OnChange}")
    }

    /// On real servers over SSH, instead of in the pod.
    pub fn on(mut self, servers: &Servers) -> Self {
        self.0["spec"]["inventory"] = Value::Null;
        merge(&mut self.0["spec"], servers.spec());
        self
    }

    /// An annotation.
    pub fn annotated(mut self, key: &str, value: &str) -> Self {
        self.0["metadata"]["annotations"][key] = value.into();
        self
    }

    pub(crate) fn name(&self) -> String {
        self.0["metadata"]["name"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn resource(&self) -> kube::core::ApiResource {
        let text = |field: &str| self.0[field].as_str().unwrap_or_default();
        let (version, kind) = (text("apiVersion"), text("kind"));
        let (group, version) = version.rsplit_once('/').unwrap_or(("", version));
        kube::core::ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
    }

    pub(crate) fn is<K: Resource<DynamicType = ()>>(&self) -> bool {
        self.0["kind"] == *K::kind(&()) && self.0["apiVersion"] == *K::api_version(&())
    }
}

fn parse(yaml: &str) -> Value {
    serde_yaml::from_str(yaml).unwrap_or_else(|error| panic!("a story has bad YAML: {error}\n{yaml}"))
}

/// As RFC 7386, without its deletions.
fn merge(into: &mut Value, more: Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (key, value) in more {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, more) => *into = more,
    }
}
