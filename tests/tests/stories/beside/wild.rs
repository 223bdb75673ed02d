//! Playbooks, scripts and images as people have them: vault, sudo with a password, requirements from a private
//! repository, a program instead of a playbook, an image of one's own.

use crds::Phase;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use tests::{
    Context, Outcome, Result, Servers, Story, bail, deployment, expect, holds,
    manifest::Manifest,
    repository::{self, Repository},
    same, service,
};

/// `greeting: hello from the vault of prod`, with the vault id prod.
const OF_PROD: &str = "$ANSIBLE_VAULT;1.2;AES256;prod
32396631633334393765393466333761313138656138343834356466343331316566303538653964
3064613365633361666562613963333162343338646235300a666537303037363134626533656130
61666430346436653864383435333063326331643762633739643863393065633866396664363736
3634626363653833340a373261303330366262346361633736656630313338663462353364613937
36353832333535353063643262323838303937653561366534356232663531303639356233326630
6239353730663965353462363632316130376130363938636665
";
/// `answer: and from that of test`, with the vault id test.
const OF_TEST: &str = "$ANSIBLE_VAULT;1.2;AES256;test
61373938303630343164643431386534666138363531326465653731353135363531376263626137
3635386530613739663532363266616662643531306362330a336130373631653531336234373964
39623038323362343330306337303530623363306130313532353234383065666338306436616537
3836373838646165330a336565353464343731393834623934396435313465373830373730376632
37313263666464336132663735326335623537373864323261303066643663396366
";
const SUDO: &str = "the Password for sud0";

const PLAYBOOK: &str = "
- hosts: all
  gather_facts: false
  vars_files: [vault/prod.yml, vault/test.yml]
  roles: [fetched]
  tasks:
    - name: Of both vaults
      ansible.builtin.assert: {that: [\"greeting == 'hello from the vault of prod'\", \"answer == 'and from that of test'\"]}
    - {name: Show, ansible.builtin.debug: {msg: 'seen <{{ greeting }}>'}}
    - {name: As another, become: true, become_user: asker, ansible.builtin.command: id -un, register: it}
    - {name: It is the other, ansible.builtin.assert: {that: it.stdout == 'asker'}}
    - {name: From here, delegate_to: localhost, run_once: true, ansible.builtin.copy: {content: x, dest: '{{ lookup(\"env\", \"TMPDIR\") }}/x'}}
";

fn secret(name: &str, data: &Value) -> Manifest {
    Manifest(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}))
}

