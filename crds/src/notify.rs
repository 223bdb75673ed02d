//! `spec.notify`: who is told what happens to a Service.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::{events::EventType, service::NameRef};

/// Somebody who is told. Exactly one of `webhook` and `slack`.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.webhook) != has(self.slack)").message("notify: write exactly one of webhook or slack per entry"))]
pub struct Notify {
    /// A program: a CloudEvent 1.0 as JSON by POST, signed as Standard Webhooks says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Channel>,
    /// A channel of Slack, Mattermost, Rocket.Chat and others that take `{"text": …}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slack: Option<Channel>,
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
