//! The custom resources of fastDeploy, `fastdeploy.dev/v1alpha1`: types, validation, reasons
//! and every name that more than one program must spell the same way. No I/O.

#![recursion_limit = "256"]

pub mod conditions;
pub mod deployment;
pub mod duration;
pub mod inputs;
pub mod kstatus;
pub mod manifest;
pub mod names;
pub mod reasons;
mod schema;
pub mod service;

pub use deployment::{Deployment, DeploymentSpec, DeploymentStatus, Phase};
pub use reasons::Reason;
pub use service::{Service, ServiceSpec, ServiceStatus};
