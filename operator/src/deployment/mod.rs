//! The Deployment controller: freezes a run's input, waits for its turn, makes the Job, watches
//! the pod and writes the verdict.

pub mod answers;
pub mod approval;
pub mod build;
mod conditions;
pub mod decide;
pub mod fate;
pub mod observe;
pub mod refusal;
pub mod verdict;
