//! Collections and roles that the playbook needs, installed with `ansible-galaxy` before it starts; kept
//! from one run to the next where the Service names a cache.

use std::{
    collections::BTreeMap,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use protocol::bundle::{Bundle, Source};
use sha2::{Digest, Sha256};

use crate::{
    failure::{self, Stop},
    files, layout,
    paths::{Paths, text},
    text::{Tail, short},
};

/// Where they are, and what was printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Installed {
    /// Directory with `roles` and `collections`.
    pub at: Option<PathBuf>,
    /// What `ansible-galaxy` printed.
    pub said: Vec<String>,
}

/// Installs what the Service's requirements file names. `environment`: of `ansible-galaxy`.
pub fn install(
    bundle: &Bundle,
    root: &Path,
    version: &str,
    mut environment: BTreeMap<String, String>,
    paths: &Paths,
) -> Result<Installed, Stop> {
    let Some(requirements) = &bundle.requirements else { return Ok(Installed::default()) };
    let file = root.join(layout::relative(requirements, "requirements file")?);
    let content = fs::read(&file).map_err(|_| {
        Stop::invalid(format!("there is no requirements file {requirements:?} in the source"))
    })?;
    let key = hex(&Sha256::digest([version.as_bytes(), b"\n", &content].concat())[..16]);
    let kept = paths.cache().map(|cache| cache.join("requirements").join(&key));
    if let Some(kept) = kept.as_ref().filter(|kept| kept.is_dir()) {
        let said = vec![format!("[fastDeploy] the requirements of {requirements} are in the cache")];
        return Ok(Installed { at: Some(kept.clone()), said });
    }
    let (target, mut said) = match kept.as_ref().map(|kept| beside(kept)) {
        Some(Ok(target)) => (target, Vec::new()),
        Some(Err(error)) => (
            paths.work("requirements"),
            vec![format!("[fastDeploy] the cache cannot be written, so nothing is kept: {error}")],
        ),
        None => (paths.work("requirements"), Vec::new()),
    };
    environment.extend(credentials(bundle, paths)?);
    environment.insert("ANSIBLE_ROLES_PATH".to_owned(), text(&target.join("roles")));
    environment.insert("ANSIBLE_COLLECTIONS_PATH".to_owned(), text(&target.join("collections")));
    for directory in ["roles", "collections"] {
        files::make_private_dir(&target.join(directory))?;
    }
    said.extend(galaxy(&file, root, &environment)?);
    let Some(kept) = kept.filter(|_| target != paths.work("requirements")) else {
        return Ok(Installed { at: Some(target), said });
    };
    // Somebody else was faster: theirs is the same.
    if fs::rename(&target, &kept).is_err() && kept.is_dir() {
        let _ = fs::remove_dir_all(&target);
    }
    let at = if kept.is_dir() { kept } else { target };
    Ok(Installed { at: Some(at), said })
}

/// A new directory beside what is to be kept: it gets its name when it is complete.
fn beside(kept: &Path) -> std::io::Result<PathBuf> {
    let parent = kept.parent().expect("it is below the cache");
    fs::create_dir_all(parent)?;
    let target = parent.join(format!(".new-{}", uuid::Uuid::new_v4().simple()));
    fs::create_dir(&target)?;
    Ok(target)
}

fn galaxy(file: &Path, root: &Path, environment: &BTreeMap<String, String>) -> Result<Vec<String>, Stop> {
    let failed = |said: &str| Stop::because(failure::REQUIREMENTS_FAILED, short(said, 500));
    let done = Command::new("ansible-galaxy")
        .args(["install", "--role-file", &text(file)])
        .env_clear()
        .envs(environment)
        .current_dir(root)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| failed(&format!("failed to start ansible-galaxy: {error}")))?;
    let mut tail = Tail::default();
    let mut lines = Vec::new();
    for output in [&done.stdout, &done.stderr] {
        for line in String::from_utf8_lossy(output).lines() {
            tail.push(line);
            lines.push(line.to_owned());
        }
    }
    if done.status.success() {
        return Ok(lines);
    }
    for line in &lines {
        eprintln!("{line}");
    }
    let said = warned(&lines).or_else(|| tail.error()).unwrap_or_else(|| tail.last());
    Err(failed(&format!("ansible-galaxy could not install the requirements: {}", reason(&said))))
}

/// Of a role that it cannot install, ansible-galaxy warns; what it calls an error then only names an option.
fn warned(lines: &[String]) -> Option<String> {
    let is_error = |line: &String| line.starts_with("[ERROR]") || line.starts_with("ERROR!");
    let begin = lines.iter().position(|line| line.contains("was NOT installed successfully"))?;
    let end = lines[begin..].iter().position(is_error).map_or(lines.len(), |after| begin + after);
    Some(lines[begin..end].join("\n").replace("[WARNING]: ", ""))
}

/// Of git's and Galaxy's words, those that say why.
fn reason(said: &str) -> String {
    let said = said.replace("[ERROR]: ", "").replace("ERROR! ", "");
    let hint = if said.contains("could not read Username") || said.contains("Authentication failed") {
        " (the repository is private: put a token into credentials.galaxy)"
    } else if said.contains("Host key verification failed") {
        " (the server is not known: put its key into known_hosts of credentials.galaxy)"
    } else {
        ""
    };
    format!("{}{hint}", said.trim())
}

