//! A repository that is reached through a proxy only: operator and run go that way.

use crds::Phase;
use serde_json::json;
use tests::{
    Outcome, Story, deployment, ensure, expect, holds,
    manifest::Manifest,
    pods::{self, Python},
    repository::Repository,
};

/// `CONNECT`, as HTTP proxies have it, and a line for each.
const PROXY: &str = r#"
import socket, threading

def copy(a, b):
    try:
        while data := a.recv(65536):
            b.sendall(data)
        b.shutdown(socket.SHUT_WR)
    except OSError:
        pass

def serve(client, peer):
    head = b""
    while b"\r\n\r\n" not in head:
        more = client.recv(4096)
        if not more:
            return
        head += more
    method, target, _ = head.split(b"\r\n")[0].decode().split()
    print(method, target, "for", peer[0])
    host, port = target.rsplit(":", 1)
    server = socket.create_connection((host, int(port)))
    client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
    threading.Thread(target=copy, args=(server, client), daemon=True).start()
    copy(client, server)

listener = socket.create_server(("0.0.0.0", 3128))
while True:
    threading.Thread(target=serve, args=listener.accept(), daemon=True).start()
"#;

/// Takes connections, and says nothing.
const SILENT: &str = r#"
import socket

listener = socket.create_server(("0.0.0.0", 3128))
kept = []
while True:
    kept.append(listener.accept())
"#;

#[tokio::test]
async fn a_repository_behind_a_proxy() -> Outcome {
    Story::tell("git-proxy", async |story| {
        let repository = Repository::public(story).await?;
        let play = "- hosts: all\n  gather_facts: false\n  tasks: [{name: Say, ansible.builtin.debug: {msg: by proxy}}]\n";
        repository.commit("main", "deploy.yml", play, None).await?;
        let blog = |proxy: &str| {
            let git = json!({"url": repository.https(), "caBundle": repository.ca(), "branch": "main", "proxy": proxy});
            Manifest(json!({
                "apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Service", "metadata": {"name": "blog"},
                "spec": {"source": {"git": git}, "playbook": "deploy.yml", "inventory": {"local": true}},
            }))
        };
        // As long as nobody has answered, nothing is wrong yet.
        let silent = Python::start(story, "silent", 3128, SILENT).await?;
        story.apply(&blog(&silent.url())).await?;
        story.service_is("blog", "Unknown", "Unknown", "Progressing").await?;
        // There is no other way: where the proxy does not answer, nothing is found.
        story.apply(&blog("http://127.0.0.1:9")).await?;
        let service = story.service_is("blog", "False", "Unknown", "ProgressingWithRetry").await?;
        holds("the status", &serde_json::to_string(&service.status)?, "SourceUnavailable")?;

        let proxy = Python::start(story, "proxy", 3128, PROXY).await?;
        story.apply(&blog(&proxy.url())).await?;
        story.service_is("blog", "True", "False", "WaitingForPerson").await?;
        story.apply(&deployment("run", "blog")).await?;
        expect::ended(&story.ends("run").await?, Phase::Succeeded, "Succeeded")?;
        holds("the log", &story.log_of("run").await?, "by proxy")?;
        let run = pods::address_of(story, "run").await?;
        let (log, host) = (proxy.log().await?, repository.https());
        let host = host.trim_start_matches("https://").split('/').next().unwrap_or_default();
        let asked = |line: &&str| line.starts_with(&format!("CONNECT {host} for "));
        let (of_run, of_others): (Vec<_>, Vec<_>) = log.lines().filter(asked).partition(|line| line.ends_with(&run));
        ensure!(!of_run.is_empty(), "expected the run ({run}) to fetch through the proxy, which saw:\n{log}");
        ensure!(!of_others.is_empty(), "expected the operator to look through the proxy, which saw:\n{log}");
        Ok(())
    })
    .await
}
