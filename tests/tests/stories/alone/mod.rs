//! Stories that take away what all others need: one at a time.

mod api_away;
mod authority_damaged;
mod disk_full;
mod half_away;
mod history_lost;
mod kubelet_restarted;
mod replaced;
mod replicas;
mod reports;
mod run_lost;
mod slots;
mod takeover;
mod traces;
mod two_operators;
