//! A form out of what a project already says of its variables: `meta/argument_specs.yml` of the roles that a playbook
//! uses, and `PLAYBOOK.meta.yml` beside it. What does not fit into a form is told. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use serde_json::Value as Json;
use serde_yaml::{Mapping, Value};

use crate::{
    conditions::shorten,
    inputs::check,
    service::{Input, InputType},
};

/// As many as a Service takes.
const MOST: usize = 50;
/// As many choices as an input takes.
const CHOICES: usize = 100;

/// A form, and what people should know of it.
#[derive(Debug, Default, PartialEq)]
pub struct Proposed {
    /// For `spec.inputs`.
    pub inputs: Vec<Input>,
    /// What did not become one, and why; what became of a default.
    pub notes: Vec<String>,
}

/// Makes the form. `files`: the YAML files of the project, by their path in it; `playbook` is one of them. An error is
/// a file that nobody can read, by its name.
pub fn propose(files: &BTreeMap<String, String>, playbook: &str) -> Result<Proposed, String> {
    let Some(text) = files.get(playbook) else {
        return Err(format!("there is no {playbook}; the project has {}", playbooks(files)));
    };
    let mut proposed = Proposed::default();
    let (folder, name) = playbook.rsplit_once('/').map_or(("", playbook), |(folder, name)| (folder, name));
    let stem = name.strip_suffix(".yml").or_else(|| name.strip_suffix(".yaml")).unwrap_or(name);
    for ending in ["yml", "yaml"] {
        let path = joined(folder, &format!("{stem}.meta.{ending}"));
        let Some(text) = files.get(&path) else { continue };
        let specs = specs(&path, text)?;
        for (_, spec) in &specs {
            proposed.take(spec, &path);
        }
        break;
    }
    for (role, entry) in roles(&parse(playbook, text)?) {
        let Some((path, specs)) = of_role(files, folder, &role)? else {
            proposed.notes.push(format!(
                "role {role}: the project has no meta/argument_specs.yml of it, so nothing is known of its variables"
            ));
            continue;
        };
        match specs.get(entry.as_str()) {
            Some(spec) => proposed.take(spec, &path),
            None => proposed.notes.push(format!("role {role}: {path} says nothing of {entry}")),
        }
    }
    proposed.bound();
    Ok(proposed)
}

/// The same of what Ansible itself has read: who says it, the variable, what is said of it.
pub fn of_declared<'a>(said: impl IntoIterator<Item = (&'a str, &'a str, Json)>) -> Proposed {
    let mut proposed = Proposed::default();
    for (by, name, option) in said {
        let Ok(option) = serde_yaml::to_value(option) else { continue };
        let options = Mapping::from_iter([(Value::from(name), option)]);
        let spec = Mapping::from_iter([(Value::from("options"), Value::Mapping(options))]);
        proposed.take(&Value::Mapping(spec), by);
    }
    proposed.bound();
    proposed
}

/// Files at the top that may be playbooks, for people.
fn playbooks(files: &BTreeMap<String, String>) -> String {
    let mut names = String::new();
    for name in files.keys().filter(|name| !name.contains('/') && !name.contains(".meta.")).take(10) {
        let _ = write!(names, "{}{name}", if names.is_empty() { "" } else { ", " });
    }
    if names.is_empty() { "no YAML file at its top".to_owned() } else { names }
}

fn joined(folder: &str, rest: &str) -> String {
    if folder.is_empty() { rest.to_owned() } else { format!("{folder}/{rest}") }
}

fn parse(path: &str, text: &str) -> Result<Value, String> {
    serde_yaml::from_str(text).map_err(|error| format!("{path} cannot be read: {error}"))
}

/// What stands below `argument_specs` of a file.
fn specs(path: &str, text: &str) -> Result<Mapping, String> {
    let content = parse(path, text)?;
    let specs = content.get("argument_specs").cloned().map(plain);
    Ok(specs.and_then(|specs| specs.as_mapping().cloned()).unwrap_or_default())
}

/// The specs of a role of the project, and where they stand; as Ansible looks for them.
fn of_role(
    files: &BTreeMap<String, String>,
    folder: &str,
    role: &str,
) -> Result<Option<(String, Mapping)>, String> {
    for roles in [joined(folder, "roles"), "roles".to_owned(), folder.to_owned()] {
        for name in ["argument_specs.yml", "argument_specs.yaml", "main.yml", "main.yaml"] {
            let path = joined(&roles, &format!("{role}/meta/{name}"));
            if let Some(text) = files.get(&path) {
                let specs = specs(&path, text)?;
                if name.starts_with("argument_specs") || !specs.is_empty() {
                    return Ok(Some((path, specs)));
                }
            }
        }
    }
    Ok(None)
}

