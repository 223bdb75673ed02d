//! Repositories, by the `git` program: what refs there are, which tree a commit has, the last commits of a ref, and files.
//! The operator asks for all but the files, a run's pod for those. Credentials are files of a private
//! folder that goes away; nothing of a repository is ever executed.

mod history;
mod program;
mod refs;
mod remote;
#[cfg(test)]
mod test_support;

pub use history::{Committed, MOST};
pub use refs::{Kind, Ref, Refs, Selector};
pub use refs::{is_commit, parse_range};
pub use remote::{Auth, Commit, Remote, is_ssh};

/// Why a repository did not give what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It does not answer, or not to these credentials: it may do so later.
    #[error("{0}")]
    Unavailable(String),
    /// It answered, and what was asked for is not there.
    #[error("{0}")]
    NotFound(String),
    /// What was asked for makes no sense.
    #[error("{0}")]
    Invalid(String),
}
