//! The pod in which a run happens.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{schema, service::NameRef};

/// The pod in which Ansible runs.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Runner {
    /// Any image with Python and ansible-core 2.19 to 2.22 (and git, openssh-client where they are needed), or one
    /// built on fastDeploy's own. The runner itself is brought along. A change of it is a change of what is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500), regex(pattern = "^[^\\s]+$"))]
    pub image: Option<String>,
    /// When the image is pulled. Default: IfNotPresent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<ImagePullPolicy>,
    /// Secrets with which the image is pulled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub image_pull_secrets: Vec<NameRef>,
    /// A ServiceAccount whose token the playbook gets, for example to change objects of this cluster. Default: the
    /// pod has no token that Kubernetes accepts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub service_account_name: Option<String>,
    /// Requests and limits, as in a pod. Default: requests of 100m and 128Mi, a limit of 1Gi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::any_object")]
    pub resources: Option<Value>,
    /// Labels that the node must have, as in a pod.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::labels")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the pod accepts, as in a pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::any_objects")]
    pub tolerations: Vec<Value>,
    /// Where the pod should be, as in a pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::any_object")]
    pub affinity: Option<Value>,
    /// Environment of Ansible and of scripts, for example `ANSIBLE_FORKS` or `http_proxy`. Every task and every
    /// subprocess sees it: secrets belong into `variablesFrom`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub env: Vec<EnvVar>,
    /// Volumes that the playbook needs besides, for example the socket of an SSH agent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub volumes: Vec<RunnerVolume>,
    /// Where requirements and facts are kept from one run to the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<Cache>,
}

/// A variable of the environment.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!self.name.startsWith('FASTDEPLOY_')").message("runner.env: names that begin with FASTDEPLOY_ are fastDeploy's own"))]
#[x_kube(validation = Rule::new("!self.name.lowerAscii().matches('(^|_)(password|passwd|secret|token|passphrase|credentials?|private_?key|api_?key)$')").message("runner.env: every task sees the environment, so no secret belongs there; put it into a Secret and name that in variablesFrom"))]
pub struct EnvVar {
    /// Its name.
    #[schemars(length(max = 253), regex(pattern = "^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub name: String,
    /// Its value.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 8192))]
    pub value: String,
}

/// A volume for the playbook.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.mountPath.startsWith('/') && self.mountPath != '/' && !self.mountPath.split('/').exists(p, p == '..' || p == '.')").message("runner.volumes.mountPath: write a whole path, for example /agent"))]
#[x_kube(validation = Rule::new("!['/run/fastdeploy', '/work', '/spool', '/cache', '/tmp', '/proc', '/sys', '/dev'].exists(p, self.mountPath == p || self.mountPath.startsWith(p + '/'))").message("runner.volumes.mountPath: /run/fastdeploy, /work, /spool, /cache, /tmp, /proc, /sys and /dev are taken"))]
pub struct RunnerVolume {
    /// A name, once in the list.
    #[schemars(length(max = 50), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Where the playbook finds it.
    #[schemars(length(min = 2, max = 250))]
    pub mount_path: String,
    /// Whether the playbook may not write there. Default: true.
    #[serde(default = "yes")]
    pub read_only: bool,
    /// What it is, as in a pod but without a name, for example `{persistentVolumeClaim: {claimName: data}}`. Values
    /// of Secrets that are mounted so are hidden in the output, too.
    #[schemars(schema_with = "schema::any_object")]
    pub volume: Value,
}

const fn yes() -> bool {
    true
}

/// What is kept from one run to the next.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cache {
    /// A PersistentVolumeClaim of the same namespace that the runs' pods may write to (user and group 65532).
    /// Several Services may share it. The same requirements file is fetched once.
    #[schemars(length(min = 1, max = 253))]
    pub claim_name: String,
}

/// When an image is pulled.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImagePullPolicy {
    /// At each run.
    Always,
    /// Where the node does not have it.
    IfNotPresent,
    /// Not at all.
    Never,
}

impl ImagePullPolicy {
    /// As Kubernetes writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}
