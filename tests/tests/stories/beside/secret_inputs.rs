//! Inputs that are secret, and inputs that are names of branches and tags.

use crds::{Phase, Service};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{
    Api,
    api::{ListParams, PostParams},
};
use serde_json::json;
use tests::{
    Outcome, Result, Story,
    browser::{self, Browser},
    deployment, ensure, expect, holds, kubectl,
    manifest::Manifest,
    reports,
    repository::Repository,
    same, service,
};

const CANARY: &str = "c4n4ry/of+an=input";

/// A Secret that its Deployment owns, made after it, as whoever deploys for others does.
async fn answer(story: &Story, run: &str, value: &str) -> Result<()> {
    let owner = Api::<crds::Deployment>::namespaced(story.client.clone(), &story.namespace).get(run).await?;
    let secret = serde_json::from_value(json!({
        "metadata": {"name": format!("{run}-inputs"), "ownerReferences": [{
            "apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Deployment", "name": run, "uid": owner.metadata.uid,
        }]},
        "stringData": {"token": value},
    }))?;
    story.api::<Secret>().create(&PostParams::default(), &secret).await?;
    Ok(())
}

/// It reaches the playbook, as text, and is to be seen nowhere; a rollback has it, too.
#[tokio::test]
async fn secret_inputs() -> Outcome {
    Story::tell("secret-inputs", async |story| {
        let form = "{inputs: [{name: token, type: secret, required: true}], history: {succeeded: 0}}";
        let tasks = "[{name: Tell, ansible.builtin.debug: {msg: 'the token is <{{ token }}> with {{ token | length }} characters'}}]";
        let said = story.refused(&service("blog").with("inputs: [{name: token, type: secret, default: hunter2}]")).await?;
        holds("kubectl", &said, "a secret has no default")?;
        story.apply(&service("blog").tasks(tasks).with(form).on_change()).await?;
        let blog = story.service_is("blog", "True", "False", "InputRequired").await?;
        same("runs", blog.status.and_then(|status| status.last_number), None)?;
        for (name, spec, word) in [
            ("in-spec", "inputs: {token: hunter2}", "a secret never stands in a spec"),
            ("without", "reason: nothing", "inputs.token: an answer is required"),
        ] {
            story.apply(&deployment(name, "blog").with(spec)).await?;
            let run = story.ends(name).await?;
            expect::ended(&run, Phase::Failed, "InvalidInput")?;
            holds("failure", &run.status.and_then(|s| s.failure).map(|f| f.message).unwrap_or_default(), word)?;
        }
        let named = "secretInputs: {secretRef: {name: run-inputs}}";
        story.apply(&deployment("run", "blog").with(named)).await?;
        answer(story, "run", CANARY).await?;
        expect::ended(&story.ends("run").await?, Phase::Succeeded, "Succeeded")?;
        holds("the log", &story.log_of("run").await?, "the token is <********> with 18 characters")?;
        let live = |s: &Service| s.status.as_ref().and_then(|s| s.live.as_ref()).and_then(|l| l.secret_inputs.clone());
        let blog = story.service_until("blog", "live.secretInputs", |s| live(s).is_some()).await?;
        same("live.secretInputs", live(&blog).map(|secret| secret.name), Some("run-inputs".into()))?;

        // A run that nobody asked for answers as the live one did; so does one that goes back.
        story.patch_service("blog", json!({"spec": {"variables": {"n": 1}}})).await?;
        expect::ended(&story.numbered_ends("blog", 4).await?, Phase::Succeeded, "Succeeded")?;
        story.apply(&deployment("back", "blog").with("repeat: {number: 3}")).await?;
        expect::ended(&story.ends("back").await?, Phase::Succeeded, "Succeeded")?;
        holds("the log", &story.log_of("back").await?, "the token is <********> with 18 characters")?;
        // Whose Secret is needed stays, though the history's limits are long passed.
        story.service_until("blog", "an end", |s| s.status.as_ref().is_some_and(|s| s.active.is_none())).await?;
        let runs = story.listed().await?;
        ensure!(runs.iter().any(|run| run.metadata.name.as_deref() == Some("run")), "the owner of the Secret is gone");

        // At the page it is written into the form, and kept in a Secret of the run, which nobody reads there again.
        let browser = Browser::at_the_page().await?;
        let path = format!("/services/{}/blog", story.namespace);
        browser::known(&browser, &path).await?;
        let start = json!({"secretInputs": {"values": {"token": CANARY}}});
        let runs = format!("{path}/deployments");
        let once = [("idempotency-key", "one-deed")];
        let (status, _, made) = browser.sends("POST", &runs, &once, Some(&start)).await?;
        same("the answer", status, 201)?;
        let name = made["deployment"]["name"].as_str().unwrap_or_default().to_owned();
        // Told again it is the same run; with another secret it is another deed, though nobody can read the first.
        let (status, _, again) = browser.sends("POST", &runs, &once, Some(&start)).await?;
        same("told again", (status, again["deployment"]["name"].as_str()), (200, Some(name.as_str())))?;
        let other = json!({"secretInputs": {"values": {"token": "another"}}});
        let (status, _, refused) = browser.sends("POST", &runs, &once, Some(&other)).await?;
        same("with another secret", (status, refused["reason"].as_str()), (409, Some("KeyUsed")))?;
        expect::ended(&story.ends(&name).await?, Phase::Succeeded, "Succeeded")?;
        holds("the log", &story.log_of(&name).await?, "the token is <********> with 18 characters")?;
        let kept = story.api::<Secret>().get(&format!("{name}-inputs")).await?;
        let owner = kept.metadata.owner_references.unwrap_or_default().pop().map(|owner| owner.name);
        same("owner and type", (owner, kept.type_), (Some(name), Some("fastdeploy.dev/secret-inputs".into())))?;
        ensure!(!made.to_string().contains(CANARY), "the API says the secret");
        nothing_else(story).await?;

        let places = [
            serde_json::to_string(&story.deployments.ever())?,
            serde_json::to_string(&story.services.ever())?,
            serde_json::to_string(&story.pods.ever())?,
            serde_json::to_string(&story.api::<ConfigMap>().list(&ListParams::default()).await?)?,
        ];
        ensure!(places.iter().all(|place| !place.contains(CANARY)), "the secret is to be seen");
        Ok(())
    })
    .await
}

