//! The real Ansible: from the PATH, or from a virtual environment below the target directory.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

const VERSION: &str = "2.19.14";
/// The package with the collections that most people use, made for that ansible-core.
const COLLECTIONS: &str = "12.3.0";

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

/// Directory whose `ansible_collections` has ansible.posix and community.general as people get them: of PyPI's
/// `ansible`, which has a hundred more, these two alone.
pub fn collections() -> PathBuf {
    const TAKE: &str = "import sys, zipfile
whole = zipfile.ZipFile(sys.argv[1])
wanted = ('ansible_collections/ansible/posix/', 'ansible_collections/community/general/')
whole.extractall(sys.argv[2], [name for name in whole.namelist() if name.startswith(wanted)])";
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target directory");
    let there = target.join(format!("ansible-collections-{COLLECTIONS}"));
    if !there.is_dir() {
        let making = tempfile::tempdir_in(target).expect("a directory");
        let wheel = making.path().join(format!("ansible-{COLLECTIONS}-py3-none-any.whl"));
        run(Command::new("python3")
            .args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"])
            .args(["--only-binary=:all:", "--ignore-requires-python", "--dest"])
            .arg(making.path())
            .arg(format!("ansible=={COLLECTIONS}")));
        let out = making.path().join("out");
        run(Command::new("python3").args(["-c", TAKE]).args([&wheel, &out]));
        // Whole or not at all; whoever was quicker has made the same.
        let _ = std::fs::rename(&out, &there);
    }
    there
}

fn run(command: &mut Command) {
    let status = command.status().expect("it starts");
    assert!(status.success(), "{command:?}: {status}");
}
