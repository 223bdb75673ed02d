//! Lays files out as the operator lays out a run's pod, below a folder of this machine that goes away. What is secret
//! lies in memory where the machine has a place for that.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{OpenOptionsExt, symlink},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use crds::Service;
use protocol::pod;
use runner::Paths;
use tempfile::TempDir;

use crate::manifests::Manifests;

/// Folders that live in memory: the session's, the machine's.
const IN_MEMORY: [&str; 1] = ["/dev/shm"];

/// A pod that is none.
pub struct Pod {
    root: TempDir,
    /// Removed with it.
    memory: TempDir,
}

impl Pod {
    /// Empty.
    pub fn new() -> Result<Self> {
        let make = |folder: &Path| tempfile::Builder::new().prefix("fastdeploy-").tempdir_in(folder);
        let root = make(&std::env::temp_dir()).context("failed to make a temporary folder")?;
        let session = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let memory = session
            .into_iter()
            .chain(IN_MEMORY.map(PathBuf::from))
            .find_map(|folder| make(&folder).ok())
            .map_or_else(|| make(&std::env::temp_dir()), Ok)
            .context("failed to make a temporary folder")?;
        let new = Self { root, memory };
        for directory in
            [pod::BUNDLE_DIR, pod::DOWNWARD_DIR, pod::WORK_DIR, pod::SPOOL_DIR, pod::KNOWN_HOSTS_DIR]
        {
            fs::create_dir_all(new.at(directory)).context("failed to make a temporary folder")?;
        }
        for (directory, name) in [(pod::SECRETS_DIR, "secrets"), (pod::MEMORY_DIR, "memory")] {
            let there = new.memory.path().join(name);
            fs::create_dir(&there)
                .and_then(|()| symlink(&there, new.at(directory)))
                .context("failed to make a folder in memory")?;
        }
        Ok(new)
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    /// For the runner.
    pub fn paths(&self) -> Paths {
        Paths::below(self.root.path())
    }

    /// What was frozen.
    pub fn bundle(&self, content: &str) -> Result<()> {
        write(&self.at(pod::BUNDLE_DIR).join(pod::BUNDLE_KEY), content.as_bytes())
    }

    /// Answers to inputs of type secret.
    pub fn secret_inputs(&self, answers: &BTreeMap<String, Vec<u8>>) -> Result<()> {
        self.files(pod::SECRET_INPUTS_DIR, answers.iter().map(|(key, value)| (key, value.as_slice())))
    }

    /// What is kept from one run to the next.
    pub fn cache(&self, folder: &Path) -> Result<()> {
        let folder = folder.canonicalize().with_context(|| format!("failed to find {}", folder.display()))?;
        symlink(folder, self.at(pod::CACHE_DIR)).context("failed to link the cache")
    }

    /// Everything that the operator would mount. That it is there has been checked.
    pub fn mount(&self, service: &Service, found: &Manifests) -> Result<()> {
        let spec = &service.spec;
        let credentials = &spec.credentials;
        let mut secrets: Vec<(String, &str)> = Vec::new();
        if let Some(secret) = credentials.ssh.as_ref().and_then(|ssh| ssh.secret_ref.as_ref()) {
            secrets.push((pod::SSH_DIR.to_owned(), &secret.name));
        }
        for (n, password) in credentials.vault_passwords.iter().enumerate() {
            secrets.push((format!("{}{n}", pod::VAULT_DIR_PREFIX), &password.secret_ref.name));
        }
        if let Some(password) = &credentials.r#become {
            secrets.push((pod::BECOME_DIR.to_owned(), &password.secret_ref.name));
        }
        if let Some(galaxy) = &credentials.galaxy {
            secrets.push((pod::GALAXY_DIR.to_owned(), &galaxy.secret_ref.name));
        }
        if let Some(inventory) = &spec.inventory.secret_ref {
            secrets.push((pod::INVENTORY_DIR.to_owned(), &inventory.name));
        }
        for (n, from) in spec.variables_from.iter().filter_map(|from| from.secret_ref.as_ref()).enumerate() {
            secrets.push((format!("{}{n}", pod::VARIABLES_DIR_PREFIX), &from.name));
        }
        if let Some(known) = &credentials.known_hosts {
            if let Some(map) = known.config_map_ref.as_ref().and_then(|r| found.config_maps.get(&r.name)) {
                let data = map.data.iter().flatten();
                self.files(pod::KNOWN_HOSTS_DIR, data.map(|(key, text)| (key, text.as_bytes())))?;
            }
            if let Some(secret) = &known.secret_ref {
                secrets.push((pod::KNOWN_HOSTS_DIR.to_owned(), &secret.name));
            }
        }
        for (directory, name) in secrets {
            let data = found.secrets.get(name).and_then(|secret| secret.data.as_ref()).into_iter().flatten();
            self.files(&directory, data.map(|(key, value)| (key, value.0.as_slice())))?;
        }
        Ok(())
    }

    fn files<'a>(&self, directory: &str, files: impl Iterator<Item = (&'a String, &'a [u8])>) -> Result<()> {
        let directory = self.at(directory);
        fs::create_dir_all(&directory).context("failed to make a folder in memory")?;
        for (key, value) in files {
            anyhow::ensure!(!key.contains('/') && key != "..", "{key:?} cannot be a key");
            write(&directory.join(key), value)?;
        }
        Ok(())
    }
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    use std::io::Write;
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(content))
        .with_context(|| format!("failed to write {}", path.display()))
}
