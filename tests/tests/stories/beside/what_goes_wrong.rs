//! Causes that have a name of their own, each told within a minute.

use std::time::{Duration, Instant};

use crds::{Phase, Reason};
use k8s_openapi::api::core::v1::Node;
use kube::{Api, api::ListParams};
use serde_json::json;
use tests::{
    Outcome, Result, Story, bail, deployment, ensure, expect, holds, manifest::Manifest, same, service,
};

const MINUTE: Duration = Duration::from_mins(1);

/// A run of this Service fails like this, with this in its message.
async fn fails(story: &Story, service: &Manifest, reason: &str, word: &str) -> Result<()> {
    fails_saying(story, service, reason, &[word]).await
}

/// The same with several words; what to do about it stands beside, as the list of reasons has it.
async fn fails_saying(story: &Story, service: &Manifest, reason: &str, words: &[&str]) -> Result<()> {
    story.apply(service).await?;
    let began = Instant::now();
    story.apply(&deployment("run", "blog")).await?;
    let run = story.ends("run").await?;
    expect::ended(&run, Phase::Failed, reason)?;
    ensure!(
        began.elapsed() < MINUTE,
        "expected {reason} within a minute, saw it after {:?}",
        began.elapsed()
    );
    let Some(failure) = run.status.and_then(|status| status.failure) else { bail!("expected a failure") };
    for word in words {
        holds("failure.message", &failure.message, word)?;
    }
    same("failure.hint", Some(failure.hint.as_str()), Reason::parse(reason).map(Reason::hint))?;
    // Nothing stays behind that would stand in the way of the next one.
    let unlocked =
        |service: &crds::Service| service.status.as_ref().is_some_and(|status| status.active.is_none());
    story.service_until("blog", "no active Deployment", unlocked).await.map(drop)
}

#[tokio::test]
async fn secret_missing() -> Outcome {
    Story::tell("secret-missing", async |story| {
        let blog = service("blog").with("variablesFrom: [{secretRef: {name: passwords}}]");
        fails(story, &blog, "SecretMissing", "Secret passwords is not in this namespace").await?;
        let service = story.service_is("blog", "False", "Unknown", "ProgressingWithRetry").await?;
        let ready = service.status.unwrap_or_default().conditions;
        holds(
            "Ready",
            &crds::conditions::find(&ready, "Ready").map(|c| c.message.clone()).unwrap_or_default(),
            "passwords",
        )?;
        same("pods", story.pods.ever().len(), 0)
    })
    .await
}

#[tokio::test]
async fn image_pull() -> Outcome {
    Story::tell("image-pull", async |story| {
        let blog = service("blog").with("runner: {image: 'registry.invalid/no/such:image'}");
        fails(story, &blog, "ImagePull", "registry.invalid").await
    })
    .await
}

#[tokio::test]
async fn unschedulable() -> Outcome {
    Story::tell("unschedulable", async |story| {
        let blog = service("blog").with("runner: {resources: {requests: {cpu: '9000'}}}");
        fails(story, &blog, "Unschedulable", "Insufficient cpu").await
    })
    .await
}

/// It is no fault: it waits, says for what, and goes on by itself; or it is given up like any pod that does not come.
#[tokio::test]
async fn quota_exceeded() -> Outcome {
    Story::tell("quota-exceeded", async |story| {
        let quota = |what: &str, most: &str| {
            let spec = json!({"hard": {what: most}});
            Manifest(json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "team"}, "spec": spec}))
        };
        let told = async |run: &str, word: &str| {
            let says = |run: &crds::Deployment| {
                let status = run.status.clone().unwrap_or_default();
                status.reason.as_deref() == Some("QuotaExceeded")
            };
            let run = story.deployments.until(run, "the reason QuotaExceeded", MINUTE, says).await?;
            let conditions = run.status.unwrap_or_default().conditions;
            let ready = crds::conditions::find(&conditions, "Ready").map(|c| c.message.clone());
            holds("Ready", &ready.unwrap_or_default(), word)
        };
        story.apply(&quota("pods", "0")).await?;
        story.apply(&service("blog").with("policy: {prepareTimeout: 1m}")).await?;
        story.apply(&deployment("no-pod", "blog")).await?;
        told("no-pod", "exceeded quota: team").await?;
        expect::ended(&story.ends("no-pod").await?, Phase::Failed, "QuotaExceeded")?;
        // Neither may the Job be made.
        story.apply(&quota("count/jobs.batch", "0")).await?;
        story.apply(&deployment("no-job", "blog")).await?;
        told("no-job", "exceeded quota: team").await?;
        story.apply(&quota("count/jobs.batch", "9")).await?;
        expect::ended(&story.ends("no-job").await?, Phase::Succeeded, "Succeeded")
    })
    .await
}

