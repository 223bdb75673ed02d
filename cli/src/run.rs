//! `fastdeploy run --local`: a Service's run on this machine. The bundle is frozen by the operator's own code and
//! carried out by the runner's; what a cluster brings (Secrets, ConfigMaps, answers) comes from files.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use crds::{
    Reason, Service,
    service::{Input, InputType},
    source::{Image, Source},
};
use protocol::{
    pod::SPOOL_FILE,
    verdict::{RunResult, Step, Verdict, unpack_steps},
};
use serde_json::Value;

use crate::{
    manifests::{Given, Manifests},
    pod::Pod,
    validate::named,
};

/// What of this machine's environment a run sees, besides `runner.env` of the Service.
const ENVIRONMENT: [&str; 10] = [
    "PATH",
    "TZ",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// Arguments.
#[derive(clap::Args)]
pub struct Args {
    /// On this machine, with its own Ansible. (In a cluster a run is a Deployment: kubectl create.)
    #[arg(long)]
    local: bool,
    /// Files with the Service, and with ConfigMaps and Secrets that it names, as for kubectl apply.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Which Service, where the files have several.
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// The source is this folder, whatever the Service says: the top of a repository that is checked out.
    #[arg(long, value_name = "DIRECTORY")]
    source: Option<PathBuf>,
    /// A key of a ConfigMap that the Service names.
    #[arg(long, value_name = "NAME/KEY=FILE")]
    config_map: Vec<Given>,
    /// A key of a Secret that the Service names.
    #[arg(long, value_name = "NAME/KEY=FILE")]
    secret: Vec<Given>,
    /// The agent of this session (SSH_AUTH_SOCK) in the place of credentials.ssh.secretRef.
    #[arg(long)]
    ssh_agent: bool,
    /// An answer to the form; of several choices, separated by commas.
    #[arg(long = "input", value_name = "NAME=VALUE")]
    inputs: Vec<String>,
    /// The answer to an input of type secret, from a file.
    #[arg(long = "secret-input", value_name = "NAME=FILE")]
    secret_inputs: Vec<String>,
    /// A preview: ansible-playbook --check --diff.
    #[arg(long)]
    check: bool,
    /// Only these servers: a pattern of Ansible.
    #[arg(long, value_name = "PATTERN")]
    limit: Option<String>,
    /// Where requirements and facts are kept from one run to the next.
    #[arg(long, value_name = "DIRECTORY")]
    cache: Option<PathBuf>,
    /// Write all that happened to this file, an event as JSON on each line.
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
}

/// Runs it; 0 if it succeeded.
pub fn run(args: &Args) -> Result<ExitCode> {
    ensure!(args.local, "say --local to run here; in a cluster a run is a Deployment, see docs/cli.md");
    let mut found = Manifests::read(&args.files)?;
    for said in &found.unknown {
        eprintln!("fastdeploy: {said}");
    }
    args.config_map.iter().try_for_each(|given| found.set_config(given))?;
    args.secret.iter().try_for_each(|given| found.set_secret(given))?;
    let mut service = pick(&found, args.service.as_deref())?;
    for said in adapt(&mut service, args)? {
        eprintln!("fastdeploy: {said}");
    }

    let mut wanted = frozen::want(&service, &named(&found), b"local").map_err(explain)?;
    let form = &service.spec.inputs;
    let inputs = crds::inputs::fill_in(form, &answers(form, &args.inputs)?).map_err(|said| anyhow!(said))?;
    let secrets = secret_answers(&args.secret_inputs)?;
    let given = secrets.iter().map(|(name, value)| (name.clone(), !value.is_empty())).collect();
    let answered =
        crds::inputs::check_secrets(form, (!secrets.is_empty()).then_some(("--secret-input", &given)));
    wanted.bundle.credentials.secret_inputs =
        answered.map_err(|said| anyhow!("{said}; here: --secret-input NAME=FILE"))?;
    wanted.bundle.options.check = args.check;
    wanted.bundle.options.limit.clone_from(&args.limit);
    let stored = frozen::freeze(wanted, inputs, BTreeMap::new()).map_err(explain)?;

    let pod = Pod::new()?;
    pod.bundle(&stored.content)?;
    pod.mount(&service, &found)?;
    pod.secret_inputs(&secrets)?;
    if let Some(cache) = &args.cache {
        pod.cache(cache)?;
    }
    let name = service.metadata.name.clone().unwrap_or_default();
    let verdict = runner::local(&pod.paths(), &name, environment(&service));
    if let Some(file) = &args.events {
        let spool = pod.paths().spool();
        fs::copy(&spool, file)
            .with_context(|| format!("failed to copy {SPOOL_FILE} to {}", file.display()))?;
    }
    print!("{}", summary(&verdict));
    Ok(if verdict.result == RunResult::Succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn pick(found: &Manifests, name: Option<&str>) -> Result<Service> {
    let named = |service: &Service| service.metadata.name.clone().unwrap_or_default();
    let all = || found.services.iter().map(|(_, service)| named(service)).collect::<Vec<_>>().join(", ");
    let mut matching = found
        .services
        .iter()
        .map(|(_, service)| service)
        .filter(|s| name.is_none_or(|name| named(s) == name));
    match (matching.next(), matching.next()) {
        (Some(service), None) => Ok(service.clone()),
        (Some(_), Some(_)) => bail!("say which Service with --service; the files have {}", all()),
        (None, _) if found.services.is_empty() => {
            bail!("the files have no Service of fastdeploy.dev/v1alpha1")
        }
        (None, _) => bail!("there is no such Service; the files have {}", all()),
    }
}

/// What a machine has instead of a pod; what is left out is told.
fn adapt(service: &mut Service, args: &Args) -> Result<Vec<String>> {
    let spec = &mut service.spec;
    let mut said = Vec::new();
    if let Some(folder) = &args.source {
        let below = spec.source.git.as_ref().and_then(|git| git.path.clone());
        let folder = below.map_or_else(|| folder.clone(), |path| folder.join(path));
        spec.source = Source {
            git: None,
            inline: None,
            config_map: None,
            image: Some(Image { path: whole(&folder)? }),
        };
    } else if let Some(git) = &spec.source.git {
        bail!("source.git: check {} out and name its folder with --source", git.url);
    } else if let Some(image) = &spec.source.image {
        bail!("source.image: {} is in an image; name a folder of this machine with --source", image.path);
    }
    if args.ssh_agent {
        let socket = std::env::var("SSH_AUTH_SOCK").context("--ssh-agent: SSH_AUTH_SOCK names no agent")?;
        let ssh = spec.credentials.ssh.get_or_insert_default();
        ssh.secret_ref = None;
        ssh.agent_socket = Some(socket);
    }
    for (there, field, why) in [
        (spec.runner.image.is_some(), "image", "this machine's own Ansible runs"),
        (!spec.runner.volumes.is_empty(), "volumes", "what they bring is not here"),
        (spec.runner.service_account_name.is_some(), "serviceAccountName", "there is no token of it here"),
    ] {
        if there {
            said.push(format!("runner.{field} does not count: {why}"));
        }
    }
    Ok(said)
}

fn whole(folder: &Path) -> Result<String> {
    let path = folder.canonicalize().with_context(|| format!("failed to find {}", folder.display()))?;
    path.into_os_string().into_string().map_err(|path| anyhow!("{} is no text", path.display()))
}

fn explain(fault: frozen::Fault) -> anyhow::Error {
    match fault.reason {
        Reason::SecretMissing | Reason::SourceNotFound => anyhow!(
            "{}; give it in a further FILE, or with --secret or --config-map NAME/KEY=FILE",
            fault.message.replace("is not in this namespace", "is not there")
        ),
        _ => anyhow!(fault.message),
    }
}

/// `NAME=VALUE` as the form wants it. What does not fit is refused by the form.
fn answers(form: &[Input], given: &[String]) -> Result<BTreeMap<String, Value>> {
    given
        .iter()
        .map(|answer| {
            let (name, text) = answer.split_once('=').context("--input: write NAME=VALUE")?;
            let type_ = form.iter().find(|input| input.name == name).map(|input| input.type_);
            let value = match type_ {
                Some(InputType::Number | InputType::Boolean) => {
                    serde_json::from_str(text).unwrap_or_else(|_| text.into())
                }
                Some(InputType::Multichoice) => text.split(',').filter(|choice| !choice.is_empty()).collect(),
                _ => text.into(),
            };
            Ok((name.to_owned(), value))
        })
        .collect()
}

fn secret_answers(given: &[String]) -> Result<BTreeMap<String, Vec<u8>>> {
    given
        .iter()
        .map(|answer| {
            let (name, file) = answer.split_once('=').context("--secret-input: write NAME=FILE")?;
            let value = fs::read(file).with_context(|| format!("failed to read {file}"))?;
            Ok((name.to_owned(), value))
        })
        .collect()
}

fn environment(service: &Service) -> BTreeMap<String, String> {
    let ours = ENVIRONMENT.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)));
    let theirs =
        service.spec.runner.env.iter().map(|variable| (variable.name.clone(), variable.value.clone()));
    ours.chain(theirs).collect()
}

