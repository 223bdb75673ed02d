//! Source and inventory, from the bundle to disk.

use std::{
    collections::BTreeMap,
    fs,
    path::{Component, Path, PathBuf},
    time::Duration,
};

use protocol::bundle::{Bundle, GitSource, Inventory, Source};

use crate::{
    failure::{self, Stop},
    paths::Paths,
};

/// How long each answer of a repository may take.
const PATIENCE: Duration = Duration::from_mins(5);

/// An inventory of the pod itself.
const LOCAL: &str = "localhost ansible_connection=local ansible_python_interpreter=\"{{ ansible_playbook_python }}\" \
     ansible_remote_tmp=\"{{ lookup('env', 'HOME') }}/.ansible/tmp\" \
     ansible_async_dir=\"{{ lookup('env', 'HOME') }}/.ansible_async\"\n";

/// Lays the source out and answers where Ansible is to start, after checking that the playbook is there.
pub fn source(bundle: &Bundle, paths: &Paths) -> Result<PathBuf, Stop> {
    let root = match &bundle.source {
        Source::Files(content) => {
            files(content, &paths.source())?;
            paths.source()
        }
        Source::Git(source) => {
            repository(source, paths)?;
            if source.path.is_empty() {
                paths.source()
            } else {
                paths.source().join(relative(&source.path, "folder of the repository")?)
            }
        }
        Source::Image(path) => PathBuf::from(path),
    };
    let (what, path) =
        bundle.script.as_ref().map_or(("playbook", &bundle.playbook), |script| ("script", script));
    if !root.join(relative(path, what)?).is_file() {
        return Err(Stop::invalid(format!(
            "there is no {what} {path:?} in the source; it has: {}",
            top_level(&root)
        )));
    }
    Ok(root)
}

/// The commit, no more of it than is used.
fn repository(source: &GitSource, paths: &Paths) -> Result<(), Stop> {
    let unavailable = |said: String| Stop::because(failure::SOURCE_UNAVAILABLE, said);
    let auth = if source.credentials {
        let secret = paths.git_secret();
        let data = read(&secret).map_err(|error| Stop::io("read the Secret", &secret, &error))?;
        git::Auth::from_secret(&source.url, &data)
            .map_err(|error| Stop::because(failure::SECRET_MISSING, error.to_string()))?
    } else {
        git::Auth::None
    };
    let remote = git::Remote {
        url: source.url.clone(),
        ca_bundle: source.ca_bundle.clone(),
        proxy: source.proxy.clone(),
        auth,
        private: paths.memory(""),
    };
    let mut folders: Vec<&str> = source.include.iter().map(String::as_str).collect();
    // The top is all of it.
    if source.path.is_empty() {
        folders.clear();
    } else {
        folders.push(&source.path);
    }
    remote.check_out(&source.commit, &source.reference, &folders, &paths.source(), PATIENCE).map_err(
        |error| match error {
            git::Error::Unavailable(said) => unavailable(format!("{} cannot be read: {said}", source.url)),
            git::Error::NotFound(said) => Stop::because(failure::SOURCE_NOT_FOUND, said),
            git::Error::Invalid(said) => Stop::invalid(said),
        },
    )
}

pub fn read(secret: &Path) -> std::io::Result<BTreeMap<String, Vec<u8>>> {
    let mut data = BTreeMap::new();
    for entry in fs::read_dir(secret)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with("..") {
            data.insert(name, fs::read(entry.path())?);
        }
    }
    Ok(data)
}

fn files(content: &BTreeMap<String, String>, root: &Path) -> Result<(), Stop> {
    fs::create_dir_all(root).map_err(|error| Stop::io("make the directory", root, &error))?;
    for (name, text) in content {
        let path = root.join(relative(name, "file in the source")?);
        let parent = path.parent().expect("joined to the root");
        fs::create_dir_all(parent)
            .map_err(|error| Stop::invalid(format!("failed to lay out {name:?} from the source: {error}")))?;
        crate::files::write_public(&path, text.as_bytes())?;
        // Neither a ConfigMap nor a Service can say that a file is a program: its first line does.
        if text.starts_with("#!") {
            crate::files::make_executable(&path)?;
        }
    }
    Ok(())
}

