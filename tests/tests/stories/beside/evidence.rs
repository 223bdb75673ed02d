//! What is handed out as the evidence of a run: whole, its hashes are those of what it tells of, and of no Secret that the
//! run was given by any way is anything in it. Only those who may read the run get it.

use std::{
    collections::BTreeMap,
    fmt::Write,
    io::{Cursor, Read},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use crds::{Deployment, Phase};
use kube::ResourceExt;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tests::{
    Context, Outcome, Result, Story, browser,
    browser::Browser,
    deployment, ensure, expect, holds,
    manifest::Manifest,
    reports,
    repository::{self, PASSWORD, Repository},
    same,
};

/// A value for each way by which a run is given something that nobody may see.
const CANARIES: [(&str, &str); 9] = [
    ("variables", "c4n4ry1/of+the=variables"),
    ("a secret answer", "c4n4ry2/of+the=answer"),
    ("sudo", "c4n4ry3/of+the=sudo"),
    ("the server for collections", "c4n4ry4/of+the=collections"),
    ("the vault's password", "c4n4ry5/of+the=vault"),
    ("what lies in the vault", "c4n4ry6/in+the=vault"),
    ("the inventory", "c4n4ry7/of+its=servers"),
    ("the SSH key", "c4n4ry8/of+the+key/c4n4ry8/of+the+key/c4n4ry8"),
    ("the repository's password", PASSWORD),
];

/// The sixth, with the fifth as the password.
const VAULT: &str = "$ANSIBLE_VAULT;1.1;AES256
35356430303165366534663765633237353061633637373963623431656563366163626237653132
6236393661663664386162313231383963376138336633350a303165393062306636636533633837
64623563323536383739326538623039346364353930353032616536643339393735336666653036
3437616538336364390a353535393531383638306539356363353039323136323865643733633061
31313933356134663161363331656662643565313566333562636331626130616639
";

/// Everything that is mounted is shown, in each of the forms; and what variables hold.
const PLAYBOOK: &str = r#"
- hosts: all
  gather_facts: false
  vars_files: [vault.yml]
  vars:
    mounted: '{{ listed.stdout_lines }}'
    values: ['{{ password }}', '{{ pin }}', '{{ locked }}', '{{ db_password }}']
  tasks:
    - {name: All that is mounted, ansible.builtin.shell: ls -d /run/fastdeploy/secrets/*/*, register: listed}
    - {name: Which there are, ansible.builtin.debug: {msg: 'mounted: {{ mounted | map("dirname") | map("basename") | unique | sort | join(",") }}'}}
    - {name: As they are, ansible.builtin.debug: {msg: '{{ lookup("file", item) }}'}, loop: '{{ mounted }}'}
    - {name: In base64, ansible.builtin.debug: {msg: '{{ lookup("file", item) | b64encode }}'}, loop: '{{ mounted }}'}
    - {name: In a URL, ansible.builtin.debug: {msg: 'https://me:{{ lookup("file", item) | urlencode }}@example.com'}, loop: '{{ mounted }}'}
    - {name: All at once, ansible.builtin.shell: 'cat /run/fastdeploy/secrets/*/* /run/fastdeploy/token/token', register: all}
    - {name: Shown, ansible.builtin.debug: {msg: '<{{ all.stdout }}> <{{ all.stdout | b64encode }}> <{{ all.stdout | urlencode }}>'}}
    - {name: Variables, ansible.builtin.debug: {msg: 'for {{ audience }} <{{ values | join(" ") }}> <{{ values | map("b64encode") | join(" ") }}> <{{ values | map("urlencode") | join(" ") }}>'}}
    - {name: They are the values, ansible.builtin.debug: {msg: 'lengths: {{ values | map("length") | join(",") }}'}}
    - {name: As outputs, ansible.builtin.set_stats: {data: {leak: '{{ values }}'}}}
    - {name: 'Named {{ password }}', ansible.builtin.command: 'echo {{ values | join(" ") | quote }}'}
    - {name: Fail, ansible.builtin.fail: {msg: 'failed with <{{ values | join(" ") }}>'}}
"#;

fn secret(name: &str, data: &Value) -> Manifest {
    Manifest(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}))
}

fn canary(of: &str) -> &'static str {
    CANARIES.iter().find(|(name, _)| *name == of).map_or("", |(_, value)| value)
}

