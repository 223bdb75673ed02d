//! Carries plans out: every write of the operator to Kubernetes goes through here, with one field
//! manager, counted, guarded, and only while we lead.

use std::collections::BTreeMap;

use crds::{Deployment, Service, deployment::Cancel, names};
use frozen::StoredBundle;
use k8s_openapi::{
    api::{
        batch::v1::Job,
        core::v1::{ConfigMap, Pod},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
    runtime::events::{Event, EventType, Recorder},
};
use serde_json::{Value, json};

use crate::{
    clock::Clock,
    deployment::{
        build::owner_reference,
        refusal::{self, Refusal},
    },
    leader::Leadership,
    metrics::Metrics,
    traces::Tracer,
    world::{Target, Write},
};

/// Why a plan was not carried out to its end. The next pass starts from nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What the decision was made on has changed since: decide again.
    #[error("what was decided on has changed since")]
    Stale,
    /// Something else has the name that is ours to use.
    #[error("{kind} {name} is there already and is not ours")]
    NotOurs {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// Kubernetes does not let what a run is made of be made, and that is for people to mend.
    #[error("{}", .0.message)]
    Refused(Refusal),
    /// We do not lead any more.
    #[error("the lease is lost")]
    NotLeading,
    /// Kubernetes said no, or could not be reached.
    #[error("failed to {what}: {source}")]
    Kube {
        /// What we were about.
        what: &'static str,
        /// What it said.
        source: kube::Error,
    },
}

/// The hands.
#[derive(Clone)]
pub struct Hands {
    /// Kubernetes.
    pub client: Client,
    /// The time, for annotations.
    pub clock: Clock,
    /// Whether we lead.
    pub leadership: Leadership,
    /// Counts.
    pub metrics: Metrics,
    /// Traces.
    pub tracer: Tracer,
    /// Makes Events.
    pub recorder: Recorder,
}

/// The object that a plan is about.
pub enum Subject<'a> {
    /// A Service.
    Service(&'a Service),
    /// A Deployment.
    Deployment(&'a Deployment),
}

impl Hands {
    /// Carries out the writes, in order.
    pub async fn carry_out(&self, subject: Subject<'_>, writes: Vec<Write>) -> Result<(), Error> {
        let mut versions = BTreeMap::new();
        for write in writes {
            if !self.leadership.holds() {
                return Err(Error::NotLeading);
            }
            crate::failpoint::before(&write);
            self.metrics.write(&write);
            let moved = match &write {
                Write::DeploymentStatus { old, new, .. } => Some((old.clone(), new.clone())),
                _ => None,
            };
            self.write(&subject, &mut versions, write).await?;
            if let Some((old, new)) = moved {
                let created = match &subject {
                    Subject::Deployment(deployment) => deployment.metadata.creation_timestamp.clone(),
                    Subject::Service(_) => None,
                };
                self.metrics.moved(&old, &new, created.map(|time| time.0));
                if let Subject::Deployment(deployment) = &subject {
                    self.tracer.moved(deployment, &old, &new, self.clock.now());
                }
            }
        }
        Ok(())
    }

    async fn write(
        &self,
        subject: &Subject<'_>,
        versions: &mut BTreeMap<String, String>,
        write: Write,
    ) -> Result<(), Error> {
        let namespace = match subject {
            Subject::Service(service) => service.namespace(),
            Subject::Deployment(deployment) => deployment.namespace(),
        }
        .unwrap_or_default();
        let deployments = || Api::<Deployment>::namespaced(self.client.clone(), &namespace);
        let manager = PatchParams { field_manager: Some(names::OPERATOR.into()), ..PatchParams::default() };
        match write {
            Write::ServiceStatus { old, new } => {
                let Subject::Service(service) = subject else { return Ok(()) };
                let patch = status_patch(
                    &to_value(&old),
                    &to_value(&new),
                    service.metadata.resource_version.as_ref(),
                );
                Api::<Service>::namespaced(self.client.clone(), &namespace)
                    .patch_status(&service.name_any(), &manager, &Patch::Merge(patch))
                    .await
                    .map_err(|error| guarded("write a Service's status", error))?;
            }
            Write::DeploymentStatus { target, old, new } => {
                let version = versions.get(&target.uid).cloned().or(target.resource_version);
                let patch = status_patch(&to_value(&old), &to_value(&new), version.as_ref());
                let written = deployments()
                    .patch_status(&target.name, &manager, &Patch::Merge(patch))
                    .await
                    .map_err(|error| guarded("write a Deployment's status", error))?;
                versions.insert(target.uid, written.resource_version().unwrap_or_default());
            }
            Write::CreateDeployment(deployment) => {
                self.create_deployment(&deployments(), *deployment).await?;
            }
            Write::DeleteDeployment(target) => delete(&deployments(), target).await?,
            Write::Adopt { target, finalizers, owners } => {
                let patch = json!({ "metadata": {
                    "resourceVersion": versions.get(&target.uid).cloned().or(target.resource_version),
                    "finalizers": finalizers,
                    "ownerReferences": owners,
                }});
                let written = deployments()
                    .patch(&target.name, &manager, &Patch::Merge(patch))
                    .await
                    .map_err(|error| guarded("adopt a Deployment", error))?;
                versions.insert(target.uid, written.resource_version().unwrap_or_default());
            }
            Write::RemoveFinalizer(target) => self.remove_finalizer(&deployments(), versions, target).await?,
            Write::Bundle(bundle) => self.bundle(subject, &namespace, bundle).await?,
            Write::CreateJob(job) => self.create_job(subject, &namespace, *job).await?,
            Write::DeleteJob(target) => {
                delete(&Api::<Job>::namespaced(self.client.clone(), &namespace), target).await?;
            }
            Write::CancelPod { target, cancel } => self.cancel_pod(&namespace, target, cancel).await?,
            Write::DeletePod(target) => {
                delete(&Api::<Pod>::namespaced(self.client.clone(), &namespace), target).await?;
            }
            Write::Event { reason, note, warning } => {
                let reference = match subject {
                    Subject::Service(service) => service.object_ref(&()),
                    Subject::Deployment(deployment) => deployment.object_ref(&()),
                };
                let event = Event {
                    type_: if warning { EventType::Warning } else { EventType::Normal },
                    reason: reason.as_str().into(),
                    note: Some(note),
                    action: "Deploy".into(),
                    secondary: None,
                };
                // A word that cannot be said (namespace going away) is no reason to stop.
                if let Err(error) = self.recorder.publish(&event, &reference).await {
                    tracing::debug!(error = %error, "an Event could not be written");
                }
            }
        }
        Ok(())
    }

    async fn create_deployment(&self, api: &Api<Deployment>, deployment: Deployment) -> Result<(), Error> {
        match api.create(&post(), &deployment).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                let name = deployment.name_any();
                let there = api
                    .get(&name)
                    .await
                    .map_err(|source| Error::Kube { what: "read a Deployment", source })?;
                let trigger = |d: &Deployment| d.annotations().get(names::ANNOTATION_TRIGGER).cloned();
                if trigger(&there) == trigger(&deployment) {
                    Ok(())
                } else {
                    Err(Error::NotOurs { kind: "Deployment", name })
                }
            }
            Err(source) => Err(Error::Kube { what: "create a Deployment", source }),
        }
    }

    async fn remove_finalizer(
        &self,
        api: &Api<Deployment>,
        versions: &BTreeMap<String, String>,
        target: Target,
    ) -> Result<(), Error> {
        let read = api.get_metadata_opt(&target.name).await;
        let Some(there) = read.map_err(|source| Error::Kube { what: "read a Deployment", source })? else {
            return Ok(());
        };
        if there.uid().as_deref() != Some(&target.uid) {
            return Ok(());
        }
        let others: Vec<_> = there.finalizers().iter().filter(|f| *f != names::FINALIZER_RUN).collect();
        let version = versions.get(&target.uid).cloned().or_else(|| there.resource_version());
        let patch = json!({ "metadata": { "resourceVersion": version, "finalizers": others } });
        let manager = PatchParams { field_manager: Some(names::OPERATOR.into()), ..PatchParams::default() };
        match api.patch_metadata(&target.name, &manager, &Patch::Merge(patch)).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            other => other.map(drop).map_err(|error| guarded("let go of a Deployment", error)),
        }
    }

    /// Bundles are shared: who comes second becomes an owner too.
    async fn bundle(
        &self,
        subject: &Subject<'_>,
        namespace: &str,
        bundle: StoredBundle,
    ) -> Result<(), Error> {
        let Subject::Deployment(deployment) = subject else { return Ok(()) };
        let mut owner = owner_reference::<Deployment>(
            &deployment.name_any(),
            &deployment.uid().unwrap_or_default(),
            false,
        );
        owner.controller = None;
        let api = Api::<ConfigMap>::namespaced(self.client.clone(), namespace);
        let config_map = ConfigMap {
            metadata: ObjectMeta {
                name: Some(bundle.name.clone()),
                labels: Some(
                    [
                        ("app.kubernetes.io/part-of", "fastdeploy"),
                        ("app.kubernetes.io/managed-by", names::OPERATOR),
                        (names::LABEL_SERVICE, &deployment.spec.service),
                    ]
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .into(),
                ),
                annotations: Some([(names::ANNOTATION_DIGEST.to_owned(), bundle.digest)].into()),
                owner_references: Some(vec![owner.clone()]),
                ..ObjectMeta::default()
            },
            data: Some([(protocol::pod::BUNDLE_KEY.to_owned(), bundle.content.clone())].into()),
            immutable: Some(true),
            ..ConfigMap::default()
        };
        match api.create(&post(), &config_map).await {
            Ok(_) => return Ok(()),
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            Err(error) => return Err(refused("create a bundle", error)),
        }
        let there =
            api.get(&bundle.name).await.map_err(|source| Error::Kube { what: "read a bundle", source })?;
        let same =
            there.data.as_ref().and_then(|data| data.get(protocol::pod::BUNDLE_KEY)) == Some(&bundle.content);
        if !same || there.immutable != Some(true) {
            return Err(Error::NotOurs { kind: "ConfigMap", name: bundle.name });
        }
        let mut owners = there.owner_references().to_vec();
        if owners.iter().any(|o| o.uid == owner.uid) {
            return Ok(());
        }
        owners.push(owner);
        let patch =
            json!({ "metadata": { "resourceVersion": there.resource_version(), "ownerReferences": owners } });
        let manager = PatchParams { field_manager: Some(names::OPERATOR.into()), ..PatchParams::default() };
        api.patch_metadata(&bundle.name, &manager, &Patch::Merge(patch))
            .await
            .map(drop)
            .map_err(|error| guarded("share a bundle", error))
    }

    async fn create_job(&self, subject: &Subject<'_>, namespace: &str, job: Job) -> Result<(), Error> {
        let Subject::Deployment(deployment) = subject else { return Ok(()) };
        let api = Api::<Job>::namespaced(self.client.clone(), namespace);
        match api.create(&post(), &job).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                let name = job.name_any();
                let there =
                    api.get(&name).await.map_err(|source| Error::Kube { what: "read a Job", source })?;
                if there.owner_references().iter().any(|o| Some(&o.uid) == deployment.uid().as_ref()) {
                    Ok(())
                } else {
                    Err(Error::NotOurs { kind: "Job", name })
                }
            }
            Err(error) => Err(refused("create a Job", error)),
        }
    }

    async fn cancel_pod(&self, namespace: &str, target: Target, cancel: Cancel) -> Result<(), Error> {
        let patch = json!({ "metadata": { "uid": target.uid, "annotations": {
            names::ANNOTATION_CANCEL: cancel.as_str(),
            names::ANNOTATION_CANCELLED_AT: self.clock.now().to_string(),
        }}});
        let manager = PatchParams { field_manager: Some(names::OPERATOR.into()), ..PatchParams::default() };
        let api = Api::<Pod>::namespaced(self.client.clone(), namespace);
        match api.patch_metadata(&target.name, &manager, &Patch::Merge(patch)).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            other => other.map(drop).map_err(|error| guarded("ask a pod to stop", error)),
        }
    }
}

