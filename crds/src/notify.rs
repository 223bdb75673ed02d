//! `spec.notify`: who is told what happens to a Service.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::{events::EventType, service::NameRef};

/// Somebody who is told. Exactly one of `webhook`, `slack`, `email` and `commitStatus`.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.webhook), has(self.slack), has(self.email), has(self.commitStatus)].filter(x, x).size() == 1").message("notify: write exactly one of webhook, slack, email or commitStatus per entry"))]
pub struct Notify {
    /// A program: a CloudEvent 1.0 as JSON by POST, signed as Standard Webhooks says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Channel>,
    /// A channel of Slack, Mattermost, Rocket.Chat and others that take `{"text": …}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slack: Option<Channel>,
    /// People, by e-mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<Email>,
    /// The commit that is deployed, where its repository is: a green or red mark beside it. Needs `source.git`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_status: Option<CommitStatus>,
    /// When: what is told. Default: Succeeded and Failed. Previews and drift checks are not told.
    #[serde(default = "default_when")]
    #[schemars(length(min = 1, max = 10), extend("x-kubernetes-list-type" = "set"))]
    pub when: Vec<Happening>,
}

/// Where it is told.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Channel {
    /// A Secret with the key `url`, and of webhooks `secret` (the signature's, for example `whsec_…`). Addresses inside the cluster are
    /// refused, unless the installation allows them.
    pub secret_ref: NameRef,
}

/// Who gets an e-mail, and through which server.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Email {
    /// A Secret with the keys `url` (`smtps://user:password@mail.example.com`, or `smtp://…` for STARTTLS on port 587), `from` (the
    /// sender's address) and, where the server's certificate is not of a public authority, `ca.crt`.
    pub secret_ref: NameRef,
    /// To whom, for example `ops@example.com`.
    #[schemars(length(min = 1, max = 20), inner(length(max = 254), regex(pattern = r"^[^@\s<>,;]+@[^@\s<>,;]+$")), extend("x-kubernetes-list-type" = "set"))]
    pub to: Vec<String>,
}

/// Where the commit's status is written.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommitStatus {
    /// Which program the repository is kept by. Forgejo speaks as Gitea does.
    pub provider: Provider,
    /// A Secret with the key `token`, which may write statuses of commits, and `url` where the API is not where that program has it by
    /// default (`https://api.github.com`, `https://gitlab.example.com/api/v4`, `https://gitea.example.com/api/v1`).
    pub secret_ref: NameRef,
}

/// A program that keeps repositories.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Provider {
    /// github.com or GitHub Enterprise.
    GitHub,
    /// gitlab.com or a GitLab of one's own.
    GitLab,
    /// Gitea or Forgejo.
    Gitea,
}

fn default_when() -> Vec<Happening> {
    vec![Happening::Succeeded, Happening::Failed]
}

/// What can be told.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Happening {
    /// A run was asked for.
    Requested,
    /// A run waits until somebody agrees.
    AwaitingApproval,
    /// Ansible was permitted to start.
    Started,
    /// A run succeeded.
    Succeeded,
    /// A run failed, or nothing was done.
    Failed,
    /// A run was stopped, replaced or superseded.
    Cancelled,
    /// The servers are no longer as they were left.
    DriftFound,
    /// The servers are as they should be again.
    DriftGone,
    /// The source cannot be read.
    SourceUnreachable,
}

impl Happening {
    /// In the words of the catalogue.
    pub const fn event(self) -> EventType {
        match self {
            Self::Requested => EventType::DeploymentRequested,
            Self::AwaitingApproval => EventType::DeploymentAwaitingApproval,
            Self::Started => EventType::DeploymentStarted,
            Self::Succeeded => EventType::DeploymentFinished,
            Self::Failed => EventType::DeploymentFailed,
            Self::Cancelled => EventType::DeploymentCancelled,
            Self::DriftFound => EventType::DriftFound,
            Self::DriftGone => EventType::DriftGone,
            Self::SourceUnreachable => EventType::SourceUnreachable,
        }
    }
}
