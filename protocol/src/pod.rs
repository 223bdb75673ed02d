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
/// Key beside it, where the key has a passphrase.
pub const SSH_PASSPHRASE: &str = "ssh-passphrase";
/// ConfigMap or Secret with [`KNOWN_HOSTS_KEY`].
pub const KNOWN_HOSTS_DIR: &str = "/run/fastdeploy/known-hosts";
/// File name in [`KNOWN_HOSTS_DIR`].
pub const KNOWN_HOSTS_KEY: &str = "known_hosts";
/// Secret with an inventory.
pub const INVENTORY_DIR: &str = "/run/fastdeploy/secrets/inventory";
/// Secret with which the repository is read.
pub const GIT_DIR: &str = "/run/fastdeploy/secrets/git";
/// Prefix of the directories of `variablesFrom` Secrets: `…/variables-0`, `…/variables-1`.
pub const VARIABLES_DIR_PREFIX: &str = "/run/fastdeploy/secrets/variables-";
/// Prefix of the directories of Secrets with vault passwords: `…/vault-0`, `…/vault-1`.
pub const VAULT_DIR_PREFIX: &str = "/run/fastdeploy/secrets/vault-";
/// Secret with the password for sudo and the like.
pub const BECOME_DIR: &str = "/run/fastdeploy/secrets/become";
/// Secret with which requirements are fetched.
pub const GALAXY_DIR: &str = "/run/fastdeploy/secrets/galaxy";
/// The claim where things are kept from one run to the next.
pub const CACHE_DIR: &str = "/cache";
/// Where the init container puts the runner for an image that does not have it.
pub const PROGRAM_DIR: &str = "/run/fastdeploy/program";
/// File name of the runner in [`PROGRAM_DIR`].
pub const PROGRAM: &str = "fastdeploy-runner";
/// Option with which the runner puts itself and [`PASSWD`] into the directory that follows.
pub const INSTALL: &str = "--install";
/// File in [`PROGRAM_DIR`] that is mounted as `/etc/passwd`: OpenSSH wants its user to have a name.
pub const PASSWD: &str = "passwd";
/// Secret with the answers to inputs of type secret.
pub const SECRET_INPUTS_DIR: &str = "/run/fastdeploy/secrets/inputs";
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
/// In [`SPOOL_DIR`]: the numbered events, one as JSON on each line.
pub const SPOOL_FILE: &str = "events.jsonl";
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
/// Environment: name of the Service.
pub const ENV_SERVICE: &str = "FASTDEPLOY_SERVICE";
/// Environment: further directories with secret files, separated by `:`, whose values are hidden.
pub const ENV_HIDE: &str = "FASTDEPLOY_HIDE";

/// Audience of the projected token of one attempt.
pub fn audience(run_uid: &str, attempt: u32) -> String {
    format!("fastdeploy.dev/run/{run_uid}/{attempt}")
}
