//! Whatever people write into a spec, good or bad: it is refused with a sentence and changes nothing, or the status
//! soon speaks of it by the rules; once it is taken back, everything is as it was, without help. Random, by the
//! schema of the CRDs; `FASTDEPLOY_SEED` tells the same story again, `FASTDEPLOY_EDITS` a longer one (`make test-all`: 500).

use std::time::Duration;

use crds::{
    Phase, Service,
    kstatus::{KStatus, Seen, compute},
};
use kube::{
    Api, ResourceExt,
    api::{DynamicObject, Patch, PatchParams, PostParams},
    core::ApiResource,
};
use serde_json::{Value, json};
use tests::{
    Context, Outcome, Result, Story, bail, deployment,
    edits::{Edit, Editor},
    ensure, expect, kubectl,
    manifest::Manifest,
    same, service,
};

/// In one story.
const EDITS: usize = 60;
/// The design's "within T", on two busy cores.
const SOON: Duration = Duration::from_secs(30);
/// A run that an edit asked for may have to end first.
const HEALED: Duration = Duration::from_mins(1);
/// As often as that, a run is asked for while the edit is there; and as often, a Deployment is what is edited.
const RUN_EVERY: usize = 20;
const DEPLOYMENT_EVERY: usize = 6;
/// Worth a line of its own.
const SLOW: Duration = Duration::from_secs(10);
/// So many that went wrong say enough.
const ENOUGH: usize = 3;

#[tokio::test]
async fn any_edit_is_refused_or_followed_and_heals() -> Outcome {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let wanted = usize::try_from(number("FASTDEPLOY_EDITS").unwrap_or(EDITS as u64)).unwrap_or(EDITS);
    let now = tests::node::now()?;
    let seed = number("FASTDEPLOY_SEED").unwrap_or(now as u64);
    for part in 0..wanted.div_ceil(EDITS) {
        let (first, seed) = (part * EDITS, seed + part as u64);
        eprintln!("story edits: FASTDEPLOY_SEED={seed}");
        let count = EDITS.min(wanted - first);
        Story::tell("edits", async |story| {
            let told = Box::pin(edits(story, seed, first, count)).await;
            told.with_context(|| format!("with FASTDEPLOY_SEED={seed}"))
        })
        .await?;
    }
    Ok(())
}

