//! Secrets stay where they are: a value that a playbook shows by every way that it has is in no status,
//! Event, bundle, log, row, message or answer, and in no argument or environment of a process.

use crds::Phase;
use k8s_openapi::api::{core::v1::ConfigMap, events::v1::Event};
use kube::ResourceExt;
use kube::api::ListParams;
use serde::Serialize;
use serde_json::json;
use tests::{
    Outcome, Result, Story, browser::Browser, deployment, ensure, expect, holds, kubectl, reports, same,
    service,
};

/// With what JSON, URLs and shells have to write in another way.
const CANARY: &str = r#"c4n4ry-Very+Secret/Va"l$ue'="#;
/// What every form of it has, and base64 of that at each offset.
const FORMS: [&str; 4] = ["c4n4ry", "YzRuNHJ5LVZlcn", "M0bjRyeS1WZXJ5", "jNG40cnktVmVye"];

/// Each way by which a playbook can show something.
const TASKS: &str = r#"
- {name: Tell, ansible.builtin.debug: {msg: 'the password is <{{ password }}>'}}
- {name: In base64, ansible.builtin.debug: {msg: 'encoded <{{ password | b64encode }}> <{{ ("me:" ~ password) | b64encode }}>'}}
- {name: In a URL, ansible.builtin.debug: {msg: 'https://me:{{ password | urlencode }}@example.com'}}
- {name: In JSON, ansible.builtin.debug: {msg: '{{ {"password": password} | to_json | to_json }}'}}
- {name: In a shell, ansible.builtin.debug: {msg: 'login {{ password | quote }}'}}
- {name: In a variable, ansible.builtin.debug: {var: password}}
- {name: Hidden, ansible.builtin.command: 'echo {{ password | quote }}', no_log: true}
- {name: As output, ansible.builtin.set_stats: {data: {leak: '{{ password }}'}}}
- {name: 'Named {{ password }}', ansible.builtin.command: 'echo {{ password | quote }}'}
- {name: Item by item, ansible.builtin.debug: {msg: item}, loop: ['{{ password }}', '2']}
- {name: Into a file, ansible.builtin.copy: {content: "a {{ password }}\n", dest: "{{ lookup('env', 'TMPDIR') }}/f"}, diff: true}
- {name: Again and again, ansible.builtin.command: 'false {{ password | quote }}', retries: 1, delay: 0, register: it, until: it.rc == 0, ignore_errors: true}
- name: Neither argument nor environment
  ansible.builtin.shell: >-
    cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' '\n' | grep --count --fixed-strings --file /run/fastdeploy/secrets/variables-0/password
  register: found
  failed_when: found.stdout | int != 0
- {name: Its own token, ansible.builtin.command: cat /run/fastdeploy/token/token}
- {name: Fail, ansible.builtin.fail: {msg: 'failed with <{{ password }}>'}}
"#;

#[tokio::test]
async fn secrets_stay_where_they_are() -> Outcome {
    Story::tell("secrets", async |story| {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "passwords"},
            "stringData": {"password": CANARY, "pin": "123"}});
        story.apply_yaml(&secret.to_string()).await?;
        let from = "variablesFrom: [{secretRef: {name: passwords}}]";
        story.apply(&service("blog").with(from).tasks(TASKS)).await?;
        story.apply(&deployment("run", "blog")).await?;
        let followed = Browser::at_the_page().await?.follow(&story.api().get("run").await?);
        let run = story.ends("run").await?;
        expect::ended(&run, Phase::Failed, "TaskFailed")?;
        story.service_is("blog", "False", "False", "TaskFailed").await?;

        let log = story.log_of("run").await?;
        // The value arrived, or there would be nothing to hide.
        holds("the log", &log, "the password is <")?;
        holds("the log", &log, "failed with <")?;
        holds("the log", &log, "pin has fewer than 4 characters and cannot be hidden")?;
        same("undefined in the log", log.contains("undefined"), false)?;
        hidden("the log", &log)?;
        hidden("a Deployment", &text(&story.deployments.ever()))?;
        hidden("a Service", &text(&story.services.ever()))?;
        let all = ListParams::default();
        hidden("a pod", &text(&story.pods.ever()))?;
        hidden("an Event", &text(&story.api::<Event>().list(&all).await?))?;
        hidden("a bundle", &text(&story.api::<ConfigMap>().list(&all).await?))?;

        let arrived = reports::arrived(story, &run, 1).await?;
        hidden("rows of events", &text(&arrived.events))?;
        hidden("rows of output", &arrived.lines.join("\n"))?;
        // The token of a run is three parts of base64, each of which begins so.
        same("its token in the output", arrived.lines.iter().any(|line| line.contains("eyJ")), false)?;
        // Exactly these came by the socket.
        followed.saw(&arrived.events, &arrived.lines).await?;
        let uid = run.uid().unwrap_or_default();
        let browser = Browser::at_the_page().await?;
        let answer = browser.ask("GET", &format!("/deployments/{uid}"), None).await?;
        hidden("an answer of the API", &answer.to_string())?;
        for program in ["operator", "api-server"] {
            let of = format!("deployment/fastdeploy-{program}");
            let words = ["--namespace", &tests::installation(), "logs", &of, "--all-pods", "--since=10m"];
            hidden(program, &kubectl::run(&words).await?)?;
        }
        Ok(())
    })
    .await
}

fn text(what: &impl Serialize) -> String {
    serde_json::to_string(what).unwrap_or_default()
}

fn hidden(place: &str, text: &str) -> Result<()> {
    for form in FORMS {
        let at = text.find(form).map(|at| text.get(at.saturating_sub(60)..at).unwrap_or_default());
        ensure!(at.is_none(), "expected no secret in {place}, saw one after “{}”", at.unwrap_or_default());
    }
    Ok(())
}
