//! The form: what people typed against what the Service asks for. Pure.

use std::collections::BTreeMap;

use crate::service::{Input, InputType};
use serde_json::{Value, json};

/// Whether a form has a question of this type.
pub fn asks_for(form: &[Input], what: InputType) -> bool {
    form.iter().any(|input| input.type_ == what)
}

/// Checks answers against the form and fills in defaults. The sentence says what to write instead.
pub fn fill_in(form: &[Input], answers: &BTreeMap<String, Value>) -> Result<BTreeMap<String, Value>, String> {
    if let Some(unknown) = answers.keys().find(|name| form.iter().all(|input| input.name != **name)) {
        let names: Vec<_> = form.iter().map(|input| input.name.as_str()).collect();
        return Err(if names.is_empty() {
            format!("inputs.{unknown}: this Service asks for no inputs")
        } else {
            format!("inputs.{unknown}: the form has no such field; it has {}", names.join(", "))
        });
    }
    let mut filled = BTreeMap::new();
    for input in form {
        if input.type_ == InputType::Secret {
            if answers.contains_key(&input.name) {
                return Err(format!("inputs.{}: {SECRET}", input.name));
            }
            continue;
        }
        let answer = answers.get(&input.name).filter(|value| !value.is_null()).or(input.default.as_ref());
        match answer {
            Some(value) => {
                check(input, value).map_err(|message| format!("inputs.{}: {message}", input.name))?;
                filled.insert(input.name.clone(), value.clone());
            }
            None if input.required => return Err(format!("inputs.{}: an answer is required", input.name)),
            None => {}
        }
    }
    Ok(filled)
}

/// All that is wrong with answers: the name of each field, and what to write instead.
pub fn wrong(form: &[Input], answers: &BTreeMap<String, Value>) -> Vec<(String, String)> {
    let mut wrong = Vec::new();
    for input in form {
        let alone: BTreeMap<_, _> =
            answers.get_key_value(&input.name).map(|(k, v)| (k.clone(), v.clone())).into_iter().collect();
        if let Err(sentence) = fill_in(std::slice::from_ref(input), &alone) {
            wrong.push(sentence);
        }
    }
    for (name, value) in answers.iter().filter(|(name, _)| form.iter().all(|input| input.name != **name)) {
        let alone = BTreeMap::from([(name.clone(), value.clone())]);
        wrong.extend(fill_in(form, &alone).err());
    }
    wrong
        .into_iter()
        .map(|sentence| match sentence.split_once(": ") {
            Some((field, _)) => (field.to_owned(), sentence),
            None => (String::new(), sentence),
        })
        .collect()
}

/// The answers of an automatic run: those of the live run where they still fit, else defaults.
/// `Err` names the first required input that nobody has answered.
pub fn automatic(
    form: &[Input],
    live: Option<&BTreeMap<String, Value>>,
) -> Result<BTreeMap<String, Value>, String> {
    let mut answers = BTreeMap::new();
    for input in form.iter().filter(|input| input.type_ != InputType::Secret) {
        let kept = live.and_then(|live| live.get(&input.name)).filter(|value| check(input, value).is_ok());
        match kept.or(input.default.as_ref()) {
            Some(value) => {
                answers.insert(input.name.clone(), value.clone());
            }
            None if input.required => return Err(input.name.clone()),
            None => {}
        }
    }
    Ok(answers)
}

/// The inputs of type secret that are answered. `secret`: the name of the Secret with the answers, and its keys, each
/// with whether it has a value. The sentence says what to write instead.
pub fn check_secrets(
    form: &[Input],
    secret: Option<(&str, &BTreeMap<String, bool>)>,
) -> Result<Vec<String>, String> {
    let asked = || form.iter().filter(|input| input.type_ == InputType::Secret);
    if let Some((name, keys)) = secret
        && let Some(unknown) = keys.keys().find(|key| asked().all(|input| input.name != **key))
    {
        let names: Vec<_> = asked().map(|input| input.name.as_str()).collect();
        return Err(if names.is_empty() {
            "secretInputs: this Service asks for no secrets; leave it out".to_owned()
        } else {
            format!(
                "secretInputs: Secret {name} has the key {unknown}, and the form has no secret of that name; it has {}",
                names.join(", ")
            )
        });
    }
    let mut answered = Vec::new();
    for input in asked() {
        let filled = secret.and_then(|(_, keys)| keys.get(&input.name)).copied().unwrap_or(false);
        if filled {
            answered.push(input.name.clone());
        } else if input.required {
            return Err(format!("inputs.{}: an answer is required; {SECRET}", input.name));
        }
    }
    Ok(answered)
}

