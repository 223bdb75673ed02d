//! `POST /api/v1/token`: a CI job shows a token that its own system has signed for it, and gets one for a Service in
//! exchange (RFC 8693); nothing secret is kept anywhere. Which token is worth what is said by whoever installs us.

mod rules;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, State};
use axum::http::StatusCode;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;
use uuid::Uuid;

use self::rules::Rule;
use super::tokens::{self, TokenVerb};
use crate::api::App;
use crate::api::problem::Problem;
use crate::audit;
use crate::identity::foreign::{self, Claims, Refusal};
use crate::identity::issuer::{Failure, Issuer};

/// Largest request, in bytes: a token of somebody else, and some words.
pub const MAX_BODY: usize = 64 * 1024;
/// What is exchanged for what (RFC 8693).
const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
/// A token that says when it was signed is exchanged only so soon after, in seconds, whenever it ends.
const MAX_AGE: i64 = 3600;

/// Whose tokens are exchanged for what.
#[derive(Clone, Default)]
pub struct Trust(Arc<Mutex<Vec<Arc<Trusted>>>>);

struct Trusted {
    rule: Rule,
    issuer: Arc<Issuer>,
}

impl Trust {
    /// From now on these count. One that is trusted as before is not asked anew.
    fn become_these(&self, rules: Vec<Rule>) -> Result<(), String> {
        let mut issuers: BTreeMap<(String, String), Arc<Issuer>> = BTreeMap::new();
        let mut trusted = Vec::new();
        for rule in rules {
            let key = (rule.issuer.clone(), rule.ca_bundle.clone());
            let issuer = match issuers.entry(key) {
                Entry::Occupied(there) => Arc::clone(there.get()),
                Entry::Vacant(place) => Arc::clone(place.insert(Arc::new(issuer(&rule)?))),
            };
            trusted.push(Arc::new(Trusted { rule, issuer }));
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = trusted;
        Ok(())
    }

    /// From the file; none: nobody is trusted.
    pub fn read(&self, text: Option<&str>) -> Result<usize, String> {
        let rules = text.map_or_else(|| Ok(Vec::new()), rules::read)?;
        let count = rules.len();
        self.become_these(rules)?;
        Ok(count)
    }

    #[cfg(test)]
    pub(crate) fn knows(&self, issuer: &str, service: (&str, &str)) -> bool {
        !self.of(issuer, service).is_empty()
    }

    fn of(&self, issuer: &str, service: (&str, &str)) -> Vec<Arc<Trusted>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |it: &&Arc<Trusted>| it.rule.issuer == issuer && it.rule.is_for(service);
        all.iter().filter(fits).cloned().collect()
    }
}

fn issuer(rule: &Rule) -> Result<Issuer, String> {
    let bundle = CertificateDer::pem_slice_iter(rule.ca_bundle.as_bytes()).collect::<Result<Vec<_>, _>>();
    let bundle = bundle.map_err(|_| "federation.caBundle: write certificates as PEM.".to_owned())?;
    Ok(Issuer::new(&rule.issuer, outbound::Client::new(outbound::Allowed::anywhere(), &bundle)))
}

/// What is to be exchanged (RFC 8693).
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// `urn:ietf:params:oauth:grant-type:token-exchange`
    grant_type: String,
    /// The token of the CI system.
    subject_token: String,
    /// `urn:ietf:params:oauth:token-type:jwt`, or `…:id_token`
    subject_token_type: String,
    /// For which Service: `namespace/name`.
    resource: String,
    /// What is to be done with it: `deploy`, `cancel`, or both with a blank between. Default: all that the installation allows.
    #[serde(default)]
    scope: Option<String>,
}

/// A token for a Service (RFC 8693).
#[derive(Debug, Serialize, ToSchema)]
pub struct Exchanged {
    /// Bearer of requests.
    access_token: String,
    /// `urn:ietf:params:oauth:token-type:access_token`
    issued_token_type: &'static str,
    /// `Bearer`
    token_type: &'static str,
    /// Seconds until it ends.
    expires_in: i64,
    /// What may be done with it, besides reading.
    scope: String,
}

/// Why a token is not exchanged: for the log.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum No {
    #[error("no rule trusts its issuer for this Service")]
    Untrusted,
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("its claim {0} is not what the rule asks for")]
    Claim(String),
    #[error("it was signed more than an hour ago (claim iat)")]
    Old,
    #[error("the rule does not allow {0}")]
    Verb(String),
    #[error("it was exchanged before (claim jti)")]
    Replayed,
    #[error("there is no such Service")]
    Missing,
}

