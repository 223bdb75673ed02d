//! What cannot be right is refused at `kubectl apply`, with a sentence that says what to write.

use tests::{Outcome, Story, deployment, holds, manifest::Manifest, service};

fn services() -> Vec<(Manifest, &'static str)> {
    let with = |yaml: &str| service("blog").with(yaml);
    let without = |field: &str| {
        let mut blog = service("blog");
        blog.0["spec"][field] = serde_json::Value::Null;
        blog
    };
    let input = |field: &str| with(&format!("inputs: [{field}]"));
    vec![
        (service(&"b".repeat(41)), "metadata.name: write at most 40"),
        (service("1blog"), "beginning with a letter"),
        (without("source"), "spec.source: Required"),
        (without("playbook"), "write exactly one of playbook and script"),
        (with("script: deploy.sh"), "write exactly one of playbook and script"),
        (with("requirements: /etc/r.yml"), "requirements: write a path inside the source"),
        (with("credentials: {ssh: {}}"), "credentials.ssh: write secretRef"),
        (
            with("credentials: {ssh: {secretRef: {name: a}, agentSocket: /a/b}}"),
            "write secretRef (a key) or agentSocket",
        ),
        (with("credentials: {vaultPasswords: [{id: a b, secretRef: {name: a}}]}"), "vaultPasswords[0].id"),
        (with("options: {factCache: 1h}"), "options.factCache: facts are kept in a volume"),
        (with("runner: {env: [{name: DB_PASSWORD, value: x}]}"), "no secret belongs there"),
        (with("runner: {env: [{name: FASTDEPLOY_ROOT, value: x}]}"), "fastDeploy's own"),
        (
            with("runner: {volumes: [{name: a, mountPath: /work/x, volume: {emptyDir: {}}}]}"),
            "runner.volumes.mountPath: /run/fastdeploy, /work",
        ),
        (without("inventory"), "spec.inventory: Required"),
        (with("nosuchfield: 1"), "unknown field \"spec.nosuchfield\""),
        (with("url: blog.example.com"), "url: write the whole address"),
        (with("url: 'ftp://example.com'"), "url: write the whole address"),
        (with("title: ''"), "spec.title"),
        (with("playbook: /etc/deploy.yml"), "playbook: write a path inside the source"),
        (with("playbook: ../deploy.yml"), "playbook: write a path inside the source"),
        (with("playbook: --version"), "playbook: write a path inside the source"),
        (
            with("source: {configMap: {name: playbook}}"),
            "source: write exactly one of git, inline, configMap or image",
        ),
        (with("source: {inline: {/etc/passwd: x}}"), "source.inline: write paths such as"),
        (with("source: {inline: {a/../b: x}}"), "source.inline: write paths such as"),
        (with("inventory: {inline: {all: {}}}"), "inventory: write exactly one of"),
        (with("inventory: {local: false}"), "inventory.local: write true"),
        (
            with("inventory: {local: null, path: /etc/hosts}"),
            "inventory.path: write a path inside the source",
        ),
        (with("variablesFrom: [{}]"), "variablesFrom: write exactly one of"),
        (
            with("variablesFrom: [{secretRef: {name: a}, configMapRef: {name: b}}]"),
            "variablesFrom: write exactly one of",
        ),
        (input("{name: a-b, type: text}"), "spec.inputs[0].name"),
        (input("{name: a, type: gitHash}"), "Unsupported value: \"gitHash\""),
        (input("{name: a, type: choice}"), "choices belong to the types choice and multichoice"),
        (input("{name: a, type: text, choices: [b]}"), "choices belong to the types choice and multichoice"),
        (
            input("{name: a, type: number, pattern: b}"),
            "pattern belongs to the types text, textarea, gitBranch and gitTag",
        ),
        (input("{name: a, type: text, minimum: 1}"), "minimum and maximum belong to the type number"),
        (input("{name: a, type: number, minimum: 2, maximum: 1}"), "minimum must not be above maximum"),
        (input("{name: a, type: text}, {name: a, type: text}"), "Duplicate value"),
        (with("credentials: {knownHosts: {}}"), "credentials.knownHosts: write configMapRef or secretRef"),
        (
            with("credentials: {knownHosts: {configMapRef: {name: a}, secretRef: {name: b}}}"),
            "credentials.knownHosts: write configMapRef or secretRef",
        ),
        (
            with(
                "credentials: {knownHosts: {inline: ['* ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5']}}",
            ),
            "credentials.knownHosts.inline: write a line as ssh-keyscan prints it",
        ),
        (
            with(
                "credentials: {knownHosts: {inline: [web1 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5]}}",
            ),
            "credentials.knownHosts.inline: write a line as ssh-keyscan prints it",
        ),
        (with("credentials: {knownHosts: {trust: Always}}"), "Unsupported value: \"Always\""),
        (
            with("credentials: {ssh: {secretRef: {name: a}, user: '-oProxyCommand=id'}}"),
            "spec.credentials.ssh.user",
        ),
        (with("options: {tags: [--list-tasks]}"), "spec.options.tags[0]"),
        (with("options: {forks: 0}"), "spec.options.forks"),
        (with("options: {verbosity: 5}"), "spec.options.verbosity"),
        (with("policy: {deploy: Always}"), "Unsupported value: \"Always\""),
        (with("policy: {timeout: '30'}"), "policy.timeout: write a duration from 10s to 24h"),
        (with("policy: {timeout: 5s}"), "policy.timeout: write a duration from 10s to 24h"),
        (with("policy: {timeout: 25h}"), "policy.timeout: write a duration from 10s to 24h"),
        (with("policy: {prepareTimeout: ''}"), "policy.prepareTimeout: write a duration from 10s to 24h"),
        (with("policy: {retries: {limit: 11}}"), "spec.policy.retries.limit"),
        (with("policy: {retries: {backoff: soon}}"), "policy.retries.backoff"),
        (with("policy: {windows: [{from: '8:00', to: '18:00'}]}"), "spec.policy.windows[0].from"),
        (with("policy: {windows: [{from: '08:00', to: '08:00'}]}"), "from and to are the same"),
        (
            with("policy: {windows: [{from: '08:00', to: '18:00', days: [Monday]}]}"),
            "Unsupported value: \"Monday\"",
        ),
        (with("policy: {approval: {expiresAfter: 1s}}"), "policy.approval.expiresAfter"),
        (with("dependsOn: [{name: blog}]"), "dependsOn: a Service cannot wait for itself"),
        (with("healthCheck: {http: {url: example.com}}"), "healthCheck.http.url: write the whole address"),
        (with("source: {image: {path: /opt}}"), "source: write exactly one of"),
        (with("history: {succeeded: 101}"), "spec.history.succeeded"),
        (with("runner: {image: 'two words'}"), "spec.runner.image"),
        (with("runner: {imagePullPolicy: Sometimes}"), "Unsupported value: \"Sometimes\""),
    ]
}

