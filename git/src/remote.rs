//! A repository and how to sign in to it.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    Error,
    program::{self, Answer},
    refs::{Refs, is_commit},
};

/// A repository and how to sign in to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// `https://…`, `http://…`, `ssh://…` or `user@host:path`.
    pub url: String,
    /// PEM of the authorities that signed the server's certificate, instead of the system's.
    pub ca_bundle: Option<String>,
    /// `http://host:port` of a proxy for HTTPS.
    pub proxy: Option<String>,
    /// Credentials.
    pub auth: Auth,
    /// A folder, in memory if there is one, where credentials lie as files as long as git works.
    pub private: PathBuf,
}

/// A commit, as far as it was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// The first line of its message, at most 200 characters.
    pub subject: String,
    /// Path to the id of its tree or file; what is not there is left out.
    pub ids: BTreeMap<String, String>,
}

/// Credentials.
#[derive(Clone, PartialEq, Eq)]
pub enum Auth {
    /// None: everybody may read it.
    None,
    /// Over HTTPS.
    Password {
        /// Any name will do for most tokens.
        username: String,
        /// A password or a token.
        password: String,
    },
    /// Over SSH.
    Key {
        /// A private key without a passphrase.
        key: String,
        /// The server's own keys.
        known_hosts: String,
    },
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Password { .. } => "Password",
            Self::Key { .. } => "Key",
        })
    }
}

impl Auth {
    /// Reads a Secret: `ssh-privatekey` (or `identity`) with `known_hosts` for SSH; `username` and
    /// `password`, or `token`, for HTTPS.
    pub fn from_secret(url: &str, data: &BTreeMap<String, Vec<u8>>) -> Result<Self, Error> {
        let text = |key: &str| -> Result<Option<String>, Error> {
            let value = data.get(key).map(|value| String::from_utf8(value.clone()));
            value.transpose().map_err(|_| Error::Invalid(format!("its key {key} is not text")))
        };
        if is_ssh(url) {
            let key = text("ssh-privatekey")?.map_or_else(|| text("identity"), |key| Ok(Some(key)))?;
            let (Some(key), Some(known_hosts)) = (key, text("known_hosts")?) else {
                return Err(Error::Invalid(
                    "a repository over SSH needs the keys ssh-privatekey and known_hosts".into(),
                ));
            };
            return Ok(Self::Key { key, known_hosts });
        }
        let trimmed = |value: String| value.trim().to_owned();
        if let Some(token) = text("token")? {
            return Ok(Self::Password { username: "git".into(), password: trimmed(token) });
        }
        match (text("username")?, text("password")?) {
            (Some(username), Some(password)) => {
                Ok(Self::Password { username: trimmed(username), password: trimmed(password) })
            }
            _ => Err(Error::Invalid(
                "a repository over HTTPS needs the keys username and password, or token".into(),
            )),
        }
    }

    /// A line of git's credential store, for everything on the server of this URL.
    pub fn store_line(&self, url: &str) -> Option<String> {
        let Self::Password { username, password } = self else { return None };
        let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
        let host = rest.split('/').next().unwrap_or_default();
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        Some(format!("{scheme}://{}:{}@{host}\n", escaped(username), escaped(password)))
    }

    /// The values that must never be shown.
    pub fn secrets(&self) -> Vec<&str> {
        match self {
            Self::None => Vec::new(),
            Self::Password { password, .. } => vec![password],
            Self::Key { key, .. } => vec![key],
        }
    }
}

/// `ssh://…` or `user@host:path`.
pub fn is_ssh(url: &str) -> bool {
    url.starts_with("ssh://") || !url.contains("://")
}

/// A private folder with everything that `git` needs to reach one repository.
pub(crate) struct Desk {
    folder: tempfile::TempDir,
    environment: Vec<(&'static str, String)>,
}

impl Desk {
    pub(crate) fn environment(&self) -> &[(&'static str, String)] {
        &self.environment
    }
}

impl Remote {
    /// All refs. `within`: it is given up after that.
    pub fn refs(&self, within: Duration) -> Result<Refs, Error> {
        let desk = self.desk()?;
        let answer =
            program::git(&desk, desk.folder.path(), within, &["ls-remote", "--symref", "--", &self.url])?;
        Ok(Refs::parse(&self.text(answer)?))
    }

