//! The Service controller: notices what is wanted, makes Deployments, numbers them, decides whose
//! turn it is, and keeps the Service's status.

mod conditions;
pub mod decide;
mod dependencies;
pub mod drift;
mod ends;
pub mod history;
pub mod news;
pub mod observe;
pub mod triggers;
pub mod turn;
