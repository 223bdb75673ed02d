//! Stories that leave others alone, several at a time.

mod bad_input;
mod cancel;
mod container_killed;
mod deleted_namespace;
mod deleted_service;
mod failing_playbook;
mod inputs;
mod no_host_matches;
mod pod_deleted;
mod pruning;
mod queue;
mod rights_of_people;
mod samples;
mod secrets;
mod source_changes;
mod stale_writer;
mod success;
mod suspend;
mod timeout;
mod unreachable_host;
mod what_goes_wrong;
