//! Kubernetes as people's requests see it.

use std::sync::Arc;

use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, Request};
use crds::deployment::{Approval, Cancel, Deployment};
use crds::names::{
    ANNOTATION_REQUESTED_AT, API_SERVER, GROUP, SECRET_INPUTS_TYPE, is_object_name, secret_inputs,
};
use crds::service::Service;
use futures::future::BoxFuture;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::Status;
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::{Value, json};

use super::problem::FieldError;
use super::secret_answers::Values;
use crate::access::{Ask, Subject};
use crate::claim::cluster::{Answer, Unavailable};

/// What people's requests need of Kubernetes. Tests have one in memory.
pub trait Cluster: Send + Sync + 'static {
    /// May they?
    fn allowed<'a>(&'a self, who: &'a Subject, ask: &'a Ask) -> BoxFuture<'a, Answer<bool>>;
    /// The Service as it is now.
    fn service<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Answer<Option<Service>>>;
    /// The Deployment as it is now.
    fn deployment<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Answer<Option<Deployment>>>;
    /// Makes it.
    fn create<'a>(&'a self, namespace: &'a str, deployment: &'a Deployment)
    -> BoxFuture<'a, Answer<Created>>;
    /// Makes the Secret with a Deployment's secret answers, which the Deployment owns.
    fn keep<'a>(&'a self, deployment: &'a Deployment, answers: &'a Values) -> BoxFuture<'a, Answer<Kept>>;
    /// Writes `spec.cancel`. None: the Deployment is there no longer.
    fn cancel<'a>(
        &'a self,
        deployment: &'a Deployment,
        how: Cancel,
    ) -> BoxFuture<'a, Answer<Option<Deployment>>>;
    /// Writes `spec.approval`.
    fn decide<'a>(
        &'a self,
        deployment: &'a Deployment,
        approval: &'a Approval,
    ) -> BoxFuture<'a, Answer<Decided>>;
    /// A Service's object as it is now, with fields that we do not know.
    fn manifest<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Answer<Option<Value>>>;
    /// Writes a Service's object, strictly. `dry`: it is only checked.
    fn write<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
        write: Write<'a>,
        dry: bool,
    ) -> BoxFuture<'a, Answer<Wrote>>;
    /// Asks the operator to look at a Service's source now. false: the Service is there no longer.
    fn announce<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
        token: &'a str,
    ) -> BoxFuture<'a, Answer<bool>>;
}

/// What is to become of a Service's object.
#[derive(Clone, Copy, Debug)]
pub enum Write<'a> {
    /// It is new.
    Create(&'a Value),
    /// It is another one from now on; guarded by its uid and resourceVersion.
    Replace(&'a Value),
    /// It goes, if it still is this one.
    Delete {
        /// Which one.
        uid: &'a str,
        /// As it was read.
        version: &'a str,
    },
}

/// What became of that.
#[derive(Clone, Debug, PartialEq)]
pub enum Wrote {
    /// It is written; the object as it is now.
    Done(Value),
    /// One of that name was there.
    Exists,
    /// It is no longer as it was read.
    Moved,
    /// It is there no longer.
    Gone,
    /// Kubernetes says no.
    Refused(Refusal),
}

/// What became of a decision.
#[derive(Clone, Debug, PartialEq)]
pub enum Decided {
    /// It is written.
    Written(Box<Deployment>),
    /// The Deployment is there no longer.
    Gone,
    /// Kubernetes says no.
    Refused(Refusal),
}

/// How Kubernetes says no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// In a sentence.
    pub message: String,
    /// Field by field, as far as it says so.
    pub errors: Vec<FieldError>,
}

impl Refusal {
    /// A rule of the custom resource, an admission policy, a quota: its sentences are for people.
    fn of(status: &Status) -> Self {
        let causes = status.details.iter().flat_map(|details| &details.causes);
        let errors = causes.filter(|cause| !cause.message.is_empty()).map(|cause| FieldError {
            // People know the fields of the API, and those are the ones of the spec.
            field: cause
                .field
                .strip_prefix("spec.")
                .unwrap_or(&cause.field)
                .trim_start_matches('<')
                .trim_end_matches('>')
                .to_owned(),
            message: cause.message.clone(),
        });
        Self { message: status.message.clone(), errors: errors.collect() }
    }

