//! What a pipeline does, with nothing but the API: looks at what would happen, starts, lets people agree, waits
//! for the verdict, reads why it failed, goes back.

use serde_json::{Value, json};
use tests::{Outcome, Result, Story, browser, browser::Browser, ensure, holds, same, service};

const TASKS: &str = "
- {name: Write, ansible.builtin.copy: {content: '{{ version }}', dest: /tmp/version}}
- {name: Prove, ansible.builtin.command: 'sh -c \"echo needle of {{ version }}; test {{ version }} != v2\"'}
";
const SPEC: &str = "
inputs: [{name: version, type: text, required: true, pattern: 'v[0-9]+'}]
policy: {approval: {required: true, own: true}}
";

async fn verdict(browser: &Browser, run: &Value) -> Result<Value> {
    let path = format!("/deployments/{}/wait?seconds=25", run["uid"].as_str().unwrap_or_default());
    for _ in 0..6 {
        let answer = browser.ask("GET", &path, None).await?;
        if answer["finished"] == true {
            return Ok(answer);
        }
    }
    tests::bail!("expected an end of {run}")
}

/// Starts, agrees as soon as it is asked, waits.
async fn deploys(story: &Story, browser: &Browser, start: &Value) -> Result<Value> {
    let path = format!("/services/{}/blog/deployments", story.namespace);
    let made = browser.ask("POST", &path, Some(start)).await?["deployment"].clone();
    let uid = made["uid"].as_str().unwrap_or_default();
    let awaits = |run: &crds::Deployment| tests::phase(run) == Some(crds::Phase::AwaitingApproval);
    let name = made["name"].as_str().unwrap_or_default();
    let run = story.run_until(name, "AwaitingApproval", awaits).await?;
    let digest = run.status.unwrap_or_default().digest;
    let yes = json!({"decision": "Approved", "digest": digest});
    browser.ask("POST", &format!("/deployments/{uid}/approval"), Some(&yes)).await?;
    verdict(browser, &made).await
}

#[tokio::test]
async fn a_pipeline_needs_nothing_but_the_api() -> Outcome {
    Story::tell("pipeline", async |story| {
        story.apply(&service("blog").tasks(TASKS).with(SPEC)).await?;
        let browser = Browser::at_the_page().await?;
        let blog = format!("/services/{}/blog", story.namespace);
        browser::known(&browser, &blog).await?;
        let start = format!("{blog}/deployments");

        // All that is wrong is said at once, what Kubernetes finds by its fields as well.
        let wrong = json!({"inputs": {"version": "x", "sice": 1}});
        let (status, answer) = browser.try_ask("POST", &start, Some(&wrong)).await?;
        same("status and errors", (status, answer["errors"].as_array().map(Vec::len)), (422, Some(2)))?;
        let wrong = json!({"inputs": {"version": "v1"}, "limit": "w".repeat(5_000)});
        let (status, answer) = browser.try_ask("POST", &start, Some(&wrong)).await?;
        let seen = (status, answer["reason"].clone(), answer["errors"][0]["field"].clone());
        same("what Kubernetes refuses", seen, (422, json!("Refused"), json!("limit")))?;

        let look = json!({"inputs": {"version": "v1"}, "mode": "Check"});
        let preview = browser.ask("POST", &start, Some(&look)).await?;
        let seen = verdict(&browser, &preview["deployment"]).await?;
        same(
            "the preview's verdict",
            (&seen["succeeded"], &seen["deployment"]["mode"]),
            (&json!(true), &json!("Check")),
        )?;

        let first = deploys(story, &browser, &json!({"inputs": {"version": "v1"}})).await?;
        same(
            "the first verdict",
            (&first["succeeded"], &first["deployment"]["number"]),
            (&json!(true), &json!(1)),
        )?;
        let second = deploys(story, &browser, &json!({"inputs": {"version": "v2"}})).await?;
        same("the second verdict", &second["succeeded"], &json!(false))?;
        let [one, two] =
            [&first, &second].map(|run| run["deployment"]["uid"].as_str().unwrap_or_default().to_owned());
        let back = deploys(story, &browser, &json!({"repeat": 1, "reason": "v2 is broken"})).await?;
        same("the third verdict", &back["succeeded"], &json!(true))?;
        same("what was filled in", &back["deployment"]["inputs"], &json!({"version": "v1"}))?;

        let compared = browser.ask("GET", &format!("/deployments/{two}/comparison?with={one}"), None).await?;
        same("whole", &compared["whole"], &json!(true))?;
        let differences = json!([{"path": "inputs.version", "before": "v1", "after": "v2"}]);
        let found: Vec<&Value> = compared["differences"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|d| d["path"] != "digest")
            .collect();
        same("differences", json!(found), differences)?;
        let found = browser.ask("GET", &format!("/deployments/{two}/output/search?q=NEEDLE"), None).await?;
        holds("what was found", &found["hits"].to_string(), "needle of v2")?;
        let plan = browser.ask("GET", &format!("{blog}/plan"), None).await?;
        same("planned steps", plan["steps"].as_array().map(Vec::len), Some(2))?;

        let of = format!("namespace={}", story.namespace);
        let list = browser.ask("GET", &format!("/deployments?{of}&phase=Failed&by=admin"), None).await?;
        let uids: Vec<&Value> =
            list["items"].as_array().into_iter().flatten().map(|run| &run["uid"]).collect();
        same("what failed", uids, vec![&json!(two)])?;
        let log = browser.ask("GET", &format!("/activity?{of}&limit=500"), None).await?;
        let said: Vec<(&str, &str)> = log["items"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|line| (line["what"].as_str().unwrap_or_default(), line["who"].as_str().unwrap_or_default()))
            .collect();
        for (what, times) in
            [("deployment.requested", 4), ("deployment.approved", 3), ("deployment.failed", 1)]
        {
            let seen = said.iter().filter(|(seen, _)| *seen == what).count();
            ensure!(seen == times, "expected {times} times {what}, saw {said:?}");
        }
        ensure!(
            said.iter().any(|(what, who)| *what == "deployment.approved" && who.ends_with("admin")),
            "{said:?}"
        );
        Ok(())
    })
    .await
}