async fn blog(story: &Story) -> Result<Manifest> {
    let key = format!(
        "-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----\n",
        canary("the SSH key")
    );
    let inventory = format!("[all]\nhere ansible_connection=local db_password={}\n", canary("the inventory"));
    for given in [
        secret("passwords", &json!({"password": canary("variables")})),
        secret("answers", &json!({"pin": canary("a secret answer")})),
        secret("sudo", &json!({"password": canary("sudo")})),
        secret("galaxy", &json!({"token": canary("the server for collections")})),
        secret("vault", &json!({"password": canary("the vault's password")})),
        secret("inventory", &json!({"hosts": inventory})),
        secret("login", &json!({"ssh-privatekey": key})),
        repository::password(),
    ] {
        story.apply(&given).await?;
    }
    let repository = Repository::private(story).await?;
    repository.commit("main", "vault.yml", VAULT, None).await?;
    repository.commit("main", "deploy.yml", PLAYBOOK, None).await?;
    let git = json!({"url": repository.https(), "caBundle": repository.ca(), "branch": "main", "secretRef": {"name": "git-password"}});
    Ok(Manifest(json!({
        "apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Service", "metadata": {"name": "blog"},
        "spec": {
            "source": {"git": git}, "playbook": "deploy.yml", "inventory": {"secretRef": {"name": "inventory", "key": "hosts"}},
            "variablesFrom": [{"secretRef": {"name": "passwords"}}],
            "inputs": [{"name": "audience", "type": "text", "required": true}, {"name": "pin", "type": "secret", "required": true}],
            "credentials": {
                "ssh": {"secretRef": {"name": "login"}}, "galaxy": {"secretRef": {"name": "galaxy"}},
                "become": {"secretRef": {"name": "sudo", "key": "password"}},
                "vaultPasswords": [{"id": "default", "secretRef": {"name": "vault", "key": "password"}}],
            },
        },
    })))
}

#[tokio::test]
async fn evidence_has_all_of_a_run_but_its_secrets() -> Outcome {
    Story::tell("evidence", async |story| {
        story.apply(&blog(story).await?).await?;
        story.service_is("blog", "True", "False", "WaitingForPerson").await?;
        let wish =
            "{reason: Release, inputs: {audience: everybody}, secretInputs: {secretRef: {name: answers}}}";
        story.apply(&deployment("run", "blog").with(wish)).await?;
        let run = story.ends("run").await?;
        let log = story.log_of("run").await?;
        // All of them were there, or there would be nothing to hide.
        holds("the log", &log, "mounted: become,galaxy,git,inputs,inventory,ssh,variables-0,vault-0")?;
        let values = ["variables", "a secret answer", "what lies in the vault", "the inventory"];
        let lengths = values.map(|of| canary(of).len().to_string()).join(",");
        holds("the log", &log, &format!("lengths: {lengths}"))?;
        expect::ended(&run, Phase::Failed, "TaskFailed")?;
        reports::mirrored(&run, "its end and its frozen input", |known| {
            known.bundle && known.phase.as_deref() == Some("Failed")
        })
        .await?;

        let admin = Browser::at_the_page().await?;
        let name = format!("anna-{}", story.namespace);
        let made = admin.ask("POST", "/users", Some(&json!({"name": name}))).await?;
        let told = of_anna(story, &admin, &name, &made, &run).await;
        admin.ask("DELETE", &format!("/users/{name}"), None).await?;
        told
    })
    .await
}

async fn of_anna(story: &Story, admin: &Browser, name: &str, made: &Value, run: &Deployment) -> Result<()> {
    let anna = Browser::of(name, made["password"].as_str().unwrap_or_default()).await?;
    let at = format!("/deployments/{}", run.uid().unwrap_or_default());
    same("without a role", anna.download(&format!("{at}/evidence")).await?.0, 404)?;
    let role =
        json!({"namespace": story.namespace, "role": "viewer", "subject": {"kind": "User", "name": name}});
    admin.ask("POST", "/roles", Some(&role)).await?;
    browser::known(&anna, &at).await?;

    let (status, archive) = anna.download(&format!("{at}/evidence")).await?;
    same("the evidence", status, 200)?;
    let files = unpacked(&archive)?;
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    let expected = ["attempt-1/events.jsonl", "attempt-1/output.txt", "bundle.json", "manifest.json"];
    same("its files", names, expected.to_vec())?;
    for (file, content) in &files {
        nothing_of_them(file, content)?;
    }
    let manifest: Value = serde_json::from_slice(&files["manifest.json"])?;
    let (status, output) = anna.download(&format!("{at}/output/download")).await?;
    same("the output", status, 200)?;
    for (name, content) in [
        ("attempt-1/output.txt", &output),
        ("bundle.json", &files["bundle.json"]),
        ("attempt-1/events.jsonl", &files["attempt-1/events.jsonl"]),
    ] {
        let listed = manifest["files"].as_array().into_iter().flatten().find(|file| file["name"] == name);
        let seen = listed.map(|file| (&file["sha256"], &file["bytes"]));
        let expected = (json!(hex::encode(Sha256::digest(content))), json!(content.len()));
        same(&format!("hash and length of {name}"), seen, Some((&expected.0, &expected.1)))?;
    }
    tells(&manifest, &files, name, run)
}