/// What `ansible-galaxy` and the `git` that it starts are allowed to read: files in memory.
fn credentials(bundle: &Bundle, paths: &Paths) -> Result<Vec<(String, String)>, Stop> {
    let folder = paths.memory("galaxy");
    files::make_private_dir(&folder)?;
    let mut environment = BTreeMap::from([("GIT_TERMINAL_PROMPT", "0".to_owned())]);
    let mut config = String::from("[core]\n\thooksPath = /dev/null\n");
    let secret = |key: &str| -> Option<Vec<u8>> {
        let path = paths.galaxy_secret().join(key);
        bundle.credentials.galaxy.then(|| fs::read(path).ok()).flatten()
    };
    let write = |name: &str, content: &[u8]| {
        let path = folder.join(name);
        files::write_private(&path, content).map(|()| text(&path))
    };
    let mut lines: Vec<u8> = secret("git-credentials").unwrap_or_default();
    // Often they lie beside the playbook: what reads the source may read them, too.
    if let Some((line, url)) = of_the_source(bundle, paths) {
        if !lines.is_empty() && !lines.ends_with(b"\n") {
            lines.push(b'\n');
        }
        lines.extend(line.bytes());
        if let Source::Git(source) = &bundle.source
            && let Some(pem) = &source.ca_bundle
        {
            let _ = write!(config, "[http \"{url}\"]\n\tsslCAInfo = {}\n", write("ca.pem", pem.as_bytes())?);
        }
    }
    if !lines.is_empty() {
        let file = write("git-credentials", &lines)?;
        let _ = write!(config, "[credential]\n\thelper =\n\thelper = store --file={file}\n");
    }
    environment.insert("GIT_CONFIG_GLOBAL", write("gitconfig", config.as_bytes())?);
    let mut ssh =
        format!("ssh -F {} -o BatchMode=yes -o ConnectTimeout=10", text(&paths.memory("ssh-config")));
    if let Some(key) = secret("ssh-privatekey").and_then(|key| String::from_utf8(key).ok()) {
        let key = format!("{}\n", key.replace("\r\n", "\n").trim_end_matches('\n'));
        let _ = write!(ssh, " -i {} -o IdentitiesOnly=yes", write("ssh-key", key.as_bytes())?);
    }
    if let Some(known) = secret("known_hosts") {
        let _ = write!(ssh, " -o UserKnownHostsFile={}", write("known_hosts", &known)?);
    }
    environment.insert("GIT_SSH_COMMAND", ssh);
    if secret("ansible.cfg").is_some() {
        environment.insert("ANSIBLE_CONFIG", text(&paths.galaxy_secret().join("ansible.cfg")));
    }
    if let Some(token) = secret("token") {
        let token = String::from_utf8_lossy(&token).trim().to_owned();
        let content = serde_json::json!({ "token": token }).to_string();
        environment.insert("ANSIBLE_GALAXY_TOKEN_PATH", write("token", content.as_bytes())?);
    }
    if let Some(url) = secret("url") {
        environment.insert("ANSIBLE_GALAXY_SERVER", String::from_utf8_lossy(&url).trim().to_owned());
    }
    Ok(environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// A line for git's credential store from the Secret of the source, and the server that it is for.
fn of_the_source(bundle: &Bundle, paths: &Paths) -> Option<(String, String)> {
    let Source::Git(source) = &bundle.source else { return None };
    if !source.credentials {
        return None;
    }
    let data = layout::read(&paths.git_secret()).ok()?;
    let auth = git::Auth::from_secret(&source.url, &data).ok()?;
    Some((auth.store_line(&source.url)?, server(&source.url)))
}

fn server(url: &str) -> String {
    url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ansible_galaxy_says_comes_with_what_to_do() {
        let said =
            reason("[ERROR]: - command git clone failed: fatal: could not read Username for 'https://x'");
        assert!(said.starts_with("- command git clone") && said.ends_with("credentials.galaxy)"), "{said}");
        assert_eq!(server("https://git.example.com:8443/a/b.git"), "https://git.example.com:8443");
    }

    #[test]
    fn of_a_role_the_warning_says_why_not_the_error() {
        let lines = |said: &str| said.lines().map(ToOwned::to_owned).collect::<Vec<_>>();
        let role = "Starting galaxy role install process
[WARNING]: - none was NOT installed successfully: - command /usr/bin/git clone -- https://127.0.0.1:9/none.git none failed in directory /tmp/x (rc=128) - Cloning into 'none'...
fatal: unable to access 'https://127.0.0.1:9/none.git/': Failed to connect to 127.0.0.1 port 9 after 0 ms: Couldn't connect to server

[ERROR]: - you can use --ignore-errors to skip failed roles and finish processing the list.
";
        let said = reason(&warned(&lines(role)).unwrap_or_default());
        assert!(
            said.starts_with("- none was NOT installed") && said.ends_with("connect to server"),
            "{said}"
        );
        assert_eq!(warned(&lines("[ERROR]: Unknown error when attempting to call Galaxy")), None);
    }
}
