//! What is wanted, made from a Service and what it names: complete, checked, with a digest. Pure.
//! The same function serves the Service controller (is anything new wanted?) and the Deployment
//! controller (freeze it).

use std::collections::BTreeMap;

use crds::{
    Reason, Service, duration,
    service::{KeyRef, SourceStatus, Trust},
};
use hmac::{Hmac, KeyInit, Mac};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use protocol::{
    bundle::{Bundle, Credentials, GitSource, HealthCheck, Inventory, NamedStep, Options, Source, VaultFile},
    pod,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Everything that a Service names, as it was read; `None`: it is not there.
#[derive(Clone, Debug, Default)]
pub struct Named {
    /// ConfigMaps by name.
    pub config_maps: BTreeMap<String, Option<ConfigMap>>,
    /// Secrets by name.
    pub secrets: BTreeMap<String, Option<Secret>>,
    /// The repository, where the source is one.
    pub repository: Repository,
}

/// What is known of a Service's repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Repository {
    /// It is being looked at.
    #[default]
    Looking,
    /// Looked at lately.
    Found(Commit),
    /// It could not be read lately; what was found before, if anything was.
    Lost(Fault, Option<Commit>),
}

/// A commit that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// For people: `main@sha1:…`.
    pub revision: String,
    /// Its whole id.
    pub id: String,
    /// `refs/heads/main`; empty where it was asked for by its id.
    pub reference: String,
    /// First line of its message.
    pub message: String,
    /// Path to the id of the tree, for all of [`crds::source::Git::folders`].
    pub trees: BTreeMap<String, String>,
}

/// Why nothing can be run: the user's to mend, not ours to retry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which kind of fault.
    pub reason: Reason,
    /// What to write instead.
    pub message: String,
}

impl Fault {
    fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// What a Service wants, complete but for inputs.
#[derive(Clone, Debug, PartialEq)]
pub struct WantedRun {
    /// The bundle, with empty inputs.
    pub bundle: Bundle,
    /// Where the playbook comes from.
    pub source: SourceStatus,
    /// Why the source is the last good one and not that of now.
    pub outdated: Option<Fault>,
}

impl WantedRun {
    /// `v1:sha256:…`.
    pub fn digest(&self) -> &str {
        &self.bundle.digest
    }
}

/// A bundle as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBundle {
    /// Name of the ConfigMap.
    pub name: String,
    /// The digest that it holds.
    pub digest: String,
    /// Its text.
    pub content: String,
}

