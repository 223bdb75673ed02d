//! A Service is made, changed and deleted over the API, as the page's editor does; what the cluster refuses comes back
//! field by field, and nobody's change is lost.

use serde_json::{Value, json};
use tests::{Outcome, Result, Story, browser, browser::Browser, ensure, holds, kubectl, same, service};

const IF_MATCH: &str = "if-match";

/// The fields of a refusal.
fn fields(answer: &Value) -> Vec<&str> {
    answer["errors"].as_array().into_iter().flatten().filter_map(|error| error["field"].as_str()).collect()
}

async fn refused(
    who: &Browser,
    (method, path): (&str, &str),
    tag: &str,
    body: &Value,
    expected: (u16, &str),
) -> Result<Value> {
    let (status, _, answer) = who.sends(method, path, &[(IF_MATCH, tag)], Some(body)).await?;
    same(
        &format!("{method} {path} says {answer}"),
        (status, answer["reason"].as_str().unwrap_or_default()),
        expected,
    )?;
    Ok(answer)
}

#[tokio::test]
async fn a_service_is_written_over_the_api() -> Outcome {
    Story::tell("manifests", async |story| {
        let admin = Browser::at_the_page().await?;
        let mut wanted = service("blog").0;
        wanted["metadata"]["namespace"] = json!(story.namespace);
        let path = format!("/services/{}/blog/manifest", story.namespace);

        // Checked, not written.
        admin.ask("POST", "/services?dryRun=All", Some(&wanted)).await?;
        same("after a dry run", admin.try_ask("GET", &path, None).await?.0, 404)?;
        // The cluster's own rules, field by field.
        let mut wrong = wanted.clone();
        wrong["spec"]["plybook"] = json!("x");
        wrong["spec"]["policy"] = json!({"tiemout": "5m"});
        let said = refused(&admin, ("POST", "/services"), "", &wrong, (422, "Refused")).await?;
        let mut found = fields(&said);
        found.sort_unstable();
        same("fields that there are not", found, vec!["spec.plybook", "spec.policy.tiemout"])?;
        let mut wrong = wanted.clone();
        wrong["spec"]["script"] = json!("deploy.sh");
        let said = refused(&admin, ("POST", "/services"), "", &wrong, (422, "Refused")).await?;
        ensure!(
            said["errors"][0]["message"].as_str().is_some_and(|said| said.contains("exactly one of playbook and script")),
            "expected the rule in words, saw {said}"
        );
        same("the field of that rule", fields(&said), vec!["spec"])?;
        let mut wrong = wanted.clone();
        wrong["spec"]["inputs"] = json!([{"name": "key", "type": "secret", "default": "hunter2"}]);
        let said = refused(&admin, ("POST", "/services"), "", &wrong, (422, "Refused")).await?;
        ensure!(said["detail"].as_str().is_some_and(|said| said.contains("a secret has no default")), "saw {said}");

        let (status, _, made) = admin.sends("POST", "/services", &[], Some(&wanted)).await?;
        same(&format!("made: {made}"), status, 201)?;
        refused(&admin, ("POST", "/services"), "", &wanted, (409, "Exists")).await?;
        browser::known(&admin, &format!("/services/{}/blog", story.namespace)).await?;

        // It is changed by who has read it last; a run that goes on meanwhile is in nobody's way.
        let (_, first, read) = admin.sends("GET", &path, &[], None).await?;
        ensure!(read["status"].is_null() && read["metadata"]["managedFields"].is_null(), "saw {read}");
        let start = format!("/services/{}/blog/deployments", story.namespace);
        admin.ask("POST", &start, Some(&json!({}))).await?;
        story.numbered_ends("blog", 1).await?;
        let mut changed = read.clone();
        changed["spec"]["title"] = json!("The company's blog");
        let (status, _, answer) = admin.sends("PUT", &path, &[(IF_MATCH, &first)], Some(&changed)).await?;
        same(&format!("changed: {answer}"), status, 200)?;
        let there = story.api::<crds::Service>().get("blog").await?;
        same("title", there.spec.title, Some("The company's blog".to_owned()))?;
        refused(&admin, ("PUT", &path), &first, &changed, (412, "Changed")).await?;
        refused(&admin, ("PUT", &path), "", &changed, (428, "IfMatchMissing")).await?;

        // The log says by name who it was, of whoever comes with kubectl, too; and nobody writes another's name there.
        who_changed_it(story, &admin).await?;
        let (_, second, changed) = admin.sends("GET", &path, &[], None).await?;

        // A deployer does not write Services.
        let name = format!("dora-{}", story.namespace);
        let account = admin.ask("POST", "/users", Some(&json!({"name": name}))).await?;
        let dora = Browser::of(&name, account["password"].as_str().unwrap_or_default()).await?;
        let role = json!({"namespace": story.namespace, "role": "deployer", "subject": {"kind": "User", "name": name}});
        admin.ask("POST", "/roles", Some(&role)).await?;
        browser::known(&dora, &format!("/services/{}/blog", story.namespace)).await?;
        refused(&dora, ("PUT", &path), &second, &changed, (403, "Forbidden")).await?;
        refused(&dora, ("DELETE", &path), &second, &Value::Null, (403, "Forbidden")).await?;
        refused(&dora, ("POST", "/services"), "", &wanted, (403, "Forbidden")).await?;
        admin.ask("DELETE", &format!("/users/{name}"), None).await?;

        refused(&admin, ("DELETE", &path), &first, &Value::Null, (412, "Changed")).await?;
        let (status, _, _) = admin.sends("DELETE", &path, &[(IF_MATCH, &second)], None).await?;
        same("deleted", status, 204)?;
        story.services.until_gone("blog", std::time::Duration::from_mins(1)).await
    })
    .await
}

async fn who_changed_it(story: &Story, admin: &Browser) -> Result<()> {
    let blog = story.api::<crds::Service>().get("blog").await?;
    let next = (blog.metadata.generation.unwrap_or_default() + 1).to_string();
    for forged in [
        json!({"fastdeploy.dev/changed-by": "ben"}),
        json!({"fastdeploy.dev/changed-by": "ben", "fastdeploy.dev/changed-generation": next}),
    ] {
        let patch = json!({"metadata": {"annotations": forged}}).to_string();
        let words =
            ["patch", "fsvc", "blog", "--namespace", &story.namespace, "--type=merge", "--patch", &patch];
        let said = kubectl::ask(&words, "").await?;
        ensure!(!said.ok, "{forged} was written");
        holds("kubectl", &said.err, "only fastDeploy writes who changed a service")?;
    }
    // The cluster asks who it is; what else is claimed at once does not count.
    let patch =
        json!({"metadata": {"annotations": {"fastdeploy.dev/changed-by": "ben"}}, "spec": {"title": "Blog"}});
    story.patch_service("blog", patch).await?;
    let me = kubectl::run(&["auth", "whoami", "--output", "jsonpath={.status.userInfo.username}"]).await?;
    let told = format!("/activity?what=service.&namespace={}", story.namespace);
    for _ in 0..100 {
        let log = admin.ask("GET", &told, None).await?;
        let lines = log["items"].as_array().cloned().unwrap_or_default();
        let lines: Vec<_> =
            lines.iter().rev().map(|line| format!("{} {}", line["what"], line["who"])).collect();
        if lines.len() >= 3 {
            let expected = [("created", "admin"), ("updated", "admin"), ("updated", me.trim())];
            let expected = expected.map(|(what, who)| format!("\"service.{what}\" \"{who}\""));
            return same("who changed it", lines, expected.to_vec());
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    tests::bail!("the log does not tell of three changes")
}
