//! The writes that a plan may hold, as data. A plan is decided by pure functions; carrying it out
//! is [`crate::act`]'s. Any plan may be cut off after any write: the next pass starts from nothing.

use crds::{DeploymentStatus, Reason, ServiceStatus};
use k8s_openapi::{api::batch::v1::Job, apimachinery::pkg::apis::meta::v1::OwnerReference};

use frozen::StoredBundle;

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// The Service's status, guarded by the resourceVersion that the decision was made on.
    ServiceStatus {
        /// What was read.
        old: Box<ServiceStatus>,
        /// What is to be.
        new: Box<ServiceStatus>,
    },
    /// Another object's turn, or this one's: a Deployment's status, guarded likewise.
    DeploymentStatus {
        /// Which.
        target: Target,
        /// What was read.
        old: Box<DeploymentStatus>,
        /// What is to be.
        new: Box<DeploymentStatus>,
    },
    /// A new Deployment; its name makes it happen once.
    CreateDeployment(Box<crds::Deployment>),
    /// A history entry that is no longer kept.
    DeleteDeployment(Target),
    /// Finalizer and owner of a Deployment that is about to run, added to those that it has.
    Adopt {
        /// Which.
        target: Target,
        /// All its finalizers.
        finalizers: Vec<String>,
        /// All its owners.
        owners: Vec<OwnerReference>,
    },
    /// The run has surely ended: deleting may go on.
    RemoveFinalizer(Target),
    /// The frozen input, as an immutable ConfigMap that Deployments share.
    Bundle(StoredBundle),
    /// The Job of an attempt.
    CreateJob(Box<Job>),
    /// Its pod goes with it.
    DeleteJob(Target),
    /// The wish to stop, on the pod, where the runner reads it.
    CancelPod {
        /// The pod.
        target: Target,
        /// How.
        cancel: crds::deployment::Cancel,
    },
    /// The pod did not stop when it was asked to.
    DeletePod(Target),
    /// A word for people.
    Event {
        /// Its reason.
        reason: Reason,
        /// A sentence.
        note: String,
        /// Something to look at.
        warning: bool,
    },
}

/// One object of the namespace, not another one that has the same name later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// The version that the decision was made on.
    pub resource_version: Option<String>,
}

impl Write {
    /// Its name, for counting and for fail points.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ServiceStatus { .. } => "ServiceStatus",
            Self::DeploymentStatus { .. } => "DeploymentStatus",
            Self::CreateDeployment(_) => "CreateDeployment",
            Self::DeleteDeployment(_) => "DeleteDeployment",
            Self::Adopt { .. } => "Adopt",
            Self::RemoveFinalizer(_) => "RemoveFinalizer",
            Self::Bundle(_) => "Bundle",
            Self::CreateJob(_) => "CreateJob",
            Self::DeleteJob(_) => "DeleteJob",
            Self::CancelPod { .. } => "CancelPod",
            Self::DeletePod(_) => "DeletePod",
            Self::Event { .. } => "Event",
        }
    }
}