/// Names of the ConfigMaps and Secrets that decide what is wanted (first), and of all Secrets
/// whose existence a run needs (second: name and the key that must be there, if one must).
pub fn names(service: &Service) -> (Vec<String>, Vec<(String, Option<String>)>) {
    let spec = &service.spec;
    let mut config_maps = Vec::new();
    let mut secrets = Vec::new();
    config_maps.extend(spec.source.config_map.iter().map(|r| r.name.clone()));
    config_maps.extend(spec.inventory.config_map_ref.iter().map(|r| r.name.clone()));
    secrets.extend(spec.inventory.secret_ref.iter().map(|r| (r.name.clone(), r.key.clone())));
    for from in &spec.variables_from {
        config_maps.extend(from.config_map_ref.iter().map(|r| r.name.clone()));
        secrets.extend(from.secret_ref.iter().map(|r| (r.name.clone(), None)));
    }
    let git = spec.source.git.as_ref().and_then(|git| git.secret_ref.as_ref());
    secrets.extend(git.map(|reference| (reference.name.clone(), None)));
    let credentials = &spec.credentials;
    if let Some(ssh) = &credentials.ssh {
        secrets.extend(ssh.secret_ref.iter().map(|r| (r.name.clone(), Some(pod::SSH_KEY.into()))));
        config_maps.extend(ssh.config.iter().map(|config| config.config_map_ref.name.clone()));
    }
    secrets.extend(credentials.vault_passwords.iter().map(|v| of_key(&v.secret_ref)));
    secrets.extend(credentials.r#become.iter().map(|b| of_key(&b.secret_ref)));
    secrets.extend(credentials.galaxy.iter().map(|galaxy| (galaxy.secret_ref.name.clone(), None)));
    if let Some(known) = &spec.credentials.known_hosts {
        config_maps.extend(known.config_map_ref.iter().map(|r| r.name.clone()));
        secrets.extend(known.secret_ref.iter().map(|r| (r.name.clone(), Some(pod::KNOWN_HOSTS_KEY.into()))));
    }
    config_maps.sort();
    config_maps.dedup();
    secrets.sort();
    secrets.dedup();
    (config_maps, secrets)
}

fn of_key(reference: &KeyRef) -> (String, Option<String>) {
    (reference.name.clone(), reference.key.clone())
}

/// Whether something that is not in the Service itself decides what it wants.
pub fn depends_on_others(service: &Service) -> bool {
    let spec = &service.spec;
    spec.source.config_map.is_some()
        || spec.inventory.config_map_ref.is_some()
        || spec.inventory.secret_ref.is_some()
        || !spec.variables_from.is_empty()
}

/// What the Service wants now. `key` is the installation's key for the HMAC of Secret values:
/// a digest must tell that a Secret changed without telling what it is.
pub fn want(service: &Service, named: &Named, key: &[u8]) -> Result<WantedRun, Fault> {
    let spec = &service.spec;
    check_existence(service, named)?;
    let Found { source, status, digested, outdated } = source(service, named)?;
    let files = match &source {
        Source::Files(files) => Some(files),
        Source::Git(_) | Source::Image(_) => None,
    };
    for (field, path) in
        [("playbook", &spec.playbook), ("script", &spec.script), ("requirements", &spec.requirements)]
    {
        let (Some(files), Some(path)) = (files, path) else { continue };
        if !files.contains_key(path) {
            let there: Vec<_> = files.keys().take(10).map(String::as_str).collect();
            return Err(Fault::new(
                Reason::InvalidSpec,
                format!("{field}: {path} is not in the source; it has {}", there.join(", ")),
            ));
        }
    }
    if spec.playbook.is_some() == spec.script.is_some() {
        return Err(Fault::new(Reason::InvalidSpec, "write exactly one of playbook and script"));
    }
    let inventory = inventory(service, named, files)?;
    let (variables, secret_macs) = variables(service, named, key)?;
    let options = options(service)?;
    let timeout = duration::parse(&spec.policy.timeout)
        .map_err(|error| Fault::new(Reason::InvalidSpec, format!("policy.timeout: {error}")))?;
    check_form(service)?;
    check_pinned(service)?;

    let secret_inventory = match &inventory {
        Inventory::Secret(file) => {
            Some(mac(key, secret_value(named, spec.inventory.secret_ref.as_ref(), file)))
        }
        _ => None,
    };
    let mut digested = json!({
        "source": digested,
        "playbook": spec.playbook,
        "inventory": inventory,
        "secretInventory": secret_inventory,
        "variables": variables,
        "secretVariables": secret_macs,
        "options": Options { fact_cache_seconds: None, ..options.clone() },
        "image": spec.runner.image,
    });
    // What came later is in the digest only where it is used: an update of fastDeploy is no change.
    if let Some(script) = &spec.script {
        digested["script"] = json!(script);
    }
    if let Some(requirements) = &spec.requirements {
        digested["requirements"] = json!(requirements);
    }
    if !spec.runner.env.is_empty() {
        digested["env"] = json!(spec.runner.env);
    }
    let digest = digest(&digested)?;
    let bundle = Bundle {
        digest,
        source,
        playbook: spec.playbook.clone().unwrap_or_default(),
        script: spec.script.clone(),
        requirements: spec.requirements.clone(),
        steps: spec
            .steps
            .iter()
            .map(|step| NamedStep { name: step.name.clone(), description: step.description.clone() })
            .collect(),
        context: BTreeMap::new(),
        inventory,
        variables,
        inputs: BTreeMap::new(),
        credentials: credentials(service, named)?,
        options,
        timeout_seconds: timeout.as_secs(),
        health_check: health_check(service)?,
    };
    Ok(WantedRun { bundle, source: status, outdated })
}

/// Which credentials are mounted, and under which keys.
fn credentials(service: &Service, named: &Named) -> Result<Credentials, Fault> {
    let of = &service.spec.credentials;
    let ssh = of.ssh.as_ref();
    let ssh_config = match ssh.and_then(|ssh| ssh.config.as_ref()) {
        None => None,
        Some(config) => {
            let reference = &config.config_map_ref;
            let data = config_map_data(named, &reference.name);
            let name = match &reference.key {
                None if data.contains_key("config") => "config",
                _ => key(reference, &data, "ConfigMap")?,
            };
            Some(data[name].clone())
        }
    };
    let secret_key = |reference: &KeyRef| {
        key(reference, &secret_data(named, &reference.name), "Secret").map(str::to_owned)
    };
    let vault = of
        .vault_passwords
        .iter()
        .map(|password| Ok(VaultFile { id: password.id.clone(), key: secret_key(&password.secret_ref)? }));
    let from = &service.spec.variables_from;
    let mut credentials = Credentials {
        ssh: ssh.is_some_and(|ssh| ssh.secret_ref.is_some()),
        ssh_user: ssh.and_then(|ssh| ssh.user.clone()),
        agent_socket: ssh.and_then(|ssh| ssh.agent_socket.clone()),
        ssh_config,
        known_hosts: false,
        pinned: Vec::new(),
        trust_on_first_use: false,
        variable_secrets: from.iter().filter(|from| from.secret_ref.is_some()).count(),
        vault: vault.collect::<Result<_, Fault>>()?,
        become_key: of.r#become.as_ref().map(|password| secret_key(&password.secret_ref)).transpose()?,
        galaxy: of.galaxy.is_some(),
        // Which of them are answered is known with the run.
        secret_inputs: Vec::new(),
    };
    recognise(service, &mut credentials);
    Ok(credentials)
}

/// By what servers are recognised: always by what the Service says now, also where an earlier run is repeated. A key
/// that was replaced since must not stop that, and one that is trusted no longer must not count again.
pub fn recognise(service: &Service, credentials: &mut Credentials) {
    let known = service.spec.credentials.known_hosts.as_ref();
    credentials.known_hosts = known.is_some_and(|k| k.config_map_ref.is_some() || k.secret_ref.is_some());
    credentials.pinned = known.map(|known| known.inline.clone()).unwrap_or_default();
    credentials.trust_on_first_use = known.and_then(|k| k.trust) == Some(Trust::OnFirstUse);
}

/// Without the rules of the cluster (a run on somebody's own machine) nobody has looked at them yet.
fn check_pinned(service: &Service) -> Result<(), Fault> {
    let lines = service.spec.credentials.known_hosts.iter().flat_map(|known| &known.inline);
    for (n, line) in lines.enumerate() {
        crds::known_hosts::parse(line).map_err(|advice| {
            Fault::new(Reason::InvalidSpec, format!("credentials.knownHosts.inline[{n}]: {advice}"))
        })?;
    }
    Ok(())
}

/// Freezes a wanted run with the answers of the form, and what a script is to know besides.
pub fn freeze(
    mut wanted: WantedRun,
    inputs: BTreeMap<String, Value>,
    context: BTreeMap<String, Value>,
) -> Result<StoredBundle, Fault> {
    wanted.bundle.inputs = inputs;
    wanted.bundle.context = context;
    store(wanted.bundle)
}

/// A bundle as it is stored.
pub fn store(bundle: Bundle) -> Result<StoredBundle, Fault> {
    let content = serde_json_canonicalizer::to_string(&bundle).map_err(|error| {
        Fault::new(Reason::InvalidSpec, format!("the run cannot be written down: {error}"))
    })?;
    if content.len() > 900_000 {
        return Err(Fault::new(
            Reason::InvalidSpec,
            format!(
                "source and variables are {} kB in all; at most 900 kB fit into a run",
                content.len() / 1_000
            ),
        ));
    }
    let name = crds::names::bundle(&content);
    Ok(StoredBundle { name, digest: bundle.digest, content })
}

fn digest(value: &Value) -> Result<String, Fault> {
    let canonical = serde_json_canonicalizer::to_vec(value)
        .map_err(|error| Fault::new(Reason::InvalidSpec, format!("the Service cannot be hashed: {error}")))?;
    Ok(format!("v1:sha256:{}", hex::encode(Sha256::digest(canonical))))
}

fn mac(key: &[u8], value: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(value);
    hex::encode(mac.finalize().into_bytes())
}

fn check_existence(service: &Service, named: &Named) -> Result<(), Fault> {
    let (config_maps, secrets) = names(service);
    let source = service.spec.source.config_map.as_ref().map(|r| r.name.as_str());
    for name in config_maps {
        if named.config_maps.get(&name).is_none_or(Option::is_none) {
            let reason =
                if source == Some(name.as_str()) { Reason::SourceNotFound } else { Reason::SecretMissing };
            return Err(Fault::new(reason, format!("ConfigMap {name} is not in this namespace")));
        }
    }
    for (name, key) in secrets {
        let Some(Some(secret)) = named.secrets.get(&name) else {
            return Err(Fault::new(Reason::SecretMissing, format!("Secret {name} is not in this namespace")));
        };
        if let Some(key) = key
            && !secret.data.as_ref().is_some_and(|data| data.contains_key(&key))
        {
            return Err(Fault::new(Reason::SecretMissing, format!("Secret {name} has no key {key}")));
        }
    }
    let known = service.spec.credentials.known_hosts.as_ref().and_then(|k| k.config_map_ref.as_ref());
    if let Some(known) = known
        && !config_map_data(named, &known.name).contains_key(pod::KNOWN_HOSTS_KEY)
    {
        return Err(Fault::new(
            Reason::SecretMissing,
            format!("ConfigMap {} has no key {}", known.name, pod::KNOWN_HOSTS_KEY),
        ));
    }
    Ok(())
}

fn config_map_data(named: &Named, name: &str) -> BTreeMap<String, String> {
    named.config_maps.get(name).cloned().flatten().and_then(|map| map.data).unwrap_or_default()
}

/// The source, for the bundle, for the status and for the digest.
struct Found {
    source: Source,
    status: SourceStatus,
    digested: Value,
    outdated: Option<Fault>,
}

fn source(service: &Service, named: &Named) -> Result<Found, Fault> {
    let source = &service.spec.source;
    if let Some(git) = &source.git {
        return repository(git, named);
    }
    if let Some(image) = &source.image {
        let revision = format!("image@{}", service.spec.runner.image.as_deref().unwrap_or_default());
        return Ok(Found {
            source: Source::Image(image.path.clone()),
            status: SourceStatus { revision, ..SourceStatus::default() },
            digested: json!({ "image": image.path }),
            outdated: None,
        });
    }
    let (files, origin) = match (&source.inline, &source.config_map) {
        (Some(files), None) => {
            let files: BTreeMap<_, _> =
                files.iter().map(|(path, content)| (path.clone(), content.0.clone())).collect();
            (files, "inline".to_owned())
        }
        (None, Some(reference)) => (config_map_data(named, &reference.name), reference.name.clone()),
        _ => {
            let message = "source: write exactly one of git, inline, configMap or image";
            return Err(Fault::new(Reason::InvalidSpec, message));
        }
    };
    let hash =
        Sha256::digest(serde_json_canonicalizer::to_vec(&files).map_err(|error| {
            Fault::new(Reason::InvalidSpec, format!("the source cannot be hashed: {error}"))
        })?);
    let revision = format!("{origin}@sha256:{}", &hex::encode(hash)[..12]);
    let status = SourceStatus { revision, ..SourceStatus::default() };
    Ok(Found { digested: json!(files), source: Source::Files(files), status, outdated: None })
}

/// Only the trees are in the digest: a commit that changes nothing below them is no change.
fn repository(git: &crds::source::Git, named: &Named) -> Result<Found, Fault> {
    let (commit, outdated) = match &named.repository {
        Repository::Looking => {
            return Err(Fault::new(Reason::Progressing, "the repository is being looked at"));
        }
        Repository::Found(commit) => (commit, None),
        Repository::Lost(fault, Some(commit)) => (commit, Some(fault.clone())),
        Repository::Lost(fault, None) => return Err(fault.clone()),
    };
    let source = Source::Git(GitSource {
        url: git.url.clone(),
        commit: commit.id.clone(),
        reference: commit.reference.clone(),
        path: git.path.clone().unwrap_or_default(),
        include: git.include.clone(),
        ca_bundle: git.ca_bundle.clone(),
        proxy: git.proxy.clone(),
        credentials: git.secret_ref.is_some(),
    });
    let status = SourceStatus {
        revision: commit.revision.clone(),
        commit: Some(commit.id.clone()),
        message: Some(commit.message.clone()).filter(|message| !message.is_empty()),
        trees: commit.trees.clone(),
        checked_at: None,
    };
    Ok(Found { source, status, digested: json!({ "trees": commit.trees }), outdated })
}

/// The key that a reference means: the one it names, or the only one.
fn key<'a, V>(reference: &KeyRef, data: &'a BTreeMap<String, V>, what: &str) -> Result<&'a str, Fault> {
    let fault = |message| Fault::new(Reason::SecretMissing, message);
    match &reference.key {
        Some(key) => data
            .get_key_value(key)
            .map(|(key, _)| key.as_str())
            .ok_or_else(|| fault(format!("{what} {} has no key {key}", reference.name))),
        None if data.len() == 1 => Ok(data.keys().next().expect("there is one").as_str()),
        None => Err(fault(format!("{what} {} has {} keys; name one with key:", reference.name, data.len()))),
    }
}

