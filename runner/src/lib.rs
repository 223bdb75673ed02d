//! What PID 1 of a run's pod does: asks for permission, lays out the bundle, runs Ansible once,
//! and leaves a verdict. A library, so that `fastdeploy run --local` does the very same.

mod callback;
mod claim;
mod classify;
mod clock;
mod command;
mod config;
mod control;
mod deliver;
mod failure;
mod files;
mod health;
mod hostkey;
mod install;
mod known_hosts;
mod layout;
mod lines;
mod loopback;
mod mask;
mod memory;
mod names;
mod outcome;
mod output;
pub mod parsers;
mod paths;
mod process;
mod project;
mod ready;
mod requirements;
mod run;
mod script;
mod spool;
mod ssh;
mod text;
mod tracker;
mod variables;
mod version;
mod watch;

pub use install::install;
pub use paths::Paths;
pub use run::{local, run};
