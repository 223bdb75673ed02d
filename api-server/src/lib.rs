//! The api-server. To runs it grants their permission to start Ansible, once per attempt, and takes
//! their reports into PostgreSQL; what it decides stands in `status.run`. To people it shows what is in
//! PostgreSQL, live, and turns what they want into custom resources. Runs are permitted without a
//! database, too.

pub mod access;
pub mod api;
pub mod audit;
pub mod claim;
pub mod config;
pub mod database;
pub mod health;
pub mod hooks;
pub mod identity;
pub mod limits;
pub mod live;
pub mod logging;
pub mod metrics;
pub mod names;
pub mod people;
pub mod reports;
pub mod router;
pub mod serve;
pub mod stored;
pub mod system;
pub mod tls;
pub mod traces;
pub mod web;
