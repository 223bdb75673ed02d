//! A repository for tests.

use std::{fs, process::Command, time::Duration};

use crate::{Auth, Remote};

pub const SOON: Duration = Duration::from_secs(20);

/// A real repository on disk; tests may use that protocol, the product may not.
pub struct Repository(tempfile::TempDir);

impl Repository {
    pub fn new() -> Self {
        let it = Self(tempfile::tempdir().expect("a folder"));
        it.git(&["init", "--quiet", "--initial-branch=main"]);
        it
    }

    pub fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@example.com"])
            .args(arguments)
            .current_dir(self.0.path())
            .output()
            .expect("git is in the PATH");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    pub fn commit(&self, file: &str, text: &str) -> String {
        let path = self.0.path().join(file);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("a file");
        self.git(&["add", "."]);
        self.git(&["commit", "--quiet", "--message", &format!("Change {file}")]);
        self.git(&["rev-parse", "HEAD"])
    }

    pub fn remote(&self) -> Remote {
        let url = format!("file://{}", self.0.path().display());
        Remote { url, ca_bundle: None, proxy: None, auth: Auth::None, private: std::env::temp_dir() }
    }
}