/// Who, what, with which answers, and how it ended.
fn tells(manifest: &Value, files: &BTreeMap<String, Vec<u8>>, anna: &str, run: &Deployment) -> Result<()> {
    let status = run.status.clone().unwrap_or_default();
    let bundle = status.bundle.unwrap_or_default();
    let count = |file: &str| String::from_utf8_lossy(&files[file]).lines().count();
    let (lines, events) = (count("attempt-1/output.txt"), count("attempt-1/events.jsonl"));
    for (pointer, expected) in [
        ("/madeFor", json!(anna)),
        ("/note", json!("Release")),
        ("/deployment", json!("run")),
        ("/number", json!(1)),
        ("/requestedBy", serde_json::to_value(status.requested_by)?),
        ("/digest", serde_json::to_value(status.digest)?),
        ("/revision", serde_json::to_value(status.revision)?),
        ("/bundle", json!({"name": bundle, "kept": true})),
        ("/inputs", json!({"audience": "everybody"})),
        ("/secretInputs", json!(["pin"])),
        ("/phase", json!("Failed")),
        ("/failure/step", json!("Fail")),
        ("/attempts", json!([{"attempt": 1, "events": events, "lines": lines}])),
    ] {
        same(pointer, manifest.pointer(pointer), Some(&expected))?;
    }
    same("requestedBy", manifest["requestedBy"]["via"].as_str(), Some("Kubectl"))?;
    let frozen = std::str::from_utf8(&files["bundle.json"])?;
    same("the bundle's name", crds::names::bundle(frozen), bundle)?;
    let moments: Vec<&str> =
        manifest["timeline"].as_array().into_iter().flatten().filter_map(|m| m["event"].as_str()).collect();
    for moment in ["deployment.requested", "deployment.started", "deployment.failed"] {
        ensure!(moments.contains(&moment), "expected {moment} in the timeline, saw {moments:?}");
    }
    Ok(())
}

fn unpacked(archive: &[u8]) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut zip = zip::ZipArchive::new(Cursor::new(archive)).context("expected a zip")?;
    let mut files = BTreeMap::new();
    for n in 0..zip.len() {
        let mut file = zip.by_index(n)?;
        let mut content = Vec::new();
        file.read_to_end(&mut content)?;
        files.insert(file.name()?.into_owned(), content);
    }
    Ok(files)
}

/// In none of the forms.
fn nothing_of_them(file: &str, content: &[u8]) -> Result<()> {
    let text = String::from_utf8_lossy(content);
    for (of, value) in CANARIES {
        for form in forms(value) {
            let lines = text.lines().enumerate();
            let seen = lines.filter(|(_, line)| line.contains(&form)).map(|(n, _)| n + 1).next();
            ensure!(seen.is_none(), "expected nothing of {of} in {file}, saw {form} in line {seen:?}");
        }
    }
    // The token of a run is three parts of base64, each of which begins so.
    same(&format!("the run's own token in {file}"), text.contains("eyJ"), false)
}

/// As it is; in base64 at each offset in a longer text; in URLs, as different programs write them.
fn forms(value: &str) -> Vec<String> {
    let mut forms = vec![value.to_owned()];
    for offset in 0..3_usize {
        let longer = [&vec![0; offset], value.as_bytes()].concat();
        let whole = STANDARD.encode(&longer);
        // Without what depends on its neighbours.
        let inner = whole[(offset * 8).div_ceil(6)..longer.len() * 8 / 6].to_owned();
        forms.push(inner.replace('+', "-").replace('/', "_"));
        forms.push(inner);
    }
    for (keeps, plus) in [("", false), ("/", false), ("", true)] {
        let escaped = escaped(value, keeps, plus);
        forms.push(escaped.replace("%2F", "%2f").replace("%2B", "%2b").replace("%3D", "%3d"));
        forms.push(escaped);
    }
    forms
}

fn escaped(value: &str, keeps: &str, plus: bool) -> String {
    let mut escaped = String::new();
    for byte in value.bytes() {
        match char::from(byte) {
            ' ' if plus => escaped.push('+'),
            c if c.is_ascii_alphanumeric() || "-_.~".contains(c) || keeps.contains(c) => escaped.push(c),
            _ => {
                let _ = write!(escaped, "%{byte:02X}");
            }
        }
    }
    escaped
}
