//! From what the organisation says to a name and groups, as the cluster's API server would give them. Pure.

use serde_json::Value;
use store::users::Identity;

use super::settings::{RESERVED, Settings};
use crate::identity::foreign::{Claims, Refusal, audiences};

/// Longest name, and longest subject, in bytes.
const MAX_NAME: usize = 255;
/// Most groups, and most bytes of them: each request carries them.
const MAX_GROUPS: usize = 200;
const MAX_GROUPS_BYTES: usize = 6 * 1024;

/// Why nobody is signed in by it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unnamed {
    /// It is not the answer to this sign-in.
    #[error("the token is refused: {0}")]
    Refused(#[from] Refusal),
    /// It does not say what they are called.
    #[error("its claim {0} is missing, or is not a name")]
    Name(String),
    /// Their e-mail address is not theirs for sure.
    #[error("it says that the e-mail address is not verified (claim email_verified)")]
    Unverified,
    /// They would look like one of Kubernetes' or of ours.
    #[error("the name {0} is not one of an organisation")]
    Reserved(String),
    /// More groups than a request can carry.
    #[error(
        "it names {0} groups; at most 200 with 6 kB together can be used: have it send those that matter here"
    )]
    Groups(usize),
}

/// Who it is. The token's signature and times have been looked at.
pub fn identity(settings: &Settings, claims: &Claims, nonce: &str) -> Result<Identity, Unnamed> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    if text("nonce") != Some(nonce) {
        return Err(Refusal::Claim("nonce").into());
    }
    // Among several audiences one has asked for it: that must be us.
    let party = claims.contains_key("azp").then(|| text("azp").unwrap_or_default());
    if party.map_or(audiences(claims).len() > 1, |party| party != settings.client_id) {
        return Err(Refusal::Party.into());
    }
    let subject = text("sub").filter(|subject| subject.len() <= MAX_NAME).ok_or(Refusal::Claim("sub"))?;
    let claim = settings.username_claim();
    // As Kubernetes: what is not verified is not an address.
    if claim == "email" && claims.get("email_verified").is_some_and(|verified| *verified != Value::Bool(true))
    {
        return Err(Unnamed::Unverified);
    }
    let said = text(claim).filter(|said| !said.chars().any(char::is_control));
    let name = said.map(|said| format!("{}{said}", settings.username_prefix()));
    let name = name.filter(|name| name.len() <= MAX_NAME).ok_or_else(|| Unnamed::Name(claim.to_owned()))?;
    if is_reserved(&name) {
        return Err(Unnamed::Reserved(name));
    }
    let groups = groups(settings, claims)?;
    Ok(Identity { issuer: settings.issuer.clone(), subject: subject.to_owned(), name, groups })
}