/// Where a secret belongs.
const SECRET: &str = "a secret never stands in a spec: put it into a Secret under this name, and name the Secret in secretInputs.secretRef";

/// Whether git would take it for the name of a branch or tag.
fn is_ref_name(text: &str) -> bool {
    let bad = |c: char| c.is_whitespace() || c.is_control() || "~^:?*[\\".contains(c);
    !text.is_empty()
        && text.len() <= 250
        && !text.starts_with('-')
        && !text.contains(bad)
        && !text.contains("..")
        && !text.contains("@{")
        && text.split('/').all(|part| !part.is_empty() && !part.starts_with('.'))
        && !text.ends_with('.')
}

/// Compiles a pattern that must match the whole answer.
pub fn regex(pattern: &str) -> Result<regex::Regex, String> {
    regex::RegexBuilder::new(&format!("^(?:{pattern})$"))
        .size_limit(1 << 20)
        .build()
        .map_err(|_| format!("{pattern} is not a regular expression that we can read"))
}

/// Whether a value answers an input.
pub fn check(input: &Input, value: &Value) -> Result<(), String> {
    let one_of = |text: &str| {
        let choices = input.choices.as_deref().unwrap_or_default();
        if choices.iter().any(|choice| choice == text) {
            Ok(())
        } else {
            Err(format!("`{}` is not a choice; write one of {}", brief(text), choices.join(", ")))
        }
    };
    match (input.type_, value) {
        (InputType::Text | InputType::Textarea, Value::String(text)) => {
            if input.required && text.trim().is_empty() {
                return Err("an answer is required".into());
            }
            if text.len() > 65_536 {
                return Err("longer than 64 kB".into());
            }
            if input.type_ == InputType::Text && text.contains('\n') {
                return Err("write one line".into());
            }
            matches_pattern(input, text)
        }
        (InputType::GitBranch | InputType::GitTag, Value::String(text)) => {
            if !is_ref_name(text) {
                let what = if input.type_ == InputType::GitTag { "tag" } else { "branch" };
                return Err(format!("`{}` cannot be a {what}; write its name as git shows it", brief(text)));
            }
            matches_pattern(input, text)
        }
        (InputType::GitCommit, Value::String(text)) => {
            let is_id =
                (7..=64).contains(&text.len()) && text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
            let wrong = || {
                format!(
                    "`{}` is not the id of a commit; write at least 7 characters of it, 0-9 and a-f",
                    brief(text)
                )
            };
            if is_id { Ok(()) } else { Err(wrong()) }
        }
        (InputType::Secret, _) => Err(SECRET.into()),
        (InputType::Number, Value::Number(number)) => {
            let number = number.as_f64().unwrap_or(f64::NAN);
            if let Some(minimum) = input.minimum
                && number < minimum as f64
            {
                return Err(format!("{number} is too small; the smallest is {minimum}"));
            }
            if let Some(maximum) = input.maximum
                && number > maximum as f64
            {
                return Err(format!("{number} is too large; the largest is {maximum}"));
            }
            Ok(())
        }
        (InputType::Boolean, Value::Bool(_)) => Ok(()),
        (InputType::Choice, Value::String(text)) => one_of(text),
        (InputType::Multichoice, Value::Array(values)) => values.iter().try_for_each(|value| match value {
            Value::String(text) => one_of(text),
            other => Err(format!("{other} is not a choice; write texts")),
        }),
        (InputType::Date, Value::String(text)) => text
            .parse::<jiff::civil::Date>()
            .map(drop)
            .map_err(|_| format!("`{}` is not a day; write it as 2026-11-23", brief(text))),
        (type_, value) => {
            let wanted = match type_ {
                InputType::Text | InputType::Textarea => "a text, in quotes if it looks like a number",
                InputType::Number => "a number, without quotes",
                InputType::Boolean => "true or false, without quotes",
                InputType::Choice => "one of the choices",
                InputType::Multichoice => "a list of choices",
                InputType::Date => "a day in quotes, as \"2026-11-23\"",
                InputType::GitBranch | InputType::GitTag => "a name, in quotes if it looks like a number",
                InputType::GitCommit => "the id of a commit, in quotes",
                InputType::Secret => "nothing",
            };
            Err(format!("{} is not what is asked for; write {wanted}", brief(&json!(value).to_string())))
        }
    }
}