fn deployments() -> Vec<(Manifest, &'static str)> {
    let with = |yaml: &str| deployment("run", "blog").with(yaml);
    vec![
        (deployment(&"r".repeat(54), "blog"), "metadata.name: write at most 53"),
        (deployment("run", "Blog"), "spec.service"),
        (deployment("run", ""), "spec.service"),
        (with("cancel: Later"), "Unsupported value: \"Later\""),
        (with("reason: ''"), "spec.reason"),
        (with("limit: --check"), "spec.limit"),
        (with("limit: '@/etc/passwd'"), "spec.limit"),
        (with("mode: Maybe"), "Unsupported value: \"Maybe\""),
        (with("repeat: {number: 0}"), "spec.repeat.number"),
        (with("{repeat: {number: 1}, failedOf: {number: 1}}"), "write repeat or failedOf"),
        (with("{failedOf: {number: 1}, limit: a}"), "failedOf is a limit already"),
        (with("{repeat: {number: 1}, revision: main}"), "what is repeated has its revision"),
        (with("revision: --upload-pack=x"), "spec.revision"),
        (with("inputs: [a]"), "spec.inputs"),
    ]
}

#[tokio::test]
async fn bad_input() -> Outcome {
    Story::tell("bad-input", async |story| {
        let mut wrong = Vec::new();
        for (manifest, sentence) in services().into_iter().chain(deployments()) {
            let said = match story.refused(&manifest).await {
                Ok(said) => holds("what kubectl said", &said, sentence),
                Err(error) => Err(error.context(format!("expected “{sentence}”"))),
            };
            wrong.extend(said.err().map(|error| format!("{error:#}")));
        }
        // `kubectl apply` itself cannot carry as much: it writes all of it into an annotation.
        let long = "x".repeat(150_000);
        let large = service("blog").with(&format!("source: {{inline: {{a: {long}, b: {long}}}}}"));
        holds("what kubectl said", &story.refused_by("create", &large).await?, "more than 256 kB in all")?;
        tests::same("refusals that were not as expected", wrong, Vec::<String>::new())
    })
    .await
}
