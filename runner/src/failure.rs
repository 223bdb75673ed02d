//! Why a run did not succeed: the words of `Failure::reason`, and the error that
//! ends the straight line before Ansible.

/// A task failed on a server.
pub const TASK_FAILED: &str = "TaskFailed";
/// A server could not be reached.
pub const HOST_UNREACHABLE: &str = "HostUnreachable";
/// A server did not accept our key.
pub const AUTHENTICATION_FAILED: &str = "AuthenticationFailed";
/// A server's identity is not the known one.
pub const HOST_KEY_CHANGED: &str = "HostKeyChanged";
/// No server matched or no task ran.
pub const NOTHING_DONE: &str = "NothingDone";
/// Ansible could not read the playbook.
pub const SYNTAX_ERROR: &str = "SyntaxError";
/// The run took longer than allowed.
pub const TIMEOUT: &str = "Timeout";
/// Somebody asked for it.
pub const CANCELLED: &str = "Cancelled";
/// The pod was stopped from outside.
pub const RUNNER_LOST: &str = "RunnerLost";
/// The container had not enough memory.
pub const OUT_OF_MEMORY: &str = "OutOfMemory";
/// The source cannot be reached.
pub const SOURCE_UNAVAILABLE: &str = "SourceUnavailable";
/// The source is not there.
pub const SOURCE_NOT_FOUND: &str = "SourceNotFound";
/// A Secret lacks a key.
pub const SECRET_MISSING: &str = "SecretMissing";
/// What the playbook needs besides could not be installed.
pub const REQUIREMENTS_FAILED: &str = "RequirementsFailed";
/// A script ended with an error.
pub const SCRIPT_FAILED: &str = "ScriptFailed";
/// The image lacks something.
pub const IMAGE_UNSUITABLE: &str = "ImageUnsuitable";
/// Ansible succeeded, and the site does not answer.
pub const HEALTH_CHECK_FAILED: &str = "HealthCheckFailed";
/// A user may not become another one on a server.
pub const BECOME_FAILED: &str = "BecomeFailed";
/// Something encrypted could not be opened.
pub const VAULT_PASSWORD: &str = "VaultPassword";
/// The playbook waits for somebody at a keyboard.
pub const KEYBOARD_NEEDED: &str = "KeyboardNeeded";
/// The bundle asks for something impossible.
pub const INVALID_SPEC: &str = "InvalidSpec";
/// The claim was not granted.
pub const CLAIM_REFUSED: &str = "ClaimRefused";
/// Ansible failed in a way that we have no word for.
pub const ANSIBLE_FAILED: &str = "AnsibleFailed";

/// The end of a run that never came to Ansible.
#[derive(Debug, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct Stop {
    /// One of the reasons above.
    pub reason: &'static str,
    /// A sentence for people.
    pub message: String,
}

impl Stop {
    /// With any reason.
    pub fn because(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }

    /// The bundle asks for something impossible.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::because(INVALID_SPEC, message)
    }

    /// A file of ours could not be written or read: the pod's fault, not the author's.
    pub fn io(what: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::because(RUNNER_LOST, format!("failed to {what} {}: {error}", path.display()))
    }
}