/// `files`: what is in the source, where that is known.
fn inventory(
    service: &Service,
    named: &Named,
    files: Option<&BTreeMap<String, String>>,
) -> Result<Inventory, Fault> {
    let inventory = &service.spec.inventory;
    if let Some(path) = &inventory.path {
        let Some(files) = files else { return Ok(Inventory::Path(path.clone())) };
        let folder = format!("{path}/");
        return if files.contains_key(path) || files.keys().any(|file| file.starts_with(&folder)) {
            Ok(Inventory::Path(path.clone()))
        } else {
            Err(Fault::new(Reason::InvalidSpec, format!("inventory.path: {path} is not in the source")))
        };
    }
    if let Some(value) = &inventory.inline {
        return Ok(Inventory::Inline(value.clone()));
    }
    if let Some(reference) = &inventory.config_map_ref {
        let data = config_map_data(named, &reference.name);
        let key = key(reference, &data, "ConfigMap")?;
        return Ok(Inventory::Text(data[key].clone()));
    }
    if let Some(reference) = &inventory.secret_ref {
        let data = secret_data(named, &reference.name);
        return Ok(Inventory::Secret(key(reference, &data, "Secret")?.to_owned()));
    }
    if inventory.local == Some(true) {
        return Ok(Inventory::Local);
    }
    Err(Fault::new(
        Reason::InvalidSpec,
        "inventory: write exactly one of path, inline, configMapRef, secretRef or local",
    ))
}

