//! Those who look after the installation see how each part of it fares; nobody else does.

use serde_json::json;
use tests::{Outcome, Story, browser::Browser, ensure, same};

#[tokio::test]
async fn how_each_part_fares() -> Outcome {
    Story::tell("system", async |story| {
        let admin = Browser::at_the_page().await?;
        let began = std::time::Instant::now();
        // Beside it, other stories take parts away and bring them back.
        let seen = loop {
            let seen = admin.ask("GET", "/system", None).await?;
            let parts = ["apiServer", "operator", "database", "mirror", "reports"];
            if parts.iter().all(|part| seen[part]["verdict"]["health"] == "Fine") {
                break seen;
            }
            ensure!(began.elapsed().as_secs() < 60, "expected every part to be fine, saw {seen}");
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        };
        for version in ["apiServer", "operator", "chart", "kubernetes", "postgresql"] {
            let it = seen["versions"][version].as_str().unwrap_or_default();
            ensure!(
                it.starts_with(|c: char| c.is_ascii_digit()),
                "expected a version of {version}, saw {seen}"
            );
        }
        let leader = seen["operator"]["leader"].as_str().unwrap_or_default();
        ensure!(leader.starts_with("fastdeploy-operator-"), "expected the pod that leads, saw {seen}");
        let lag = seen["mirror"]["lagSeconds"].as_i64().unwrap_or(i64::MAX);
        ensure!(lag <= 25, "expected the mirror's writer to be at work, saw {seen}");

        let name = format!("eve-{}", story.namespace);
        let made = admin.ask("POST", "/users", Some(&json!({"name": name}))).await?;
        let eve = Browser::of(&name, made["password"].as_str().unwrap_or_default()).await?;
        same("somebody else", eve.try_ask("GET", "/system", None).await?.0, 403)?;
        admin.ask("DELETE", &format!("/users/{name}"), None).await?;
        Ok(())
    })
    .await
}