fn post() -> PostParams {
    PostParams { field_manager: Some(names::OPERATOR.into()), ..PostParams::default() }
}

/// Deletes exactly this object, not another one that has its name now.
async fn delete<K>(api: &Api<K>, target: Target) -> Result<(), Error>
where
    K: Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let params = DeleteParams {
        preconditions: Some(Preconditions { uid: Some(target.uid), resource_version: None }),
        ..DeleteParams::background()
    };
    match api.delete(&target.name, &params).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        Err(source) => Err(Error::Kube { what: "delete", source }),
    }
}

/// A conflict, and a refusal by the rules that keep status truthful, both say: you are late.
fn guarded(what: &'static str, error: kube::Error) -> Error {
    match error {
        kube::Error::Api(status) if status.is_conflict() => Error::Stale,
        source => Error::Kube { what, source },
    }
}

/// A no that people have to mend is told from a failure.
fn refused(what: &'static str, error: kube::Error) -> Error {
    match &error {
        kube::Error::Api(status) if let Some(refusal) = refusal::answered(status) => Error::Refused(refusal),
        _ => Error::Kube { what, source: error },
    }
}

fn to_value<T: serde::Serialize>(value: &T) -> Value {
    serde_json::to_value(value).expect("a status is plain data")
}

/// A merge patch of the status, guarded by the version that was read. Fields that we do not know
/// (of a newer version) stay as they are.
fn status_patch(old: &Value, new: &Value, version: Option<&String>) -> Value {
    json!({ "metadata": { "resourceVersion": version }, "status": merge_patch(old, new) })
}

