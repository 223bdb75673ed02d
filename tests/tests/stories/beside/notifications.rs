//! Who is named in `spec.notify` is told, with a signature that holds, and nobody is told by way of the inside.

use serde_json::{Value, json};
use tests::{
    Outcome, Story, browser, browser::Browser, deployment, ensure, holds, manifest::Manifest,
    receiver::Receiver, same, service,
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn secret(name: &str, url: &str) -> Manifest {
    Manifest(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
        "stringData": {"url": url, "secret": SECRET}}))
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

        let began = std::time::Instant::now();
        let list = loop {
            let list = browser.ask("GET", &format!("{blog}/deliveries"), None).await?;
            let items = list["items"].as_array().cloned().unwrap_or_default();
            if items.len() == 5 && items.iter().all(|one| one["attempts"].as_i64() >= Some(1)) {
                break items;
            }
            ensure!(began.elapsed().as_secs() < 30, "expected five deliveries, each tried, saw {list}");
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        };
        for one in &list {
            let target = one["target"].as_str().unwrap_or_default();
            let arrived = target == "webhook/hook";
            same(target, &one["state"], &json!(if arrived { "delivered" } else { "pending" }))?;
            if !arrived {
                holds(target, one["lastError"].as_str().unwrap_or_default(), "inside")?;
            }
        }
        Ok(())
    })
    .await
}
