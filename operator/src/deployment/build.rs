//! The objects that a run is made of: Job, pod, volumes. Pure.

use std::collections::BTreeMap;

use crds::{Deployment, DeploymentStatus, Service, names};
use k8s_openapi::{
    api::{
        batch::v1::{Job, JobSpec},
        core::v1::{
            Affinity, Capabilities, ConfigMapVolumeSource, Container, DownwardAPIVolumeFile,
            DownwardAPIVolumeSource, EmptyDirVolumeSource, EnvVar, LocalObjectReference, ObjectFieldSelector,
            PersistentVolumeClaimVolumeSource, PodSecurityContext, PodSpec, PodTemplateSpec,
            ProjectedVolumeSource, ResourceRequirements, SeccompProfile, SecretVolumeSource, SecurityContext,
            ServiceAccountTokenProjection, Toleration, Volume, VolumeMount, VolumeProjection,
        },
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{ObjectMeta, OwnerReference},
    },
};
use kube::{Resource, ResourceExt};
use protocol::pod;

use frozen::Fault;

/// Name of the container in which the runner works.
pub const CONTAINER: &str = "run";
/// Seconds that a pod gets to stop Ansible and to leave its verdict.
pub const TERMINATION_GRACE_SECONDS: i64 = 30;
const USER: i64 = 65_532;
/// Name of the container that brings the runner into an image of the user's.
const BRING: &str = "bring-runner";
const PROGRAM_VOLUME: &str = "program";

/// What the installation says about the pods of runs.
#[derive(Clone, Debug, Default)]
pub struct Installation {
    /// The runner image, unless a Service names its own.
    pub image: String,
    /// When it is pulled.
    pub image_pull_policy: String,
    /// Base URL of the listener for claims.
    pub runs_url: String,
    /// PEM of the authority that signed that listener's certificate.
    pub ca: String,
}

/// An owner reference to one of ours.
pub fn owner_reference<K: Resource<DynamicType = ()>>(name: &str, uid: &str, block: bool) -> OwnerReference {
    OwnerReference {
        api_version: K::api_version(&()).into(),
        kind: K::kind(&()).into(),
        name: name.into(),
        uid: uid.into(),
        controller: Some(true),
        block_owner_deletion: Some(block),
    }
}

/// Labels of every child of a Deployment.
pub fn labels(deployment: &Deployment, attempt: u32) -> BTreeMap<String, String> {
    [
        ("app.kubernetes.io/name", "fastdeploy-run"),
        ("app.kubernetes.io/instance", &deployment.name_any()),
        ("app.kubernetes.io/component", "run"),
        ("app.kubernetes.io/part-of", "fastdeploy"),
        ("app.kubernetes.io/managed-by", names::OPERATOR),
        (names::LABEL_SERVICE, &deployment.spec.service),
        (names::LABEL_DEPLOYMENT, &deployment.name_any()),
        (names::LABEL_ATTEMPT, &attempt.to_string()),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

/// The Job of one attempt. `status` says what was frozen.
pub fn job(
    deployment: &Deployment,
    service: &Service,
    status: &DeploymentStatus,
    attempt: u32,
    installation: &Installation,
) -> Result<Job, Fault> {
    let uid = deployment.uid().unwrap_or_default();
    let name = names::job(&deployment.name_any(), attempt);
    let labels = labels(deployment, attempt);
    let policy = &service.spec.policy;
    let seconds = |text: &str, field: &str| {
        crds::duration::parse(text).map(|d| d.as_secs()).map_err(|error| Fault {
            reason: crds::Reason::InvalidSpec,
            message: format!("policy.{field}: {error}"),
        })
    };
    let timeout = seconds(&policy.timeout, "timeout")?;
    let prepare = seconds(&policy.prepare_timeout, "prepareTimeout")?;
    let annotations = [(names::ANNOTATION_TIMEOUT.to_owned(), timeout.to_string())].into();
    Ok(Job {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: deployment.namespace(),
            labels: Some(labels.clone()),
            owner_references: Some(vec![owner_reference::<Deployment>(&deployment.name_any(), &uid, false)]),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            // Retries are our attempts, never Kubernetes'.
            backoff_limit: Some(0),
            completions: Some(1),
            parallelism: Some(1),
            pod_replacement_policy: Some("Failed".into()),
            // The back-stop; the runner enforces the deadline itself, and delivers for ten minutes at most.
            active_deadline_seconds: Some((prepare + timeout + 900) as i64),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels),
                    annotations: Some(annotations),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod_spec(service, &uid, status, attempt, installation)?),
            },
            ..JobSpec::default()
        }),
        status: None,
    })
}

