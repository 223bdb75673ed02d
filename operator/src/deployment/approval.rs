//! Whether somebody has to agree to a run, and has. Pure.

use crds::{
    Deployment, DeploymentStatus, Reason, Service,
    deployment::{ApprovalStatus, Decision, Mode, Via},
};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use crate::service::triggers::via;

/// What a look at a run's approval says.
#[derive(Clone, Debug, PartialEq)]
pub enum Look {
    /// Nobody has to agree.
    NotNeeded,
    /// Somebody has agreed; it counts until then.
    Given(ApprovalStatus, Timestamp),
    /// Nobody has agreed yet; it is given up at that time.
    Waits(Timestamp),
    /// Somebody refused it.
    Refused(ApprovalStatus),
    /// It will not run.
    Not(Reason, String),
}

/// Whether it has to wait before it may be given its turn.
pub fn is_missing(service: &Service, deployment: &Deployment) -> bool {
    let given = deployment.status.as_ref().and_then(|status| status.approval.as_ref());
    is_needed(service, deployment) && given.is_none_or(|given| given.decision != Decision::Approved)
}

/// Previews change nothing; a rollback is what the policy agreed to.
fn is_needed(service: &Service, deployment: &Deployment) -> bool {
    service.spec.policy.approval.required
        && deployment.spec.mode == Mode::Apply
        && via(service, deployment).0 != Via::Rollback
}

/// Looks at it. `status`: the Deployment's, with digest and requester.
pub fn look(service: &Service, deployment: &Deployment, status: &DeploymentStatus, now: Timestamp) -> Look {
    if !is_needed(service, deployment) || status.attempt.is_some() {
        return Look::NotNeeded;
    }
    let rule = &service.spec.policy.approval;
    let lasts =
        crds::duration::parse(&rule.expires_after).ok().and_then(|d| SignedDuration::try_from(d).ok());
    let after = |time: Timestamp| {
        time.saturating_add(lasts.unwrap_or(SignedDuration::from_hours(24))).unwrap_or(Timestamp::MAX)
    };
    let Some(given) = &deployment.spec.approval else {
        let since = deployment.metadata.creation_timestamp.as_ref().map_or(now, |time| time.0);
        let until = after(since);
        if now >= until {
            let message = format!("Nobody agreed within {}", rule.expires_after);
            return Look::Not(Reason::ApprovalExpired, message);
        }
        return Look::Waits(until);
    };
    let void = |message: String| Look::Not(Reason::ApprovalVoid, message);
    let seen = ApprovalStatus { by: given.by.clone(), decision: given.decision, at: now };
    if given.decision == Decision::Rejected {
        return Look::Refused(seen);
    }
    if status.digest.as_ref() != Some(&given.digest) {
        return void(format!(
            "{} agreed to {}, but this run is {}",
            person(&given.by),
            given.digest,
            status.digest.as_deref().unwrap_or_default()
        ));
    }
    let (who, _) = via(service, deployment);
    let unknown = crds::names::requester(deployment.annotations()).is_none();
    if !rule.own && who == Via::Kubectl && unknown {
        return void("Nobody knows who asked for this run, so nobody can be told from them; deploy on the page, or set policy.approval.own".into());
    }
    let asked = status.requested_by.as_ref().map(|by| by.name.as_str());
    if !rule.own && asked == Some(person(&given.by)) {
        return void(format!("{} asked for this run, so somebody else has to agree", person(&given.by)));
    }
    let given = status.approval.clone().unwrap_or(seen);
    let until = after(given.at);
    if now >= until {
        let message =
            format!("It did not begin within {} after {} had agreed", rule.expires_after, person(&given.by));
        return Look::Not(Reason::ApprovalExpired, message);
    }
    Look::Given(given, until)
}