fn matches_pattern(input: &Input, text: &str) -> Result<(), String> {
    match &input.pattern {
        Some(pattern) if !regex(pattern)?.is_match(text) => {
            Err(format!("`{}` does not match {pattern}", brief(text)))
        }
        _ => Ok(()),
    }
}

fn brief(text: &str) -> String {
    crate::conditions::shorten(text, 60)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn form(yaml: &str) -> Vec<Input> {
        serde_yaml::from_str(yaml).unwrap()
    }

    fn answers(yaml: &str) -> BTreeMap<String, Value> {
        serde_yaml::from_str(yaml).unwrap()
    }

    const FORM: &str = "
- {name: version, type: text, required: true, pattern: 'v[0-9]+'}
- {name: count, type: number, minimum: 1, maximum: 9, default: 3}
- {name: fast, type: boolean}
- {name: size, type: choice, choices: [small, large], default: small}
- {name: parts, type: multichoice, choices: [a, b]}
- {name: day, type: date}
- {name: tag, type: gitTag, pattern: 'v.*'}
- {name: commit, type: gitCommit}
- {name: key, type: secret}
";

    #[test]
    fn answers_are_checked_and_defaults_filled_in() {
        let filled = fill_in(&form(FORM), &answers("{version: v1, parts: [a], day: '2026-11-23'}")).unwrap();
        assert_eq!(filled, answers("{version: v1, count: 3, size: small, parts: [a], day: '2026-11-23'}"));
    }

    #[test]
    fn a_wrong_answer_is_told_what_to_write() {
        for (given, sentence) in [
            ("{}", "inputs.version: an answer is required"),
            ("{version: null}", "inputs.version: an answer is required"),
            ("{version: 1}", "write a text, in quotes"),
            ("{version: x}", "`x` does not match v[0-9]+"),
            ("{version: v1, count: 0}", "the smallest is 1"),
            ("{version: v1, count: 10}", "the largest is 9"),
            ("{version: v1, count: '3'}", "write a number"),
            ("{version: v1, fast: 'yes'}", "write true or false"),
            ("{version: v1, size: huge}", "write one of small, large"),
            ("{version: v1, parts: [c]}", "write one of a, b"),
            ("{version: v1, parts: a}", "a list of choices"),
            ("{version: v1, day: 23.11.2026}", "write it as 2026-11-23"),
            ("{version: v1, tag: 'v 1'}", "cannot be a tag"),
            ("{version: v1, tag: v1..v2}", "cannot be a tag"),
            ("{version: v1, tag: 1}", "write a name"),
            ("{version: v1, tag: r1}", "does not match v.*"),
            ("{version: v1, commit: main}", "is not the id of a commit"),
            ("{version: v1, key: hunter2}", "inputs.key: a secret never stands in a spec"),
            ("{version: v1, sice: small}", "inputs.sice: the form has no such field; it has version"),
        ] {
            let message = fill_in(&form(FORM), &answers(given)).unwrap_err();
            assert!(message.contains(sentence), "{given}: {message}");
        }
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let given = answers("{version: x, count: 0, sice: 1, size: small}");
        let fields: Vec<_> = wrong(&form(FORM), &given).into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["inputs.version", "inputs.count", "inputs.sice"]);
        assert_eq!(wrong(&form(FORM), &answers("{version: v1}")), []);
    }

    #[test]
    fn an_automatic_run_answers_as_the_live_one_did_then_by_default() {
        let form = form(FORM);
        assert_eq!(automatic(&form, None), Err("version".into()));
        let live = answers("{version: v7, count: 100, gone: x}");
        assert_eq!(automatic(&form, Some(&live)), Ok(answers("{version: v7, count: 3, size: small}")));
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_is_accepted_again(text in ".{0,40}", number in any::<i64>(), yes in any::<bool>()) {
            let form = form(FORM);
            for value in [json!(text), json!(number), json!(yes), json!([text])] {
                for name in ["version", "count", "fast", "size", "parts", "day", "tag", "commit", "key"] {
                    let mut given = answers("{version: v1}");
                    given.insert(name.into(), value.clone());
                    if let Ok(filled) = fill_in(&form, &given) {
                        prop_assert_eq!(fill_in(&form, &filled).unwrap(), filled.clone());
                        prop_assert_eq!(automatic(&form, Some(&filled)).unwrap(), filled);
                    }
                }
            }
        }
    }
}