/// RFC 7386: what turns `old` into `new`.
fn merge_patch(old: &Value, new: &Value) -> Value {
    let (Value::Object(old), Value::Object(new)) = (old, new) else { return new.clone() };
    let mut patch = serde_json::Map::new();
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, value) in new {
        match old.get(key) {
            Some(before) if before == value => {}
            Some(before) if before.is_object() && value.is_object() => {
                patch.insert(key.clone(), merge_patch(before, value));
            }
            _ => {
                patch.insert(key.clone(), value.clone());
            }
        }
    }
    Value::Object(patch)
}

#[cfg(test)]
mod tests {
    use crds::DeploymentStatus;

    use super::*;

    #[test]
    fn a_merge_patch_says_only_what_changes() {
        let old = json!({"a": 1, "b": {"c": 1, "d": 2}, "e": [1]});
        let new = json!({"a": 1, "b": {"c": 3}, "e": [1, 2], "f": {}});
        assert_eq!(merge_patch(&old, &new), json!({"b": {"c": 3, "d": null}, "e": [1, 2], "f": {}}));
        assert_eq!(merge_patch(&old, &old), json!({}));
    }

    /// An older one of us does not take away what a newer one wrote.
    #[test]
    fn what_a_newer_version_wrote_stays() {
        let stored = json!({"attempt": 1, "fromTheFuture": {"x": 1}, "run": {"attempt": 1, "instance": "i", "podUid": "p",
            "claimedAt": "2026-11-26T12:00:00Z", "alsoNew": true}});
        let old: DeploymentStatus = serde_json::from_value(stored).expect("unknown fields are no fault");
        let new = DeploymentStatus { attempt: Some(2), ..old.clone() };
        let patch = status_patch(&to_value(&old), &to_value(&new), None);
        assert_eq!(patch["status"], json!({"attempt": 2}));
    }
}
