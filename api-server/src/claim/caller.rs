//! Who asks: the answer to a TokenReview becomes a pod, or nobody.

use k8s_openapi::api::authentication::v1::{TokenReviewStatus, UserInfo};

const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";

/// The pod that a token was made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub pod_name: String,
    /// Its uid.
    pub pod_uid: String,
}

/// Which pod it is. The error says what is missing: for the log.
pub fn identify(review: &TokenReviewStatus, audience: &str) -> Result<Caller, &'static str> {
    if review.authenticated != Some(true) {
        return Err("the token is not valid, or was made for something else");
    }
    // Kubernetes lists what it accepted. An API server that knows no audiences would list none.
    if !review.audiences.iter().flatten().any(|accepted| accepted == audience) {
        return Err("the token was made for another audience");
    }
    let user = review.user.as_ref().ok_or("the token belongs to nobody")?;
    let (namespace, _) = user
        .username
        .as_deref()
        .and_then(|name| name.strip_prefix("system:serviceaccount:"))
        .and_then(|name| name.split_once(':'))
        .filter(|(namespace, account)| !namespace.is_empty() && !account.is_empty() && !account.contains(':'))
        .ok_or("the token does not belong to a service account")?;
    Ok(Caller {
        namespace: namespace.to_owned(),
        pod_name: extra(user, POD_NAME).ok_or("the token is not bound to a pod")?.to_owned(),
        pod_uid: extra(user, POD_UID).ok_or("the token is not bound to a pod")?.to_owned(),
    })
}

/// The value, where there is exactly one.
fn extra<'a>(user: &'a UserInfo, key: &str) -> Option<&'a str> {
    match user.extra.as_ref()?.get(key)?.as_slice() {
        [value] if !value.is_empty() => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const AUDIENCE: &str = "fastdeploy.dev/run/uid-1/1";

    fn review(change: impl Fn(&mut Value)) -> TokenReviewStatus {
        let mut status = json!({
            "authenticated": true,
            "audiences": [AUDIENCE],
            "user": {
                "username": "system:serviceaccount:team-web:runner",
                "extra": { POD_NAME: ["blog-1-a1-x"], POD_UID: ["pod-1"], "authentication.kubernetes.io/node-name": ["n"] },
            },
        });
        change(&mut status);
        serde_json::from_value(status).unwrap()
    }

    #[test]
    fn a_pods_token_names_its_pod() {
        let caller =
            Caller { namespace: "team-web".into(), pod_name: "blog-1-a1-x".into(), pod_uid: "pod-1".into() };
        assert_eq!(identify(&review(|_| {}), AUDIENCE), Ok(caller));
    }

    #[test]
    fn everything_else_is_nobody() {
        type Change = fn(&mut Value);
        let cases: [(&str, Change); 18] = [
            ("not authenticated", |s| s["authenticated"] = json!(false)),
            ("no word on it", |s| s["authenticated"] = Value::Null),
            ("audience not echoed", |s| s["audiences"] = Value::Null),
            ("no audience", |s| s["audiences"] = json!([])),
            ("another attempt", |s| s["audiences"] = json!(["fastdeploy.dev/run/uid-1/2"])),
            ("the API server's audience", |s| s["audiences"] = json!(["https://kubernetes.default.svc"])),
            ("a longer one", |s| s["audiences"] = json!(["fastdeploy.dev/run/uid-1/11"])),
            ("no user", |s| s["user"] = Value::Null),
            ("a person", |s| s["user"]["username"] = json!("anna")),
            ("a node", |s| s["user"]["username"] = json!("system:node:n")),
            ("no account", |s| s["user"]["username"] = json!("system:serviceaccount:team-web:")),
            ("no namespace", |s| s["user"]["username"] = json!("system:serviceaccount::runner")),
            ("one part too few", |s| s["user"]["username"] = json!("system:serviceaccount:team-web")),
            ("one part too many", |s| s["user"]["username"] = json!("system:serviceaccount:a:b:c")),
            ("no extra", |s| s["user"]["extra"] = Value::Null),
            ("no pod", |s| s["user"]["extra"] = json!({ POD_UID: ["pod-1"] })),
            ("no uid", |s| s["user"]["extra"] = json!({ POD_NAME: ["p"], POD_UID: [""] })),
            ("two pods", |s| s["user"]["extra"][POD_NAME] = json!(["p", "q"])),
        ];
        for (name, change) in cases {
            assert!(identify(&review(change), AUDIENCE).is_err(), "{name}");
        }
        assert!(identify(&TokenReviewStatus::default(), AUDIENCE).is_err());
    }
}