fn pod_spec(
    service: &Service,
    uid: &str,
    status: &DeploymentStatus,
    attempt: u32,
    installation: &Installation,
) -> Result<PodSpec, Fault> {
    let runner = &service.spec.runner;
    let env = |name: &str, value: &str| EnvVar {
        name: name.into(),
        value: Some(value.into()),
        ..EnvVar::default()
    };
    let (mut volumes, mut mounts): (Vec<_>, Vec<_>) =
        volumes(service, uid, status, attempt).into_iter().unzip();
    let further = further_volumes(service)?;
    let mut environment: Vec<EnvVar> =
        runner.env.iter().map(|variable| env(&variable.name, &variable.value)).collect();
    environment.extend([
        env(pod::ENV_RUN_UID, uid),
        env(pod::ENV_ATTEMPT, &attempt.to_string()),
        env(pod::ENV_API_URL, &installation.runs_url),
        env(pod::ENV_API_CA, &installation.ca),
        env(pod::ENV_SERVICE, &service.name_any()),
    ]);
    let hidden = hidden(service, &further);
    if !hidden.is_empty() {
        environment.push(env(pod::ENV_HIDE, &hidden.join(":")));
    }
    for (volume, mount) in further {
        volumes.push(volume);
        mounts.push(mount);
    }
    let brought = runner.image.is_some();
    if brought {
        let (volume, program) = program();
        volumes.push(volume);
        mounts.extend(program);
    }
    let container = Container {
        name: CONTAINER.into(),
        image: Some(runner.image.clone().unwrap_or_else(|| installation.image.clone())),
        image_pull_policy: Some(match runner.image_pull_policy {
            Some(policy) => policy.as_str().to_owned(),
            None => installation.image_pull_policy.clone(),
        }),
        command: brought.then(|| vec![format!("{}/{}", pod::PROGRAM_DIR, pod::PROGRAM)]),
        env: Some(environment),
        resources: Some(resources(service)?),
        volume_mounts: Some(mounts),
        security_context: Some(confined()),
        ..Container::default()
    };
    Ok(PodSpec {
        restart_policy: Some("Never".into()),
        // A token that Kubernetes accepts is nobody's business in there, unless the author wants it.
        automount_service_account_token: Some(runner.service_account_name.is_some()),
        service_account_name: runner.service_account_name.clone(),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(TERMINATION_GRACE_SECONDS),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            fs_group: Some(USER),
            seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".into(), localhost_profile: None }),
            ..PodSecurityContext::default()
        }),
        image_pull_secrets: (!runner.image_pull_secrets.is_empty()).then(|| {
            runner
                .image_pull_secrets
                .iter()
                .map(|reference| LocalObjectReference { name: reference.name.clone() })
                .collect()
        }),
        node_selector: (!runner.node_selector.is_empty()).then(|| runner.node_selector.clone()),
        tolerations: tolerations(service)?,
        affinity: affinity(service)?,
        init_containers: brought.then(|| vec![bring(installation)]),
        containers: vec![container],
        volumes: Some(volumes),
        ..PodSpec::default()
    })
}

/// What no container of ours may do.
fn confined() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), add: None }),
        ..SecurityContext::default()
    }
}

/// Puts our runner where an image of the user's finds it.
fn bring(installation: &Installation) -> Container {
    let quantities = |pairs: [(&str, &str); 2]| {
        Some(pairs.into_iter().map(|(key, value)| (key.to_owned(), Quantity(value.to_owned()))).collect())
    };
    Container {
        name: BRING.into(),
        image: Some(installation.image.clone()),
        image_pull_policy: Some(installation.image_pull_policy.clone()),
        args: Some(vec![pod::INSTALL.into(), pod::PROGRAM_DIR.into()]),
        resources: Some(ResourceRequirements {
            requests: quantities([("cpu", "10m"), ("memory", "16Mi")]),
            limits: quantities([("cpu", "1"), ("memory", "64Mi")]),
            claims: None,
        }),
        volume_mounts: Some(vec![VolumeMount {
            name: PROGRAM_VOLUME.into(),
            mount_path: pod::PROGRAM_DIR.into(),
            ..VolumeMount::default()
        }]),
        security_context: Some(confined()),
        ..Container::default()
    }
}

