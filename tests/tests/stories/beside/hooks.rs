//! A Git server says that something was pushed: it is deployed at once, though the repository would be looked at
//! tomorrow only; and whoever does not know the secret is not heard.

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use serde_json::json;
use tests::{
    Outcome, Story, browser, browser::Browser, ensure, installation, manifest::Manifest,
    repository::Repository, same,
};

fn playbook(words: &str) -> String {
    format!(
        "- hosts: all\n  gather_facts: false\n  tasks:\n    - name: Say\n      ansible.builtin.debug: {{msg: '{words}'}}\n"
    )
}

#[tokio::test]
async fn a_push_is_deployed_at_once() -> Outcome {
    Story::tell("hooks", async |story| {
        let repository = Repository::public(story).await?;
        for name in ["blog", "shop"] {
            repository.commit("main", &format!("{name}/deploy.yml"), &playbook("first"), None).await?;
        }
        let admin = Browser::at_the_page().await?;
        for name in ["blog", "shop"] {
            let git = json!({"url": repository.https(), "branch": "main", "path": name, "interval": "24h", "caBundle": repository.ca()});
            let service = Manifest(json!({
                "apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Service", "metadata": {"name": name},
                "spec": {"source": {"git": git}, "playbook": "deploy.yml", "inventory": {"local": true}},
            }));
            story.apply(&service.on_change()).await?;
        }
        for name in ["blog", "shop"] {
            story.numbered_ends(name, 1).await?;
            browser::known(&admin, &format!("/services/{}/{name}", story.namespace)).await?;
        }
        for name in ["blog", "shop"] {
            repository.commit("main", &format!("{name}/deploy.yml"), &playbook("second"), None).await?;
        }
        let before = repository.checks().await?;
        let secrets = Api::<Secret>::namespaced(story.client.clone(), &installation());
        let secret = secrets.get("fastdeploy-webhooks").await?.data.unwrap_or_default();
        let secret = secret.get("secret").map(|secret| String::from_utf8_lossy(&secret.0).into_owned()).unwrap_or_default();
        let push = json!({"object_kind": "push", "ref": "refs/heads/main", "project": {"git_http_url": repository.https()}});
        let delivered = async |token: &str| admin.sends("POST", "/hooks", &[("x-gitlab-token", token)], Some(&push)).await;
        for wrong in ["a guess of some length", ""] {
            let (status, _, answer) = delivered(wrong).await?;
            same(&format!("with {wrong:?}: {answer}"), status, 401)?;
        }
        same("looks after guesses", repository.checks().await?, before)?;

        let (status, _, heard) = delivered(&secret).await?;
        same("heard", (status, heard), (202, json!({"services": 2, "again": false})))?;
        for name in ["blog", "shop"] {
            story.numbered_ends(name, 2).await?;
        }
        let looks = repository.checks().await? - before;
        // One for the refs; for each path one for the commit and one for the trees on the way to it; and each run fetches its
        // commit.
        ensure!(looks <= 7, "expected one look for both Services, saw {looks}");
        // The same again: whichever replica hears it, nothing follows from it.
        same("again", delivered(&secret).await?.0, 202)?;
        let activity = format!("/activity?what=source.announced&namespace={}", story.namespace);
        // It was told before the delivery was answered.
        let told = admin.ask("GET", &activity, None).await?["items"].as_array().map_or(0, Vec::len);
        same("told", told, 1)
    })
    .await
}
