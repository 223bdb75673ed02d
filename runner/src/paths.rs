//! Where things lie: the layout of [`protocol::pod`], optionally below another
//! root so that tests can run the real binary without being in a pod.

use std::path::{Path, PathBuf};

use protocol::pod;

/// Environment, for tests only: every path is taken below this directory.
const ENV_ROOT: &str = "FASTDEPLOY_ROOT";

/// All paths that the runner touches.
#[derive(Clone, Debug)]
pub struct Paths {
    root: PathBuf,
    ssh_configs: Vec<String>,
}

impl Paths {
    /// The pod's own, or those below `FASTDEPLOY_ROOT`.
    pub fn from_env() -> Self {
        Self::below(std::env::var_os(ENV_ROOT).map_or_else(|| PathBuf::from("/"), PathBuf::from))
    }

    /// Those below a directory.
    pub fn below(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), ssh_configs: vec!["/etc/ssh/ssh_config".to_owned()] }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The frozen bundle.
    pub fn bundle(&self) -> PathBuf {
        self.at(pod::BUNDLE_DIR).join(pod::BUNDLE_KEY)
    }

    /// Token for the claim.
    pub fn token(&self) -> PathBuf {
        self.at(pod::TOKEN_DIR).join(pod::TOKEN_FILE)
    }

    /// Follows the pod's cancel annotation.
    pub fn cancel(&self) -> PathBuf {
        self.at(pod::DOWNWARD_DIR).join(pod::CANCEL_FILE)
    }

    /// Everything mounted from Secrets.
    pub fn secrets(&self) -> PathBuf {
        self.at(pod::SECRETS_DIR)
    }

    /// The mounted SSH key.
    pub fn mounted_ssh_key(&self) -> PathBuf {
        self.at(pod::SSH_DIR).join(pod::SSH_KEY)
    }

    /// The mounted `known_hosts`.
    pub fn mounted_known_hosts(&self) -> PathBuf {
        self.at(pod::KNOWN_HOSTS_DIR).join(pod::KNOWN_HOSTS_KEY)
    }

    /// Directory of the inventory Secret.
    pub fn inventory_secret(&self) -> PathBuf {
        self.at(pod::INVENTORY_DIR)
    }

    /// The Secret of the repository.
    pub fn git_secret(&self) -> PathBuf {
        self.at(pod::GIT_DIR)
    }

    /// Directory of the nth `variablesFrom` Secret.
    pub fn variables_secret(&self, n: usize) -> PathBuf {
        self.at(&format!("{}{n}", pod::VARIABLES_DIR_PREFIX))
    }

    /// Secret answers, a file for each input.
    pub fn secret_inputs(&self) -> PathBuf {
        self.at(pod::SECRET_INPUTS_DIR)
    }

    /// Directory of the nth vault password's Secret.
    pub fn vault_secret(&self, n: usize) -> PathBuf {
        self.at(&format!("{}{n}", pod::VAULT_DIR_PREFIX))
    }

    /// The Secret with the password for sudo and the like.
    pub fn become_secret(&self) -> PathBuf {
        self.at(pod::BECOME_DIR)
    }

    /// The Secret with which requirements are fetched.
    pub fn galaxy_secret(&self) -> PathBuf {
        self.at(pod::GALAXY_DIR)
    }

    /// What is kept from one run to the next, where the Service names a claim.
    pub fn cache(&self) -> Option<PathBuf> {
        Some(self.at(pod::CACHE_DIR)).filter(|path| path.is_dir())
    }

    /// Client configurations of OpenSSH that count where nothing else says so.
    pub fn ssh_configs(&self) -> Vec<String> {
        self.ssh_configs.clone()
    }

    /// Where the source is laid out; Ansible's working directory.
    pub fn source(&self) -> PathBuf {
        self.at(pod::WORK_DIR).join("source")
    }

    /// A file or directory of ours in the work directory.
    pub fn work(&self, name: &str) -> PathBuf {
        self.at(pod::WORK_DIR).join(name)
    }

    /// A file or directory of ours in memory.
    pub fn memory(&self, name: &str) -> PathBuf {
        self.at(pod::MEMORY_DIR).join(name)
    }

    /// The spool of events.
    pub fn spool(&self) -> PathBuf {
        self.at(pod::SPOOL_DIR).join(pod::SPOOL_FILE)
    }

    /// Where the kubelet reads the verdict.
    pub fn termination_log(&self) -> PathBuf {
        self.at(pod::TERMINATION_LOG)
    }
}

/// As text, for arguments and environment. Our own paths are ASCII.
pub fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