fn secret_data(named: &Named, name: &str) -> BTreeMap<String, Vec<u8>> {
    let secret = named.secrets.get(name).cloned().flatten();
    secret.and_then(|s| s.data).unwrap_or_default().into_iter().map(|(k, v)| (k, v.0)).collect()
}

fn secret_value<'a>(named: &'a Named, reference: Option<&KeyRef>, key: &str) -> &'a [u8] {
    reference
        .and_then(|r| named.secrets.get(&r.name)?.as_ref()?.data.as_ref()?.get(key))
        .map_or(&[], |value| value.0.as_slice())
}

type Variables = (BTreeMap<String, Value>, Vec<BTreeMap<String, String>>);

fn variables(service: &Service, named: &Named, key: &[u8]) -> Result<Variables, Fault> {
    let is_name = |name: &str| {
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let check = |name: &str, origin: &str| {
        if is_name(name) {
            Ok(())
        } else {
            Err(Fault::new(
                Reason::InvalidSpec,
                format!(
                    "{origin}: {name} cannot be a variable; write letters, digits and _, not a digit first"
                ),
            ))
        }
    };
    let mut variables = service.spec.variables.clone();
    for name in variables.keys() {
        check(name, "variables")?;
    }
    let mut macs = Vec::new();
    for from in &service.spec.variables_from {
        if let Some(reference) = &from.config_map_ref {
            for (name, value) in config_map_data(named, &reference.name) {
                check(&name, &format!("variablesFrom ConfigMap {}", reference.name))?;
                variables.insert(name, json!({ "__ansible_unsafe": value }));
            }
        }
        if let Some(reference) = &from.secret_ref {
            let data = secret_data(named, &reference.name);
            for name in data.keys() {
                check(name, &format!("variablesFrom Secret {}", reference.name))?;
            }
            macs.push(data.into_iter().map(|(name, value)| (name, mac(key, &value))).collect());
        }
    }
    Ok((variables, macs))
}

fn health_check(service: &Service) -> Result<Option<HealthCheck>, Fault> {
    let Some(check) = &service.spec.health_check else { return Ok(None) };
    let timeout = duration::parse(&check.http.timeout)
        .map_err(|error| Fault::new(Reason::InvalidSpec, format!("healthCheck.http.timeout: {error}")))?;
    let http = &check.http;
    Ok(Some(HealthCheck { url: http.url.clone(), status: http.status, timeout_seconds: timeout.as_secs() }))
}

fn options(service: &Service) -> Result<Options, Fault> {
    let options = &service.spec.options;
    let seconds = |text: &String| {
        duration::parse(text)
            .map(|duration| duration.as_secs())
            .map_err(|error| Fault::new(Reason::InvalidSpec, format!("options.factCache: {error}")))
    };
    Ok(Options {
        tags: options.tags.clone(),
        skip_tags: options.skip_tags.clone(),
        forks: options.forks,
        verbosity: options.verbosity.unwrap_or(0),
        diff: options.diff.unwrap_or(false),
        pipelining: options.pipelining.unwrap_or(true),
        check: false,
        limit: None,
        fact_cache_seconds: options.fact_cache.as_ref().map(seconds).transpose()?,
    })
}

/// A form whose own defaults do not fit it can never be filled in.
fn check_form(service: &Service) -> Result<(), Fault> {
    for input in &service.spec.inputs {
        if let Some(pattern) = &input.pattern {
            crds::inputs::regex(pattern).map_err(|message| {
                Fault::new(Reason::InvalidSpec, format!("inputs.{}.pattern: {message}", input.name))
            })?;
        }
        if let Some(default) = &input.default {
            crds::inputs::check(input, default).map_err(|message| {
                Fault::new(Reason::InvalidSpec, format!("inputs.{}.default: {message}", input.name))
            })?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::*;

    fn service(spec: &str) -> Service {
        let spec: Value = serde_yaml::from_str(spec).unwrap();
        serde_json::from_value(json!({
            "apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Service",
            "metadata": {"name": "blog", "namespace": "team"}, "spec": spec,
        }))
        .unwrap()
    }

    fn secret(values: &[(&str, &str)]) -> Secret {
        let data = values.iter().map(|(k, v)| ((*k).to_owned(), ByteString(v.as_bytes().into()))).collect();
        Secret { data: Some(data), ..Secret::default() }
    }

    const SMALL: &str = "{source: {inline: {deploy.yml: x}}, playbook: deploy.yml, inventory: {local: true}}";

    #[test]
    fn the_digest_follows_what_is_run_and_nothing_else() {
        let digest = |spec: &str| want(&service(spec), &Named::default(), b"k").unwrap().digest().to_owned();
        let base = digest(SMALL);
        assert!(base.starts_with("v1:sha256:"));
        let same = [
            "{title: New, source: {inline: {deploy.yml: x}}, playbook: deploy.yml, inventory: {local: true}, policy: {deploy: OnChange, timeout: 5m}, suspend: true}",
            "{source: {inline: {deploy.yml: x}}, playbook: deploy.yml, inventory: {local: true}, options: {verbosity: 0}, runner: {nodeSelector: {a: b}}}",
        ];
        for spec in same {
            assert_eq!(digest(spec), base, "{spec}");
        }
        let other = [
            "{source: {inline: {deploy.yml: y}}, playbook: deploy.yml, inventory: {local: true}}",
            "{source: {inline: {deploy.yml: x, b.yml: x}}, playbook: b.yml, inventory: {local: true}}",
            "{source: {inline: {deploy.yml: x}}, playbook: deploy.yml, inventory: {inline: {all: {}}}}",
            "{source: {inline: {deploy.yml: x}}, playbook: deploy.yml, inventory: {local: true}, variables: {a: 1}}",
            "{source: {inline: {deploy.yml: x}}, playbook: deploy.yml, inventory: {local: true}, options: {tags: [a]}}",
            "{source: {inline: {deploy.yml: x}}, playbook: deploy.yml, inventory: {local: true}, runner: {image: a}}",
        ];
        for spec in other {
            assert_ne!(digest(spec), base, "{spec}");
        }
    }

    #[test]
    fn a_changed_secret_changes_the_digest_without_being_in_it() {
        let service = service(
            "{source: {inline: {deploy.yml: x}}, playbook: deploy.yml, inventory: {local: true}, variablesFrom: [{secretRef: {name: s}}]}",
        );
        let with = |value: &str, key: &[u8]| {
            let named = Named {
                secrets: BTreeMap::from([("s".to_owned(), Some(secret(&[("password", value)])))]),
                ..Named::default()
            };
            want(&service, &named, key).unwrap()
        };
        assert_ne!(with("one", b"k").digest(), with("two", b"k").digest());
        assert_ne!(with("one", b"k").digest(), with("one", b"other").digest());
        assert!(
            !freeze(with("hunter22", b"k"), BTreeMap::new(), BTreeMap::new())
                .unwrap()
                .content
                .contains("hunter22")
        );
    }

    #[test]
    fn credentials_are_not_in_the_digest() {
        let spec = "{source: {inline: {deploy.yml: x}}, playbook: deploy.yml, inventory: {local: true}, credentials: {ssh: {secretRef: {name: s}}}}";
        let with = |value: &str| {
            let named = Named {
                secrets: BTreeMap::from([("s".to_owned(), Some(secret(&[("ssh-privatekey", value)])))]),
                ..Named::default()
            };
            want(&service(spec), &named, b"k").unwrap().digest().to_owned()
        };
        assert_eq!(with("one"), with("two"));
        assert_eq!(with("one"), want(&service(SMALL), &Named::default(), b"k").unwrap().digest());
    }

    #[test]
    fn servers_are_recognised_by_what_the_service_says_now() {
        let line = "web1 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
        let spec = SMALL.replacen('{', &format!("{{credentials: {{knownHosts: {{inline: [{line}]}}}}, "), 1);
        let pinning = service(&spec);
        let wanted = want(&pinning, &Named::default(), b"k").unwrap();
        assert_eq!(wanted.bundle.credentials.pinned, [line]);
        // Whom one trusts is no part of what is deployed.
        assert_eq!(wanted.digest(), want(&service(SMALL), &Named::default(), b"k").unwrap().digest());
        let mut earlier = Credentials {
            known_hosts: true,
            trust_on_first_use: true,
            pinned: vec!["old".into()],
            ..Credentials::default()
        };
        recognise(&pinning, &mut earlier);
        assert_eq!(earlier, wanted.bundle.credentials);
    }

    #[test]
    fn what_is_not_there_is_named() {
        for (spec, reason, word) in [
            (
                "{source: {configMap: {name: gone}}, playbook: d.yml, inventory: {local: true}}",
                Reason::SourceNotFound,
                "ConfigMap gone",
            ),
            (
                "{source: {inline: {a.yml: x}}, playbook: b.yml, inventory: {local: true}}",
                Reason::InvalidSpec,
                "b.yml is not in the source; it has a.yml",
            ),
            (
                "{source: {inline: {a.yml: x}}, playbook: a.yml, inventory: {path: hosts}}",
                Reason::InvalidSpec,
                "inventory.path: hosts",
            ),
            (
                "{source: {inline: {a.yml: x}}, playbook: a.yml, inventory: {local: true}, credentials: {ssh: {secretRef: {name: k}}}}",
                Reason::SecretMissing,
                "Secret k",
            ),
            (
                "{source: {inline: {a.yml: x}}, playbook: a.yml, inventory: {local: true}, variables: {a-b: 1}}",
                Reason::InvalidSpec,
                "a-b cannot be a variable",
            ),
            (
                "{source: {inline: {a.yml: x}}, playbook: a.yml, inventory: {local: true}, inputs: [{name: n, type: number, default: many}]}",
                Reason::InvalidSpec,
                "inputs.n.default",
            ),
            (
                "{source: {inline: {a.yml: x}}, playbook: a.yml, inventory: {local: true}, inputs: [{name: n, type: text, pattern: '('}]}",
                Reason::InvalidSpec,
                "inputs.n.pattern",
            ),
            (
                "{source: {inline: {a.yml: x}}, playbook: a.yml, inventory: {local: true}, credentials: {knownHosts: {inline: [web1 ssh-ed25519 x]}}}",
                Reason::InvalidSpec,
                "credentials.knownHosts.inline[0]: write a line as ssh-keyscan prints it",
            ),
        ] {
            let fault = want(&service(spec), &Named::default(), b"k").unwrap_err();
            assert_eq!(fault.reason, reason, "{}", fault.message);
            assert!(fault.message.contains(word), "{}", fault.message);
        }
    }
}
