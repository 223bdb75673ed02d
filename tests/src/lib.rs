//! What the stories in `tests/stories` are told with: a namespace each, objects from short
//! manifests, waiting by watching, servers to deploy to, and the means to break things. Nothing
//! here is a fake: all of it works on the cluster of `KUBECONFIG`.

pub mod audit;
pub mod browser;
mod certificates;
pub mod database;
mod dump;
pub mod edits;
pub mod expect;
pub mod kubectl;
pub mod letters;
mod looks;
pub mod manifest;
pub mod node;
pub mod operators;
mod orphans;
pub mod pods;
#[cfg(test)]
mod proof;
pub mod receiver;
pub mod reports;
pub mod repository;
mod rules;
pub mod servers;
mod story;
pub mod system;
mod waits;
mod watched;
pub mod wire;
mod writes;

pub use anyhow::{Context, Result, anyhow, bail, ensure};
pub use expect::{holds, same};
pub use manifest::{deployment, service};
pub use rules::Ruled;
pub use servers::Servers;
pub use story::{Outcome, Story};
pub use waits::phase;
pub use watched::Watched;

/// The namespace that fastDeploy is installed in.
pub fn installation() -> String {
    std::env::var("FASTDEPLOY_NAMESPACE").unwrap_or_else(|_| "fastdeploy-system".into())
}
