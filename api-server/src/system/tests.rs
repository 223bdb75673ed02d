//! Through the router, on a real PostgreSQL.

use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::json;
use store::PgPool;

use super::installation::{Installation, Leader, Workload};
use crate::api::fake::Site;
use crate::claim::cluster::{Answer, Unavailable};
use crate::claim::fake::NOW;

/// One operator of two is ready and leads; of the api-server nothing is said.
struct Memory;

impl Installation for Memory {
    fn kubernetes(&self) -> BoxFuture<'_, Answer<String>> {
        Box::pin(async { Ok("v1.34.1".to_owned()) })
    }

    fn workload<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Answer<Option<Workload>>> {
        Box::pin(async move {
            if name == crds::names::API_SERVER {
                let source = kube::Error::ReadEvents(std::io::Error::other("forbidden: a secret word"));
                return Err(Unavailable { what: "read how a program fares", source });
            }
            Ok(Some(Workload { wanted: 2, ready: 1, ..Workload::default() }))
        })
    }

    fn leader(&self) -> BoxFuture<'_, Answer<Option<Leader>>> {
        let leader = Leader { pod: Some("op-1".into()), since: Some(NOW), renewed_at: Some(NOW) };
        Box::pin(async { Ok(Some(leader)) })
    }
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn those_who_administer_see_how_each_part_fares(pool: PgPool) {
    let mut site = Site::on(&pool);
    let (status, refused) = site.get("anna", "/system").await;
    assert_eq!((status, &refused["reason"]), (403, &json!("Forbidden")));
    assert!(refused["detail"].as_str().unwrap().contains("\"get\" on system.fastdeploy.dev"), "{refused}");
    assert_eq!(site.get("anna", "/account").await.1["may"]["system"], false);

    // Who makes Services in some namespaces is told in which.
    for namespace in ["team", "other"] {
        site.service(namespace, "blog", 1, json!({}), json!({})).await;
    }
    site.fake.grant("anna create services team *");
    site.fake.grant("mia create services * *");
    site.fake.grant("mia get system * *");
    site.app.access.forget();
    let add = async |who| site.get(who, "/account").await.1["may"]["add"].clone();
    assert_eq!(add("anna").await, json!({"everywhere": false, "namespaces": ["team"]}));
    assert_eq!(add("mia").await, json!({"everywhere": true, "namespaces": []}));

    site.with_installation(Arc::new(Memory));
    assert_eq!(site.get("mia", "/account").await.1["may"]["system"], true);
    let (status, seen) = site.get("mia", "/system").await;
    assert_eq!(status, 200, "{seen}");
    let verdict = |part: &str| seen[part]["verdict"].clone();
    assert_eq!(verdict("apiServer"), json!({"health": "Unknown", "reason": "NotSaid"}));
    assert!(!seen.to_string().contains("a secret word"), "{seen}");
    assert_eq!(verdict("operator"), json!({"health": "Attention", "reason": "SomeNotReady"}));
    assert_eq!(seen["operator"]["leader"], "op-1");
    assert_eq!(verdict("database"), json!({"health": "Fine", "reason": "SchemaCurrent"}));
    assert_eq!(seen["database"]["migration"], seen["database"]["newestMigration"]);
    assert_eq!(verdict("mirror"), json!({"health": "Unknown", "reason": "MirrorNever"}));
    assert_eq!(seen["versions"]["kubernetes"], "1.34.1");
    assert!(seen["versions"]["postgresql"].is_string(), "{seen}");

    pool.close().await;
    let (status, seen) = site.get("mia", "/system").await;
    assert_eq!(status, 200, "{seen}");
    assert_eq!(seen["database"]["verdict"], json!({"health": "Broken", "reason": "DatabaseAway"}));
    assert_eq!(seen["reports"]["verdict"], json!({"health": "Attention", "reason": "ReportsWait"}));
}
