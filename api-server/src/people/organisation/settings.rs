//! How people sign in with their organisation, as whoever installs us has written it. Pure. Names and prefixes mean
//! what the flags of the cluster's API server mean (`--oidc-username-claim` and so on), so that both say the same.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;

use crate::identity::issuer::is_address;

/// Prefixes that would make somebody look like one of Kubernetes' or of ours.
pub const RESERVED: [&str; 4] = ["system:", "fastdeploy:", "token:", "webhook:"];
/// Longest of the other words.
const MAX_WORD: usize = 200;

/// How people sign in with their organisation.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// Who says who people are; exactly as it names itself.
    pub issuer: String,
    /// As whom it knows us.
    pub client_id: String,
    /// The address that people type for the dashboard.
    pub url: String,
    /// Which claim is the name.
    #[serde(default = "sub")]
    username_claim: String,
    /// Before the name. Empty: as Kubernetes, `ISSUER#`, and nothing before an e-mail address; `-`: nothing.
    #[serde(default)]
    username_prefix: String,
    /// Which claim are the groups. Empty: none.
    #[serde(default = "groups")]
    pub groups_claim: String,
    /// Before each group.
    #[serde(default)]
    pub groups_prefix: String,
    /// What is asked for, besides `openid`.
    #[serde(default = "scopes")]
    pub scopes: Vec<String>,
    /// Who else vouches for its certificate, PEM.
    #[serde(default)]
    ca_bundle: String,
    /// What people call it.
    #[serde(default)]
    display_name: String,
}

fn sub() -> String {
    "sub".to_owned()
}

fn groups() -> String {
    "groups".to_owned()
}

fn scopes() -> Vec<String> {
    ["profile", "email"].map(ToOwned::to_owned).to_vec()
}

/// What is wrong with the settings, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("oidc.{0}")]
pub struct Invalid(String);

impl Settings {
    /// From the file.
    pub fn read(text: &str) -> Result<Self, Invalid> {
        let read: Self = serde_json::from_str(text).map_err(|error| Invalid(format!("json: {error}")))?;
        read.check()?;
        Ok(read)
    }

    fn check(&self) -> Result<(), Invalid> {
        let no = |words: &str| Err(Invalid(words.to_owned()));
        let plain = self.url.starts_with("http://");
        if !is_address(&self.url, true) || self.url.contains(['?', '#']) {
            return no("url: write the address that people type (chart value dashboard.url).");
        }
        if !is_address(&self.issuer, plain) || self.issuer.contains(['?', '#']) {
            return no(
                "issuer: write an address that begins with https:// (http:// only where dashboard.url does, too).",
            );
        }
        let word = |text: &str| text.len() <= MAX_WORD && !text.chars().any(char::is_control);
        if self.client_id.is_empty() || !word(&self.client_id) {
            return no("clientId: write as whom the organisation knows this installation.");
        }
        if self.username_claim.is_empty() || !word(&self.username_claim) || !word(&self.groups_claim) {
            return no("usernameClaim: write the name of a claim, for example email.");
        }
        for (name, prefix) in
            [("usernamePrefix", &self.username_prefix), ("groupsPrefix", &self.groups_prefix)]
        {
            if !word(prefix) || RESERVED.iter().any(|taken| prefix.starts_with(taken)) {
                return no(&format!(
                    "{name}: write a prefix of its own, for example \"oidc:\"; {} are taken.",
                    RESERVED.join(", ")
                ));
            }
        }
        let scope = |scope: &String| {
            !scope.is_empty()
                && word(scope)
                && scope.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
        };
        if self.scopes.len() > 20 || !self.scopes.iter().all(scope) {
            return no("scopes: write words without blanks, for example profile.");
        }
        if !word(&self.display_name) {
            return no("displayName: write what people call it, for example Keycloak.");
        }
        self.client().map(drop)
    }