/// The roles that a playbook names, in order, each with its entry point. What is a template is not known yet.
fn roles(playbook: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    walk(playbook, &mut found);
    let mut seen = BTreeSet::new();
    found.retain(|one: &(String, String)| !one.0.contains("{{") && seen.insert(one.clone()));
    found
}

fn walk(value: &Value, found: &mut Vec<(String, String)>) {
    match value {
        Value::Sequence(list) => list.iter().for_each(|one| walk(one, found)),
        Value::Tagged(tagged) => walk(&tagged.value, found),
        Value::Mapping(map) => {
            for (key, value) in map {
                let key = key.as_str().unwrap_or_default();
                let key = key.strip_prefix("ansible.builtin.").unwrap_or(key);
                match (key, value) {
                    ("roles", Value::Sequence(list)) => found.extend(list.iter().filter_map(role)),
                    ("include_role" | "import_role", _) => found.extend(role(value)),
                    // Only these hold tasks; what stands elsewhere is data.
                    (
                        "pre_tasks" | "tasks" | "post_tasks" | "handlers" | "block" | "rescue" | "always",
                        _,
                    ) => {
                        walk(value, found);
                    }
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

fn role(value: &Value) -> Option<(String, String)> {
    let name =
        value.as_str().or_else(|| value.get("role")?.as_str()).or_else(|| value.get("name")?.as_str())?;
    let entry = value.get("tasks_from").and_then(Value::as_str).unwrap_or("main");
    let entry = entry.strip_suffix(".yml").or_else(|| entry.strip_suffix(".yaml")).unwrap_or(entry);
    // `include_role: name=web`, as people wrote it long ago.
    let name = name.strip_prefix("name=").and_then(|rest| rest.split_whitespace().next()).unwrap_or(name);
    Some((name.to_owned(), entry.to_owned()))
}

impl Proposed {
    /// No more than a Service takes.
    fn bound(&mut self) {
        if self.inputs.len() > MOST {
            let left: Vec<_> = self.inputs.drain(MOST..).map(|input| input.name).collect();
            self.notes.push(format!("a form has at most {MOST} inputs; left out: {}", left.join(", ")));
        }
    }

    /// Takes the options of one spec in.
    fn take(&mut self, spec: &Value, path: &str) {
        let options = spec.get("options").and_then(Value::as_mapping);
        for (name, option) in options.into_iter().flatten() {
            let Some(name) = name.as_str() else { continue };
            if let Some(known) = self.inputs.iter().find(|input| input.name == name) {
                if input(name, option).is_ok_and(|(other, _)| other.type_ != known.type_) {
                    self.notes
                        .push(format!("{name}: {path} says something else of it; the first one counts"));
                }
                continue;
            }
            match input(name, option) {
                Ok((input, note)) => {
                    self.notes.extend(note.map(|note| format!("{name}: {note}")));
                    self.inputs.push(input);
                }
                Err(why) => self.notes.push(format!("{name} ({path}): {why}")),
            }
        }
    }
}

/// One option of an argument spec as an input, and what people should know of it.
fn input(name: &str, option: &Value) -> Result<(Input, Option<String>), String> {
    let variables = "it stays with spec.variables";
    let is_name = name.len() <= 63
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_name {
        return Err("this cannot be the name of an input; write at most 63 letters, digits and _".to_owned());
    }
    let said = option.get("type").and_then(Value::as_str).unwrap_or("str");
    let choices = choices(option);
    let type_ = match (said, &choices) {
        _ if truth(option.get("no_log")) == Some(true) => InputType::Secret,
        ("list", Some(_)) => InputType::Multichoice,
        ("list" | "dict", _) => {
            return Err(format!("a {said} cannot be typed into a form; {variables}"));
        }
        ("bool", _) => InputType::Boolean,
        (_, Some(_)) => InputType::Choice,
        ("int" | "float", None) => InputType::Number,
        ("json" | "jsonarg", None) => InputType::Textarea,
        ("str" | "path" | "raw" | "bytes" | "bits", None) => InputType::Text,
        (other, None) => return Err(format!("type {other} is not known here; {variables}")),
    };
    let choices = choices.filter(|_| matches!(type_, InputType::Choice | InputType::Multichoice));
    if choices
        .as_ref()
        .is_some_and(|choices| choices.len() > CHOICES || choices.iter().any(|c| c.len() > 200))
    {
        return Err(format!("an input has at most {CHOICES} choices of 200 characters; {variables}"));
    }
    let mut input = Input {
        name: name.to_owned(),
        label: None,
        type_,
        required: truth(option.get("required")) == Some(true),
        help: help(option),
        default: None,
        choices,
        pattern: None,
        minimum: None,
        maximum: None,
    };
    let mut note = None;
    if let Some(default) = option.get("default").cloned().map(plain).filter(|default| !default.is_null()) {
        match default_of(&input, &default) {
            Ok(default) => input.default = default,
            Err(why) => note = Some(format!("its default was left out: {why}")),
        }
    }
    Ok((input, note))
}

fn default_of(input: &Input, default: &Value) -> Result<Option<Json>, String> {
    if input.type_ == InputType::Secret {
        return Err("it would stand in the Service for everybody to read".to_owned());
    }
    let value = match (input.type_, default) {
        (InputType::Boolean, _) => truth(Some(default)).map(Json::from),
        (InputType::Number | InputType::Multichoice, _) => serde_json::to_value(default).ok(),
        _ => scalar(default).map(Json::from),
    };
    let value = value.ok_or("it is of another type")?;
    if value.to_string().contains("{{") {
        return Err("it is a template, and an answer is data; the role's own default counts".to_owned());
    }
    check(input, &value)?;
    Ok(Some(value))
}

fn choices(option: &Value) -> Option<Vec<String>> {
    let list = option.get("choices")?.as_sequence()?;
    let mut choices: Vec<String> =
        list.iter().filter_map(scalar).filter(|choice| !choice.is_empty()).collect();
    let mut seen = BTreeSet::new();
    choices.retain(|choice| seen.insert(choice.clone()));
    (!choices.is_empty()).then_some(choices)
}

/// The description: a text, or paragraphs.
fn help(option: &Value) -> Option<String> {
    let paragraphs: Vec<String> = match option.get("description")? {
        Value::Sequence(list) => list.iter().filter_map(scalar).collect(),
        one => scalar(one).into_iter().collect(),
    };
    let text = paragraphs.join(" ").split_whitespace().collect::<Vec<_>>().join(" ");
    (!text.is_empty()).then(|| shorten(&text, 500))
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(yes) => Some(yes.to_string()),
        _ => None,
    }
}

/// As Ansible takes it: YAML 1.1, where `yes` is true.
fn truth(value: Option<&Value>) -> Option<bool> {
    match value? {
        Value::Bool(yes) => Some(*yes),
        Value::String(text) => match text.to_ascii_lowercase().as_str() {
            "yes" | "true" | "on" | "y" | "1" => Some(true),
            "no" | "false" | "off" | "n" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// Without tags such as `!unsafe`.
fn plain(value: Value) -> Value {
    match value {
        Value::Tagged(tagged) => plain(tagged.value),
        Value::Sequence(list) => Value::Sequence(list.into_iter().map(plain).collect()),
        Value::Mapping(map) => {
            Value::Mapping(map.into_iter().map(|(key, value)| (key, plain(value))).collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAYBOOK: &str = "
- name: Site
  hosts: all
  vars: {roles: [not-a-role]}
  roles: [web, {role: db, tags: [x]}, acme.tools.proxy]
  tasks:
    - block:
        - ansible.builtin.include_role: {name: web, tasks_from: restart.yml}
    - include_role: {name: '{{ which }}'}
    - debug: {msg: !unsafe '{{ x }}'}
";
    const WEB: &str = "
argument_specs:
  main:
    short_description: A web server
    options:
      web_port: {type: int, default: 8080, description: [Where it answers., Above 1024.]}
      web_name: {required: yes, description: What it is called}
      web_tls: {type: bool, default: 'yes'}
      web_mode: {choices: [fast, safe], default: safe}
      web_modules: {type: list, elements: str, choices: [a, b], default: [a]}
      web_password: {no_log: true, default: geheim}
      web_root: {type: path, default: '{{ base }}/www'}
      web_hosts: {type: list, elements: str}
      web_workers: {type: int, default: many}
      web_extra: {type: dict, options: {}}
      web-odd: {type: str}
  restart:
    options:
      web_port: {type: str}
      web_wait: {type: float, default: 1.5}
";

    fn project() -> BTreeMap<String, String> {
        [
            ("site.yml", PLAYBOOK),
            ("site.meta.yml", "argument_specs: {Site: {options: {version: {description: Which one}}}}\n"),
            ("roles/web/meta/argument_specs.yml", WEB),
            (
                "roles/db/meta/main.yml",
                "galaxy_info: {}\nargument_specs: {main: {options: {db_size: {type: int}}}}\n",
            ),
        ]
        .map(|(path, text)| (path.to_owned(), text.to_owned()))
        .into()
    }

    #[test]
    fn a_project_that_describes_its_variables_has_a_form() {
        let proposed = propose(&project(), "site.yml").unwrap();
        let wanted: Vec<Input> = serde_yaml::from_str(
            "
- {name: version, type: text, help: Which one}
- {name: web_port, type: number, default: 8080, help: Where it answers. Above 1024.}
- {name: web_name, type: text, required: true, help: What it is called}
- {name: web_tls, type: boolean, default: true}
- {name: web_mode, type: choice, choices: [fast, safe], default: safe}
- {name: web_modules, type: multichoice, choices: [a, b], default: [a]}
- {name: web_password, type: secret}
- {name: web_root, type: text}
- {name: web_workers, type: number}
- {name: db_size, type: number}
- {name: web_wait, type: number, default: 1.5}
",
        )
        .unwrap();
        assert_eq!(proposed.inputs, wanted);
        for said in [
            "web_password: its default was left out: it would stand",
            "web_root: its default was left out: it is a template",
            "web_workers: its default was left out",
            "web_hosts (roles/web/meta/argument_specs.yml): a list cannot be typed into a form",
            "web_extra (roles/web/meta/argument_specs.yml): a dict cannot",
            "web-odd (roles/web/meta/argument_specs.yml): this cannot be the name",
            "web_port: roles/web/meta/argument_specs.yml says something else",
            "role acme.tools.proxy: the project has no meta/argument_specs.yml",
        ] {
            assert!(
                proposed.notes.iter().any(|note| note.starts_with(said)),
                "{said} in {:#?}",
                proposed.notes
            );
        }
        assert_eq!(proposed.notes.len(), 8, "{:#?}", proposed.notes);
        // A Service takes it as it is.
        let text = serde_yaml::to_string(&proposed.inputs).unwrap();
        assert_eq!(serde_yaml::from_str::<Vec<Input>>(&text).unwrap(), wanted);
    }

    #[test]
    fn what_ansible_has_read_comes_to_the_same() {
        let said = [
            (
                "role web",
                "web_port",
                serde_json::json!({"type": "int", "default": 8080, "description": ["Where."]}),
            ),
            ("role web", "web_password", serde_json::json!({"no_log": true})),
            ("role db", "web_port", serde_json::json!({"type": "str"})),
            ("role db", "db_hosts", serde_json::json!({"type": "list"})),
        ];
        let proposed = of_declared(said);
        let wanted = "[{name: web_port, type: number, default: 8080, help: Where.}, {name: web_password, type: secret}]";
        assert_eq!(proposed.inputs, serde_yaml::from_str::<Vec<Input>>(wanted).unwrap());
        assert_eq!(
            proposed.notes,
            [
                "web_port: role db says something else of it; the first one counts",
                "db_hosts (role db): a list cannot be typed into a form; it stays with spec.variables"
            ]
        );
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let mut files = project();
        files.insert("roles/db/meta/main.yml".to_owned(), "a: [".to_owned());
        let error = propose(&files, "site.yml").unwrap_err();
        assert!(error.starts_with("roles/db/meta/main.yml cannot be read: "), "{error}");
        let error = propose(&files, "deploy.yml").unwrap_err();
        assert_eq!(error, "there is no deploy.yml; the project has site.yml");
        for odd in ["", "[]", "a: 1", "- 1\n- [x]\n- {roles: x, tasks: {a: 1}}", "- {roles: [{x: 1}, 3]}"] {
            files.insert("odd.yml".to_owned(), odd.to_owned());
            assert_eq!(propose(&files, "odd.yml"), Ok(Proposed::default()), "{odd}");
        }
    }
}