    /// What a commit has at these paths (trees or files; `""` is all of it). Only names are fetched,
    /// no content.
    pub fn look_up(
        &self,
        commit: &str,
        reference: &str,
        paths: &[&str],
        within: Duration,
    ) -> Result<Commit, Error> {
        let desk = self.desk()?;
        let temporary = tempfile::tempdir().map_err(|error| own_fault(&error))?;
        let folder = temporary.path();
        self.fetch(&desk, folder, commit, reference, true, within)?;
        let mut ids = BTreeMap::new();
        for path in paths {
            let name = format!("{commit}:{path}");
            let answer = program::git(&desk, folder, within, &["rev-parse", "--verify", "--quiet", &name])?;
            if answer.success {
                ids.insert((*path).to_owned(), answer.stdout.trim().to_owned());
            }
        }
        let log = program::git(&desk, folder, within, &["log", "-1", "--format=%s", commit])?;
        Ok(Commit { subject: log.stdout.trim().chars().take(200).collect(), ids })
    }

    /// Puts the files of a commit, below these paths only (none: all of them), into a folder.
    pub fn check_out(
        &self,
        commit: &str,
        reference: &str,
        paths: &[&str],
        into: &Path,
        within: Duration,
    ) -> Result<(), Error> {
        let desk = self.desk()?;
        self.fetch(&desk, into, commit, reference, !paths.is_empty(), within)?;
        let mut arguments = vec!["checkout", "--quiet", "--force", commit, "--"];
        arguments.extend(if paths.is_empty() { &["."] } else { paths });
        let answer = program::git(&desk, into, within, &arguments)?;
        if !answer.success && answer.stderr.contains("did not match any file") {
            return Err(Error::NotFound(format!("commit {commit} has no {}", paths.join(", "))));
        }
        self.text(answer).map(drop)
    }

    fn fetch(
        &self,
        desk: &Desk,
        folder: &Path,
        commit: &str,
        reference: &str,
        names_only: bool,
        within: Duration,
    ) -> Result<(), Error> {
        self.begin(desk, folder, commit, within)?;
        let filter = if names_only { &["--filter=blob:none"][..] } else { &[] };
        let fetch = |what: &[&str]| {
            let mut arguments = vec!["fetch", "--quiet", "--no-tags", "--no-recurse-submodules"];
            arguments.extend(filter);
            arguments.extend(what);
            program::git(desk, folder, within, &arguments)
        };
        let answer = fetch(&["--depth=1", "origin", commit])?;
        if answer.success {
            return Ok(());
        }
        if !by_name_only(&answer) {
            return self.text(answer).map(drop);
        }
        let everything = ["origin", "+refs/heads/*:refs/heads-there/*", "+refs/tags/*:refs/tags-there/*"];
        let by_name = ["origin", reference];
        self.text(fetch(if reference.is_empty() { &everything } else { &by_name })?)?;
        let object = format!("{commit}^{{commit}}");
        let there = program::git(desk, folder, within, &["cat-file", "-e", &object])?;
        if there.success {
            Ok(())
        } else {
            Err(Error::NotFound(format!("the repository has no commit {commit} any more")))
        }
    }

    /// An empty repository, from which this one can be asked for a commit.
    pub(crate) fn begin(
        &self,
        desk: &Desk,
        folder: &Path,
        commit: &str,
        within: Duration,
    ) -> Result<(), Error> {
        if !is_commit(commit) {
            return Err(Error::Invalid(format!("{commit} is not the whole id of a commit")));
        }
        fs::create_dir_all(folder).map_err(|error| own_fault(&error))?;
        let format = if commit.len() == 64 { "--object-format=sha256" } else { "--object-format=sha1" };
        self.text(program::git(desk, folder, within, &["init", "--quiet", format, "."])?)?;
        self.text(program::git(desk, folder, within, &["remote", "add", "origin", &self.url])?).map(drop)
    }

