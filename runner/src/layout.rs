//! Source and inventory, from the bundle to disk.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

use protocol::bundle::{Bundle, Inventory, Source};

use crate::{failure::Stop, files, paths::Paths};

/// An inventory of the pod itself.
const LOCAL: &str =
    "localhost ansible_connection=local ansible_python_interpreter=\"{{ ansible_playbook_python }}\"\n";

/// Lays the source out and checks that the playbook is in it.
pub fn source(bundle: &Bundle, paths: &Paths) -> Result<(), Stop> {
    let root = paths.source();
    fs::create_dir_all(&root).map_err(|error| Stop::io("make the directory", &root, &error))?;
    let Source::Files(content) = &bundle.source;
    for (name, text) in content {
        let path = root.join(relative(name, "file in the source")?);
        let parent = path.parent().expect("joined to the root");
        fs::create_dir_all(parent)
            .map_err(|error| Stop::invalid(format!("failed to lay out {name:?} from the source: {error}")))?;
        files::write_public(&path, text.as_bytes())?;
    }
    if !root.join(relative(&bundle.playbook, "playbook")?).is_file() {
        return Err(Stop::invalid(format!(
            "there is no playbook {:?} in the source; it has: {}",
            bundle.playbook,
            top_level(&root)
        )));
    }
    Ok(())
}

/// Puts the inventory where Ansible can read it and says where.
pub fn inventory(bundle: &Bundle, paths: &Paths) -> Result<PathBuf, Stop> {
    match &bundle.inventory {
        Inventory::Path(path) => {
            let inventory = paths.source().join(relative(path, "inventory")?);
            if !inventory.exists() {
                return Err(Stop::invalid(format!(
                    "there is no inventory {path:?} in the source; it has: {}",
                    top_level(&paths.source())
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
            if !inventory.is_file() {
                return Err(Stop::invalid(format!("the inventory Secret has no key {key:?}")));
            }
            Ok(inventory)
        }
    }
}

fn written(paths: &Paths, name: &str, content: &[u8]) -> Result<PathBuf, Stop> {
    let path = paths.memory(name);
    files::write_private(&path, content)?;
    Ok(path)
}

/// A path that stays below where it is joined to.
fn relative<'a>(path: &'a str, what: &str) -> Result<&'a Path, Stop> {
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
        source(&bundle, &paths).expect("laid out");
        let role = fs::read_to_string(paths.source().join("roles/web/tasks/main.yml")).expect("there");
        assert_eq!(role, "- x");
        let hosts = fs::read_to_string(inventory(&bundle, &paths).expect("written")).expect("there");
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