/// The volume with the runner, and how the container of the run sees it.
fn program() -> (Volume, [VolumeMount; 2]) {
    let volume = Volume {
        name: PROGRAM_VOLUME.into(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    };
    let mount = |path: &str, part: Option<&str>| VolumeMount {
        name: PROGRAM_VOLUME.into(),
        mount_path: path.into(),
        sub_path: part.map(Into::into),
        read_only: Some(true),
        ..VolumeMount::default()
    };
    (volume, [mount(pod::PROGRAM_DIR, None), mount("/etc/passwd", Some(pod::PASSWD))])
}

/// The author's own volumes.
fn further_volumes(service: &Service) -> Result<Vec<(Volume, VolumeMount)>, Fault> {
    let mut list = Vec::new();
    for further in &service.spec.runner.volumes {
        let name = format!("own-{}", further.name);
        let mut volume = further.volume.clone();
        volume["name"] = name.clone().into();
        let mount = VolumeMount {
            name: name.clone(),
            mount_path: further.mount_path.clone(),
            read_only: further.read_only.then_some(true),
            ..VolumeMount::default()
        };
        let field = format!("runner.volumes.{}.volume", further.name);
        list.push((as_in_a_pod::<Volume>(&field, &volume, "a volume")?, mount));
    }
    Ok(list)
}

/// Directories with secrets of the author's volumes: their values are hidden, too.
fn hidden(service: &Service, further: &[(Volume, VolumeMount)]) -> Vec<String> {
    let secret = |volume: &Volume| {
        volume.secret.is_some()
            || volume.projected.as_ref().is_some_and(|projected| {
                let parts = projected.sources.iter().flatten();
                parts.into_iter().any(|part| part.secret.is_some() || part.service_account_token.is_some())
            })
    };
    let mut paths: Vec<String> = further
        .iter()
        .filter(|(volume, _)| secret(volume))
        .map(|(_, mount)| mount.mount_path.clone())
        .collect();
    if service.spec.runner.service_account_name.is_some() {
        paths.push("/var/run/secrets/kubernetes.io/serviceaccount".to_owned());
    }
    paths
}

fn tolerations(service: &Service) -> Result<Option<Vec<Toleration>>, Fault> {
    let list = &service.spec.runner.tolerations;
    let read = list.iter().map(|one| as_in_a_pod("runner.tolerations", one, "tolerations"));
    (!list.is_empty()).then(|| read.collect()).transpose()
}

fn affinity(service: &Service) -> Result<Option<Affinity>, Fault> {
    let affinity = service.spec.runner.affinity.as_ref();
    affinity.map(|affinity| as_in_a_pod("runner.affinity", affinity, "affinity")).transpose()
}

/// A part of a pod that the CRD does not describe.
fn as_in_a_pod<T: serde::de::DeserializeOwned>(
    field: &str,
    value: &serde_json::Value,
    what: &str,
) -> Result<T, Fault> {
    serde_json::from_value(value.clone()).map_err(|error| Fault {
        reason: crds::Reason::InvalidSpec,
        message: format!("{field}: {error}; write {what} as in a pod"),
    })
}

fn resources(service: &Service) -> Result<ResourceRequirements, Fault> {
    if let Some(resources) = &service.spec.runner.resources {
        return as_in_a_pod("runner.resources", resources, "requests and limits");
    }
    let quantities = |pairs: &[(&str, &str)]| {
        Some(pairs.iter().map(|(key, value)| ((*key).to_owned(), Quantity((*value).to_owned()))).collect())
    };
    Ok(ResourceRequirements {
        requests: quantities(&[("cpu", "100m"), ("memory", "128Mi")]),
        limits: quantities(&[("memory", "1Gi")]),
        claims: None,
    })
}

fn volumes(
    service: &Service,
    uid: &str,
    status: &DeploymentStatus,
    attempt: u32,
) -> Vec<(Volume, VolumeMount)> {
    let spec = &service.spec;
    let mut list = Vec::new();
    let mut add = |name: &str, path: &str, writable: bool, volume: Volume| {
        list.push((
            Volume { name: name.into(), ..volume },
            VolumeMount {
                name: name.into(),
                mount_path: path.into(),
                read_only: (!writable).then_some(true),
                ..VolumeMount::default()
            },
        ));
    };
    let config_map = |name: &str| Volume {
        config_map: Some(ConfigMapVolumeSource { name: name.into(), ..ConfigMapVolumeSource::default() }),
        ..Volume::default()
    };
    let secret = |name: &str| Volume {
        secret: Some(SecretVolumeSource {
            secret_name: Some(name.into()),
            default_mode: Some(0o440),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    };
    let empty = |medium: Option<&str>, limit: Option<&str>| Volume {
        empty_dir: Some(EmptyDirVolumeSource {
            medium: medium.map(Into::into),
            size_limit: limit.map(|limit| Quantity(limit.into())),
        }),
        ..Volume::default()
    };

    add("bundle", pod::BUNDLE_DIR, false, config_map(status.bundle.as_deref().unwrap_or_default()));
    add("work", pod::WORK_DIR, true, empty(None, None));
    add("tmp", "/tmp", true, empty(None, None));
    add("spool", pod::SPOOL_DIR, true, empty(None, None));
    add("memory", pod::MEMORY_DIR, true, empty(Some("Memory"), Some("64Mi")));
    add("token", pod::TOKEN_DIR, false, token(uid, attempt));
    add("pod", pod::DOWNWARD_DIR, false, downward());
    let credentials = &spec.credentials;
    if let Some(reference) = credentials.ssh.as_ref().and_then(|ssh| ssh.secret_ref.as_ref()) {
        add("ssh", pod::SSH_DIR, false, secret(&reference.name));
    }
    for (index, password) in credentials.vault_passwords.iter().enumerate() {
        let path = format!("{}{index}", pod::VAULT_DIR_PREFIX);
        add(&format!("vault-{index}"), &path, false, secret(&password.secret_ref.name));
    }
    if let Some(password) = &credentials.r#become {
        add("become", pod::BECOME_DIR, false, secret(&password.secret_ref.name));
    }
    if let Some(galaxy) = &credentials.galaxy {
        add("galaxy", pod::GALAXY_DIR, false, secret(&galaxy.secret_ref.name));
    }
    if let Some(cache) = &spec.runner.cache {
        let claim =
            PersistentVolumeClaimVolumeSource { claim_name: cache.claim_name.clone(), read_only: None };
        let volume = Volume { persistent_volume_claim: Some(claim), ..Volume::default() };
        add("cache", pod::CACHE_DIR, true, volume);
    }
    if let Some(known) = &spec.credentials.known_hosts {
        if let Some(reference) = &known.config_map_ref {
            add("known-hosts", pod::KNOWN_HOSTS_DIR, false, config_map(&reference.name));
        } else if let Some(reference) = &known.secret_ref {
            add("known-hosts", pod::KNOWN_HOSTS_DIR, false, secret(&reference.name));
        }
    }
    if let Some(reference) = spec.source.git.as_ref().and_then(|git| git.secret_ref.as_ref()) {
        add("git", pod::GIT_DIR, false, secret(&reference.name));
    }
    if let Some(reference) = &spec.inventory.secret_ref {
        add("inventory", pod::INVENTORY_DIR, false, secret(&reference.name));
    }
    if let Some(reference) = &status.secret_inputs {
        add("inputs", pod::SECRET_INPUTS_DIR, false, secret(&reference.name));
    }
    for (index, reference) in
        spec.variables_from.iter().filter_map(|from| from.secret_ref.as_ref()).enumerate()
    {
        let path = format!("{}{index}", pod::VARIABLES_DIR_PREFIX);
        add(&format!("variables-{index}"), &path, false, secret(&reference.name));
    }
    list
}

fn token(uid: &str, attempt: u32) -> Volume {
    Volume {
        projected: Some(ProjectedVolumeSource {
            default_mode: Some(0o440),
            sources: Some(vec![VolumeProjection {
                service_account_token: Some(ServiceAccountTokenProjection {
                    audience: Some(pod::audience(uid, attempt)),
                    expiration_seconds: Some(3_600),
                    path: pod::TOKEN_FILE.into(),
                }),
                ..VolumeProjection::default()
            }]),
        }),
        ..Volume::default()
    }
}

fn downward() -> Volume {
    Volume {
        downward_api: Some(DownwardAPIVolumeSource {
            items: Some(vec![DownwardAPIVolumeFile {
                path: pod::CANCEL_FILE.into(),
                field_ref: Some(ObjectFieldSelector {
                    field_path: format!("metadata.annotations['{}']", names::ANNOTATION_CANCEL),
                    api_version: None,
                }),
                ..DownwardAPIVolumeFile::default()
            }]),
            ..DownwardAPIVolumeSource::default()
        }),
        ..Volume::default()
    }
}