#[tokio::test]
async fn pod_refused() -> Outcome {
    Story::tell("pod-refused", async |story| {
        let most = json!({"limits": [{"type": "Container", "max": {"memory": "1Gi"}}]});
        let limits =
            json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "team"}, "spec": most});
        story.apply(&Manifest(limits)).await?;
        let blog = service("blog").with("runner: {resources: {limits: {memory: 2Gi}}}");
        fails(story, &blog, "PodRefused", "maximum memory usage per Container is 1Gi").await
    })
    .await
}

#[tokio::test]
async fn out_of_memory() -> Outcome {
    Story::tell("out-of-memory", async |story| {
        let blog = service("blog")
            .tasks("[{name: Eat, ansible.builtin.command: \"python3 -c 'print(len(bytearray(10**9)))'\"}]")
            .with("runner: {resources: {requests: {memory: 64Mi}, limits: {memory: 128Mi}}}");
        fails(story, &blog, "OutOfMemory", "memory").await
    })
    .await
}

/// Ansible is killed: nothing proves that it did its work.
#[tokio::test]
async fn ansible_killed() -> Outcome {
    Story::tell("ansible-killed", async |story| {
        let kill = "for p in /proc/[0-9]*; do grep -q ansible-play[b]ook $p/cmdline && kill -9 ${p#/proc/}; done; sleep 9";
        let blog = service("blog").tasks(&format!("[{{name: Kill, ansible.builtin.shell: '{kill}'}}]"));
        fails(story, &blog, "RunnerLost", "Ansible was killed from outside").await
    })
    .await
}

#[tokio::test]
async fn source_not_found() -> Outcome {
    Story::tell("source-not-found", async |story| {
        let mut blog = service("blog");
        blog.0["spec"]["source"] = json!({"configMap": {"name": "nobody"}});
        fails(story, &blog, "SourceNotFound", "ConfigMap nobody").await?;
        story.service_is("blog", "False", "Unknown", "ProgressingWithRetry").await.map(drop)
    })
    .await
}

#[tokio::test]
async fn syntax_error() -> Outcome {
    Story::tell("syntax-error", async |story| {
        let blog = service("blog").playbook("- hosts: all\n  tasks:\n    - name: [unclosed\n");
        fails(story, &blog, "SyntaxError", "deploy.yml").await
    })
    .await
}

/// A server for collections that is not there: nobody listens, in the run's own pod.
#[tokio::test]
async fn requirements_failed() -> Outcome {
    Story::tell("requirements-failed", async |story| {
        let mut blog = service("blog").with("requirements: requirements.yml");
        let nowhere = "collections: [{name: acme.none, source: 'http://127.0.0.1:9'}]\n";
        blog.0["spec"]["source"]["inline"]["requirements.yml"] = nowhere.into();
        let words = ["ansible-galaxy could not install the requirements", "http://127.0.0.1:9", "refused"];
        fails_saying(story, &blog, "RequirementsFailed", &words).await?;
        let log = story.log_of("run").await?;
        same("a task in its log", log.contains("TASK ["), false)
    })
    .await
}

/// A program of one's own says nothing of steps: its exit code and its last words count.
#[tokio::test]
async fn script_failed() -> Outcome {
    Story::tell("script-failed", async |story| {
        let mut blog = service("blog").with("script: deploy.sh");
        let spec = blog.0["spec"].as_object_mut().expect("a spec");
        spec.remove("playbook");
        spec["source"] =
            json!({"inline": {"deploy.sh": "#!/bin/sh\necho begins\necho no room on the disk >&2\nexit 3\n"}});
        fails_saying(story, &blog, "ScriptFailed", &["exit code 3", "no room on the disk"]).await
    })
    .await
}

