//! The frozen input of one run. The operator writes it once, as an immutable
//! ConfigMap named by its digest; the runner reads it as a file. It holds no
//! secret: those are mounted beside it (see [`crate::pod`]).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Everything that a run is made of, but for secrets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bundle {
    /// `v1:sha256:…` over the wanted state that this bundle was frozen from.
    pub digest: String,
    /// Where the playbook comes from.
    pub source: Source,
    /// Path of the playbook, relative to the source.
    pub playbook: String,
    /// On which servers.
    pub inventory: Inventory,
    /// From the Service's author and its ConfigMaps: may be templated.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, Value>,
    /// What a person typed: data, never a template.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, Value>,
    /// Credentials that are mounted beside the bundle.
    #[serde(default)]
    pub credentials: Credentials,
    /// What `ansible-playbook` is told besides.
    #[serde(default)]
    pub options: Options,
    /// Seconds from the claim to the end of Ansible.
    pub timeout_seconds: u64,
}

/// Where the playbook comes from: exactly one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// Relative path to content, from `inline` or a ConfigMap.
    Files(BTreeMap<String, String>),
}

/// On which servers: exactly one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Inventory {
    /// A path in the source.
    Path(String),
    /// An Ansible inventory in its YAML form, as data.
    Inline(Value),
    /// The text of an inventory file (INI or YAML), from a ConfigMap.
    Text(String),
    /// The mounted Secret at [`crate::pod::INVENTORY_DIR`], this key.
    Secret(String),
    /// The run's pod itself.
    Local,
}

/// Which credentials are mounted. Their values are files below [`crate::pod::SECRETS_DIR`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    /// An SSH key is mounted at [`crate::pod::SSH_DIR`].
    #[serde(default)]
    pub ssh: bool,
    /// The remote user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_user: Option<String>,
    /// A `known_hosts` file is mounted at [`crate::pod::KNOWN_HOSTS_DIR`].
    #[serde(default)]
    pub known_hosts: bool,
    /// Accept a host that is not known yet. Never the default.
    #[serde(default)]
    pub trust_on_first_use: bool,
    /// How many Secrets are mounted as `variables-0`, `variables-1`, …; keys become variables,
    /// later ones win. Values stay strings and are never templates.
    #[serde(default)]
    pub variable_secrets: usize,
}

/// What `ansible-playbook` is told besides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Options {
    /// `--tags`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// `--skip-tags`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skip_tags: Vec<String>,
    /// `--forks`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forks: Option<u32>,
    /// 0–4, as `-v` … `-vvvv`.
    #[serde(default)]
    pub verbosity: u8,
    /// `--diff`.
    #[serde(default)]
    pub diff: bool,
    /// SSH pipelining; on unless the author switched it off.
    #[serde(default = "yes")]
    pub pipelining: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { tags: vec![], skip_tags: vec![], forks: None, verbosity: 0, diff: false, pipelining: yes() }
    }
}

const fn yes() -> bool {
    true
}
