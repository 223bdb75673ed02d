//! What people answered besides plain inputs: secrets, which stay in a Secret of the namespace, and names of
//! branches and tags, which have to be there. Pure.

use std::{collections::BTreeMap, sync::Arc};

use crds::{
    DeploymentSpec, Reason,
    service::{Input, InputType},
};
use git::{Kind, Refs};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use frozen::Fault;

/// A Secret may be made after its Deployment, so that the Deployment owns it: so long it is waited for.
const PATIENCE: SignedDuration = SignedDuration::from_secs(30);

/// The Secret with the secret answers, as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Secrets {
    /// None is named.
    #[default]
    None,
    /// This one is named, and not there.
    Missing(String),
    /// It is there; its keys, and whether they have a value. The values are nobody's business here.
    There(String, BTreeMap<String, bool>),
}

/// What is known of a repository's branches and tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Known {
    /// Nothing can be said: there is no repository, or it does not answer.
    #[default]
    Nothing,
    /// It is being looked at.
    Looking,
    /// These.
    Refs(Arc<Refs>),
}

/// Name of the Secret that a run names.
pub fn named(spec: &DeploymentSpec) -> Option<&str> {
    spec.secret_inputs.as_ref().map(|inputs| inputs.secret_ref.name.as_str())
}

/// The secret answers of a new run: names of the inputs, each of which the Secret has.
pub fn of_form(
    form: &[Input],
    secrets: &Secrets,
    created: Timestamp,
    now: Timestamp,
) -> Result<Vec<String>, Fault> {
    let there = there(secrets, created, now)?;
    crds::inputs::check_secrets(form, there)
        .map_err(|message| Fault { reason: Reason::InvalidInput, message })
}

/// The secret answers of a run that repeats another one: the same inputs, with what is in the Secret today.
pub fn of_repeated(
    inputs: &[String],
    secrets: &Secrets,
    created: Timestamp,
    now: Timestamp,
) -> Result<(), Fault> {
    let fault = |message: String| Err(Fault { reason: Reason::InvalidInput, message });
    match there(secrets, created, now)? {
        None if inputs.is_empty() => Ok(()),
        None => fault(format!(
            "secretInputs: what is repeated ran with secrets that are not known any more; put {} into a Secret, and name it in secretInputs.secretRef",
            inputs.join(", ")
        )),
        Some((name, keys)) => {
            match inputs.iter().find(|input| !keys.get(*input).is_some_and(|filled| *filled)) {
                Some(missing) => fault(format!(
                    "secretInputs: what is repeated ran with {missing}, and Secret {name} has no such key"
                )),
                None => Ok(()),
            }
        }
    }
}

type There<'a> = Option<(&'a str, &'a BTreeMap<String, bool>)>;

fn there(secrets: &Secrets, created: Timestamp, now: Timestamp) -> Result<There<'_>, Fault> {
    match secrets {
        Secrets::None => Ok(None),
        Secrets::There(name, keys) => Ok(Some((name, keys))),
        Secrets::Missing(name) => {
            let patient = created.saturating_add(PATIENCE).is_ok_and(|until| now < until);
            let reason = if patient { Reason::Progressing } else { Reason::SecretMissing };
            let message = format!("secretInputs: Secret {name} is not in this namespace");
            Err(Fault { reason, message })
        }
    }
}

/// Whether a form asks for a branch or a tag.
pub fn asks_for_refs(form: &[Input]) -> bool {
    form.iter().any(|input| kind(input).is_some())
}

/// Whether the branches and tags that were chosen are there.
pub fn check_refs(form: &[Input], answers: &BTreeMap<String, Value>, known: &Known) -> Result<(), Fault> {
    let chosen =
        form.iter().filter_map(|input| Some((input, kind(input)?, answers.get(&input.name)?.as_str()?)));
    for (input, kind, answer) in chosen {
        let refs = match known {
            Known::Nothing => return Ok(()),
            Known::Looking => {
                return Err(Fault {
                    reason: Reason::Progressing,
                    message: "the repository is being looked at".into(),
                });
            }
            Known::Refs(refs) => refs,
        };
        let of_kind = || refs.list.iter().filter(|r| r.kind == kind);
        if of_kind().any(|r| r.name == answer) {
            continue;
        }
        let names: Vec<_> = of_kind().rev().take(5).map(|r| r.name.as_str()).collect();
        let has = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        return Err(Fault {
            reason: Reason::InvalidInput,
            message: format!(
                "inputs.{}: the repository has no {} {}; it has {has}",
                input.name,
                kind.as_str(),
                crds::conditions::shorten(answer, 60)
            ),
        });
    }
    Ok(())
}