/// Ansible gives up before the first task, for something that is no error of syntax.
#[tokio::test]
async fn ansible_failed() -> Outcome {
    Story::tell("ansible-failed", async |story| {
        let play =
            "- hosts: all\n  gather_facts: false\n  strategy: patient\n  tasks: [{ansible.builtin.debug: {msg: hi}}]\n";
        let words = ["Ansible ended with exit code 1", "Invalid play strategy specified: patient"];
        fails_saying(story, &service("blog").playbook(play), "AnsibleFailed", &words).await?;
        let run = story.ends("run").await?;
        let Some(failure) = run.status.and_then(|status| status.failure) else { bail!("expected a failure") };
        same("step and server", (failure.step, failure.host), (None, None))
    })
    .await
}

#[tokio::test]
async fn invalid_spec() -> Outcome {
    Story::tell("invalid-spec", async |story| {
        let blog = service("blog").with("playbook: site.yml");
        fails(story, &blog, "InvalidSpec", "site.yml is not in the source; it has deploy.yml").await?;
        story.service_is("blog", "False", "Unknown", "InvalidSpec").await?;
        same("pods", story.pods.ever().len(), 0)
    })
    .await
}

#[tokio::test]
async fn service_not_found() -> Outcome {
    Story::tell("service-not-found", async |story| {
        story.apply(&deployment("run", "blog")).await?;
        expect::ended(&story.ends("run").await?, Phase::Failed, "ServiceNotFound")
    })
    .await
}

#[tokio::test]
async fn vault_password() -> Outcome {
    Story::tell("vault-password", async |story| {
        let mut blog = service("blog");
        let play = "[{hosts: all, gather_facts: false, vars_files: [secret.yml], tasks: [{ansible.builtin.debug: {msg: hi}}]}]";
        let locked = "$ANSIBLE_VAULT;1.1;AES256\n33363965326261303234626463623963633531343539616138316433353830356566396130353436\n3562643163366231316662386565383735653432386435610a\n";
        blog.0["spec"]["source"] = serde_json::json!({"inline": {"deploy.yml": play, "secret.yml": locked}});
        fails(story, &blog, "VaultPassword", "vault").await
    })
    .await
}

#[tokio::test]
async fn become_failed() -> Outcome {
    Story::tell("become-failed", async |story| {
        // The run's own pod has no sudo, and lets nobody become another one.
        let blog = service("blog").tasks("[{ansible.builtin.command: id, become: true}]");
        fails(story, &blog, "BecomeFailed", "sudo").await
    })
    .await
}

/// A directory where the image has a file: the container runtime says no.
#[tokio::test]
async fn runner_failed() -> Outcome {
    Story::tell("runner-failed", async |story| {
        let volume = "runner: {volumes: [{name: own, mountPath: /etc/passwd, volume: {emptyDir: {}}}]}";
        fails(story, &service("blog").with(volume), "RunnerFailed", "/etc/passwd").await
    })
    .await
}

/// It writes more into a volume than that may hold, and the kubelet takes its pod away.
#[tokio::test]
async fn evicted() -> Outcome {
    Story::tell("evicted", async |story| {
        let nodes = Api::<Node>::all(story.client.clone()).list(&ListParams::default()).await?.items;
        let disks_count = nodes.iter().filter_map(|node| node.status.as_ref()?.capacity.as_ref());
        if !disks_count.into_iter().any(|capacity| capacity.contains_key("ephemeral-storage")) {
            eprintln!("story evicted: not told, the kubelet does not look at how much pods write here");
            return Ok(());
        }
        let volume =
            "{name: small, mountPath: /small, readOnly: false, volume: {emptyDir: {sizeLimit: 2Mi}}}";
        let fill = "head -c 20000000 /dev/zero > /small/much; sleep 300";
        let blog = service("blog")
            .tasks(&format!("[{{name: Fill, ansible.builtin.shell: '{fill}'}}]"))
            .with(&format!("runner: {{volumes: [{volume}]}}"));
        story.apply(&blog).await?;
        story.apply(&deployment("run", "blog")).await?;
        let run = story.ends("run").await?;
        expect::ended(&run, Phase::Failed, "Evicted")?;
        let failure = run.status.and_then(|status| status.failure).map(|failure| failure.message);
        holds("failure.message", &failure.unwrap_or_default(), "exceeds the limit")?;
        story.apply(&service("blog")).await?;
        story.apply(&deployment("next", "blog")).await?;
        expect::ended(&story.ends("next").await?, Phase::Succeeded, "Succeeded")
    })
    .await
}
