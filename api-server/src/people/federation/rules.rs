//! Whose tokens are exchanged for what, as whoever installs us has written it. Pure.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::Value;

use crate::identity::foreign::Claims;
use crate::identity::issuer::is_address;
use crate::people::tokens::TokenVerb;

/// Most rules that are looked at.
const MAX_RULES: usize = 200;
/// Minutes that a token lasts.
const DEFAULT_MINUTES: u8 = 15;
const MAX_MINUTES: u8 = 60;

/// Who may be what: a token of this issuer, for this audience, that says this, is exchanged for one for this Service.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// What it is called, in lists and in the audit log.
    pub name: String,
    /// Who signs; exactly as it names itself.
    pub issuer: String,
    /// For whom the token has to be. Default: the address of the dashboard.
    #[serde(default)]
    pub audience: String,
    /// What it has to say: each claim exactly so, or as one of several.
    pub claims: BTreeMap<String, OneOf>,
    /// Of the Service.
    pub namespace: String,
    /// The Service.
    pub service: String,
    /// What may be done with it, besides reading.
    pub verbs: Vec<TokenVerb>,
    /// How long the token lasts.
    #[serde(default = "minutes")]
    minutes: u8,
    /// Who else vouches for the issuer's certificate, PEM.
    #[serde(default)]
    pub ca_bundle: String,
}

fn minutes() -> u8 {
    DEFAULT_MINUTES
}

/// A value, or several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum OneOf {
    /// This one.
    One(String),
    /// Any of these.
    Several(Vec<String>),
}

impl OneOf {
    fn values(&self) -> &[String] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Several(values) => values,
        }
    }
}

impl Rule {
    /// How long the token lasts.
    pub fn lasts(&self) -> SignedDuration {
        SignedDuration::from_mins(self.minutes.into())
    }

    /// Whether it is about this Service.
    pub fn is_for(&self, (namespace, service): (&str, &str)) -> bool {
        self.namespace == namespace && self.service == service
    }

    /// The first claim that the token does not make as it should; none: it fits.
    pub fn misses(&self, claims: &Claims) -> Option<&str> {
        let fits = |(name, wanted): &(&String, &OneOf)| {
            let said = match claims.get(*name) {
                Some(Value::String(said)) => said.clone(),
                Some(Value::Bool(said)) => said.to_string(),
                Some(Value::Number(said)) => said.to_string(),
                _ => return false,
            };
            wanted.values().contains(&said)
        };
        self.claims.iter().find(|claim| !fits(claim)).map(|(name, _)| name.as_str())
    }

    fn check(&self, plain: bool) -> Result<(), &'static str> {
        let word = |text: &str, most| (1..=most).contains(&text.len()) && !text.chars().any(char::is_control);
        let named = |c: char| c.is_ascii_alphanumeric() || " ._-".contains(c);
        if !word(&self.name, 63) || !self.name.chars().all(named) {
            return Err("name: write 1 to 63 letters, digits, blanks, dots, dashes and underscores");
        }
        if !is_address(&self.issuer, plain) {
            return Err("issuer: write an address that begins with https://");
        }
        if !word(&self.audience, 500) {
            return Err("audience: write for whom the token is, for example the address of the dashboard");
        }
        // An issuer signs for everybody who uses it: that it signed says nothing.
        let says = |(name, wanted): (&String, &OneOf)| word(name, 200) && !wanted.values().is_empty();
        if self.claims.is_empty() || !self.claims.iter().all(says) {
            return Err(
                "claims: write what tells your pipeline from all others, for example repository: team/blog",
            );
        }
        if self
            .claims
            .keys()
            .all(|name| matches!(name.as_str(), "iss" | "aud" | "exp" | "iat" | "nbf" | "jti"))
        {
            return Err(
                "claims: write what tells your pipeline from all others; the issuer and the audience do not",
            );
        }
        if !word(&self.namespace, 63) || !word(&self.service, 63) {
            return Err("namespace, service: write for which Service the token is");
        }
        if self.verbs.is_empty() {
            return Err("verbs: write deploy, cancel or both");
        }
        if !(1..=MAX_MINUTES).contains(&self.minutes) {
            return Err("minutes: write a number from 1 to 60");
        }
        Ok(())
    }
}

