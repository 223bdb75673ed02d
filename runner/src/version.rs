//! Which ansible-core the image has: read from its files, as a start of Python costs a third of a second;
//! asked of it where they lie elsewhere. Versions that the callback plugin does not know are refused.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::failure::{self, Stop};

/// The oldest and the newest that run.
const OLDEST: (u32, u32) = (2, 19);
const NEWEST: (u32, u32) = (2, 22);

/// Refuses an image without Ansible, or with another one than we know; answers the version.
pub fn check(environment: &BTreeMap<String, String>) -> Result<String, Stop> {
    let path = environment.get("PATH").map_or(crate::command::PATH, String::as_str);
    let Some(program) = find(path) else {
        return Err(unsuitable(format!(
            "there is no ansible-playbook in the image (PATH is {path}): install ansible-core {}",
            range()
        )));
    };
    let version = from_files(&program).or_else(|| asked(&program, environment)).ok_or_else(|| {
        unsuitable(format!("{} does not say which version it is: is Python in the image?", program.display()))
    })?;
    match suits(&version) {
        Ok(()) => Ok(version),
        Err(said) => Err(unsuitable(said)),
    }
}

fn unsuitable(message: String) -> Stop {
    Stop::because(failure::IMAGE_UNSUITABLE, message)
}

fn range() -> String {
    format!("{}.{} to {}.{}", OLDEST.0, OLDEST.1, NEWEST.0, NEWEST.1)
}

fn suits(version: &str) -> Result<(), String> {
    let mut parts = version.split('.').map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (parts.next(), parts.next()) else {
        return Err(format!("the image has ansible-core {version:?}, which is no version that runs here"));
    };
    let advice = if (major, minor) < OLDEST {
        "too old: update it"
    } else if (major, minor) > NEWEST {
        "newer than this fastDeploy knows: update fastDeploy, or install an older one"
    } else {
        return Ok(());
    };
    Err(format!("the image has ansible-core {version}, and {} runs here; it is {advice}", range()))
}

fn find(path: &str) -> Option<PathBuf> {
    path.split(':').map(|folder| Path::new(folder).join("ansible-playbook")).find(|file| file.is_file())
}

/// `ansible/release.py` beside the Python that the program's first line names.
fn from_files(program: &Path) -> Option<String> {
    let text = fs::read_to_string(program).ok()?;
    let python = text.lines().next()?.strip_prefix("#!")?.split_whitespace().next()?.to_owned();
    let prefix = Path::new(&python).parent()?.parent()?;
    let mut packages = vec![prefix.join("lib/python3/dist-packages")];
    for library in [prefix.join("lib"), prefix.join("local/lib"), PathBuf::from("/usr/local/lib")] {
        let versions = fs::read_dir(library).into_iter().flatten().flatten().map(|entry| entry.path());
        for version in
            versions.filter(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("python3")))
        {
            packages.extend([version.join("site-packages"), version.join("dist-packages")]);
        }
    }
    let mut found = packages.iter().filter_map(|folder| {
        let release = fs::read_to_string(folder.join("ansible/release.py")).ok()?;
        let line = release.lines().find_map(|line| line.strip_prefix("__version__ = "))?;
        Some(line.trim().trim_matches(['\'', '"']).to_owned())
    });
    let first = found.next()?;
    // Two of them: which one Python takes is Python's to say.
    found.all(|other| other == first).then_some(first)
}

fn asked(program: &Path, environment: &BTreeMap<String, String>) -> Option<String> {
    let answer = Command::new(program)
        .arg("--version")
        .env_clear()
        .envs(environment)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let said = String::from_utf8_lossy(&answer.stdout).into_owned();
    let first = said.lines().next()?;
    // `ansible-playbook [core 2.19.14]`, and before 2.11 `ansible-playbook 2.9.27`.
    let version = first
        .split(['[', ']'])
        .nth(1)
        .and_then(|core| core.strip_prefix("core "))
        .or_else(|| first.strip_prefix("ansible-playbook "))?;
    Some(version.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_refused_with_what_to_do() {
        for version in ["2.19.14", "2.20.0", "2.21.5", "2.22.0rc1"] {
            assert_eq!(suits(version), Ok(()), "{version}");
        }
        for (version, word) in
            [("2.9.27", "too old"), ("2.18.1", "too old"), ("2.23.0", "newer"), ("x", "no version")]
        {
            assert!(suits(version).expect_err(version).contains(word), "{version}");
        }
    }

    #[test]
    fn an_image_without_ansible_is_told_so() {
        let empty = tempfile::tempdir().expect("a folder");
        let path = empty.path().to_string_lossy().into_owned();
        let stop = check(&BTreeMap::from([("PATH".to_owned(), path)])).expect_err("nothing there");
        assert_eq!(stop.reason, failure::IMAGE_UNSUITABLE);
        assert!(stop.message.contains("install ansible-core 2.19 to 2.22"), "{}", stop.message);
    }

    #[test]
    fn the_version_is_read_from_files_or_asked() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |path: &str| folder.path().join(path);
        let write = |path: &str, text: &str| {
            fs::create_dir_all(at(path).parent().expect("a parent")).expect("made");
            fs::write(at(path), text).expect("written");
        };
        let python = at("bin/python3");
        write("bin/ansible-playbook", &format!("#!{}\n", python.display()));
        write("lib/python3.12/site-packages/ansible/release.py", "x = 1\n__version__ = '2.20.3'\n");
        let environment = BTreeMap::from([("PATH".to_owned(), at("bin").to_string_lossy().into_owned())]);
        assert_eq!(check(&environment).expect("known"), "2.20.3");
        fs::remove_dir_all(at("lib")).expect("removed");
        write("bin/ansible-playbook", "#!/bin/sh\necho 'ansible-playbook 2.9.27'\n");
        crate::files::make_executable(&at("bin/ansible-playbook")).expect("executable");
        let stop = check(&environment).expect_err("too old");
        assert!(stop.message.contains("2.9.27") && stop.message.contains("too old"), "{}", stop.message);
    }
}