/// Puts the inventory where Ansible can read it and says where. `root`: where Ansible starts.
pub fn inventory(bundle: &Bundle, root: &Path, paths: &Paths) -> Result<PathBuf, Stop> {
    match &bundle.inventory {
        Inventory::Path(path) => {
            let inventory = root.join(relative(path, "inventory")?);
            if !inventory.exists() {
                return Err(Stop::invalid(format!(
                    "there is no inventory {path:?} in the source; it has: {}",
                    top_level(root)
                )));
            }
            Ok(inventory)
        }
        // Ansible reads JSON wherever it reads YAML.
        Inventory::Inline(value) => written(paths, "inventory.yml", value.to_string().as_bytes()),
        Inventory::Text(text) => written(paths, "inventory", text.as_bytes()),
        Inventory::Local => written(paths, "inventory", LOCAL.as_bytes()),
        Inventory::Secret(key) => {
            let inventory = paths.inventory_secret().join(relative(key, "key of the inventory Secret")?);
            let content = fs::read(&inventory)
                .map_err(|_| Stop::invalid(format!("the inventory Secret has no key {key:?}")))?;
            // Mounted files are no programs.
            if content.starts_with(b"#!") { written(paths, "inventory", &content) } else { Ok(inventory) }
        }
    }
}

fn written(paths: &Paths, name: &str, content: &[u8]) -> Result<PathBuf, Stop> {
    let path = paths.memory(name);
    crate::files::write_private(&path, content)?;
    // An inventory may be a program.
    if content.starts_with(b"#!") {
        crate::files::make_executable(&path)?;
    }
    Ok(path)
}

/// A path that stays below where it is joined to.
pub fn relative<'a>(path: &'a str, what: &str) -> Result<&'a Path, Stop> {
    let plain = !path.is_empty()
        && !path.contains('\0')
        && path.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
        && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    if plain {
        Ok(Path::new(path))
    } else {
        Err(Stop::invalid(format!(
            "the {what} {path:?} must be a relative path without `..`, `.` or empty parts, such as \"roles/web/tasks/main.yml\""
        )))
    }
}

fn top_level(root: &Path) -> String {
    let mut names: Vec<String> = fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.path().is_dir() { name + "/" } else { name }
        })
        .collect();
    names.sort();
    let more = names.len().saturating_sub(20);
    names.truncate(20);
    let listed = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
    if more > 0 { format!("{listed} and {more} more") } else { listed }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(json: &str) -> Bundle {
        serde_json::from_str(json).expect("a bundle")
    }

    fn root() -> (tempfile::TempDir, Paths) {
        let dir = tempfile::tempdir().expect("a directory");
        let paths = Paths::below(dir.path());
        fs::create_dir_all(paths.memory("")).expect("memory");
        (dir, paths)
    }

    #[test]
    fn files_are_laid_out_and_the_playbook_is_found() {
        let (_dir, paths) = root();
        let bundle = bundle(
            r#"{"digest":"d","source":{"files":{"deploy.yml":"[]","roles/web/tasks/main.yml":"- x"}},
                "playbook":"deploy.yml","inventory":"local","timeoutSeconds":1}"#,
        );
        let root = source(&bundle, &paths).expect("laid out");
        let role = fs::read_to_string(paths.source().join("roles/web/tasks/main.yml")).expect("there");
        assert_eq!(role, "- x");
        let hosts = fs::read_to_string(inventory(&bundle, &root, &paths).expect("written")).expect("there");
        assert!(hosts.starts_with("localhost ansible_connection=local"));
    }

    #[test]
    fn a_missing_playbook_is_told_with_what_is_there() {
        let (_dir, paths) = root();
        let bundle = bundle(
            r#"{"digest":"d","source":{"files":{"site.yml":"[]","a/b.yml":""}},
                "playbook":"deploy.yml","inventory":"local","timeoutSeconds":1}"#,
        );
        let stop = source(&bundle, &paths).expect_err("missing");
        assert_eq!(stop.message, r#"there is no playbook "deploy.yml" in the source; it has: a/, site.yml"#);
    }

    #[test]
    fn paths_that_leave_the_source_are_refused() {
        for path in ["/etc/passwd", "../x", "a/../../x", "a//b", "", ".", "./a", "a/", "a\0b"] {
            assert!(relative(path, "file").is_err(), "{path:?}");
        }
        for path in ["a", "a/b.yml", "..a", ".hidden", "a b"] {
            assert!(relative(path, "file").is_ok(), "{path:?}");
        }
    }
}
