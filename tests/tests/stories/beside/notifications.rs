//! Who is named in `spec.notify` is told, with a signature that holds, and nobody is told by way of the inside.

use crds::Service;
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};
use tests::{
    Outcome, Result, Story, browser, browser::Browser, deployment, ensure, holds, letters::Letters,
    manifest::Manifest, receiver::Receiver, reports, repository::Repository, same, service,
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn secret(name: &str, url: &str) -> Manifest {
    Manifest(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
        "stringData": {"url": url, "secret": SECRET}}))
}

/// The deliveries of a Service, once so many were tried.
async fn tried(browser: &Browser, service: &str, enough: usize) -> Result<Vec<Value>> {
    let began = std::time::Instant::now();
    loop {
        let list = browser.ask("GET", &format!("{service}/deliveries"), None).await?;
        let items = list["items"].as_array().cloned().unwrap_or_default();
        if items.len() == enough && items.iter().all(|one| one["attempts"].as_i64() >= Some(1)) {
            return Ok(items);
        }
        ensure!(began.elapsed().as_secs() < 30, "expected {enough} deliveries, each tried, saw {list}");
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
}

#[tokio::test]
async fn a_webhook_arrives_signed_and_none_goes_inside() -> Outcome {
    Story::tell("notifications", async |story| {
        let receiver = Receiver::of(story, SECRET).await?;
        story.apply(&secret("hook", &receiver.url())).await?;
        // What a cloud tells its machines about themselves, and the cluster's own API.
        story.apply(&secret("metadata", "http://169.254.169.254/latest/meta-data/")).await?;
        story.apply(&secret("inside", "https://kubernetes.default.svc/api")).await?;
        let notify = "notify: [{webhook: {secretRef: {name: hook}}}, {webhook: {secretRef: {name: metadata}}}, {slack: {secretRef: {name: inside}}, when: [Failed]}]";
        let tasks = "[{name: Maybe, ansible.builtin.command: \"{{ word | default('true') }}\"}]";
        story.apply(&service("blog").tasks(tasks).with(notify)).await?;
        let browser = Browser::at_the_page().await?;
        let blog = format!("/services/{}/blog", story.namespace);
        browser::known(&browser, &blog).await?;

        story.apply(&deployment("good", "blog")).await?;
        story.ends("good").await?;
        let heard = receiver.heard(1).await?;
        let seen = (&heard[0]["valid"], &heard[0]["content"], &heard[0]["path"]);
        same("signature, content type and path", seen, (&json!(true), &json!("application/cloudevents+json"), &json!("/hook")))?;
        let event = &heard[0]["event"];
        same("type", &event["type"], &json!("dev.fastdeploy.deployment.finished.v1"))?;
        same("subject and number", (&event["subject"], &event["data"]["number"]), (&json!("good"), &json!(1)))?;

        // A preview is nobody's news; a failure is.
        story.apply(&deployment("look", "blog").with("mode: Check")).await?;
        story.ends("look").await?;
        story.apply(&service("blog").tasks(tasks).with(notify).with("variables: {word: 'false'}")).await?;
        story.apply(&deployment("bad", "blog")).await?;
        story.ends("bad").await?;
        let heard = receiver.heard(2).await?;
        let types: Vec<&Value> = heard.iter().map(|one| &one["event"]["type"]).collect();
        same("what was told", types[1], &json!("dev.fastdeploy.deployment.failed.v1"))?;
        same("how often", heard.len(), 2)?;

        let list = tried(&browser, &blog, 5).await?;
        for one in &list {
            let target = one["target"].as_str().unwrap_or_default();
            let arrived = target == "webhook/hook";
            same(target, &one["state"], &json!(if arrived { "delivered" } else { "pending" }))?;
            if !arrived {
                holds(target, one["lastError"].as_str().unwrap_or_default(), "inside")?;
                let retry = format!("{blog}/deliveries/{}/retry", one["id"].as_str().unwrap_or_default());
                browser.ask("POST", &retry, None).await?;
            }
        }

        // With the Service went the Secret: nobody is told any more.
        story.delete::<Service>("blog").await?;
        story.services.until_gone("blog", std::time::Duration::from_mins(1)).await?;
        for name in ["metadata", "inside"] {
            story.delete::<Secret>(name).await?;
        }
        let pool = reports::database().await?;
        let began = std::time::Instant::now();
        loop {
            let list = store::deliveries::list(&pool, &story.namespace, "blog", Some("dead")).await?;
            if list.len() == 3 {
                return list.iter().try_for_each(|one| {
                    holds(&one.target, one.last_error.as_deref().unwrap_or_default(), "there is no Secret")
                });
            }
            ensure!(began.elapsed().as_secs() < 60, "expected 3 that are given up, saw {list:?}");
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        }
    })
    .await
}

#[tokio::test]
async fn an_e_mail_arrives_and_the_commit_is_marked() -> Outcome {
    Story::tell("letters", async |story| {
        let (letters, receiver) = (Letters::of(story).await?, Receiver::of(story, SECRET).await?);
        for (name, scheme, password, authority) in [
            ("tls", "smtps", letters.password(), true),
            ("starttls", "smtp", letters.password(), true),
            ("wrong", "smtps", "not-the-password", true),
            ("unknown", "smtps", letters.password(), false),
            ("stranger", "smtp", letters.password(), false),
        ] {
            story.apply(&letters.secret(name, scheme, password, authority)).await?;
        }
        story.apply(&Manifest(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "gitea"},
            "stringData": {"token": "t0ken", "url": receiver.api()}}))).await?;
        let mail = |name: &str| json!({"email": {"secretRef": {"name": name}, "to": ["ops@example.com", "anna@example.com"]}});
        let mut notify = ["tls", "starttls", "wrong", "unknown", "stranger"].map(mail).to_vec();
        notify.push(json!({"commitStatus": {"provider": "Gitea", "secretRef": {"name": "gitea"}}, "when": ["Started", "Succeeded"]}));

        let repository = Repository::public(story).await?;
        let playbook = "- hosts: all\n  gather_facts: false\n  tasks: [{name: Say, ansible.builtin.debug: {msg: hello}}]\n";
        let commit = repository.commit("main", "deploy.yml", playbook, None).await?;
        story.apply(&Manifest(json!({
            "apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Service", "metadata": {"name": "blog"},
            "spec": {
                "source": {"git": {"url": repository.https(), "branch": "main", "caBundle": repository.ca()}},
                "playbook": "deploy.yml", "inventory": {"local": true}, "notify": notify,
            },
        }))).await?;
        let browser = Browser::at_the_page().await?;
        let blog = format!("/services/{}/blog", story.namespace);
        browser::known(&browser, &blog).await?;
        story.apply(&deployment("good", "blog")).await?;
        story.ends("good").await?;

        let come = letters.come(2).await?;
        let mut ports: Vec<&Value> = come.iter().map(|one| &one["port"]).collect();
        ports.sort_by_key(|port| port.as_i64());
        same("ports", ports, vec![&json!(8465), &json!(8587)])?;
        for one in &come {
            same("receivers", &one["to"], &json!(["ops@example.com", "anna@example.com"]))?;
            same("sender", &one["from"], &json!("deploy@example.com"))?;
            let subject = one["subject"].as_str().unwrap_or_default();
            holds("subject", subject, &format!("blog #1 ({}) is live", story.namespace))?;
            holds("text", one["text"].as_str().unwrap_or_default(), &commit)?;
        }
        let heard = receiver.heard(2).await?;
        let path = heard[0]["path"].as_str().unwrap_or_default();
        holds("path", path, &format!("/{}/statuses/{commit}", story.namespace))?;
        same("token", &heard[0]["authorization"], &json!("token t0ken"))?;
        let mut states: Vec<&str> = heard.iter().filter_map(|one| one["event"]["state"].as_str()).collect();
        states.sort_unstable();
        same("states", states, vec!["pending", "success"])?;

        for one in tried(&browser, &blog, 7).await? {
            let (target, error) = (one["target"].as_str().unwrap_or_default(), one["lastError"].as_str().unwrap_or_default());
            match target {
                "email/tls" | "email/starttls" | "commitStatus/gitea" => same(target, &one["state"], &json!("delivered"))?,
                "email/wrong" => holds(target, error, "the mail server did not take it")?,
                _ => holds(target, &error.to_lowercase(), "certificate")?,
            }
            ensure!(!error.contains("not-the-password") && !error.contains(letters.password()), "the error of {target} holds a password: {error}");
        }
        same("e-mails in the end", letters.come(2).await?.len(), 2)
    })
    .await
}