fn kind(input: &Input) -> Option<Kind> {
    match input.type_ {
        InputType::GitBranch => Some(Kind::Branch),
        InputType::GitTag => Some(Kind::Tag),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form() -> Vec<Input> {
        serde_yaml::from_str(
            "[{name: token, type: secret, required: true}, {name: pin, type: secret}, {name: version, type: gitTag}, {name: line, type: gitBranch}]",
        )
        .expect("a form")
    }

    fn there(keys: &[(&str, bool)]) -> Secrets {
        Secrets::There("s".into(), keys.iter().map(|(key, filled)| ((*key).to_owned(), *filled)).collect())
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("a time")
    }

    #[test]
    fn secret_answers_come_from_a_secret_that_may_be_a_little_late() {
        let see = |secrets: &Secrets, now| {
            of_form(&form(), secrets, at(0), at(now)).map_err(|fault| (fault.reason, fault.message))
        };
        assert_eq!(see(&there(&[("token", true)]), 1), Ok(vec!["token".into()]));
        assert_eq!(see(&there(&[("token", true), ("pin", true)]), 1), Ok(vec!["token".into(), "pin".into()]));
        for (secrets, now, reason, word) in [
            (Secrets::None, 1, Reason::InvalidInput, "inputs.token: an answer is required"),
            (there(&[("pin", true)]), 1, Reason::InvalidInput, "inputs.token: an answer is required"),
            (there(&[("token", false)]), 1, Reason::InvalidInput, "inputs.token: an answer is required"),
            (there(&[("token", true), ("x", true)]), 1, Reason::InvalidInput, "has the key x"),
            (Secrets::Missing("s".into()), 29, Reason::Progressing, "Secret s is not"),
            (Secrets::Missing("s".into()), 30, Reason::SecretMissing, "Secret s is not"),
        ] {
            let (seen, message) = see(&secrets, now).expect_err(word);
            assert!(seen == reason && message.contains(word), "{seen:?} {message}");
        }
    }

    #[test]
    fn what_is_repeated_needs_the_secrets_that_it_had() {
        let had = ["token".to_owned()];
        let see = |had: &[String], secrets| of_repeated(had, &secrets, at(0), at(99)).map_err(|f| f.message);
        assert_eq!(see(&had, there(&[("token", true), ("more", true)])), Ok(()));
        assert_eq!(see(&[], Secrets::None), Ok(()));
        assert!(see(&had, Secrets::None).expect_err("unknown").contains("put token into a Secret"));
        assert!(see(&had, there(&[])).expect_err("a key").contains("no such key"));
        assert!(see(&had, Secrets::Missing("s".into())).expect_err("gone").contains("Secret s is not"));
    }

    #[test]
    fn branches_and_tags_have_to_be_there() {
        let commit = "a".repeat(40);
        let refs = Refs::parse(&format!(
            "{commit}\trefs/heads/main\n{commit}\trefs/tags/v1\n{commit}\trefs/tags/v2\n"
        ));
        let known = Known::Refs(Arc::new(refs));
        let see = |answers: &str, known: &Known| {
            check_refs(&form(), &serde_yaml::from_str(answers).expect("answers"), known)
                .map_err(|f| f.message)
        };
        assert_eq!(see("{version: v1, line: main}", &known), Ok(()));
        assert_eq!(
            see("{version: main}", &known),
            Err("inputs.version: the repository has no tag main; it has v2, v1".into())
        );
        assert_eq!(
            see("{line: v1}", &known),
            Err("inputs.line: the repository has no branch v1; it has main".into())
        );
        assert_eq!(see("{version: main}", &Known::Nothing), Ok(()));
        assert!(see("{version: v1}", &Known::Looking).is_err());
        assert_eq!(see("{}", &Known::Looking), Ok(()));
    }
}
