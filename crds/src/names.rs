//! Group, labels, annotations, finalizers and the names of children, each spelled once.

use sha2::{Digest, Sha256};

/// API group of both kinds.
pub const GROUP: &str = "fastdeploy.dev";
/// Field manager of everything that the operator writes.
pub const OPERATOR: &str = "fastdeploy-operator";
/// Field manager of everything that the api-server writes.
pub const API_SERVER: &str = "fastdeploy-api-server";

/// Label on every child: name of the Service.
pub const LABEL_SERVICE: &str = "fastdeploy.dev/service";
/// Label on children of a Deployment: its name.
pub const LABEL_DEPLOYMENT: &str = "fastdeploy.dev/deployment";
/// Label on the pods and Jobs of runs: number of the attempt.
pub const LABEL_ATTEMPT: &str = "fastdeploy.dev/attempt";
/// Label on ConfigMaps (and Secrets): changes are noticed at once instead of at the next look.
pub const LABEL_WATCH: &str = "fastdeploy.dev/watch";

/// Annotation on a Service: any new value asks for a check now.
pub const ANNOTATION_REQUESTED_AT: &str = "fastdeploy.dev/requestedAt";
/// Annotation on a Deployment that the operator made: what triggered it.
pub const ANNOTATION_TRIGGER: &str = "fastdeploy.dev/trigger";
/// Annotation on a Deployment: who asked for it. The api-server writes it, and an admission policy for whoever
/// comes by another way; nobody else's word counts.
pub const ANNOTATION_REQUESTED_BY: &str = "fastdeploy.dev/requested-by";
/// Annotation on a Deployment: the trace that it belongs to, as W3C's `traceparent`. Anybody may write it when they
/// create the Deployment; without it, the Deployment begins a trace of its own.
pub const ANNOTATION_TRACEPARENT: &str = "fastdeploy.dev/traceparent";
/// Annotation on a Deployment that did not come from the api-server, beside [`ANNOTATION_REQUESTED_BY`].
pub const ANNOTATION_REQUESTED_VIA: &str = "fastdeploy.dev/requested-via";
/// Annotation on a Deployment with secret answers of its own: by which the api-server knows whether it is asked for the
/// same ones again. Nobody else can tell anything from it.
pub const ANNOTATION_SECRET_INPUTS_MAC: &str = "fastdeploy.dev/secret-inputs-mac";
/// Value of [`ANNOTATION_REQUESTED_VIA`]: straight at Kubernetes.
pub const VIA_KUBECTL: &str = "Kubectl";
/// Annotation on a Service: who changed its spec last. The api-server writes it, and an admission policy for whoever
/// comes by another way; it counts for the generation of [`ANNOTATION_CHANGED_GENERATION`] only.
pub const ANNOTATION_CHANGED_BY: &str = "fastdeploy.dev/changed-by";
/// Annotation on a Service: `metadata.generation` of the spec that [`ANNOTATION_CHANGED_BY`] has written.
pub const ANNOTATION_CHANGED_GENERATION: &str = "fastdeploy.dev/changed-generation";
/// Annotation on a run's pod: how to stop (`AfterStep` or `Now`), read by the runner through the downward API.
pub const ANNOTATION_CANCEL: &str = "fastdeploy.dev/cancel";
/// Annotation on a run's pod: seconds from the claim to the end of Ansible, read by the api-server for the deadline.
pub const ANNOTATION_TIMEOUT: &str = "fastdeploy.dev/timeout-seconds";
/// Annotation on a run's pod: when [`ANNOTATION_CANCEL`] was last changed, RFC 3339.
pub const ANNOTATION_CANCELLED_AT: &str = "fastdeploy.dev/cancelled-at";
/// Annotation on a bundle's ConfigMap: the digest that it holds.
pub const ANNOTATION_DIGEST: &str = "fastdeploy.dev/digest";

/// What Kubernetes puts before the names of our people.
pub const USER_PREFIX: &str = "fastdeploy:";

/// Finalizer on a Deployment with a run that may still be on: it is stopped first.
pub const FINALIZER_RUN: &str = "fastdeploy.dev/run";

/// Longest name of a Service, in characters.
pub const MAX_SERVICE_NAME: usize = 40;
/// Longest name of a Deployment, in characters: `-a99999999` still fits behind it into a label.
pub const MAX_DEPLOYMENT_NAME: usize = 53;

/// Who asked for a Deployment, as far as that is known.
pub fn requester(annotations: &std::collections::BTreeMap<String, String>) -> Option<&str> {
    annotations.get(ANNOTATION_REQUESTED_BY).map(String::as_str)
}

/// It came straight from Kubernetes, not by way of the api-server.
pub fn came_by_kubectl(annotations: &std::collections::BTreeMap<String, String>) -> bool {
    annotations.get(ANNOTATION_REQUESTED_VIA).is_some_and(|via| via == VIA_KUBECTL)
}

/// Whether an object of Kubernetes can have this name: a DNS subdomain.
pub fn is_object_name(name: &str) -> bool {
    let is_end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let is_label = |label: &str| is_end(label.chars().next()) && is_end(label.chars().next_back());
    name.len() <= 253
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.')
        && name.split('.').all(is_label)
}

/// Name of the Deployment that a trigger of this Service makes. The same trigger makes the same
/// name, so that it happens once, whoever tries and however often.
pub fn deployment(service: &str, service_uid: &str, trigger: &str) -> String {
    let hash = Sha256::digest(format!("{service_uid}\n{trigger}"));
    format!("{service}-{}", &hex::encode(hash)[..8])
}

/// Name of the Job of one attempt.
pub fn job(deployment: &str, attempt: u32) -> String {
    format!("{deployment}-a{attempt}")
}

/// Type of a Secret with secret answers that the api-server makes.
pub const SECRET_INPUTS_TYPE: &str = "fastdeploy.dev/secret-inputs";

/// Name of the Secret with secret answers that belongs to one Deployment.
pub fn secret_inputs(deployment: &str) -> String {
    format!("{deployment}-inputs")
}

/// Name of the ConfigMap that holds a bundle: shared by all Deployments that run the same.
/// `content` is the bundle as it is stored.
pub fn bundle(content: &str) -> String {
    format!("fastdeploy-bundle-{}", &hex::encode(Sha256::digest(content))[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_name_is_told_from_what_is_one() {
        for name in ["a", "blog-1", "kube-root-ca.crt", "0"] {
            assert!(is_object_name(name), "{name}");
        }
        for name in
            ["", "0 0 31 2 *", "../../x", "a/b", "A", "-a", "a-", ".a", "a..b", "a?b", "ü", &"a".repeat(254)]
        {
            assert!(!is_object_name(name), "{name}");
        }
    }

    #[test]
    fn the_same_trigger_makes_the_same_name() {
        let a = deployment("blog", "uid-1", "digest:v1:sha256:aa/none");
        assert_eq!(a, deployment("blog", "uid-1", "digest:v1:sha256:aa/none"));
        assert_ne!(a, deployment("blog", "uid-2", "digest:v1:sha256:aa/none"));
        assert_ne!(a, deployment("blog", "uid-1", "digest:v1:sha256:bb/none"));
        assert_eq!(a.len(), "blog-".len() + 8);
    }

    #[test]
    fn the_longest_names_fit_into_a_label() {
        let service = "s".repeat(MAX_SERVICE_NAME);
        let name = deployment(&service, "uid", "trigger");
        assert!(name.len() <= MAX_DEPLOYMENT_NAME);
        assert!(job(&"d".repeat(MAX_DEPLOYMENT_NAME), 99_999_999).len() <= 63);
    }
}