/// Exchange a token of a trusted CI system for one for a Service.
#[utoipa::path(post, path = "/token", tag = "tokens", operation_id = "exchangeToken", security(()),
    request_body(content = Exchange, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, body = Exchanged),
        (status = 403, description = "NotTrusted", body = Problem, content_type = "application/problem+json"),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn exchange(
    State(app): State<App>,
    form: Result<Form<Exchange>, FormRejection>,
) -> Result<Json<Exchanged>, Problem> {
    let Form(Exchange { grant_type, subject_token, subject_token_type, resource, scope }) =
        form.map_err(|error| {
            if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
                Problem::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "TooLarge",
                    format!("The body has at most {MAX_BODY} bytes."),
                )
            } else {
                Problem::bad_request(format!("{}.", error.body_text().trim_end_matches('.')))
            }
        })?;
    if grant_type != GRANT {
        return Err(Problem::invalid(Some("grant_type"), format!("grant_type: write {GRANT}.")));
    }
    if subject_token_type != JWT && subject_token_type != ID_TOKEN {
        return Err(Problem::invalid(
            Some("subject_token_type"),
            format!("subject_token_type: write {JWT}."),
        ));
    }
    let of = resource.split_once('/').filter(|(_, name)| !name.contains('/'));
    let of = of.ok_or_else(|| {
        Problem::invalid(Some("resource"), "resource: write namespace/name of the Service.")
    })?;
    let wished = scope.as_deref().map(verbs).transpose()?;
    let trusted = app.people.trust.of(&issuer_of(&subject_token), of);
    let mut no = No::Untrusted;
    for trusted in trusted {
        match look(&app, &trusted, &subject_token, of, wished.as_deref()).await {
            Ok(exchanged) => return Ok(Json(exchanged)),
            Err(Trouble::No(why)) => no = why,
            Err(Trouble::Problem(problem)) => return Err(problem),
        }
    }
    let (error, service) = (no.to_string(), format!("{}/{}", of.0, of.1));
    let service: String = service.chars().filter(|c| !c.is_control()).take(130).collect();
    tracing::warn!(error, "a token of a CI system was not exchanged for one for {service}: {error}");
    // Who is not trusted learns nothing of the rules, nor which Services there are.
    let detail = "This token is not exchanged for one for that Service. The log of the api-server says why; \
                  which tokens are, stands in the chart's value federation.";
    Err(Problem::new(StatusCode::FORBIDDEN, "NotTrusted", detail))
}

enum Trouble {
    No(No),
    Problem(Problem),
}

impl<T: Into<No>> From<T> for Trouble {
    fn from(no: T) -> Self {
        Self::No(no.into())
    }
}

async fn look(
    app: &App,
    trusted: &Trusted,
    token: &str,
    of: (&str, &str),
    wished: Option<&[TokenVerb]>,
) -> Result<Exchanged, Trouble> {
    let Trusted { rule, issuer } = trusted;
    let now = (app.clock)();
    let claims = issuer.verify(token, &rule.audience, now).await.map_err(|failure| match failure {
        Failure::Refused(refusal) => Trouble::No(refusal.into()),
        Failure::Away(away) => Trouble::Problem(Problem::unavailable(
            "The issuer of that token does not answer, so nobody can say whether it counts. Try again in a moment.",
            away,
        )),
    })?;
    if let Some(claim) = rule.misses(&claims) {
        return Err(No::Claim(claim.to_owned()).into());
    }
    if foreign::seconds(&claims, "iat").is_none_or(|at| at + MAX_AGE < now.as_second()) {
        return Err(No::Old.into());
    }
    let wished = wished.unwrap_or(&rule.verbs);
    if let Some(verb) = wished.iter().find(|verb| !rule.verbs.contains(verb)) {
        return Err(No::Verb(format!("{verb:?}").to_lowercase()).into());
    }
    let there = app.cluster.service(of.0, of.1).await.map_err(|error| Trouble::Problem(error.into()))?;
    if there.is_none() {
        return Err(No::Missing.into());
    }
    let by = subject(rule, &claims);
    let id = once(&claims, issuer.url(), of);
    let made = tokens::issue(app, id, ("federated", &rule.name, &by), of, wished, now + rule.lasts()).await;
    let made = made.map_err(Trouble::Problem)?.ok_or(No::Replayed)?;
    audit::by(&by);
    audit::about(of.0, of.1, &rule.name);
    let service = format!("{}/{}", of.0, of.1);
    tracing::info!(user.name = by, token.id = %made.id, "{by} got a token \"{}\" for {service}", rule.name);
    let scope = wished.iter().map(|verb| format!("{verb:?}").to_lowercase()).collect::<Vec<_>>().join(" ");
    let expires_in = rule.lasts().as_secs();
    Ok(Exchanged {
        access_token: made.token,
        issued_token_type: ACCESS_TOKEN,
        token_type: "Bearer",
        expires_in,
        scope,
    })
}

/// Who it is, for the audit log: by which rule, and what the issuer calls them.
fn subject(rule: &Rule, claims: &Claims) -> String {
    let said = claims.get("sub").and_then(Value::as_str).unwrap_or_default();
    let said: String = said.chars().filter(|c| !c.is_control()).take(180).collect();
    format!("federation:{} {said}", rule.name).trim_end().to_owned()
}

/// The same token makes the same id, so for one Service it is exchanged once, whichever replica is asked. Without a
/// name of its own (`jti`) it may be exchanged until it ends.
fn once(claims: &Claims, issuer: &str, (namespace, service): (&str, &str)) -> Uuid {
    let Some(jti) = claims.get("jti").and_then(Value::as_str).filter(|jti| !jti.is_empty()) else {
        return Uuid::new_v4();
    };
    let mut hash = Sha256::new();
    for part in [issuer, jti, namespace, service] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut id = [0; 16];
    id.copy_from_slice(&hash.finalize()[..16]);
    uuid::Builder::from_custom_bytes(id).into_uuid()
}

/// What the token says of who signed it: nothing is believed yet, it only says whom to ask.
fn issuer_of(token: &str) -> String {
    jsonwebtoken::dangerous::insecure_decode_claims::<Value>(token)
        .ok()
        .and_then(|claims| claims["iss"].as_str().map(ToOwned::to_owned))
        .unwrap_or_default()
}

fn verbs(scope: &str) -> Result<Vec<TokenVerb>, Problem> {
    let words = scope.split(' ').filter(|word| !word.is_empty());
    let verbs: Result<Vec<TokenVerb>, _> = words
        .map(|word| match word {
            "deploy" => Ok(TokenVerb::Deploy),
            "cancel" => Ok(TokenVerb::Cancel),
            _ => Err(Problem::invalid(
                Some("scope"),
                "scope: write deploy, cancel, or both with a blank between.",
            )),
        })
        .collect();
    verbs
}
