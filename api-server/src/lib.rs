//! The api-server. It grants runs their permission to start Ansible,
//! once per attempt, and takes their reports into PostgreSQL. What it decides stands in `status.run`.
//!
//! It answers no people yet, and permits runs without a database, too.

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
