//! The api-server. For now it does one thing: it grants runs their permission to start Ansible,
//! once per attempt. It keeps nothing: what it decides stands in the Deployment's `status.run`.
//!
//! It answers no people yet, and needs no database.

pub mod claim;
pub mod config;
pub mod database;
pub mod health;
pub mod identity;
pub mod limits;
pub mod logging;
pub mod metrics;
pub mod names;
pub mod reports;
pub mod router;
pub mod serve;
pub mod stored;
pub mod tls;