async fn edits(story: &Story, seed: u64, first: usize, count: usize) -> Result<()> {
    let base = base();
    let since = kubectl::run(&["get", "--raw", "/version"]).await.map(|_| tests::node::now())??;
    story.apply(&base).await?;
    story.apply(&deployment("first", "blog")).await?;
    expect::ended(&story.ends("first").await?, Phase::Succeeded, "Succeeded")?;
    story.service_is("blog", "True", "True", "Deployed").await?;
    let mut services =
        Editor::new(include_str!("../../../../crds/services.yaml"), base.0["spec"].clone(), donors(), seed)?;
    let mut deployments = Editor::new(
        include_str!("../../../../crds/deployments.yaml"),
        json!({"service": "blog", "reason": "a test", "inputs": {"word": "hi"}, "mode": "Check"}),
        vec![
            ("repeat", json!({"number": 1})),
            ("failedOf", json!({"number": 1})),
            ("approval", json!({"decision": "Approved", "digest": "x", "by": "me"})),
        ],
        seed,
    )?;
    let (mut taken, mut wrong) = (0, Vec::new());
    for turn in first..first + count {
        let began = std::time::Instant::now();
        let (edit, outcome) = if turn % DEPLOYMENT_EVERY == 0 {
            let edit = deployments.next(turn / DEPLOYMENT_EVERY);
            let outcome = one_deployment(story, turn, &edit).await;
            (edit, outcome)
        } else {
            let edit = services.next(turn);
            let outcome = one_edit(story, &base, turn, &edit, turn % RUN_EVERY == 1).await;
            (edit, outcome)
        };
        match outcome {
            Ok(was_taken) => taken += usize::from(was_taken),
            Err(error) => wrong.push(format!("edit {turn}: {} = {}: {error:#}", edit.field, edit.what)),
        }
        if began.elapsed() > SLOW {
            eprintln!("edit {turn}: {} = {} took {:.0?}", edit.field, edit.what, began.elapsed());
        }
        if wrong.len() >= ENOUGH {
            break;
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n  "));
    eprintln!("{count} edits, {taken} were taken and healed");
    ensure!(taken > 0, "expected the API server to take some edits, it took none");
    the_same_by_another_way(story, &base).await?;
    no_errors(story, since).await
}

/// Answers whether it was taken.
async fn one_edit(story: &Story, base: &Manifest, turn: usize, edit: &Edit, with_run: bool) -> Result<bool> {
    let before = observed(story).await?;
    if !replace(story, &edit.spec).await? {
        let after = story.api::<Service>().get("blog").await?;
        same("the generation after a refusal", after.metadata.generation, before.metadata.generation)?;
        return Ok(false);
    }
    observed(story).await?;
    if with_run {
        let name = format!("during-{turn}");
        story.apply(&deployment(&name, "blog").with("reason: while it is edited")).await?;
        if !waits_for_people(story, &name).await? {
            story.ends(&name).await?;
        }
    }
    ensure!(replace(story, &base.0["spec"]).await?, "what was there before is refused");
    for run in story.listed().await?.iter().filter(|run| !tests::phase(run).is_some_and(Phase::is_terminal)) {
        story.ends(&run.name_any()).await?;
    }
    if with_run {
        // What failed is wanted again by whoever wants it.
        let name = format!("after-{turn}");
        story.apply(&deployment(&name, "blog")).await?;
        expect::ended(&story.ends(&name).await?, Phase::Succeeded, "Succeeded")?;
    }
    let healed = |service: &Service| {
        let status = service.status.clone().unwrap_or_default();
        is(service, KStatus::Current)
            && status.active.is_none()
            && crds::conditions::is_true(&status.conditions, "InSync")
    };
    story.services.until("blog", "healed after it was taken back", HEALED, healed).await?;
    Ok(true)
}

/// A run that nothing lets start, such as one that must be agreed to, is taken back.
async fn waits_for_people(story: &Story, name: &str) -> Result<bool> {
    let is_settled = |run: &crds::Deployment| {
        let waits = run.status.as_ref().and_then(|status| status.waiting_for.as_ref());
        tests::phase(run).is_some_and(Phase::is_terminal)
            || run.status.as_ref().is_some_and(|status| status.run.is_some())
            || waits.is_some_and(|waiting| waiting.reason != "Queued")
    };
    let run = story.deployments.until(name, "a place to be", HEALED, is_settled).await?;
    let waits = run.status.and_then(|status| status.waiting_for).is_some();
    if waits {
        story.cancel(name, crds::deployment::Cancel::AfterStep).await?;
    }
    Ok(waits)
}

/// A Deployment with this spec: refused, or it ends, or it can be stopped. Answers whether it was taken.
async fn one_deployment(story: &Story, turn: usize, edit: &Edit) -> Result<bool> {
    let mut manifest = deployment(&format!("edited-{turn}"), "blog");
    manifest.0["spec"].clone_from(&edit.spec);
    let name = format!("edited-{turn}");
    let made = dynamic::<crds::Deployment>(story)
        .create(&PostParams::default(), &serde_json::from_value(manifest.0)?)
        .await;
    let Some(made) = taken(made)? else { return Ok(false) };
    let is_another = made.data["spec"]["service"] != "blog";
    // What was made stays as it was made.
    let other = json!([{"op": "add", "path": "/spec/reason", "value": "another"}]);
    let edited = patch::<crds::Deployment>(story, &name, other).await;
    ensure!(taken(edited)?.is_none() || is_another, "expected a Deployment's spec to be immutable");
    waits_for_people(story, &name).await?;
    story.ends(&name).await.map(|_| true)
}

/// Waits until the status speaks of what was written last.
async fn observed(story: &Story) -> Result<Service> {
    let generation = story.api::<Service>().get("blog").await?.metadata.generation;
    let speaks = |service: &Service| {
        let observed = service.status.as_ref().map(|status| status.observed_generation);
        service.metadata.generation >= generation && observed >= generation
    };
    story.services.until("blog", "a status of what was written last", SOON, speaks).await
}

fn is(service: &Service, wanted: KStatus) -> bool {
    let status = service.status.clone().unwrap_or_default();
    let seen = Seen {
        generation: service.metadata.generation.unwrap_or_default(),
        deleted: service.metadata.deletion_timestamp.is_some(),
        observed_generation: status.observed_generation,
        conditions: &status.conditions,
    };
    compute(seen) == wanted
}

/// Whether the API server took it. Anything but a refusal with a sentence is an error.
fn taken<T>(answer: kube::Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(object) => Ok(Some(object)),
        Err(kube::Error::Api(status)) if matches!(status.code, 400 | 403 | 413 | 422) => {
            ensure!(status.message.len() > 10, "expected a sentence, saw {:?}", status.message);
            Ok(None)
        }
        Err(error) => bail!("expected yes or no, saw {error}"),
    }
}

fn dynamic<K: kube::Resource<DynamicType = ()>>(story: &Story) -> Api<DynamicObject> {
    Api::namespaced_with(story.client.clone(), &story.namespace, &ApiResource::erase::<K>(&()))
}

/// Past our own types: what they cannot hold is what this is about.
async fn patch<K: kube::Resource<DynamicType = ()>>(
    story: &Story,
    name: &str,
    operations: Value,
) -> kube::Result<DynamicObject> {
    let operations = serde_json::from_value(operations).map_err(kube::Error::SerdeError)?;
    dynamic::<K>(story).patch(name, &PatchParams::default(), &Patch::Json::<()>(operations)).await
}

async fn replace(story: &Story, spec: &Value) -> Result<bool> {
    let operations = json!([{"op": "replace", "path": "/spec", "value": spec}]);
    Ok(taken(patch::<Service>(story, "blog", operations).await)?.is_some())
}

/// Who comes to the same spec at once stands where this one stands after all that.
async fn the_same_by_another_way(story: &Story, base: &Manifest) -> Result<()> {
    let mut twin = base.clone();
    twin.0["metadata"]["name"] = "twin".into();
    story.apply(&twin).await?;
    story.apply(&deployment("twin", "twin")).await?;
    expect::ended(&story.ends("twin").await?, Phase::Succeeded, "Succeeded")?;
    let twin = story.service_is("twin", "True", "True", "Deployed").await?;
    let edited = story.api::<Service>().get("blog").await?;
    let of = |service: &Service| {
        let status = service.status.clone().unwrap_or_default();
        let words = |c: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| {
            (c.type_.clone(), c.status.clone(), c.reason.clone())
        };
        let conditions: Vec<_> = status.conditions.iter().map(words).collect();
        (conditions, status.live.map(|live| (live.digest, live.healthy)), status.active.is_some())
    };
    same("the status by another way", of(&edited), of(&twin))
}

/// Nothing that a person writes makes the operator fail, again and again.
async fn no_errors(story: &Story, since: f64) -> Result<()> {
    let now = tests::node::now()?;
    let ago = format!("--since={}s", (now - since).ceil() as u64 + 1);
    let installed = tests::installation();
    let words = [
        "--namespace",
        &installed,
        "logs",
        "--selector=app.kubernetes.io/component=operator",
        "--tail=-1",
        &ago,
    ];
    let log = kubectl::run(&words).await?;
    let of_story = |line: &&str| line.contains(&story.namespace) && line.contains("WARN");
    let wrong: Vec<_> = log.lines().filter(of_story).collect();
    ensure!(wrong.is_empty(), "expected no pass to fail, saw:\n  {}", wrong.join("\n  "));
    Ok(())
}

/// As many fields as can be there together, all of them harmless.
fn base() -> Manifest {
    let mut blog = service("blog");
    blog.0["spec"]["inventory"] = Value::Null;
    blog.tasks("[{name: Say, ansible.builtin.debug: {msg: '{{ word }}'}}]").with(
        "{
            title: Blog, description: A blog, url: 'https://blog.example.com',
            inventory: {inline: {all: {hosts: {localhost: {ansible_connection: local}}}}},
            variables: {port: 80},
            inputs: [{name: word, type: text, label: Word, help: Say it, default: hello, pattern: '.*'}],
            options: {tags: [all], skipTags: [never], forks: 5, verbosity: 0, diff: false, pipelining: true},
            policy: {
                deploy: Manual, concurrency: Queue, timeout: 5m, prepareTimeout: 5m, rollbackOnFailure: false,
                retries: {limit: 0, backoff: 10s}, approval: {required: false, own: true, expiresAfter: 1h},
                windows: [{days: [Mon], from: '00:00', to: '24:00', timeZone: UTC, effect: Allow, appliesTo: Automatic}],
            },
            history: {succeeded: 3, failed: 2},
            runner: {nodeSelector: {kubernetes.io/os: linux}, resources: {requests: {memory: 64Mi}}},
            suspend: false,
        }",
    )
}

