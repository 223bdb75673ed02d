//! The form: what people typed against what the Service asks for. Pure.

use std::collections::BTreeMap;

use crate::service::{Input, InputType};
use serde_json::{Value, json};

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

/// The answers of an automatic run: those of the live run where they still fit, else defaults.
/// `Err` names the first required input that nobody has answered.
pub fn automatic(
    form: &[Input],
    live: Option<&BTreeMap<String, Value>>,
) -> Result<BTreeMap<String, Value>, String> {
    let mut answers = BTreeMap::new();
    for input in form {
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
            match &input.pattern {
                Some(pattern) if !regex(pattern)?.is_match(text) => {
                    Err(format!("`{}` does not match {pattern}", brief(text)))
                }
                _ => Ok(()),
            }
        }
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
            };
            Err(format!("{} is not what is asked for; write {wanted}", brief(&json!(value).to_string())))
        }
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
            ("{version: v1, sice: small}", "inputs.sice: the form has no such field; it has version"),
        ] {
            let message = fill_in(&form(FORM), &answers(given)).unwrap_err();
            assert!(message.contains(sentence), "{given}: {message}");
        }
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
                for name in ["version", "count", "fast", "size", "parts", "day"] {
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
