//! With which credentials a run reaches the servers, opens what is encrypted and fetches what it needs.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::{
    known_hosts,
    service::{KeyRef, NameRef},
};

/// How to log in to the servers, and what else a run must prove. Values stand in Secrets; a run gets them as
/// files in memory, never as arguments or environment.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    /// Over SSH.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh: Option<Ssh>,
    /// The servers' own keys, by which they are recognised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_hosts: Option<KnownHosts>,
    /// Passwords of what is encrypted with ansible-vault, one for each vault id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"]))]
    pub vault_passwords: Vec<VaultPassword>,
    /// The password with which the user becomes another one on the servers (sudo).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#become: Option<BecomePassword>,
    /// With what `requirements` are fetched, where they are not public.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub galaxy: Option<Galaxy>,
}

/// Over SSH.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.secretRef) && has(self.agentSocket))").message("credentials.ssh: write secretRef (a key) or agentSocket (an agent that has it), not both"))]
#[x_kube(validation = Rule::new("has(self.secretRef) || has(self.agentSocket) || has(self.user) || has(self.config)").message("credentials.ssh: write secretRef with the name of a Secret that has the key ssh-privatekey"))]
pub struct Ssh {
    /// A Secret of type kubernetes.io/ssh-auth (key `ssh-privatekey`). A key with a passphrase has it beside
    /// itself, under `ssh-passphrase`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<NameRef>,
    /// The user on the servers. Default: what the inventory says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = "^[A-Za-z_][A-Za-z0-9_.-]*$"))]
    pub user: Option<String>,
    /// An OpenSSH client configuration, for jump hosts and the like. How servers are recognised stays with
    /// `knownHosts`, whatever it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<SshConfig>,
    /// The socket of an SSH agent that `runner.volumes` brings, for example `/agent/socket`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 100), regex(pattern = "^/[A-Za-z0-9_./-]+$"))]
    pub agent_socket: Option<String>,
}

/// An OpenSSH client configuration.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SshConfig {
    /// A ConfigMap with it, under `config` unless another key is named.
    pub config_map_ref: KeyRef,
}

/// The servers' own keys. Strict: a server that is in no list, or has another key, is refused.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.configMapRef) && has(self.secretRef)) && (has(self.configMapRef) || has(self.secretRef) || has(self.inline) || has(self.trust))").message("credentials.knownHosts: write configMapRef or secretRef (key known_hosts), inline, or trust: OnFirstUse"))]
pub struct KnownHosts {
    /// A ConfigMap with the key `known_hosts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<NameRef>,
    /// A Secret with the key `known_hosts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<NameRef>,
    /// Lines of known_hosts, as ssh-keyscan prints them: `web1.example.com ssh-ed25519 AAAA…`, `[web1]:2222 …`. They win:
    /// what the ConfigMap or Secret says of the same server does not count. *Trust this server* on the page writes here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(max = 2000)), extend("x-kubernetes-list-type" = "atomic"))]
    #[x_kube(validation = Rule::new(known_hosts::rule()).message(known_hosts::refusal().as_str()))]
    pub inline: Vec<String>,
    /// OnFirstUse: a server that is not in the list is believed. A changed key is refused all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<Trust>,
}

/// Whom to believe.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trust {
    /// A server that is not known yet.
    OnFirstUse,
}

/// A password of ansible-vault.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VaultPassword {
    /// The vault id, as in `ansible-vault encrypt --vault-id prod@…`. Default: `default`.
    #[serde(default = "default_vault_id")]
    #[schemars(length(max = 63), regex(pattern = "^[A-Za-z0-9_][A-Za-z0-9_.-]*$"))]
    pub id: String,
    /// The key of a Secret with the password.
    pub secret_ref: KeyRef,
}

fn default_vault_id() -> String {
    "default".into()
}

/// A password for sudo and the like.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BecomePassword {
    /// The key of a Secret with the password.
    pub secret_ref: KeyRef,
}

/// With what requirements are fetched.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Galaxy {
    /// A Secret. For a Galaxy server: `token`, with `url` if it is not galaxy.ansible.com; or `ansible.cfg`, with
    /// any number of servers. For repositories: `git-credentials` (lines such as `https://user:token@host`), or
    /// `ssh-privatekey` and `known_hosts`.
    pub secret_ref: NameRef,
}