    /// What asks the organisation. Its addresses are those of whoever installs us, so they may be inside.
    pub fn client(&self) -> Result<outbound::Client, Invalid> {
        let bundle = CertificateDer::pem_slice_iter(self.ca_bundle.as_bytes()).collect::<Result<Vec<_>, _>>();
        let bundle = bundle.ok().filter(|found| !found.is_empty() || self.ca_bundle.trim().is_empty());
        let bundle = bundle.ok_or_else(|| Invalid("caBundle: write certificates as PEM.".to_owned()))?;
        Ok(outbound::Client::new(outbound::Allowed::anywhere(), &bundle))
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        if !self.display_name.trim().is_empty() {
            return self.display_name.trim();
        }
        let host = self.issuer.split_once("://").map_or(self.issuer.as_str(), |(_, rest)| rest);
        host.split('/').next().unwrap_or(host)
    }

    /// Which claim is the name.
    pub fn username_claim(&self) -> &str {
        &self.username_claim
    }

    /// What stands before the name, by the rules of the cluster's API server.
    pub fn username_prefix(&self) -> String {
        match (self.username_prefix.as_str(), self.username_claim.as_str()) {
            ("-", _) | ("", "email") => String::new(),
            ("", _) => format!("{}#", self.issuer),
            (prefix, _) => prefix.to_owned(),
        }
    }

    /// Where the organisation sends people back to.
    pub fn redirect(&self) -> String {
        format!("{}/api/v1/session/oidc/callback", self.url.trim_end_matches('/'))
    }

    /// Where it sends them when they have signed out.
    pub fn signed_out(&self) -> String {
        format!("{}/sign-in", self.url.trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn settings(change: &Value) -> Result<Settings, Invalid> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut all = json!({"issuer": "https://sso.example.com/realms/a", "clientId": "fastdeploy", "url": "https://deploy.example.com/"});
        for (key, value) in change.as_object().unwrap() {
            all[key] = value.clone();
        }
        Settings::read(&all.to_string())
    }

    #[test]
    fn the_prefix_is_what_the_cluster_would_put_there() {
        let prefix = |change| settings(&change).unwrap().username_prefix();
        assert_eq!(prefix(json!({})), "https://sso.example.com/realms/a#");
        assert_eq!(prefix(json!({"usernameClaim": "email"})), "");
        assert_eq!(prefix(json!({"usernamePrefix": "-"})), "");
        assert_eq!(prefix(json!({"usernameClaim": "email", "usernamePrefix": "oidc:"})), "oidc:");
    }

    #[test]
    fn what_is_not_said_is_what_most_would_say() {
        let all = settings(&json!({})).unwrap();
        assert_eq!(
            (all.username_claim(), all.groups_claim.as_str(), all.name()),
            ("sub", "groups", "sso.example.com")
        );
        assert_eq!(all.redirect(), "https://deploy.example.com/api/v1/session/oidc/callback");
        assert_eq!(all.signed_out(), "https://deploy.example.com/sign-in");
        assert_eq!(settings(&json!({"displayName": "Keycloak"})).unwrap().name(), "Keycloak");
        assert!(
            settings(&json!({"url": "http://127.0.0.1:30090", "issuer": "http://10.0.0.1:9000"})).is_ok()
        );
    }

    #[test]
    fn what_cannot_work_is_refused_with_what_to_write_instead() {
        for (change, field) in [
            (json!({"issuer": "sso.example.com"}), "issuer"),
            (json!({"issuer": "http://sso.example.com"}), "issuer"),
            (json!({"issuer": "https://sso.example.com/?a=b"}), "issuer"),
            (json!({"url": "/"}), "url"),
            (json!({"clientId": ""}), "clientId"),
            (json!({"usernameClaim": ""}), "usernameClaim"),
            (json!({"usernamePrefix": "system:"}), "usernamePrefix"),
            (json!({"usernamePrefix": "fastdeploy:"}), "usernamePrefix"),
            (json!({"groupsPrefix": "system:x"}), "groupsPrefix"),
            (json!({"scopes": ["a b"]}), "scopes"),
            (json!({"caBundle": "x"}), "caBundle"),
            (json!({"clientid": "x"}), "json"),
        ] {
            let error = settings(&change).unwrap_err().to_string();
            assert!(error.starts_with(&format!("oidc.{field}: ")), "{change}: {error}");
        }
    }
}
