//! The Deployment controller: freezes a run's input, waits for its turn, makes the Job, watches
//! the pod and writes the verdict.

pub mod build;
mod conditions;
pub mod decide;
pub mod fate;
pub mod observe;
mod verdict;