/// What a person reads at the end.
fn summary(verdict: &Verdict) -> String {
    let steps = unpack_steps(&verdict.steps).unwrap_or_default();
    let mut lines: Vec<String> = vec![String::new()];
    lines.extend(steps.iter().map(line));
    let missing = (verdict.steps_total as usize).saturating_sub(steps.len());
    if missing > 0 {
        lines.push(format!("  and {missing} more steps"));
    }
    lines.push(match &verdict.failure {
        None => format!("{:?}", verdict.result),
        Some(failure) => {
            let step = failure.step.as_ref().map(|step| format!(" at \"{step}\"")).unwrap_or_default();
            let host = failure.host.as_ref().map(|host| format!(" on {host}")).unwrap_or_default();
            format!("{:?} ({}){step}{host}: {}", verdict.result, failure.reason, failure.message)
        }
    });
    if let Some(failure) = &verdict.failure {
        let hint = Reason::parse(&failure.reason).map_or("", Reason::hint);
        lines.extend((!hint.is_empty()).then(|| hint.to_owned()));
        if let Some(key) = &failure.host_key {
            let known =
                key.known.as_ref().map(|known| format!(", and was known as {known}")).unwrap_or_default();
            let (shows, line) = (&key.fingerprint, &key.line);
            lines.push(format!("It shows {shows}{known}; the line for known_hosts is: {line}"));
        }
    }
    lines.join("\n") + "\n"
}

fn line(step: &Step) -> String {
    let took = step.started_at.zip(step.finished_at).map(|(from, to)| to.duration_since(from).as_secs_f64());
    let took = took.map(|seconds| format!(", {seconds:.1} s")).unwrap_or_default();
    let on = if step.ok + step.changed > 0 {
        format!("  ok {}, changed {}", step.ok, step.changed)
    } else {
        String::new()
    };
    let message = if step.message.is_empty() { String::new() } else { format!(": {}", step.message) };
    format!("  {:<11} {}{on}{took}{message}", format!("{:?}", step.state), step.name)
}