    /// The same of a manifest, whose fields have their whole names; and of fields that there are not.
    fn of_manifest(status: &Status) -> Self {
        let unknown = unknown_fields(&status.message);
        if !unknown.is_empty() {
            let message = unknown.iter().map(|error| error.message.clone()).collect::<Vec<_>>().join(" ");
            return Self { message, errors: unknown };
        }
        let causes = status.details.iter().flat_map(|details| &details.causes);
        let errors = causes.filter(|cause| !cause.message.is_empty()).map(|cause| FieldError {
            field: cause.field.trim_start_matches('<').trim_end_matches('>').to_owned(),
            message: sentence(&cause.message),
        });
        let mut errors: Vec<FieldError> = errors.collect();
        let message = sentence(&status.message);
        if errors.is_empty() {
            errors.push(FieldError { field: String::new(), message: message.clone() });
        }
        Self { message, errors }
    }
}

/// `strict decoding error: unknown field "spec.plybook", unknown field "spec.x"`, name by name.
fn unknown_fields(message: &str) -> Vec<FieldError> {
    let Some((_, found)) = message.split_once("strict decoding error: ") else { return Vec::new() };
    let named = found.split("unknown field \"").skip(1).filter_map(|rest| rest.split('"').next());
    named
        .map(|field| FieldError {
            field: field.to_owned(),
            message: format!("{field}: there is no such field; look for a slip of the pen."),
        })
        .collect()
}

/// What a rule or a policy says, without what Kubernetes writes before it.
fn sentence(message: &str) -> String {
    let policy = message.split_once(" denied request: ").map(|(_, said)| said);
    let rule = message.strip_prefix("Invalid value: ");
    let rule = rule.map(|rule| rule.strip_prefix("\"object\": ").unwrap_or(rule));
    policy.or(rule).unwrap_or(message).to_owned()
}

/// What became of a creation.
#[derive(Clone, Debug, PartialEq)]
pub enum Created {
    /// It is there now.
    New(Box<Deployment>),
    /// One of that name was there.
    Exists,
    /// Kubernetes says no.
    Refused(Refusal),
}

/// What became of secret answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// They are in their Secret.
    Done,
    /// One of that name was there. What is in it nobody can read here.
    Exists,
    /// Kubernetes says no.
    Refused(Refusal),
}

/// The Secret with a Deployment's secret answers. Pure.
fn secret_of(deployment: &Deployment, answers: &Values) -> Secret {
    let name = deployment.name_any();
    Secret {
        metadata: ObjectMeta {
            name: Some(secret_inputs(&name)),
            labels: Some([("app.kubernetes.io/managed-by".to_owned(), API_SERVER.to_owned())].into()),
            owner_references: Some(vec![OwnerReference {
                api_version: Deployment::api_version(&()).into(),
                kind: Deployment::kind(&()).into(),
                name,
                uid: deployment.uid().unwrap_or_default(),
                ..OwnerReference::default()
            }]),
            ..ObjectMeta::default()
        },
        // The admission policy fastdeploy-secret-answers lets the api-server make no other.
        type_: Some(SECRET_INPUTS_TYPE.to_owned()),
        immutable: Some(true),
        string_data: Some(answers.reveal().clone()),
        ..Secret::default()
    }
}

/// The real one.
#[derive(Clone)]
pub struct Kubernetes(Client);

impl Kubernetes {
    /// Through this client.
    pub fn through(client: Client) -> Arc<dyn Cluster> {
        Arc::new(Self(client))
    }

    fn api<K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>>(
        &self,
        namespace: &str,
    ) -> Api<K> {
        Api::namespaced(self.0.clone(), namespace)
    }

    /// What cannot be the name of an object, for it would be another address, is not there.
    async fn named<K>(&self, namespace: &str, name: &str) -> Result<Option<K>, kube::Error>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned,
    {
        if !(is_object_name(namespace) && is_object_name(name)) {
            return Ok(None);
        }
        self.api::<K>(namespace).get_opt(name).await
    }
}

const fn failed(what: &'static str) -> impl Fn(kube::Error) -> Unavailable {
    move |source| Unavailable { what, source }
}

