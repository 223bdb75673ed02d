//! Variables, Secrets and inputs as files for `-e @file`. What comes from people or
//! Secrets is marked unsafe, so that Ansible never takes it for a template.

use std::{fs, path::PathBuf};

use protocol::bundle::Bundle;
use serde_json::{Map, Value, json};

use crate::{failure::Stop, files, paths::Paths};

/// Writes the files and returns them in the order in which Ansible is to read them:
/// later ones win.
pub fn write(bundle: &Bundle, paths: &Paths) -> Result<Vec<PathBuf>, Stop> {
    let mut secrets = Map::new();
    for n in 0..bundle.credentials.variable_secrets {
        read_secret(&paths.variables_secret(n), &mut secrets)?;
    }
    let mut inputs = Map::new();
    for (name, value) in &bundle.inputs {
        check_name(name, "input")?;
        inputs.insert(name.clone(), unsafe_value(value)?);
    }
    for name in &bundle.credentials.secret_inputs {
        check_name(name, "secret input")?;
        let value = read_text(&paths.secret_inputs().join(name), name)?;
        inputs.insert(name.clone(), json!({"__ansible_unsafe": value}));
    }
    let variables: Map<String, Value> = bundle.variables.clone().into_iter().collect();

    let mut written = Vec::new();
    for (file, content) in [("variables.json", variables), ("secrets.json", secrets), ("inputs.json", inputs)]
    {
        if content.is_empty() {
            continue;
        }
        let path = paths.memory(file);
        files::write_private(&path, Value::Object(content).to_string().as_bytes())?;
        written.push(path);
    }
    Ok(written)
}

/// Every string, however deep, becomes `{"__ansible_unsafe": …}`.
pub fn unsafe_value(value: &Value) -> Result<Value, Stop> {
    Ok(match value {
        Value::String(text) => json!({"__ansible_unsafe": text}),
        Value::Array(items) => Value::Array(items.iter().map(unsafe_value).collect::<Result<_, _>>()?),
        Value::Object(fields) => {
            let mut marked = Map::new();
            for (name, value) in fields {
                if name.starts_with("__ansible_") {
                    return Err(Stop::invalid(format!(
                        "an input has the key {name:?}, which is Ansible's own"
                    )));
                }
                marked.insert(name.clone(), unsafe_value(value)?);
            }
            Value::Object(marked)
        }
        plain => plain.clone(),
    })
}

fn read_secret(directory: &std::path::Path, into: &mut Map<String, Value>) -> Result<(), Stop> {
    let entries = fs::read_dir(directory).map_err(|error| Stop::io("read the Secret", directory, &error))?;
    for entry in entries {
        let entry = entry.map_err(|error| Stop::io("read the Secret", directory, &error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // The kubelet's own: `..data` and the directory that it points to.
        if name.starts_with("..") {
            continue;
        }
        check_name(&name, "key of a variables Secret")?;
        let text = read_text(&entry.path(), &name)?;
        into.insert(name, json!({"__ansible_unsafe": text}));
    }
    Ok(())
}

fn read_text(path: &std::path::Path, name: &str) -> Result<String, Stop> {
    let bytes = fs::read(path).map_err(|error| Stop::io("read the Secret", path, &error))?;
    String::from_utf8(bytes)
        .map_err(|_| Stop::invalid(format!("the value of {name:?} in a Secret is not UTF-8 text")))
}

fn check_name(name: &str, what: &str) -> Result<(), Stop> {
    let valid = name.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if valid {
        Ok(())
    } else {
        Err(Stop::invalid(format!(
            "the {what} {name:?} is no variable name: use letters, digits and underscores, such as {:?}",
            suggestion(name)
        )))
    }
}

fn suggestion(name: &str) -> String {
    let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if plain.starts_with(|c: char| c.is_ascii_digit()) || plain.is_empty() {
        format!("_{plain}")
    } else {
        plain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_string_is_marked_and_nothing_else_changes() {
        let typed = json!({"a": "{{ x }}", "n": 1, "list": ["y", true, {"deep": "z"}], "none": null});
        assert_eq!(
            unsafe_value(&typed).expect("marked"),
            json!({
                "a": {"__ansible_unsafe": "{{ x }}"},
                "n": 1,
                "list": [{"__ansible_unsafe": "y"}, true, {"deep": {"__ansible_unsafe": "z"}}],
                "none": null,
            })
        );
    }

    #[test]
    fn an_input_cannot_speak_ansibles_own_json() {
        let typed = json!({"x": [{"__ansible_vault": "…"}]});
        assert!(unsafe_value(&typed).is_err());
    }

    #[test]
    fn secrets_keep_their_bytes_and_later_ones_win() {
        let dir = tempfile::tempdir().expect("a directory");
        let paths = Paths::below(dir.path());
        fs::create_dir_all(paths.memory("")).expect("memory");
        for (n, value) in [(0, "first\n"), (1, "second\n\n")] {
            let secret = paths.variables_secret(n);
            fs::create_dir_all(secret.join("..data")).expect("secret");
            fs::write(secret.join("password"), value).expect("key");
        }
        let bundle: Bundle = serde_json::from_value(json!({
            "digest": "d", "source": {"files": {}}, "playbook": "p", "inventory": "local", "timeoutSeconds": 1,
            "variables": {"v": "{{ 1 }}"}, "inputs": {"i": "{{ 2 }}"},
            "credentials": {"variableSecrets": 2, "secretInputs": ["pin"]},
        }))
        .expect("a bundle");
        fs::create_dir_all(paths.secret_inputs()).expect("secret inputs");
        fs::write(paths.secret_inputs().join("pin"), "{{ 3 }}").expect("key");
        let written = write(&bundle, &paths).expect("written");
        let read = |n: usize| -> Value {
            serde_json::from_slice(&fs::read(&written[n]).expect("file")).expect("JSON")
        };
        assert_eq!(read(0), json!({"v": "{{ 1 }}"}));
        assert_eq!(read(1), json!({"password": {"__ansible_unsafe": "second\n\n"}}));
        let unsafe_text = |text: &str| json!({"__ansible_unsafe": text});
        assert_eq!(read(2), json!({"i": unsafe_text("{{ 2 }}"), "pin": unsafe_text("{{ 3 }}")}));
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&written[1]).expect("file").permissions());
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_name_that_is_none_comes_with_a_better_one() {
        let stop = check_name("db-password", "key").expect_err("no name");
        assert!(stop.message.ends_with(r#"such as "db_password""#), "{}", stop.message);
        assert!(check_name("2fa", "key").expect_err("no name").message.ends_with(r#""_2fa""#));
    }
}
