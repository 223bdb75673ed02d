//! The real Ansible: from the PATH, or from a virtual environment below the target directory.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

const VERSION: &str = "2.19.14";

/// Directory with `ansible-playbook`.
pub fn directory() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| on_path().unwrap_or_else(in_venv))
}

fn on_path() -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .find(|directory| directory.join("ansible-playbook").is_file())
}

fn in_venv() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target directory");
    let venv = target.join("ansible-venv");
    if !venv.join("bin/ansible-playbook").is_file() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&venv));
        run(Command::new(venv.join("bin/pip")).args([
            "install",
            "--quiet",
            &format!("ansible-core=={VERSION}"),
            // For ansible-vault.
            "cryptography",
        ]));
    }
    venv.join("bin")
}

fn run(command: &mut Command) {
    let status = command.status().expect("it starts");
    assert!(status.success(), "{command:?}: {status}");
}