/// The api-server makes no other Secret, whoever made it ask.
async fn nothing_else(story: &Story) -> Result<()> {
    let posing = format!("--as=system:serviceaccount:{}:fastdeploy-api-server", tests::installation());
    let words = ["create", "--namespace", &story.namespace, "--filename", "-", &posing];
    for (name, kind, owned) in [
        ("token", "kubernetes.io/service-account-token", false),
        ("free-inputs", "fastdeploy.dev/secret-inputs", false),
        ("another", "fastdeploy.dev/secret-inputs", true),
        ("run-inputs", "Opaque", true),
    ] {
        let owner = json!([{"apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Deployment", "name": "run", "uid": "1"}]);
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": kind, "immutable": true,
            "metadata": {"name": name, "ownerReferences": if owned { owner } else { json!([]) },
                "annotations": {"kubernetes.io/service-account.name": "default"}},
        });
        let said = kubectl::ask(&words, &secret.to_string()).await?;
        ensure!(!said.ok, "{name} was made");
        holds(name, &said.err, "only for the secret answers of a run")?;
    }
    Ok(())
}

/// What is chosen has to be there.
#[tokio::test]
async fn inputs_that_are_refs() -> Outcome {
    Story::tell("inputs-git", async |story| {
        let repository = Repository::public(story).await?;
        let text = "- hosts: all\n  gather_facts: false\n  tasks: [{name: Say, ansible.builtin.debug: {msg: 'for {{ version }}'}}]\n";
        let first = repository.commit("main", "deploy.yml", text, Some("v1.0.0")).await?;
        repository.commit("main", "README.md", "newer", None).await?;
        let elsewhere = repository.commit("side", "README.md", "elsewhere", None).await?;
        let blog = Manifest(json!({
            "apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Service", "metadata": {"name": "blog"},
            "spec": {"source": {"git": {"url": repository.https(), "caBundle": repository.ca(), "branch": "main"}},
                "playbook": "deploy.yml", "inventory": {"local": true},
                "inputs": [{"name": "version", "type": "gitTag", "required": true}, {"name": "line", "type": "gitBranch"},
                    {"name": "commit", "type": "gitCommit"}]},
        }));
        story.apply(&blog).await?;
        story.service_is("blog", "True", "False", "WaitingForPerson").await?;
        let not_permitted = "is not one that this Service permits; it permits main, commits that were live, and";
        for (name, inputs, word) in [
            ("no-tag", "{version: v9}", "the repository has no tag v9; it has v1.0.0"),
            ("no-branch", "{version: v1.0.0, line: v1.0.0}", "the repository has no branch v1.0.0; it has side, main"),
            ("no-commit", "{version: v1.0.0, commit: main}", "is not the id of a commit"),
            ("another-branch", &format!("{{version: v1.0.0}}, revision: {elsewhere}"), not_permitted),
            // The branch had it, but it was never live.
            ("earlier", &format!("{{version: v1.0.0}}, revision: {first}"), not_permitted),
            ("by-tag", "{version: v1.0.0}, revision: v1.0.0", not_permitted),
        ] {
            story.apply(&deployment(name, "blog").with(&format!("{{inputs: {inputs}}}"))).await?;
            let run = story.ends(name).await?;
            expect::ended(&run, Phase::Failed, "InvalidInput")?;
            holds("failure", &run.status.and_then(|s| s.failure).map(|f| f.message).unwrap_or_default(), word)?;
        }
        story.apply(&deployment("run", "blog").with("inputs: {version: v1.0.0, line: main, commit: 4f2a9c1}")).await?;
        expect::ended(&story.ends("run").await?, Phase::Succeeded, "Succeeded")?;
        holds("the log", &story.log_of("run").await?, "for v1.0.0")?;
        commits_to_choose_from(story, &first).await
    })
    .await
}

/// What was never live is there as an answer.
async fn commits_to_choose_from(story: &Story, first: &str) -> Result<()> {
    let git = story.api::<Service>().get("blog").await?.spec.source.git;
    let key = git.map(|git| git.repository(&story.namespace)).unwrap_or_default();
    let commits = store::commits::of(&reports::database().await?, &key, "refs/heads/main").await?;
    let told = commits.iter().map(|c| (c.subject.as_str(), c.author.as_str(), c.commit == first));
    let expected = vec![("Change README.md", "test", false), ("Change deploy.yml", "test", true)];
    same("commits", told.collect::<Vec<_>>(), expected)
}
