//! Three ways in which a server cannot be deployed to, each with its own name.

use crds::Phase;
use kube::ResourceExt;
use serde_json::json;
use tests::{
    Context, Outcome, Result, Servers, Story, browser, browser::Browser, deployment, expect, holds,
    manifest::Manifest, same, service,
};

/// The key of another machine, and its fingerprint.
const OTHER: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
const OTHER_PRINT: &str = "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU";
const PING: &str = "[{name: Ping, ansible.builtin.ping: {}}]";

async fn fails_with(story: &Story, service: &Manifest, reason: &str, word: &str) -> Result<()> {
    story.apply(service).await?;
    story.apply(&deployment("run", "far")).await?;
    let run = story.ends("run").await?;
    expect::ended(&run, Phase::Failed, reason)?;
    let failure = run.status.and_then(|status| status.failure);
    let failure = failure.unwrap_or_else(|| unreachable!("expect::ended saw it"));
    holds("failure.host", failure.host.as_deref().unwrap_or("no host"), "server-0")?;
    holds("failure.message", &failure.message, word)
}

#[tokio::test]
async fn host_unreachable() -> Outcome {
    Story::tell("host-unreachable", async |story| {
        let servers = Servers::of(story).await?;
        let mut far = service("far").on(&servers).tasks(PING);
        // Nobody listens on this port.
        far.0["spec"]["inventory"]["inline"]["all"]["hosts"]["server-0"]["ansible_port"] = 2222.into();
        fails_with(story, &far, "HostUnreachable", "refused").await
    })
    .await
}

#[tokio::test]
async fn authentication_failed() -> Outcome {
    Story::tell("authentication-failed", async |story| {
        let servers = Servers::of(story).await?;
        let mut far = service("far").on(&servers).tasks(PING);
        // The server knows the key of `deploy` only.
        far.0["spec"]["inventory"]["inline"]["all"]["hosts"]["server-0"]["ansible_user"] = "nobody".into();
        far.0["spec"]["credentials"]["ssh"]["user"] = serde_json::Value::Null;
        far.0["spec"]["inventory"]["inline"]["all"]["hosts"]["server-1"]["ansible_user"] = "deploy".into();
        fails_with(story, &far, "AuthenticationFailed", "Permission denied").await
    })
    .await
}

#[tokio::test]
async fn host_key_changed() -> Outcome {
    Story::tell("host-key-changed", async |story| {
        let servers = Servers::of(story).await?;
        let known = [0, 1].map(|n| format!("{} {OTHER}\n", tests::servers::host(n))).concat();
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "known-hosts"},
            "data": {"known_hosts": known},
        });
        story.apply(&Manifest(map)).await?;
        let mut far = service("far").on(&servers).tasks(PING);
        far.0["spec"]["options"]["forks"] = 1.into();
        fails_with(story, &far, "HostKeyChanged", "host key").await?;

        // What it shows instead can be compared with the server's own.
        let failure = story.ends("run").await?.status.and_then(|status| status.failure);
        let key = failure.and_then(|failure| failure.host_key).context("no failure.hostKey")?;
        let of_the_server = servers.run(0, "ssh-keygen -l -f /etc/ssh/ssh_host_ed25519_key").await?;
        holds("the server's own key", &of_the_server, &key.fingerprint)?;
        same("the key of before", key.known.as_deref(), Some(OTHER_PRINT))?;

        // Trusted by whoever may change the Service, and only by the fingerprint that was compared.
        let admin = Browser::at_the_page().await?;
        let far_path = format!("/services/{}/far", story.namespace);
        let uid = story.api::<crds::Deployment>().get("run").await?.uid().context("no uid")?;
        let trust = format!("/deployments/{uid}/trust");
        browser::known(&admin, &far_path).await?;
        let right = json!({"fingerprint": key.fingerprint});
        let name = format!("dora-{}", story.namespace);
        let account = admin.ask("POST", "/users", Some(&json!({"name": name}))).await?;
        let dora = Browser::of(&name, account["password"].as_str().unwrap_or_default()).await?;
        for (role, status) in [(None, 404), (Some("viewer"), 403), (Some("deployer"), 403)] {
            if let Some(role) = role {
                let role = json!({"namespace": story.namespace, "role": role, "subject": {"kind": "User", "name": name}});
                admin.ask("POST", "/roles", Some(&role)).await?;
                browser::known(&dora, &far_path).await?;
            }
            same(&format!("{role:?} trusts"), dora.try_ask("POST", &trust, Some(&right)).await?.0, status)?;
        }
        admin.ask("DELETE", &format!("/users/{name}"), None).await?;
        let wrong = json!({"fingerprint": OTHER_PRINT});
        let (status, said) = admin.try_ask("POST", &trust, Some(&wrong)).await?;
        same("the wrong fingerprint", (status, said["reason"].as_str()), (409, Some("OtherKey")))?;
        let far = story.api::<crds::Service>().get("far").await?;
        let pinned = |far: &crds::Service| far.spec.credentials.known_hosts.clone().unwrap_or_default().inline;
        same("pinned by that", pinned(&far), vec![])?;
        admin.ask("POST", &trust, Some(&right)).await?;
        let far = story.api::<crds::Service>().get("far").await?;
        same("pinned", pinned(&far), vec![key.known_hosts.clone()])?;

        // It wins over the ConfigMap, which still has the old one: for this server only, and also where a run is repeated.
        story.apply(&deployment("trusting", "far").with("limit: server-0")).await?;
        expect::ended(&story.ends("trusting").await?, Phase::Succeeded, "Succeeded")?;
        story.apply(&deployment("again", "far").with("{repeat: {number: 1}, limit: server-0}")).await?;
        expect::ended(&story.ends("again").await?, Phase::Succeeded, "Succeeded")?;
        story.apply(&deployment("other", "far").with("limit: server-1")).await?;
        expect::ended(&story.ends("other").await?, Phase::Failed, "HostKeyChanged")?;

        // And the other way round: with the old key pinned, the right one of the ConfigMap does not count.
        let servers = Servers::of(story).await?;
        let mut back = service("back").on(&servers).tasks(PING);
        back.0["spec"]["credentials"]["knownHosts"]["inline"] = json!([format!("{} {OTHER}", tests::servers::host(0))]);
        story.apply(&back).await?;
        story.apply(&deployment("old", "back").with("limit: server-0")).await?;
        expect::ended(&story.ends("old").await?, Phase::Failed, "HostKeyChanged")
    })
    .await
}