fn groups(settings: &Settings, claims: &Claims) -> Result<Vec<String>, Unnamed> {
    let said: Vec<&str> = match claims.get(&settings.groups_claim) {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let sound = |group: &&&str| !group.is_empty() && !group.chars().any(char::is_control);
    let mut groups: Vec<String> =
        said.iter().filter(sound).map(|group| format!("{}{group}", settings.groups_prefix)).collect();
    // Nobody outside says who is one of Kubernetes' own, or administers us.
    groups.retain(|group| !is_reserved(group));
    groups.sort();
    groups.dedup();
    if groups.len() > MAX_GROUPS || groups.iter().map(String::len).sum::<usize>() > MAX_GROUPS_BYTES {
        return Err(Unnamed::Groups(groups.len()));
    }
    Ok(groups)
}

fn is_reserved(name: &str) -> bool {
    name == "fastDeploy" || RESERVED.iter().any(|taken| name.starts_with(taken))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings(change: &Value) -> Settings {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut all = json!({"issuer": "https://sso.example.com", "clientId": "fastdeploy", "url": "https://deploy.example.com",
            "usernameClaim": "preferred_username", "usernamePrefix": "oidc:", "groupsPrefix": "oidc:"});
        for (key, value) in change.as_object().unwrap() {
            all[key] = value.clone();
        }
        Settings::read(&all.to_string()).unwrap()
    }

    fn who(change: &Value, settings: &Settings) -> Result<Identity, Unnamed> {
        let mut all = json!({"aud": "fastdeploy", "nonce": "n", "sub": "1", "preferred_username": "anna", "email": "a@example.com"});
        for (key, value) in change.as_object().unwrap() {
            all[key] = value.clone();
        }
        all.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        identity(settings, all.as_object().unwrap(), "n")
    }

    #[test]
    fn name_and_groups_are_those_of_the_cluster() {
        let plain = settings(&json!({}));
        let anna = who(&json!({"groups": ["web", "ops", "web"]}), &plain).unwrap();
        assert_eq!((anna.name.as_str(), anna.subject.as_str()), ("oidc:anna", "1"));
        assert_eq!(anna.groups, ["oidc:ops", "oidc:web"]);
        assert_eq!(who(&json!({"groups": "web"}), &plain).unwrap().groups, ["oidc:web"]);
        assert_eq!(who(&json!({"groups": {"a": 1}}), &plain).unwrap().groups, [""; 0]);
        let email = settings(&json!({"usernameClaim": "email", "usernamePrefix": ""}));
        assert_eq!(who(&json!({}), &email).unwrap().name, "a@example.com");
        assert_eq!(who(&json!({"email_verified": true}), &email).unwrap().name, "a@example.com");
        for unsure in [json!(false), json!("true")] {
            assert_eq!(who(&json!({"email_verified": unsure}), &email), Err(Unnamed::Unverified));
        }
    }

    #[test]
    fn nobody_is_taken_for_one_of_kubernetes_or_of_ours() {
        let bare = settings(&json!({"usernamePrefix": "-", "groupsPrefix": ""}));
        for taken in [
            "system:admin",
            "system:serviceaccount:kube-system:default",
            "fastdeploy:admin",
            "token:ci",
            "fastDeploy",
        ] {
            assert_eq!(
                who(&json!({"preferred_username": taken}), &bare),
                Err(Unnamed::Reserved(taken.into()))
            );
        }
        let groups = json!({"groups": ["system:masters", "fastdeploy:admins", "web", ""]});
        assert_eq!(who(&groups, &bare).unwrap().groups, ["web"]);
    }

    #[test]
    fn an_answer_to_another_question_is_none() {
        let plain = settings(&json!({}));
        for (change, refusal) in [
            (json!({"nonce": "other"}), Refusal::Claim("nonce")),
            (json!({"nonce": null}), Refusal::Claim("nonce")),
            (json!({"azp": "other"}), Refusal::Party),
            (json!({"azp": 1}), Refusal::Party),
            (json!({"aud": ["fastdeploy", "other"]}), Refusal::Party),
            (json!({"sub": null}), Refusal::Claim("sub")),
            (json!({"sub": "x".repeat(256)}), Refusal::Claim("sub")),
        ] {
            assert_eq!(who(&change, &plain), Err(Unnamed::Refused(refusal)), "{change}");
        }
        assert!(who(&json!({"aud": ["fastdeploy", "other"], "azp": "fastdeploy"}), &plain).is_ok());
        for nameless in [json!(null), json!(""), json!("a\nb"), json!(7), json!("x".repeat(255))] {
            let unnamed = Err(Unnamed::Name("preferred_username".into()));
            assert_eq!(who(&json!({"preferred_username": nameless}), &plain), unnamed);
        }
        let many: Vec<String> = (0..201).map(|n| n.to_string()).collect();
        assert_eq!(who(&json!({"groups": many}), &plain), Err(Unnamed::Groups(201)));
        let long: Vec<String> = (0..70).map(|n| format!("{n}{}", "x".repeat(90))).collect();
        assert_eq!(who(&json!({"groups": long}), &plain), Err(Unnamed::Groups(70)));
    }
}