impl Cluster for Kubernetes {
    fn allowed<'a>(&'a self, who: &'a Subject, ask: &'a Ask) -> BoxFuture<'a, Answer<bool>> {
        Box::pin(async move {
            let (resource, group) = ask.resource.split_once('.').unwrap_or((ask.resource, GROUP));
            let attributes = ResourceAttributes {
                group: Some(group.to_owned()),
                resource: Some(resource.to_owned()),
                verb: Some(ask.verb.to_owned()),
                namespace: ask.namespace.clone(),
                name: ask.name.clone(),
                ..ResourceAttributes::default()
            };
            let spec = SubjectAccessReviewSpec {
                user: Some(who.user.clone()),
                groups: Some(who.groups.clone()),
                resource_attributes: Some(attributes),
                ..SubjectAccessReviewSpec::default()
            };
            let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
            let answer = Api::<SubjectAccessReview>::all(self.0.clone())
                .create(&PostParams::default(), &review)
                .await
                .map_err(failed("ask who may do what"))?;
            Ok(answer.status.is_some_and(|status| status.allowed && status.denied != Some(true)))
        })
    }

    fn service<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Answer<Option<Service>>> {
        Box::pin(async move { self.named(namespace, name).await.map_err(failed("read the Service")) })
    }

    fn deployment<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Answer<Option<Deployment>>> {
        Box::pin(async move { self.named(namespace, name).await.map_err(failed("read the Deployment")) })
    }

    fn create<'a>(
        &'a self,
        namespace: &'a str,
        deployment: &'a Deployment,
    ) -> BoxFuture<'a, Answer<Created>> {
        Box::pin(async move {
            let params = PostParams { field_manager: Some(API_SERVER.to_owned()), ..PostParams::default() };
            match self.api(namespace).create(&params, deployment).await {
                Ok(made) => Ok(Created::New(Box::new(made))),
                Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(Created::Exists),
                Err(kube::Error::Api(status)) if matches!(status.code, 400 | 403 | 404 | 422) => {
                    Ok(Created::Refused(Refusal::of(&status)))
                }
                Err(source) => Err(Unavailable { what: "make the Deployment", source }),
            }
        })
    }

    fn keep<'a>(&'a self, deployment: &'a Deployment, answers: &'a Values) -> BoxFuture<'a, Answer<Kept>> {
        Box::pin(async move {
            let params = PostParams { field_manager: Some(API_SERVER.to_owned()), ..PostParams::default() };
            let namespace = deployment.namespace().unwrap_or_default();
            match self.api::<Secret>(&namespace).create(&params, &secret_of(deployment, answers)).await {
                Ok(_) => Ok(Kept::Done),
                Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(Kept::Exists),
                Err(kube::Error::Api(status)) if matches!(status.code, 400 | 403 | 404 | 422) => {
                    Ok(Kept::Refused(Refusal::of(&status)))
                }
                Err(source) => Err(Unavailable { what: "keep the secret answers", source }),
            }
        })
    }

    fn cancel<'a>(
        &'a self,
        deployment: &'a Deployment,
        how: Cancel,
    ) -> BoxFuture<'a, Answer<Option<Deployment>>> {
        Box::pin(async move {
            let metadata = &deployment.metadata;
            let (namespace, name) = (
                metadata.namespace.as_deref().unwrap_or_default(),
                metadata.name.as_deref().unwrap_or_default(),
            );
            let patch = json!({
                // Not another one of that name.
                "metadata": { "uid": metadata.uid },
                "spec": { "cancel": how.as_str() },
            });
            let params = PatchParams { field_manager: Some(API_SERVER.to_owned()), ..PatchParams::default() };
            match self.api(namespace).patch(name, &params, &Patch::Merge(patch)).await {
                Ok(written) => Ok(Some(written)),
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(None),
                Err(source) => Err(Unavailable { what: "stop the Deployment", source }),
            }
        })
    }
    fn decide<'a>(
        &'a self,
        deployment: &'a Deployment,
        approval: &'a Approval,
    ) -> BoxFuture<'a, Answer<Decided>> {
        Box::pin(async move {
            let metadata = &deployment.metadata;
            let namespace = metadata.namespace.as_deref().unwrap_or_default();
            let patch = json!({ "metadata": { "uid": metadata.uid }, "spec": { "approval": approval } });
            let params = PatchParams { field_manager: Some(API_SERVER.to_owned()), ..PatchParams::default() };
            let name = metadata.name.as_deref().unwrap_or_default();
            match self.api(namespace).patch(name, &params, &Patch::Merge(patch)).await {
                Ok(written) => Ok(Decided::Written(Box::new(written))),
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(Decided::Gone),
                Err(kube::Error::Api(status)) if matches!(status.code, 400 | 403 | 422) => {
                    Ok(Decided::Refused(Refusal::of(&status)))
                }
                Err(source) => Err(Unavailable { what: "write the decision", source }),
            }
        })
    }

    fn manifest<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Answer<Option<Value>>> {
        Box::pin(async move {
            let kind = ApiResource::erase::<Service>(&());
            let api = Api::<DynamicObject>::namespaced_with(self.0.clone(), namespace, &kind);
            let found = api.get_opt(name).await.map_err(failed("read the Service"))?;
            found
                .map(serde_json::to_value)
                .transpose()
                .map_err(kube::Error::SerdeError)
                .map_err(failed("read the Service"))
        })
    }

    fn write<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
        write: Write<'a>,
        dry: bool,
    ) -> BoxFuture<'a, Answer<Wrote>> {
        Box::pin(async move {
            // By hand: kube's PostParams cannot ask for strict validation.
            let (mut path, query) = (
                Service::url_path(&(), Some(namespace)),
                format!(
                    "fieldManager={API_SERVER}&fieldValidation=Strict{}",
                    if dry { "&dryRun=All" } else { "" }
                ),
            );
            let (method, body) = match write {
                Write::Create(object) => (Method::POST, object.clone()),
                Write::Replace(object) => (Method::PUT, object.clone()),
                Write::Delete { uid, version } => {
                    (Method::DELETE, json!({"preconditions": {"uid": uid, "resourceVersion": version}}))
                }
            };
            if method != Method::POST {
                path = format!("{path}/{name}");
            }
            // A DELETE takes no other parameters.
            let query = if method == Method::DELETE { if dry { "dryRun=All" } else { "" } } else { &query };
            let request = Request::builder()
                .method(method.clone())
                .uri(format!("{path}?{query}"))
                .header(CONTENT_TYPE, "application/json")
                .body(body.to_string().into_bytes())
                .map_err(kube::Error::HttpError)
                .map_err(failed("write the Service"))?;
            match self.0.request::<Value>(request).await {
                Ok(object) => Ok(Wrote::Done(object)),
                Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(Wrote::Exists),
                Err(kube::Error::Api(status)) if status.code == 409 => Ok(Wrote::Moved),
                Err(kube::Error::Api(status)) if status.code == 404 && method != Method::POST => {
                    Ok(Wrote::Gone)
                }
                Err(kube::Error::Api(status)) if matches!(status.code, 400 | 403 | 404 | 413 | 422) => {
                    Ok(Wrote::Refused(Refusal::of_manifest(&status)))
                }
                Err(source) => Err(Unavailable { what: "write the Service", source }),
            }
        })
    }

    fn announce<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
        token: &'a str,
    ) -> BoxFuture<'a, Answer<bool>> {
        Box::pin(async move {
            let patch = json!({"metadata": {"annotations": {ANNOTATION_REQUESTED_AT: token}}});
            let params = PatchParams { field_manager: Some(API_SERVER.to_owned()), ..PatchParams::default() };
            match self.api::<Service>(namespace).patch(name, &params, &Patch::Merge(patch)).await {
                Ok(_) => Ok(true),
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
                Err(source) => Err(Unavailable { what: "ask for a look at the source", source }),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubernetes_says_of_a_manifest_is_said_field_by_field() {
        let of = |status: Value| Refusal::of_manifest(&serde_json::from_value(status).unwrap());
        let strict = "Service in version \"v1alpha1\" cannot be handled as a Service: strict decoding error: unknown field \"spec.plybook\", unknown field \"spec.source.git.brnch\"";
        let fields: Vec<_> =
            of(json!({"message": strict, "code": 400})).errors.into_iter().map(|e| e.field).collect();
        assert_eq!(fields, ["spec.plybook", "spec.source.git.brnch"]);
        let rule = of(
            json!({"message": "Service.fastdeploy.dev \"blog\" is invalid: …", "code": 422, "details": {"causes": [
            {"field": "spec", "reason": "FieldValueInvalid", "message": "Invalid value: \"object\": write exactly one of playbook and script"},
            {"field": "<nil>", "reason": "FieldValueInvalid", "message": "some more"}]}}),
        );
        assert_eq!(
            (rule.errors[0].field.as_str(), rule.errors[0].message.as_str()),
            ("spec", "write exactly one of playbook and script")
        );
        assert_eq!(rule.errors[1].field, "nil");
        let policy = of(
            json!({"code": 422, "message": "services.fastdeploy.dev \"blog\" is forbidden: ValidatingAdmissionPolicy 'x' with binding 'x' denied request: inputs: a secret has no default"}),
        );
        assert_eq!((policy.errors.len(), policy.message.as_str()), (1, "inputs: a secret has no default"));
    }
}
