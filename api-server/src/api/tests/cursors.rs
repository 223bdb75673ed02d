//! What an answer shows is so at its cursor: neither more nor less than the changes up to there, whoever writes meanwhile.

use std::cell::Cell;
use std::collections::BTreeMap;

use serde_json::{Value, json};
use store::read::Position;
use store::{PgPool, mirror, rows};
use uuid::Uuid;

use super::live;
use crate::api::fake::Site;

/// Cursors at which each answer is looked at.
const PLACES: usize = 12;

/// Each change of an object numbers it: a Service in its title, a Deployment in its note.
fn service(name: &str, uid: Uuid, n: u64) -> mirror::Row {
    let service = json!({
        "apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Service",
        "metadata": {"name": name, "namespace": "team", "uid": uid, "resourceVersion": n.to_string()},
        "spec": {"title": n.to_string(), "source": {"inline": {"deploy.yml": "x"}}, "playbook": "deploy.yml", "inventory": {"local": true}},
        "status": live(),
    });
    rows::service(&serde_json::from_value(service).unwrap()).unwrap()
}

fn run(uid: Uuid, n: u64) -> mirror::Row {
    let run = json!({
        "apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Deployment",
        "metadata": {"name": "blog-1", "namespace": "team", "uid": uid, "resourceVersion": n.to_string(),
            "creationTimestamp": "2027-01-15T08:00:00Z"},
        "spec": {"service": "blog", "reason": n.to_string()}, "status": {"phase": "Running", "number": 1},
    });
    rows::deployment(&serde_json::from_value(run).unwrap()).unwrap()
}

/// Which objects an answer shows, and as which of their changes.
fn shown(answer: &Value) -> Vec<(Uuid, u64)> {
    let mut found = Vec::new();
    let mut look = |object: &Value, field: &str| {
        let uid = object["uid"].as_str().and_then(|uid| uid.parse().ok());
        let n = object[field].as_str().and_then(|n| n.parse().ok());
        found.extend(uid.zip(n));
    };
    let items = answer["items"].as_array().into_iter().flatten();
    for object in items.chain([&answer["service"], &answer["deployment"]]) {
        look(object, "title");
        look(object, "note");
        look(&object["last"], "note");
    }
    found
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn an_answer_shows_what_the_changes_up_to_its_cursor_say(pool: PgPool) {
    let site = Site::on(&pool);
    site.fake.grant("anna list services team *");
    site.fake.grant("anna get services team *");
    site.fake.grant("anna get deployments team *");
    // `live` names the first as the last run of both Services.
    let uids = [1, 2, 3].map(Uuid::from_u128);
    let epoch = mirror::epoch(&pool).await.unwrap();
    let rows = |n: u64| [run(uids[0], n), service("blog", uids[1], n), service("shop", uids[2], n)];
    mirror::upsert(&pool, epoch, &rows(1)).await.unwrap();
    let paths = [
        ("/services".to_owned(), 4),
        ("/services/team/blog".into(), 2),
        ("/services/team/blog/deployments".into(), 1),
        ("/deployments?namespace=team".into(), 1),
        (format!("/deployments/{}", uids[0]), 1),
    ];
    let looking = Cell::new(paths.len());
    // One changes two objects at once, the other one.
    let write = async |which: &[usize]| {
        let mut n = 1;
        while looking.get() > 0 {
            n += 1;
            let all = rows(n);
            let these: Vec<_> = which.iter().map(|&at| all[at].clone()).collect();
            assert_eq!(mirror::upsert(&pool, epoch, &these).await.unwrap(), these.len());
        }
    };
    let read = async |path: String| {
        let mut answers = BTreeMap::new();
        while answers.len() < PLACES {
            let (status, answer) = site.get("anna", &path).await;
            assert_eq!(status, 200, "{path}: {answer}");
            let cursor: Position = answer["cursor"].as_str().unwrap().parse().unwrap();
            answers.insert(cursor.seq, shown(&answer));
        }
        looking.set(looking.get() - 1);
        (path, answers)
    };
    let reads = futures::future::join_all(paths.iter().map(|(path, _)| read(path.clone())));
    let ((), (), seen) = futures::join!(write(&[0, 1]), write(&[2]), reads);

    let changes: Vec<(i64, Uuid)> =
        sqlx::query_as("select seq, uid from changes order by seq").fetch_all(&pool).await.unwrap();
    let mut said: BTreeMap<Uuid, Vec<i64>> = BTreeMap::new();
    for (seq, uid) in changes {
        said.entry(uid).or_default().push(seq);
    }
    for ((path, answers), (_, objects)) in seen.into_iter().zip(&paths) {
        for (cursor, shown) in answers {
            let expected: Vec<(Uuid, u64)> = shown
                .iter()
                .map(|(uid, _)| (*uid, said[uid].iter().filter(|seq| **seq <= cursor).count() as u64))
                .collect();
            assert_eq!((shown.len(), shown), (*objects, expected), "{path} at {cursor}");
        }
    }
}
