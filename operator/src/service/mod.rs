//! The Service controller: notices what is wanted, makes Deployments, numbers them, decides whose
//! turn it is, and keeps the Service's status.

mod conditions;
pub mod decide;
pub mod history;
pub mod observe;
