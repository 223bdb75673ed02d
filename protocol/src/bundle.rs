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
    /// Path of the playbook, relative to the source; empty where a script is run.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub playbook: String,
    /// Path of the script that is run instead of a playbook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// Path of a requirements file for ansible-galaxy, relative to the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requirements: Option<String>,
    /// The steps that the Service names, for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<NamedStep>,
    /// Handed to a script as it is.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub context: BTreeMap<String, Value>,
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
    /// How one sees whether the site is up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
}

/// A step that the Service names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedStep {
    /// Its name: that of a task, or what a script reports.
    pub name: String,
    /// What it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// A request whose answer tells whether the site is up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    /// `http://…` or `https://…`.
    pub url: String,
    /// The HTTP status that says so.
    pub status: u16,
    /// How long it may take after a run until it answers so, in seconds.
    pub timeout_seconds: u64,
}

/// Where the playbook comes from: exactly one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// Relative path to content, from `inline` or a ConfigMap.
    Files(BTreeMap<String, String>),
    /// A commit of a repository.
    Git(GitSource),
    /// A folder of the runner's image, by its whole path.
    Image(String),
}

/// A commit of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GitSource {
    /// Without credentials.
    pub url: String,
    /// Its whole id.
    pub commit: String,
    /// `refs/heads/…` or `refs/tags/…` by which it was found; empty: unknown. For servers that give
    /// commits only by refs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reference: String,
    /// The folder that the playbook is relative to; empty: the top.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// What else is needed, from the top.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    /// PEM of authorities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<String>,
    /// A proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// A Secret is mounted at [`crate::pod::GIT_DIR`].
    #[serde(default)]
    pub credentials: bool,
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
    /// Lines of `known_hosts` that win over those of the file, server by server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pinned: Vec<String>,
    /// Accept a host that is not known yet. Never the default.
    #[serde(default)]
    pub trust_on_first_use: bool,
    /// How many Secrets are mounted as `variables-0`, `variables-1`, …; keys become variables,
    /// later ones win. Values stay strings and are never templates.
    #[serde(default)]
    pub variable_secrets: usize,
    /// Inputs whose answers are secret: files of that name below [`crate::pod::SECRET_INPUTS_DIR`]. They stay strings
    /// and are never templates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secret_inputs: Vec<String>,
    /// The socket of an SSH agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_socket: Option<String>,
    /// The text of an OpenSSH client configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_config: Option<String>,
    /// Vault passwords, mounted as `vault-0`, `vault-1`, … in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vault: Vec<VaultFile>,
    /// A password for sudo and the like is mounted at [`crate::pod::BECOME_DIR`], under this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub become_key: Option<String>,
    /// Credentials for requirements are mounted at [`crate::pod::GALAXY_DIR`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub galaxy: bool,
}

/// A vault password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultFile {
    /// The vault id.
    pub id: String,
    /// The key of the mounted Secret.
    pub key: String,
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
    /// `--check --diff`: a preview.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub check: bool,
    /// `--limit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// How long facts of earlier runs count, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fact_cache_seconds: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            tags: vec![],
            skip_tags: vec![],
            forks: None,
            verbosity: 0,
            diff: false,
            pipelining: yes(),
            check: false,
            limit: None,
            fact_cache_seconds: None,
        }
    }
}

const fn yes() -> bool {
    true
}