/// The file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// The address that people type for the dashboard.
    url: String,
    rules: Vec<Rule>,
}

/// From the file. Issuers have addresses without TLS only where the dashboard has one, too.
pub fn read(text: &str) -> Result<Vec<Rule>, String> {
    let File { url, mut rules } =
        serde_json::from_str(text).map_err(|error| format!("federation: {error}."))?;
    if rules.len() > MAX_RULES {
        return Err(format!("federation: there are at most {MAX_RULES} rules."));
    }
    for (n, rule) in rules.iter_mut().enumerate() {
        if rule.audience.is_empty() {
            rule.audience.clone_from(&url);
        }
        rule.check(url.starts_with("http://")).map_err(|why| format!("federation[{n}].{why}."))?;
    }
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rule(change: &Value) -> Result<Rule, String> {
        let mut rule = json!({"name": "github", "issuer": "https://ci.example.com", "claims": {"repository": "team/blog", "ref": ["main", "release"]},
            "namespace": "team", "service": "blog", "verbs": ["deploy"]});
        for (key, value) in change.as_object().unwrap() {
            rule[key] = value.clone();
        }
        let file = json!({"url": "https://deploy.example.com", "rules": [rule]});
        read(&file.to_string()).map(|mut rules| rules.remove(0))
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_what_to_write_instead() {
        let fine = rule(&json!({})).unwrap();
        assert_eq!(
            (fine.audience.as_str(), fine.lasts()),
            ("https://deploy.example.com", SignedDuration::from_mins(15))
        );
        for (change, field) in [
            (json!({"name": ""}), "name"),
            (json!({"name": "a\nb"}), "name"),
            (json!({"issuer": "http://ci.example.com"}), "issuer"),
            (json!({"claims": {}}), "claims"),
            (json!({"claims": {"repository": []}}), "claims"),
            (json!({"claims": {"iss": "https://ci.example.com", "aud": "x"}}), "claims"),
            (json!({"service": ""}), "namespace, service"),
            (json!({"verbs": []}), "verbs"),
            (json!({"minutes": 0}), "minutes"),
            (json!({"minutes": 61}), "minutes"),
        ] {
            let error = rule(&change).unwrap_err();
            assert!(error.starts_with(&format!("federation[0].{field}: ")), "{change}: {error}");
        }
        for wrong in [json!({"verbs": ["approve"]}), json!({"claim": {}}), json!({"minutes": 256})] {
            assert!(rule(&wrong).unwrap_err().starts_with("federation: "), "{wrong}");
        }
    }

    #[test]
    fn every_claim_has_to_be_what_is_asked_for() {
        let rule = rule(&json!({"claims": {"repository": "team/blog", "ref": ["main", "release"], "protected": "true", "run": "7"}})).unwrap();
        let right =
            json!({"repository": "team/blog", "ref": "release", "protected": true, "run": 7, "more": 1});
        assert_eq!(rule.misses(right.as_object().unwrap()), None);
        for (claim, said) in [
            ("repository", json!("team/blog2")),
            ("repository", json!("Team/blog")),
            ("repository", json!(["team/blog"])),
            ("ref", json!("other")),
            ("ref", json!(null)),
            ("protected", json!(false)),
            ("run", json!({"a": 7})),
        ] {
            let mut said_so = right.clone();
            said_so[claim] = said.clone();
            assert_eq!(rule.misses(said_so.as_object().unwrap()), Some(claim), "{said}");
            said_so.as_object_mut().unwrap().remove(claim);
            assert_eq!(rule.misses(said_so.as_object().unwrap()), Some(claim));
        }
    }
}