/// Over SSH, onto real servers, with everything that has to be opened, proven or fetched.
#[tokio::test]
async fn a_project_with_all_its_secrets() -> Outcome {
    Story::tell("wild-project", async |story| {
        let servers = Servers::of(story).await?;
        // This user's password is asked for, unless it becomes root.
        for server in [0, 1] {
            let prepared = format!(
                "id asker >/dev/null 2>&1 || useradd asker || id asker
                 echo 'deploy:{SUDO}' | chpasswd
                 echo 'deploy ALL=(asker) PASSWD: ALL' >/etc/sudoers.d/zz-asker"
            );
            servers.run(server, &prepared).await?;
        }
        let repository = Repository::private(story).await?;
        let role = "- {name: Of the fetched role, ansible.builtin.debug: {msg: fetched}}\n";
        let about = "galaxy_info: {author: a, description: d, license: MIT, min_ansible_version: '2.19'}\n";
        repository.commit("role", "tasks/main.yml", role, None).await?;
        repository.commit("role", "meta/main.yml", about, None).await?;
        let requirements =
            format!("roles: [{{src: 'git+{}', name: fetched, version: role}}]\n", repository.https());
        for (file, text) in [
            ("site/deploy.yml", PLAYBOOK),
            ("site/vault/prod.yml", OF_PROD),
            ("site/vault/test.yml", OF_TEST),
            ("site/requirements.yml", &requirements),
        ] {
            repository.commit("main", file, text, None).await?;
        }
        story.apply(&repository::password()).await?;
        story
            .apply(&secret("vault", &json!({"prod": "the password of prod", "test": "the password of test"})))
            .await?;
        story.apply(&secret("sudo", &json!({"password": SUDO}))).await?;

        let mut project = service("blog").on(&servers).with(
            "{requirements: requirements.yml, credentials: {become: {secretRef: {name: sudo}}, vaultPasswords: [
              {id: prod, secretRef: {name: vault, key: prod}}, {id: test, secretRef: {name: vault, key: test}}]}}",
        );
        project.0["spec"]["source"] = json!({"git": {
            "url": repository.https(), "branch": "main", "path": "site", "caBundle": repository.ca(),
            "secretRef": {"name": "git-password"},
        }});
        story.apply(&project).await?;
        story.service_is("blog", "True", "False", "WaitingForPerson").await?;
        story.apply(&deployment("run", "blog")).await?;
        let run = story.ends("run").await?;
        let log = story.log_of("run").await?;
        eprintln!("{}", if tests::phase(&run) == Some(Phase::Succeeded) { "" } else { &log });
        expect::ended(&run, Phase::Succeeded, "Succeeded")?;
        holds("the log", &log, "Of the fetched role")?;
        holds("the log", &log, "seen <********>")?;
        let status = run.status.unwrap_or_default();
        same("hosts.ok", status.hosts.map(|hosts| hosts.ok), Some(2))?;

        // A password that is not the right one is told as what it is.
        story.apply(&secret("vault", &json!({"prod": "guessed", "test": "guessed"}))).await?;
        story.apply(&deployment("wrong", "blog")).await?;
        expect::ended(&story.ends("wrong").await?, Phase::Failed, "VaultPassword")
    })
    .await
}

const SCRIPT: &str = r#"#!/usr/bin/env python3
import json, sys, urllib.request
config = json.load(open(sys.argv[sys.argv.index("--config") + 1]))
print(json.dumps({"name": "Stop", "state": "success", "message": "stopped"}), flush=True)
print("just a line")
step = {"name": "Start", "state": "success", "message": config["context"]["env"].get("version", "none")}
request = urllib.request.Request(config["steps_url"], json.dumps(step).encode(),
    {"authorization": "Bearer " + config["access_token"]}, method="POST")
assert json.load(urllib.request.urlopen(request)) == {"detail": "step processed"}
if config["inputs"].get("fail"):
    print(json.dumps({"name": "Check", "state": "failure", "error_message": "the site is down"}))
    sys.exit(3)
"#;

/// A program instead of a playbook, as with the first fastDeploy.
#[tokio::test]
async fn a_script() -> Outcome {
    Story::tell("wild-script", async |story| {
        let mut scripted = service("blog").with(
            "{script: deploy.py, steps: [{name: Stop}, {name: Start, description: Brings it up}, {name: Check}],
              inputs: [{name: fail, type: boolean, default: false}]}",
        );
        let spec = scripted.0["spec"].as_object_mut().expect("a spec");
        spec.remove("playbook");
        spec["source"] = json!({"inline": {"deploy.py": SCRIPT}});
        story.apply(&scripted).await?;
        story.apply(&deployment("run", "blog").with("context: {env: {version: v7}}")).await?;
        let run = story.ends("run").await?;
        expect::ended(&run, Phase::Succeeded, "Succeeded")?;
        let steps: Vec<_> = run.status.iter().flat_map(|status| &status.steps).collect();
        let seen: Vec<_> = steps.iter().map(|step| (step.name.as_str(), step.message.as_deref())).collect();
        same("steps", seen.first().copied(), Some(("Stop", Some("stopped"))))?;
        same("steps", seen.get(1).copied(), Some(("Start", Some("v7"))))?;
        holds("the log", &story.log_of("run").await?, "just a line")?;

        story.apply(&deployment("fails", "blog").with("inputs: {fail: true}")).await?;
        let run = story.ends("fails").await?;
        expect::ended(&run, Phase::Failed, "TaskFailed")?;
        let Some(failure) = run.status.and_then(|status| status.failure) else { bail!("expected a failure") };
        same("failure", (failure.step.as_deref(), failure.message.as_str()), (Some("Check"), "the site is down"))
    })
    .await
}

