//! How a run's pod is laid out: paths and environment that the operator
//! prepares and the runner finds.

/// Directory with the bundle ConfigMap.
pub const BUNDLE_DIR: &str = "/run/fastdeploy/bundle";
/// The bundle's key in that ConfigMap, and so its file name.
pub const BUNDLE_KEY: &str = "bundle.json";
/// Parent of everything that is mounted from a Secret (memory-backed by the kubelet).
pub const SECRETS_DIR: &str = "/run/fastdeploy/secrets";
/// Secret of the SSH key; the key file is [`SSH_KEY`].
pub const SSH_DIR: &str = "/run/fastdeploy/secrets/ssh";
/// Key of type `kubernetes.io/ssh-auth`.
pub const SSH_KEY: &str = "ssh-privatekey";
/// ConfigMap or Secret with [`KNOWN_HOSTS_KEY`].
pub const KNOWN_HOSTS_DIR: &str = "/run/fastdeploy/known-hosts";
/// File name in [`KNOWN_HOSTS_DIR`].
pub const KNOWN_HOSTS_KEY: &str = "known_hosts";
/// Secret with an inventory.
pub const INVENTORY_DIR: &str = "/run/fastdeploy/secrets/inventory";
/// Prefix of the directories of `variablesFrom` Secrets: `…/variables-0`, `…/variables-1`.
pub const VARIABLES_DIR_PREFIX: &str = "/run/fastdeploy/secrets/variables-";
/// Projected service-account token for the claim.
pub const TOKEN_DIR: &str = "/run/fastdeploy/token";
/// File name in [`TOKEN_DIR`].
pub const TOKEN_FILE: &str = "token";
/// Downward API volume.
pub const DOWNWARD_DIR: &str = "/run/fastdeploy/pod";
/// File in [`DOWNWARD_DIR`] that follows the pod's cancel annotation: empty, `AfterStep` or `Now`.
pub const CANCEL_FILE: &str = "cancel";
/// Writable, memory-backed: what the runner derives from secrets for Ansible.
pub const MEMORY_DIR: &str = "/run/fastdeploy/memory";
/// Writable: the source is laid out here.
pub const WORK_DIR: &str = "/work";
/// Writable: the spool of numbered reports.
pub const SPOOL_DIR: &str = "/spool";
/// Where the kubelet reads the termination message.
pub const TERMINATION_LOG: &str = "/dev/termination-log";

/// Environment: uid of the Deployment.
pub const ENV_RUN_UID: &str = "FASTDEPLOY_RUN_UID";
/// Environment: number of the attempt, from 1.
pub const ENV_ATTEMPT: &str = "FASTDEPLOY_ATTEMPT";
/// Environment: base URL of the report listener, without a trailing slash.
pub const ENV_API_URL: &str = "FASTDEPLOY_API_URL";
/// Environment: PEM of the certificate authority that signed the listener's certificate (public).
pub const ENV_API_CA: &str = "FASTDEPLOY_API_CA";

/// Audience of the projected token of one attempt.
pub fn audience(run_uid: &str, attempt: u32) -> String {
    format!("fastdeploy.dev/run/{run_uid}/{attempt}")
}