/// As people know each other: without the prefix that tells our people from the cluster's.
pub fn person(user: &str) -> &str {
    user.strip_prefix(crds::names::USER_PREFIX).unwrap_or(user)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const D: &str = "v1:sha256:aa";

    fn service(approval: &Value) -> Service {
        serde_json::from_value(json!({
            "apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Service",
            "metadata": {"name": "blog", "uid": "u"},
            "spec": {"source": {"inline": {}}, "playbook": "p", "inventory": {"local": true}, "policy": {"approval": approval}},
        }))
        .expect("a Service")
    }

    fn asked_by(person: &str, approval: Value) -> Deployment {
        let approval = if approval.is_null() { None } else { Some(approval) };
        serde_json::from_value(json!({
            "apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Deployment",
            "metadata": {"name": "run", "creationTimestamp": "2026-11-23T12:00:00Z", "annotations": {"fastdeploy.dev/requested-by": person}},
            "spec": {"service": "blog", "approval": approval},
        }))
        .expect("a Deployment")
    }

    fn status(person: &str) -> DeploymentStatus {
        serde_json::from_value(json!({"digest": D, "requestedBy": {"name": person, "via": "Dashboard"}}))
            .expect("a status")
    }

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn only_another_persons_word_on_this_very_run_counts_and_not_for_ever() {
        let rule = service(&json!({"required": true, "expiresAfter": "1h"}));
        let now = at("2026-11-23T12:10:00Z");
        let yes = |by: &str, digest: &str| json!({"decision": "Approved", "digest": digest, "by": by});
        let see = |approval: Value| look(&rule, &asked_by("anna", approval), &status("anna"), now);
        assert_eq!(see(Value::Null), Look::Waits(at("2026-11-23T13:00:00Z")));
        assert!(matches!(see(yes("fastdeploy:bob", D)), Look::Given(..)));
        for (approval, reason) in [
            (yes("fastdeploy:anna", D), Reason::ApprovalVoid),
            (yes("fastdeploy:bob", "v1:sha256:bb"), Reason::ApprovalVoid),
        ] {
            assert!(matches!(see(approval.clone()), Look::Not(r, _) if r == reason), "{approval}");
        }
        let no = see(json!({"decision": "Rejected", "digest": D, "by": "fastdeploy:bob"}));
        let by_bob = ApprovalStatus { by: "fastdeploy:bob".into(), decision: Decision::Rejected, at: now };
        assert_eq!(no, Look::Refused(by_bob));
        let late = at("2026-11-23T13:00:00Z");
        let unanswered = look(&rule, &asked_by("anna", Value::Null), &status("anna"), late);
        assert!(matches!(unanswered, Look::Not(Reason::ApprovalExpired, _)));
        let mut given = status("anna");
        given.approval = Some(ApprovalStatus { by: "bob".into(), decision: Decision::Approved, at: now });
        let stale = look(&rule, &asked_by("anna", yes("bob", D)), &given, at("2026-11-23T13:10:00Z"));
        assert!(matches!(stale, Look::Not(Reason::ApprovalExpired, _)), "{stale:?}");
    }

    #[test]
    fn the_rules_may_be_laxer() {
        let now = at("2026-11-23T12:10:00Z");
        let own = json!({"decision": "Approved", "digest": D, "by": "fastdeploy:anna"});
        let lax = service(&json!({"required": true, "own": true}));
        assert!(matches!(look(&lax, &asked_by("anna", own), &status("anna"), now), Look::Given(..)));
        assert_eq!(
            look(&service(&json!({})), &asked_by("anna", Value::Null), &status("anna"), now),
            Look::NotNeeded
        );
        let mut preview = asked_by("anna", Value::Null);
        preview.spec.mode = Mode::Check;
        let strict = service(&json!({"required": true}));
        assert_eq!(look(&strict, &preview, &status("anna"), now), Look::NotNeeded);
        assert!(is_missing(&strict, &asked_by("anna", Value::Null)) && !is_missing(&strict, &preview));
    }

    #[test]
    fn who_is_not_known_cannot_be_told_from_who_agrees() {
        let mut run = asked_by("anna", json!({"decision": "Approved", "digest": D, "by": "bob"}));
        run.metadata.annotations = None;
        let now = at("2026-11-23T12:10:00Z");
        let strict = service(&json!({"required": true}));
        assert!(matches!(look(&strict, &run, &status("x"), now), Look::Not(Reason::ApprovalVoid, _)));
        // Where the cluster says who it was, they can.
        let known = [
            (crds::names::ANNOTATION_REQUESTED_BY, "anna"),
            (crds::names::ANNOTATION_REQUESTED_VIA, "Kubectl"),
        ];
        run.metadata.annotations = Some(known.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
        assert_eq!(via(&strict, &run).0, Via::Kubectl);
        assert!(matches!(look(&strict, &run, &status("anna"), now), Look::Given(..)));
        let own = look(&strict, &run, &status("bob"), now);
        assert!(matches!(own, Look::Not(Reason::ApprovalVoid, _)), "{own:?}");
    }
}
