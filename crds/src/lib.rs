//! The custom resources of fastDeploy, `fastdeploy.dev/v1alpha1`: types, validation, reasons
//! and every name that more than one program must spell the same way. No I/O.

#![recursion_limit = "256"]

pub mod argument_specs;
pub mod conditions;
pub mod credentials;
pub mod deployment;
pub mod drift;
pub mod duration;
pub mod events;
pub mod inputs;
pub mod known_hosts;
pub mod kstatus;
pub mod manifest;
pub mod names;
pub mod notify;
pub mod policy;
pub mod promotion;
pub mod reasons;
pub mod runner;
mod schema;
pub mod service;
pub mod source;

pub use deployment::{Deployment, DeploymentSpec, DeploymentStatus, Phase};
pub use reasons::Reason;
pub use service::{Service, ServiceSpec, ServiceStatus};