    /// What it printed, or why not, in git's own words without ours and without any secret.
    pub(crate) fn text(&self, answer: Answer) -> Result<String, Error> {
        if answer.success {
            return Ok(answer.stdout);
        }
        let mut said = answer.reason();
        for secret in self.auth.secrets() {
            said = said.replace(secret, "***");
        }
        Err(Error::Unavailable(said))
    }

    pub(crate) fn desk(&self) -> Result<Desk, Error> {
        let mut builder = tempfile::Builder::new();
        builder.prefix("git-").permissions(fs::Permissions::from_mode(0o700));
        let folder = builder.tempdir_in(&self.private).map_err(|error| own_fault(&error))?;
        let mut config = String::from(
            "[core]\n\thooksPath = /dev/null\n\tsymlinks = true\n[protocol]\n\tversion = 2\n[gc]\n\tauto = 0\n\
             [fetch]\n\tfsckObjects = true\n[http]\n\tlowSpeedLimit = 100\n\tlowSpeedTime = 30\n",
        );
        let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            let mut options = fs::OpenOptions::new();
            let file = options.write(true).create_new(true).mode(0o600).open(path);
            file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| own_fault(&error))
        };
        if let Some(pem) = &self.ca_bundle {
            write("ca.pem", pem)?;
            config.extend([format!("\tsslCAInfo = {}\n", quoted(&path("ca.pem")))]);
        }
        if let Some(proxy) = &self.proxy {
            config.extend([format!("\tproxy = {}\n", quoted(proxy))]);
        }
        let mut ssh =
            String::from("ssh -F none -o BatchMode=yes -o ConnectTimeout=10 -o ServerAliveInterval=10");
        match &self.auth {
            Auth::None => {}
            Auth::Password { .. } => {
                write("credentials", &self.auth.store_line(&self.url).unwrap_or_default())?;
                let helper = format!("store --file={}", path("credentials"));
                config.extend([format!("[credential]\n\thelper = {}\n", quoted(&helper))]);
            }
            Auth::Key { key, known_hosts } => {
                write("key", &format!("{}\n", key.replace("\r\n", "\n").trim_end_matches('\n')))?;
                write("known_hosts", known_hosts)?;
                ssh.extend([format!(
                    " -i {} -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes -o GlobalKnownHostsFile=/dev/null -o UserKnownHostsFile={}",
                    path("key"),
                    path("known_hosts")
                )]);
            }
        }
        write("config", &config)?;
        let environment = vec![
            ("GIT_CONFIG_GLOBAL", path("config")),
            ("GIT_SSH_COMMAND", ssh),
            ("HOME", folder.path().to_string_lossy().into_owned()),
        ];
        Ok(Desk { folder, environment })
    }
}

/// Whether it was refused because some servers give a commit only to those who come by a ref that reaches it.
pub(crate) fn by_name_only(answer: &Answer) -> bool {
    let unadvertised = ["not our ref", "unadvertised object", "Server does not allow request"];
    unadvertised.iter().any(|word| answer.stderr.contains(word))
}

pub(crate) fn own_fault(error: &std::io::Error) -> Error {
    Error::Unavailable(format!("the files for git could not be made: {error}"))
}

/// As a value of git's configuration.
fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', ""))
}

