//! What the pod tells the runner: environment and bundle, all read before anything starts.

use std::{collections::BTreeMap, ffi::OsString, path::Path};

use protocol::{bundle::Bundle, pod};

use crate::{failure::Stop, mask::Secret, paths::Paths};

/// Who we are and whom we ask.
#[derive(Clone, Debug)]
pub struct Config {
    /// `FASTDEPLOY_RUN_UID`.
    pub run_uid: String,
    /// `FASTDEPLOY_ATTEMPT`.
    pub attempt: u32,
    /// `FASTDEPLOY_API_URL`, without a trailing slash.
    pub api_url: String,
    /// `FASTDEPLOY_API_CA`, PEM.
    pub api_ca: String,
    /// `FASTDEPLOY_SERVICE`.
    pub service: String,
    /// Everything else: for Ansible.
    pub environment: BTreeMap<String, String>,
}

impl Config {
    /// Of a run that has neither pod nor API.
    pub fn without_cluster(uid: &str, service: &str, environment: BTreeMap<String, String>) -> Self {
        Self {
            run_uid: uid.to_owned(),
            attempt: 1,
            api_url: String::new(),
            api_ca: String::new(),
            service: service.to_owned(),
            environment,
        }
    }
}

/// From the process environment.
pub fn from_env(variables: impl Iterator<Item = (String, String)>) -> Result<Config, Stop> {
    let (ours, environment): (BTreeMap<_, _>, BTreeMap<_, _>) =
        variables.partition(|(name, _)| name.starts_with("FASTDEPLOY_"));
    let required = |name: &str| {
        ours.get(name)
            .filter(|value| !value.is_empty())
            .cloned()
            .ok_or_else(|| Stop::invalid(format!("the pod lacks the environment variable {name}")))
    };
    Ok(Config {
        run_uid: required(pod::ENV_RUN_UID)?,
        attempt: required(pod::ENV_ATTEMPT)?
            .parse()
            .map_err(|_| Stop::invalid(format!("{} is not a number", pod::ENV_ATTEMPT)))?,
        api_url: required(pod::ENV_API_URL)?.trim_end_matches('/').to_owned(),
        api_ca: required(pod::ENV_API_CA)?,
        service: ours.get(pod::ENV_SERVICE).cloned().unwrap_or_default(),
        environment,
    })
}

/// Values in further directories with secret files: `FASTDEPLOY_HIDE`, separated by `:`.
pub fn hidden(paths: Option<OsString>) -> Vec<Secret> {
    let paths = paths.and_then(|paths| paths.into_string().ok()).unwrap_or_default();
    let mut found = Vec::new();
    for path in paths.split(':').filter(|path| !path.is_empty()) {
        files_below(Path::new(path), 3, &mut found);
    }
    found
}

fn files_below(folder: &Path, depth: u32, found: &mut Vec<Secret>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let (name, path) = (entry.file_name().to_string_lossy().into_owned(), entry.path());
        // The kubelet's own directories; and what everybody may know.
        if name.starts_with("..") || ["namespace", "ca.crt"].contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() && depth > 0 {
            files_below(&path, depth - 1, found);
        } else if let Ok(value) = std::fs::read(&path) {
            found.push(Secret { name: path.to_string_lossy().into_owned(), value });
        }
    }
}

/// The frozen input of this run.
pub fn bundle(paths: &Paths) -> Result<Bundle, Stop> {
    let path = paths.bundle();
    let json = std::fs::read(&path)
        .map_err(|error| Stop::invalid(format!("failed to read the bundle {}: {error}", path.display())))?;
    serde_json::from_slice(&json)
        .map_err(|error| Stop::invalid(format!("this runner does not understand the bundle: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> Result<Config, Stop> {
        from_env(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
    }

    #[test]
    fn ours_and_ansibles_are_told_apart() {
        let config = env(&[
            ("FASTDEPLOY_RUN_UID", "u"),
            ("FASTDEPLOY_ATTEMPT", "2"),
            ("FASTDEPLOY_API_URL", "https://api:8443/"),
            ("FASTDEPLOY_API_CA", "pem"),
            ("TZ", "UTC"),
        ])
        .expect("complete");
        assert_eq!((config.attempt, config.api_url.as_str()), (2, "https://api:8443"));
        assert_eq!(config.environment, BTreeMap::from([("TZ".to_owned(), "UTC".to_owned())]));
    }

    #[test]
    fn what_is_missing_is_named() {
        let stop = env(&[("FASTDEPLOY_RUN_UID", "u")]).expect_err("incomplete");
        assert!(stop.message.contains("FASTDEPLOY_ATTEMPT"), "{}", stop.message);
    }
}