/// The runner comes into any image with Python and Ansible; one without, or with another version, is refused.
#[tokio::test]
async fn images_of_ones_own() -> Outcome {
    Story::tell("wild-images", async |story| {
        let image = |name: &str| -> Result<String> {
            std::env::var(name).with_context(|| format!("no image: set {name} (make env does)"))
        };
        let tasks = "[{name: Brought along, ansible.builtin.command: cat /proc/1/cmdline}, {name: By name, ansible.builtin.command: id -un}]";
        let own = |image: &str| service("blog").tasks(tasks).with(&format!("runner: {{image: '{image}'}}"));
        story.apply(&own(&image("FASTDEPLOY_RUNNER_IMAGE")?).with("options: {verbosity: 1}")).await?;
        story.apply(&deployment("run", "blog")).await?;
        expect::ended(&story.ends("run").await?, Phase::Succeeded, "Succeeded")?;
        let log = story.log_of("run").await?;
        holds("the log", &log, "/run/fastdeploy/program/fastdeploy-runner")?;
        holds("the log", &log, "\"runner\"")?;
        let pod = story.pod_of("run", "any", |_| true).await?;
        same("init containers", init_containers(&pod), vec!["bring-runner".to_owned()])?;

        // A server's image: Python, and no Ansible.
        story.apply(&own(&image("FASTDEPLOY_TARGET_IMAGE")?)).await?;
        refused(story, "without", "there is no ansible-playbook in the image").await?;

        let old = "#!/bin/sh\necho 'ansible-playbook [core 2.16.3]'\n";
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "old"},
            "data": {"ansible-playbook": old}});
        story.apply(&Manifest(map)).await?;
        let older = own(&image("FASTDEPLOY_RUNNER_IMAGE")?).with(
            "runner: {env: [{name: PATH, value: '/old:/usr/bin:/bin'}], volumes: [{name: old, mountPath: /old, volume: {configMap: {name: old, defaultMode: 493}}}]}",
        );
        story.apply(&older).await?;
        refused(story, "older", "2.16.3").await?;

        // A folder of the image; of ours, one that is put there.
        let playbook = "- hosts: all\n  gather_facts: false\n  tasks:\n    - name: Say\n      ansible.builtin.debug: {msg: from the image}\n";
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "playbooks"},
            "data": {"deploy.yml": playbook}});
        story.apply(&Manifest(map)).await?;
        story
            .apply(&Manifest(json!({
                "apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Service", "metadata": {"name": "inside"},
                "spec": {
                    "source": {"image": {"path": "/opt/playbooks"}}, "playbook": "deploy.yml", "inventory": {"local": true},
                    "runner": {"image": image("FASTDEPLOY_RUNNER_IMAGE")?, "volumes": [{
                        "name": "playbooks", "mountPath": "/opt/playbooks", "volume": {"configMap": {"name": "playbooks"}},
                    }]},
                },
            })))
            .await?;
        story.apply(&deployment("inside", "inside")).await?;
        expect::ended(&story.ends("inside").await?, Phase::Succeeded, "Succeeded")?;
        holds("the log", &story.log_of("inside").await?, "from the image")
    })
    .await
}

fn init_containers(pod: &Pod) -> Vec<String> {
    let containers = pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
    containers.map(|container| container.name.clone()).collect()
}

async fn refused(story: &Story, run: &str, words: &str) -> Result<()> {
    story.apply(&deployment(run, "blog")).await?;
    let run = story.ends(run).await?;
    expect::ended(&run, Phase::Failed, "ImageUnsuitable")?;
    let failure = run.status.and_then(|status| status.failure).map(|failure| failure.message);
    holds("failure.message", &failure.unwrap_or_default(), words)
}