/// As a part of a URL.
fn escaped(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => (b as char).to_string(),
            b => format!("%{b:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{Repository, SOON};

    #[test]
    fn a_tree_changes_only_with_what_is_below_its_path() {
        let repository = Repository::new();
        let first = repository.commit("deploy/site.yml", "1");
        let second = repository.commit("other/x", "2");
        let third = repository.commit("deploy/site.yml", "3");
        let remote = repository.remote();
        let refs = remote.refs(SOON).expect("refs");
        assert_eq!(refs.default_branch.as_deref(), Some("main"));
        let look = |commit: &str| {
            remote
                .look_up(commit, "refs/heads/main", &["", "deploy", "gone", "deploy/site.yml"], SOON)
                .expect("a commit")
        };
        let (a, b, c) = (look(&first), look(&second), look(&third));
        assert_eq!(a.ids["deploy"], b.ids["deploy"]);
        assert_ne!(a.ids[""], b.ids[""]);
        assert_ne!(b.ids["deploy"], c.ids["deploy"]);
        assert!(!a.ids.contains_key("gone"));
        assert_eq!(c.subject, "Change deploy/site.yml");
    }

    #[test]
    fn only_what_is_asked_for_is_checked_out() {
        let repository = Repository::new();
        let commit = repository.commit("deploy/site.yml", "1");
        repository.commit("deploy/site.yml", "newer");
        repository.git(&["checkout", "--quiet", "-b", "side"]);
        repository.commit("shared/role.yml", "2");
        let into = tempfile::tempdir().expect("a folder");
        let private = tempfile::tempdir().expect("a folder");
        let remote = Remote { private: private.path().into(), ..repository.remote() };
        remote.check_out(&commit, "", &["deploy"], into.path(), SOON).expect("files");
        assert_eq!(fs::read_to_string(into.path().join("deploy/site.yml")).expect("the file"), "1");
        assert_eq!(fs::read_dir(private.path()).expect("a folder").count(), 0, "credentials are gone");
        let into = tempfile::tempdir().expect("a folder");
        let error = remote.check_out(&commit, "", &["shared"], into.path(), SOON);
        assert!(matches!(error, Err(Error::NotFound(_))), "{error:?}");
    }

    #[test]
    fn what_cannot_be_had_is_told_in_a_sentence() {
        let remote = Remote {
            url: "file:///nowhere".into(),
            ca_bundle: None,
            proxy: None,
            auth: Auth::None,
            private: std::env::temp_dir(),
        };
        let Err(Error::Unavailable(said)) = remote.refs(SOON) else { panic!("there is nothing") };
        assert!(said.contains("nowhere"), "{said}");
        let repository = Repository::new();
        repository.commit("a", "1");
        let none = repository.remote().look_up(&"0".repeat(40), "refs/heads/main", &[""], SOON);
        assert!(none.is_err(), "{none:?}");
        let bad = repository.remote().look_up("main", "", &[""], SOON);
        assert!(matches!(bad, Err(Error::Invalid(_))), "{bad:?}");
    }

    #[test]
    fn programs_and_options_are_no_urls() {
        for url in ["ext::sh -c 'touch /tmp/owned'", "--upload-pack=touch /tmp/owned"] {
            let remote = Remote {
                url: url.into(),
                ca_bundle: None,
                proxy: None,
                auth: Auth::None,
                private: std::env::temp_dir(),
            };
            assert!(remote.refs(SOON).is_err(), "{url}");
        }
    }

    #[test]
    fn secrets_are_read_as_kubernetes_and_flux_write_them() {
        let data = |pairs: &[(&str, &str)]| -> BTreeMap<String, Vec<u8>> {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), v.as_bytes().to_vec())).collect()
        };
        let https = "https://git.example.com/a.git";
        let auth = Auth::from_secret(https, &data(&[("token", "t0k\n")])).expect("a token");
        assert_eq!(auth.secrets(), ["t0k"]);
        assert!(Auth::from_secret(https, &data(&[("username", "u"), ("password", "p")])).is_ok());
        assert!(Auth::from_secret(https, &data(&[("ssh-privatekey", "k")])).is_err());
        let ssh = "git@git.example.com:a.git";
        assert!(Auth::from_secret(ssh, &data(&[("identity", "k"), ("known_hosts", "h")])).is_ok());
        assert!(Auth::from_secret(ssh, &data(&[("ssh-privatekey", "k")])).is_err());
        assert_eq!(escaped("a b/ü"), "a%20b%2F%C3%BC");
    }
}
