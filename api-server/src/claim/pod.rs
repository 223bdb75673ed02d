//! Is the pod that asks the pod of this attempt? What Kubernetes says about it decides, not what
//! the pod says about itself.

use crds::names::{ANNOTATION_TIMEOUT, LABEL_DEPLOYMENT, job};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Pod;

use super::answer::Refusal;
use super::caller::Caller;

/// Most that a pod may say about how long its run may last: a day, as in `policy.timeout`.
const MAX_TIMEOUT_SECONDS: i64 = 24 * 60 * 60;

/// The pod of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunPod {
    /// Its uid.
    pub uid: String,
    /// Name of the Deployment, in the pod's namespace.
    pub deployment: String,
    /// From the claim to the end of Ansible.
    pub timeout: SignedDuration,
}

/// Look at the pod of `caller` as the Kubernetes API has it now.
pub fn examine(caller: &Caller, attempt: u32, pod: Option<&Pod>) -> Result<RunPod, Refusal> {
    let not_this_pod = |message: &str| Refusal::forbidden("NotThisPod", message);
    let meta = &pod.ok_or_else(|| not_this_pod("The pod that this token was made for is gone."))?.metadata;
    let uid = meta.uid.as_deref().filter(|uid| *uid == caller.pod_uid);
    let uid = uid.ok_or_else(|| not_this_pod("The pod that this token was made for has been replaced."))?;
    let deployment = meta.labels.as_ref().and_then(|labels| labels.get(LABEL_DEPLOYMENT));
    let deployment = deployment.ok_or_else(|| not_this_pod("This pod belongs to no Deployment."))?;

    let wanted = job(deployment, attempt);
    let is_ours = meta.owner_references.iter().flatten().any(|owner| {
        owner.controller == Some(true)
            && owner.api_version == "batch/v1"
            && owner.kind == "Job"
            && owner.name == wanted
    });
    if !is_ours {
        return Err(not_this_pod(&format!("This pod was not made by Job {wanted}.")));
    }
    if meta.deletion_timestamp.is_some() {
        return Err(Refusal::forbidden("PodDeleted", "This pod is being deleted: nothing starts in it."));
    }
    let seconds = meta.annotations.as_ref().and_then(|annotations| annotations.get(ANNOTATION_TIMEOUT));
    let timeout =
        seconds.and_then(|text| text.parse().ok()).filter(|s| (1..=MAX_TIMEOUT_SECONDS).contains(s));
    let timeout = timeout.map(SignedDuration::from_secs).ok_or_else(|| {
        let message = format!(
            "This pod does not say how long the run may last: annotation {ANNOTATION_TIMEOUT}, 1 to {MAX_TIMEOUT_SECONDS}."
        );
        Refusal::forbidden("NoTimeout", message)
    })?;
    Ok(RunPod { uid: uid.to_owned(), deployment: deployment.clone(), timeout })
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};

    use super::*;
    use crate::claim::fake;

    fn examine_changed(change: impl Fn(&mut Pod)) -> Result<RunPod, Refusal> {
        let mut pod = fake::pod();
        change(&mut pod);
        examine(&fake::caller(), 1, Some(&pod))
    }

    #[test]
    fn the_pod_of_the_attempt_is_recognised() {
        let pod = RunPod {
            uid: "pod-1".into(),
            deployment: "blog-1".into(),
            timeout: SignedDuration::from_mins(30),
        };
        assert_eq!(examine_changed(|_| {}), Ok(pod));
    }

    #[test]
    fn any_other_pod_is_refused() {
        type Change = fn(&mut Pod);
        let cases: [(&str, &str, Change); 14] = [
            ("replaced", "NotThisPod", |p| p.metadata.uid = Some("pod-2".into())),
            ("without uid", "NotThisPod", |p| p.metadata.uid = None),
            ("no labels", "NotThisPod", |p| p.metadata.labels = None),
            ("label of another", "NotThisPod", |p| {
                p.metadata.labels.as_mut().unwrap().insert(LABEL_DEPLOYMENT.into(), "blog-2".into());
            }),
            ("no owner", "NotThisPod", |p| p.metadata.owner_references = None),
            ("another attempt's Job", "NotThisPod", |p| owner_mut(p).name = "blog-1-a2".into()),
            ("a longer attempt", "NotThisPod", |p| owner_mut(p).name = "blog-1-a11".into()),
            ("not its controller", "NotThisPod", |p| owner_mut(p).controller = None),
            ("owned by another kind", "NotThisPod", |p| owner_mut(p).kind = "ReplicaSet".into()),
            ("owned by another Job kind", "NotThisPod", |p| owner_mut(p).api_version = "evil.dev/v1".into()),
            ("no timeout", "NoTimeout", |p| p.metadata.annotations = None),
            ("a timeout in words", "NoTimeout", |p| set_timeout(p, "30m")),
            ("no time at all", "NoTimeout", |p| set_timeout(p, "0")),
            ("for ever", "NoTimeout", |p| set_timeout(p, "9223372036854775807")),
        ];
        for (name, reason, change) in cases {
            let refusal = examine_changed(change).expect_err(name);
            assert_eq!((refusal.status, refusal.reason), (StatusCode::FORBIDDEN, reason), "{name}");
        }
        assert_eq!(examine(&fake::caller(), 1, None).unwrap_err().reason, "NotThisPod");
        assert_eq!(examine(&fake::caller(), 2, Some(&fake::pod())).unwrap_err().reason, "NotThisPod");
    }

    #[test]
    fn a_dying_pod_starts_nothing() {
        let refusal = examine_changed(|p| {
            p.metadata.deletion_timestamp = Some(Time(fake::NOW));
        });
        assert_eq!(refusal.unwrap_err().reason, "PodDeleted");
    }

    fn owner_mut(pod: &mut Pod) -> &mut OwnerReference {
        &mut pod.metadata.owner_references.as_mut().unwrap()[0]
    }

    fn set_timeout(pod: &mut Pod, value: &str) {
        pod.metadata.annotations.as_mut().unwrap().insert(ANNOTATION_TIMEOUT.into(), value.into());
    }
}
