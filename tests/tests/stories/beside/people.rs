//! Accounts get their roles from Kubernetes, programs their tokens from people; what is taken away is gone at once.

use serde_json::{Value, json};
use tests::{Outcome, Result, Story, browser, browser::Browser, ensure, kubectl, same, service};

async fn status(who: &Browser, method: &str, path: &str, body: Value) -> Result<u16> {
    Ok(who.try_ask(method, path, Some(&body)).await?.0)
}

async fn succeeds(who: &Browser, made: &Value) -> Result<()> {
    let uid = made["deployment"]["uid"].as_str().unwrap_or_default().to_owned();
    for _ in 0..4 {
        let verdict = who.ask("GET", &format!("/deployments/{uid}/wait?seconds=25"), None).await?;
        if verdict["finished"] == true {
            return same("succeeded", &verdict["succeeded"], &json!(true));
        }
    }
    tests::bail!("expected an end of {made}")
}

#[tokio::test]
async fn what_people_and_programs_may_do_is_given_and_taken() -> Outcome {
    Story::tell("people", async |story| {
        for name in ["blog", "shop"] {
            story.apply(&service(name)).await?;
        }
        let admin = Browser::at_the_page().await?;
        let services = format!("/services/{}", story.namespace);
        for name in ["blog", "shop"] {
            browser::known(&admin, &format!("{services}/{name}")).await?;
        }
        let (blog, start) = (format!("{services}/blog"), format!("{services}/blog/deployments"));

        // An account without a role sees nothing; as a viewer it looks, as a deployer it deploys.
        let name = format!("anna-{}", story.namespace);
        let made = admin.ask("POST", "/users", Some(&json!({"name": name}))).await?;
        let anna = Browser::of(&name, made["password"].as_str().unwrap_or_default()).await?;
        same("without a role", status(&anna, "GET", &blog, Value::Null).await?, 404)?;
        let gets = async |role: &str| {
            let wish = json!({"namespace": story.namespace, "role": role, "subject": {"kind": "User", "name": name}});
            admin.ask("POST", "/roles", Some(&wish)).await
        };
        let viewer = gets("viewer").await?;
        browser::known(&anna, &blog).await?;
        same("a viewer deploys", status(&anna, "POST", &start, json!({})).await?, 403)?;
        let foreign = "/services/fastdeploy-demo/web/deployments";
        same("a foreign namespace", status(&anna, "POST", foreign, json!({})).await?, 404)?;
        same("accounts", status(&anna, "GET", "/users", Value::Null).await?, 403)?;
        let grab = json!({"namespace": story.namespace, "role": "admin", "subject": {"kind": "User", "name": name}});
        same("more for herself", status(&anna, "POST", "/roles", grab).await?, 403)?;
        let deployer = gets("deployer").await?;
        let asked = async |what: &str| {
            let who = format!("--as=fastdeploy:{name}");
            let words = ["--namespace", &story.namespace, &who, "auth", "can-i", "deploy", what];
            kubectl::ask(&words, "").await.map(|said| said.out.trim().to_owned())
        };
        same("kubectl auth can-i deploy", asked("services.fastdeploy.dev/blog").await?, "yes".to_owned())?;
        let began = std::time::Instant::now();
        let made = loop {
            let (status, made) = anna.try_ask("POST", &start, Some(&json!({}))).await?;
            if status == 201 {
                break made;
            }
            ensure!(began.elapsed().as_secs() < 20, "expected a deployer to deploy, saw {status} {made}");
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        };
        same("who asked", &made["deployment"]["requestedBy"]["name"], &json!(name))?;
        succeeds(&anna, &made).await?;

        // A program: one Service, one verb, and not a moment longer than it is wanted.
        let tokens = format!("{blog}/tokens");
        same("a deployer makes tokens", status(&anna, "POST", &tokens, json!({"name": "ci", "verbs": []})).await?, 403)?;
        let token = admin.ask("POST", &tokens, Some(&json!({"name": "ci", "verbs": ["deploy"], "days": 1}))).await?;
        let program = admin.with_token(token["token"].as_str().unwrap_or_default());
        let made = program.ask("POST", &start, Some(&json!({"reason": "a pipeline"}))).await?;
        same("who asked", &made["deployment"]["requestedBy"]["name"], &json!("token:ci"))?;
        succeeds(&program, &made).await?;
        let uid = made["deployment"]["uid"].as_str().unwrap_or_default();
        for (method, path, body, expected) in [
            ("POST", format!("{services}/shop/deployments"), json!({}), 404),
            ("GET", format!("{services}/shop"), Value::Null, 404),
            ("POST", format!("/deployments/{uid}/cancel"), json!({"how": "Now"}), 403),
            ("GET", tokens.clone(), Value::Null, 403),
            ("GET", "/users".into(), Value::Null, 403),
        ] {
            same(&format!("{method} {path}"), status(&program, method, &path, body).await?, expected)?;
        }
        let id = token["id"].as_str().unwrap_or_default();
        admin.ask("DELETE", &format!("{tokens}/{id}"), None).await?;
        for replica in browser::replicas().await? {
            let there = program.moved_to(&replica)?;
            same("a revoked token", status(&there, "POST", &start, json!({})).await?, 401)?;
        }

        // What was given is taken; who is shut out is out everywhere.
        for role in [&deployer, &viewer] {
            let path = format!("/roles/{}/{}", story.namespace, role["name"].as_str().unwrap_or_default());
            admin.ask("DELETE", &path, None).await?;
        }
        let began = std::time::Instant::now();
        while status(&anna, "GET", &blog, Value::Null).await? != 404 {
            ensure!(began.elapsed().as_secs() < 20, "expected anna to see nothing any more");
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
        admin.ask("PATCH", &format!("/users/{name}"), Some(&json!({"disabled": true}))).await?;
        let began = std::time::Instant::now();
        while status(&anna, "GET", "/account", Value::Null).await? != 401 {
            ensure!(began.elapsed().as_secs() < 10, "expected anna to be out");
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
        admin.ask("DELETE", &format!("/users/{name}"), None).await?;
        Ok(())
    })
    .await
}
