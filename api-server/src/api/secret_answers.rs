//! Secret answers to a Service's form: by the name of a Secret of the team, or as values, which become a Secret that
//! their run owns. Nothing here can be printed or told back.

use std::collections::BTreeMap;
use std::fmt;

use crds::service::{Input, InputType};
use serde::Deserialize;
use utoipa::ToSchema;

use super::problem::{FieldError, Problem};
use crate::identity::key::SigningKey;

/// Longest secret answer, in bytes: a long key with its certificates.
const MAX_VALUE: usize = 64 << 10;
/// All of one run together, in bytes: a Secret holds 1 MiB, and its values are written in base64.
const MAX_ALL: usize = 512 << 10;

/// Where secret answers are: one of both.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct SecretAnswers {
    /// A Secret of the same namespace: its keys are names of inputs.
    #[serde(default)]
    secret_ref: Option<SecretName>,
    /// The answers themselves, by the names of their inputs. They are kept in a Secret that belongs to the run and goes
    /// with it; nobody reads them here again.
    #[serde(default)]
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    values: Option<Values>,
}

/// A Secret.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretName {
    /// How it is called.
    name: String,
}

/// How they were given.
#[derive(Debug)]
pub enum Given {
    /// In the Secret of this name.
    Named(String),
    /// As they are.
    Said(Values),
}

impl SecretAnswers {
    /// Which of both; an error where it is not exactly one.
    pub fn given(self) -> Result<Given, Problem> {
        match (self.secret_ref, self.values) {
            (Some(secret), None) => Ok(Given::Named(secret.name)),
            (None, Some(values)) => Ok(Given::Said(values)),
            _ => Err(Problem::invalid(
                Some("secretInputs"),
                "secretInputs: write secretRef, with the name of a Secret, or values; one of both."
                    .to_owned(),
            )),
        }
    }
}

/// Secret values, by the names of their inputs. They do not show themselves.
#[derive(Clone, Default, Deserialize, PartialEq, Eq)]
#[serde(transparent)]
pub struct Values(BTreeMap<String, String>);

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Values {
    /// For the Secret.
    pub const fn reveal(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// By which the answers of that run are known again; it tells nobody else anything.
    pub fn mac(&self, key: &SigningKey, run: &str) -> String {
        let said = self.0.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
        key.mac(&[run.as_bytes()].into_iter().chain(said).collect::<Vec<_>>())
    }

    /// What is wrong with them as answers to this form. `all`: each required one has to be there. Pure; no message has
    /// a value in it.
    pub fn wrong(&self, form: &[Input], all: bool) -> Vec<FieldError> {
        let secrets = || form.iter().filter(|input| input.type_ == InputType::Secret);
        let mut errors = Vec::new();
        let mut say = |field: String, message: String| {
            errors.push(FieldError { message: format!("{field}: {message}"), field });
        };
        for (name, value) in &self.0 {
            let field = format!("inputs.{name}");
            if secrets().all(|input| input.name != *name) {
                say("secretInputs".into(), format!("this service asks for no secret {}.", shown(name)));
            } else if value.is_empty() {
                say(field, "is empty: leave it out, or write the secret.".into());
            } else if value.len() > MAX_VALUE {
                say(field, format!("write at most {} kB.", MAX_VALUE >> 10));
            } else if value.contains('\0') {
                say(field, "has a byte that is no text.".into());
            }
        }
        if self.0.values().map(String::len).sum::<usize>() > MAX_ALL {
            say("secretInputs".into(), format!("write at most {} kB, all together.", MAX_ALL >> 10));
        }
        for input in secrets().filter(|input| all && input.required && !self.0.contains_key(&input.name)) {
            say(format!("inputs.{}", input.name), "an answer is required.".into());
        }
        errors
    }
}

/// A name as somebody wrote it: it may be anything.
fn shown(name: &str) -> String {
    crds::conditions::shorten(name, 60)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn form() -> Vec<Input> {
        serde_json::from_value(json!([{"name": "pin", "type": "secret", "required": true},
            {"name": "key", "type": "secret"}, {"name": "who", "type": "text"}]))
        .unwrap()
    }

    fn values(said: serde_json::Value) -> Values {
        serde_json::from_value(said).unwrap()
    }

    fn fields(said: serde_json::Value, all: bool) -> Vec<String> {
        values(said).wrong(&form(), all).into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn what_is_wrong_is_said_field_by_field() {
        assert!(fields(json!({"pin": "1234"}), true).is_empty());
        assert_eq!(fields(json!({"key": "x"}), true), ["inputs.pin"]);
        assert!(fields(json!({"key": "x"}), false).is_empty());
        assert_eq!(fields(json!({"pin": "", "key": "a\0b"}), true), ["inputs.key", "inputs.pin"]);
        assert_eq!(
            fields(json!({"pin": "x", "who": "me", "x": "y"}), true),
            ["secretInputs", "secretInputs"]
        );
        assert_eq!(fields(json!({"pin": "x".repeat(MAX_VALUE + 1)}), true), ["inputs.pin"]);
    }

    #[test]
    fn no_value_shows_itself() {
        let values = values(json!({"pin": "hunter2", "nobody": "hunter2"}));
        let errors = values.wrong(&form(), true);
        assert!(!format!("{values:?} {errors:?}").contains("hunter2"));
    }
}
