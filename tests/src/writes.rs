//! What a story does to the objects of its namespace.

use std::sync::PoisonError;

use anyhow::{Context, Result, ensure};
use crds::{Deployment, Service, deployment::Cancel};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams, ValidationDirective},
};
use serde_json::{Value, json};

use crate::{Story, kubectl, manifest::Manifest};

impl Story {
    /// Applies a manifest, strictly.
    pub async fn apply(&self, manifest: &Manifest) -> Result<DynamicObject> {
        let api =
            Api::<DynamicObject>::namespaced_with(self.client.clone(), &self.namespace, &manifest.resource());
        let params = PatchParams {
            field_validation: Some(ValidationDirective::Strict),
            ..PatchParams::apply("tests").force()
        };
        let name = manifest.name();
        let applied = api
            .patch(&name, &params, &Patch::Apply(&without_nulls(manifest.0.clone())))
            .await
            .with_context(|| format!("expected {name} to be accepted"))?;
        if manifest.is::<Service>() {
            let mut generations = self.applied.lock().unwrap_or_else(PoisonError::into_inner);
            generations.insert(name, applied.metadata.generation.unwrap_or_default());
        }
        Ok(applied)
    }

    /// `kubectl create`, for manifests with a generateName; answers the name.
    pub async fn create(&self, manifest: &Manifest) -> Result<String> {
        let api =
            Api::<DynamicObject>::namespaced_with(self.client.clone(), &self.namespace, &manifest.resource());
        let object = serde_json::from_value(without_nulls(manifest.0.clone()))?;
        Ok(api.create(&PostParams::default(), &object).await?.name_any())
    }

    /// Applies YAML: ConfigMaps, Secrets.
    pub async fn apply_yaml(&self, yaml: &str) -> Result<()> {
        self.apply(&Manifest::yaml(yaml)).await.map(drop)
    }

    /// `kubectl apply`, which is expected to refuse: answers with what it said.
    pub async fn refused(&self, manifest: &Manifest) -> Result<String> {
        self.refused_by("apply", manifest).await
    }

    /// The same for `kubectl create` and others.
    pub async fn refused_by(&self, verb: &str, manifest: &Manifest) -> Result<String> {
        let words = ["--namespace", &self.namespace, verb, "--filename", "-"];
        let said = kubectl::ask(&words, &without_nulls(manifest.0.clone()).to_string()).await?;
        ensure!(
            !said.ok,
            "expected kubectl {verb} to refuse this, but it said {}:\n{}",
            said.out,
            manifest.0
        );
        Ok(said.err)
    }

    /// Asks a run to stop.
    pub async fn cancel(&self, run: &str, how: Cancel) -> Result<()> {
        let patch = json!({"spec": {"cancel": how}});
        self.api::<Deployment>().patch(run, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    /// Changes a Service as `kubectl patch` does.
    pub async fn patch_service(&self, name: &str, patch: Value) -> Result<()> {
        let patched =
            self.api::<Service>().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        let mut generations = self.applied.lock().unwrap_or_else(PoisonError::into_inner);
        generations.insert(name.to_owned(), patched.metadata.generation.unwrap_or_default());
        Ok(())
    }

    /// Deletes an object, as `kubectl delete` does, without waiting.
    pub async fn delete<K>(&self, name: &str) -> Result<()>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned,
    {
        self.api::<K>().delete(name, &DeleteParams::background()).await.map(drop).map_err(Into::into)
    }
}

/// What is null was never meant to be there.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k, without_nulls(v))).collect(),
        ),
        other => other,
    }
}
