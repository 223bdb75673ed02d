//! Three ways in which a server cannot be deployed to, each with its own name.

use crds::Phase;
use serde_json::json;
use tests::{
    Context, Outcome, Result, Servers, Story, deployment, expect, holds, manifest::Manifest, service,
};

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
        // The key of another machine.
        let other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
        let known = [0, 1].map(|n| format!("{} {other}\n", tests::servers::host(n))).concat();
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "known-hosts"},
            "data": {"known_hosts": known},
        });
        story.apply(&Manifest(map)).await?;
        let mut far = service("far").on(&servers).tasks(PING);
        far.0["spec"]["options"]["forks"] = 1.into();
        fails_with(story, &far, "HostKeyChanged", "host key").await?;

        // What it shows instead can be compared, and trusted.
        let failure = story.ends("run").await?.status.and_then(|status| status.failure);
        let key = failure.and_then(|failure| failure.host_key).context("no failure.hostKey")?;
        let of_the_server = servers.run(0, "ssh-keygen -l -f /etc/ssh/ssh_host_ed25519_key").await?;
        holds("the server's own key", &of_the_server, &key.fingerprint)?;
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "known-hosts"},
            "data": {"known_hosts": format!("{}\n", key.known_hosts)},
        });
        story.apply(&Manifest(map)).await?;
        story.apply(&deployment("trusting", "far").with("limit: server-0")).await?;
        expect::ended(&story.ends("trusting").await?, Phase::Succeeded, "Succeeded")
    })
    .await
}