fn donors() -> Vec<(&'static str, Value)> {
    vec![
        (
            "source",
            json!({"git": {"url": "https://nowhere.invalid/x.git", "branch": "main", "path": "deploy", "include": ["shared"],
                "interval": "1h", "secretRef": {"name": "nobody"}}}),
        ),
        (
            "source",
            json!({"git": {"url": "https://nowhere.invalid/x.git", "semver": ">=1.0", "interval": "1h"}}),
        ),
        ("source", json!({"configMap": {"name": "nobody"}})),
        ("source", json!({"image": {"path": "/opt/playbooks"}})),
        ("inventory", json!({"local": true})),
        ("inventory", json!({"path": "hosts.yml"})),
        ("inventory", json!({"configMapRef": {"name": "nobody", "key": "hosts.yml"}})),
        ("inventory", json!({"secretRef": {"name": "nobody", "key": "hosts.yml"}})),
        ("variablesFrom", json!([{"secretRef": {"name": "nobody"}}])),
        ("variablesFrom", json!([{"configMapRef": {"name": "nobody"}}])),
        (
            "credentials",
            json!({"ssh": {"secretRef": {"name": "nobody"}, "user": "me"}, "knownHosts": {"trust": "OnFirstUse"}}),
        ),
        ("credentials", json!({"knownHosts": {"configMapRef": {"name": "nobody"}}})),
        ("credentials", json!({"knownHosts": {"secretRef": {"name": "nobody"}}})),
        (
            "credentials",
            json!({"knownHosts": {"inline": ["web1 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"]}}),
        ),
        ("inputs", json!([{"name": "word", "type": "number", "default": 1, "minimum": 0, "maximum": 9}])),
        ("inputs", json!([{"name": "word", "type": "choice", "choices": ["a", "b"], "default": "a"}])),
        ("dependsOn", json!([{"name": "nobody"}])),
        ("healthCheck", json!({"http": {"url": "http://nowhere.invalid/", "status": 200, "timeout": "1s"}})),
        (
            "policy",
            json!({"schedule": {"cron": "0 4 1 1 *", "timeZone": "Europe/Berlin"}, "deploy": "OnChange"}),
        ),
        (
            "runner",
            json!({"image": "registry.invalid/no/such:image", "imagePullPolicy": "Never", "imagePullSecrets": [{"name": "nobody"}]}),
        ),
    ]
}
