//! Runs: found, started in every way, decided on, compared, waited for, searched.

use serde_json::{Value, json};
use store::PgPool;
use uuid::Uuid;

use super::{ended, form, live, report};
use crate::api::fake::Site;
use crate::claim::fake::NOW;

/// A site in which anna may read all of the team's.
async fn site(pool: &PgPool) -> Site {
    let site = Site::on(pool);
    site.service("team", "blog", 1, form(), live()).await;
    for words in ["get services", "list services", "get deployments"] {
        site.fake.grant(&format!("anna {words} team *"));
    }
    site
}

fn asked(number: i64, phase: &str, name: &str, via: &str) -> Value {
    let mut status = ended(number, phase, 60);
    status["requestedBy"] = json!({"name": name, "via": via});
    status
}

fn names(body: &Value) -> Vec<String> {
    let items = body["items"].as_array().unwrap_or_else(|| panic!("a list, not {body}"));
    items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn runs_are_found_across_services(pool: PgPool) {
    let site = site(&pool).await;
    site.run(("team", "blog"), 1, json!({}), asked(1, "Succeeded", "anna", "Dashboard")).await;
    site.run(("team", "shop"), 2, json!({"mode": "Check"}), asked(0, "Succeeded", "ben", "Dashboard")).await;
    site.run(("team", "blog"), 3, json!({}), asked(2, "Failed", "ben", "Kubectl")).await;
    site.run(("other", "wiki"), 4, json!({}), asked(1, "Failed", "ben", "Kubectl")).await;
    site.run(("team", "blog"), 5, json!({"mode": "Check"}), asked(0, "Succeeded", "", "Drift")).await;
    let found = async |who: &str, query: &str| {
        let (status, body) = site.get(who, &format!("/deployments?{query}")).await;
        assert_eq!(status, 200, "{body}");
        names(&body)
    };
    assert_eq!(found("anna", "").await, ["blog-3", "shop-2", "blog-1"]);
    assert_eq!(found("carl", "").await, Vec::<String>::new());
    for (query, expected) in [
        ("service=blog", vec!["blog-3", "blog-1"]),
        ("phase=Failed,Running", vec!["blog-3"]),
        ("by=ben", vec!["blog-3", "shop-2"]),
        ("via=Dashboard", vec!["shop-2", "blog-1"]),
        ("mode=Apply", vec!["blog-3", "blog-1"]),
        ("from=2027-01-15T08:00:02Z&to=2027-01-15T08:00:03Z", vec!["shop-2"]),
        ("namespace=other", vec![]),
        // What is looked at by the hour is there for whoever asks for it.
        ("via=Drift", vec!["blog-5"]),
    ] {
        assert_eq!(found("anna", query).await, expected, "{query}");
    }
    let (_, first) = site.get("anna", "/deployments?limit=2").await;
    let next = first["next"].as_str().unwrap();
    assert_eq!(found("anna", &format!("limit=2&after={next}")).await, ["blog-1"]);
    for wrong in ["phase=Ready", "via=Pigeon", "by=%00", "from=yesterday", "limit=0", "after=x", "who=ben"] {
        assert_eq!(site.get("anna", &format!("/deployments?{wrong}")).await.0, 400, "{wrong}");
    }
    // Neither on the Service's list nor on its line.
    let (_, body) = site.get("anna", "/services/team/blog/deployments").await;
    assert_eq!(names(&body), ["blog-3", "blog-1"]);
    let (_, body) = site.get("anna", "/services/team/blog").await;
    assert_eq!(body["service"]["recent"].as_array().unwrap().len(), 2, "{body}");
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn what_was_removed_before_it_ended_waits_for_nobody(pool: PgPool) {
    let site = site(&pool).await;
    let waits = json!({"observedGeneration": 1, "phase": "AwaitingApproval"});
    site.run(("team", "blog"), 1, json!({}), waits.clone()).await;
    let uid = site.run(("team", "blog"), 2, json!({}), waits).await;
    let waiting =
        async |phase: &str| names(&site.get("anna", &format!("/deployments?phase={phase}")).await.1);
    assert_eq!(waiting("AwaitingApproval").await, ["blog-2", "blog-1"]);
    let epoch = store::mirror::epoch(&pool).await.unwrap();
    let kind = store::mirror::Kind::Deployment;
    store::mirror::gone(&pool, epoch, kind, &[(uid, i64::MAX)].into()).await.unwrap();
    assert_eq!(waiting("AwaitingApproval").await, ["blog-1"]);
    assert_eq!(waiting("Cancelled").await, ["blog-2"]);
    let (_, body) = site.get("anna", &format!("/deployments/{uid}")).await;
    let run = &body["deployment"];
    assert_eq!(
        (&run["phase"], &run["gone"], &run["message"]),
        (&json!("Cancelled"), &json!(true), &json!("It was removed before it ended."))
    );
}

/// Which namespaces there are is remembered; a new one is seen at once all the same, and only by who may.
#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn a_new_namespace_is_seen_with_the_next_answer(pool: PgPool) {
    let site = site(&pool).await;
    for words in ["list services new *", "get services new *"] {
        site.fake.grant(&format!("anna {words}"));
    }
    let seen = async || {
        let (status, body) = site.get("anna", "/services").await;
        assert_eq!(status, 200, "{body}");
        (names(&body), body["cursor"].as_str().unwrap().to_owned())
    };
    assert_eq!(seen().await.0, ["blog"]);
    site.service("hidden", "wiki", 2, form(), live()).await;
    site.service("new", "shop", 3, form(), live()).await;
    site.run(("new", "shop"), 4, json!({}), asked(1, "Succeeded", "anna", "Dashboard")).await;
    let (names_now, cursor) = seen().await;
    assert_eq!(names_now, ["shop", "blog"]);
    assert_eq!(names(&site.get("anna", "/deployments").await.1), ["shop-4"]);
    assert_eq!(seen().await, (names_now, cursor));
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn a_run_is_started_in_every_way_and_all_that_is_wrong_is_said_at_once(pool: PgPool) {
    let site = site(&pool).await;
    site.fake.grant("anna deploy services team blog");
    let path = "/services/team/blog/deployments";
    let fields = |body: &Value| -> Vec<String> {
        let errors = body["errors"].as_array().unwrap_or_else(|| panic!("errors, not {body}"));
        errors.iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect()
    };
    for (wrong, expected) in [
        (json!({"inputs": {"version": "x", "sice": 1}}), vec!["inputs.version", "inputs.sice"]),
        (json!({"repeat": 3, "failedOf": 4}), vec!["failedOf"]),
        (json!({"repeat": 3, "revision": "main"}), vec!["revision"]),
        (json!({"failedOf": 3, "limit": "web1"}), vec!["limit"]),
        (json!({"repeat": 0}), vec!["repeat"]),
        (
            json!({"inputs": {"version": "v1"}, "secretInputs": {"secretRef": {"name": "pins"}}}),
            vec!["secretInputs"],
        ),
    ] {
        let (status, body) = site.post("anna", path, None, &wrong).await;
        assert_eq!((status, fields(&body)), (422, expected.iter().map(ToString::to_string).collect()));
        assert_eq!(body["type"], "/docs/api#InvalidInput");
    }
    for (start, spec) in [
        (
            json!({"inputs": {"version": "v1"}, "mode": "Check", "limit": "web*", "revision": "main"}),
            json!({"service": "blog", "inputs": {"version": "v1"}, "mode": "Check", "limit": "web*", "revision": "main"}),
        ),
        (json!({"repeat": 1}), json!({"service": "blog", "repeat": {"number": 1}, "mode": "Apply"})),
        (json!({"failedOf": 2}), json!({"service": "blog", "failedOf": {"number": 2}, "mode": "Apply"})),
    ] {
        let (status, body) = site.post("anna", path, None, &start).await;
        assert_eq!(status, 201, "{body}");
        let made = &site.fake.world().deployments[body["deployment"]["name"].as_str().unwrap()];
        assert_eq!(made.spec, serde_json::from_value(spec).unwrap(), "{start}");
    }
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn secret_answers_are_named_and_never_said(pool: PgPool) {
    let site = site(&pool).await;
    let asks = json!([{"name": "pin", "type": "secret", "required": true}]);
    site.service("team", "safe", 9, json!({"inputs": asks}), live()).await;
    site.fake.grant("anna deploy services team safe");
    let path = "/services/team/safe/deployments";
    let named = json!({"secretInputs": {"secretRef": {"name": "pins"}}});
    let (status, body) = site.post("anna", path, None, &named).await;
    assert_eq!(status, 201, "{body}");
    let made = site.fake.world().deployments[body["deployment"]["name"].as_str().unwrap()].spec.clone();
    assert_eq!(made.secret_inputs.map(|inputs| inputs.secret_ref.name).as_deref(), Some("pins"));
    for said in [
        json!({"inputs": {"pin": "1234"}}),
        json!({"secretInputs": {"pin": "1234"}}),
        json!({"secretInputs": {"values": {"pim": "1234"}}}),
        json!({"secretInputs": {"values": {"pin": "1234"}, "secretRef": {"name": "pins"}}}),
        json!({"secretInputs": {"values": {}}}),
        json!({"secretInputs": {}}),
    ] {
        let before = site.fake.world().deployments.len();
        let (status, body) = site.post("anna", path, None, &said).await;
        assert!((400..500).contains(&status) && !body.to_string().contains("1234"), "{status} {body}");
        assert_eq!(site.fake.world().deployments.len(), before, "{said}");
    }
}

/// They become a Secret of the run; the same request again makes what is lacking; where none can be made, no run waits.
#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn secret_answers_are_kept_by_their_run(pool: PgPool) {
    let site = site(&pool).await;
    let asks = json!([{"name": "pin", "type": "secret", "required": true}]);
    site.service("team", "safe", 9, json!({"inputs": asks}), live()).await;
    site.fake.grant("anna deploy services team safe");
    let path = "/services/team/safe/deployments";
    let said = json!({"secretInputs": {"values": {"pin": "hunter2"}}});
    let (status, body) = site.post("anna", path, Some("one"), &said).await;
    assert!(status == 201 && !body.to_string().contains("hunter2"), "{status} {body}");
    let name = body["deployment"]["name"].as_str().unwrap().to_owned();
    let kept = site.fake.world().secrets.remove(&name).expect("a Secret");
    assert_eq!(kept.reveal().get("pin").map(String::as_str), Some("hunter2"));
    let made = serde_json::to_string(&site.fake.world().deployments[&name]).unwrap();
    assert!(made.contains(&format!("{name}-inputs")) && !made.contains("hunter2"), "{made}");
    for _ in 0..2 {
        let (status, again) = site.post("anna", path, Some("one"), &said).await;
        assert_eq!((status, again["deployment"]["name"].as_str()), (200, Some(name.as_str())));
        assert!(site.fake.world().secrets.contains_key(&name));
    }
    // Another answer is another request, though nobody can read the first one again.
    for other in [
        json!({"secretInputs": {"values": {"pin": "hunter3"}}}),
        json!({"secretInputs": {"secretRef": {"name": format!("{name}-inputs")}}}),
    ] {
        let (status, body) = site.post("anna", path, Some("one"), &other).await;
        assert_eq!((status, &body["reason"]), (409, &json!("KeyUsed")), "{other}");
    }
    assert_eq!(site.fake.world().secrets[&name].reveal()["pin"], "hunter2");

    site.fake.world().no_secrets = true;
    let (status, body) = site.post("anna", path, Some("two"), &said).await;
    assert!(status == 422 && body.to_string().contains("quota"), "{status} {body}");
    let world = site.fake.world();
    let stopped: Vec<_> = world.deployments.values().filter(|run| run.spec.cancel.is_some()).collect();
    assert_eq!(stopped.len(), 1);
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn the_same_is_run_again(pool: PgPool) {
    let site = site(&pool).await;
    let spec = json!({"inputs": {"version": "v1"}, "reason": "First", "limit": "web1", "cancel": "Now"});
    let uid = site.run(("team", "blog"), 1, spec, ended(1, "Cancelled", 5)).await;
    let path = format!("/deployments/{uid}/retry");
    assert_eq!(site.post("anna", &path, None, &json!({})).await.0, 403);
    site.fake.grant("anna deploy services team blog");
    site.app.access.forget();
    let (status, first) = site.post("anna", &path, Some("k"), &json!({})).await;
    assert_eq!(status, 201, "{first}");
    let run = &first["deployment"];
    assert_eq!((&run["note"], &run["limit"], run.get("cancel")), (&json!("First"), &json!("web1"), None));
    assert_eq!(run["inputs"], json!({"version": "v1"}));
    let (status, again) = site.post("anna", &path, Some("k"), &json!({})).await;
    assert_eq!((status, &again["deployment"]["uid"]), (200, &run["uid"]));
    let (_, other) = site.post("anna", &path, None, &json!({"reason": "Once more"})).await;
    assert_eq!(other["deployment"]["note"], "Once more");
    assert_eq!(site.post("carl", &path, None, &json!({})).await.0, 404);
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn people_agree_once_and_to_what_they_have_seen(pool: PgPool) {
    let site = site(&pool).await;
    let waits =
        json!({"observedGeneration": 1, "number": 2, "phase": "AwaitingApproval", "digest": "v1:sha256:a"});
    let uid = site.run(("team", "blog"), 1, json!({}), waits).await;
    let over = site.run(("team", "blog"), 2, json!({}), ended(1, "Failed", 5)).await;
    let path = format!("/deployments/{uid}/approval");
    let yes = json!({"decision": "Approved", "digest": "v1:sha256:a"});
    let (status, body) = site.get("anna", &format!("/deployments/{uid}")).await;
    assert_eq!((status, &body["may"]["approve"]), (200, &json!(false)));
    assert_eq!(site.post("anna", &path, None, &yes).await.0, 403);
    site.fake.grant("anna approve deployments team *");
    site.app.access.forget();
    let other = json!({"decision": "Approved", "digest": "v1:sha256:b"});
    for (path, body, reason) in
        [(&path, &other, "OtherDigest"), (&format!("/deployments/{over}/approval"), &yes, "NotAwaited")]
    {
        let (status, body) = site.post("anna", path, None, body).await;
        assert_eq!((status, &body["reason"]), (409, &json!(reason)));
    }
    assert_eq!(site.post("anna", &path, None, &json!({"decision": "Maybe", "digest": "x"})).await.0, 400);
    let (status, body) = site.post("anna", &path, None, &yes).await;
    assert_eq!(status, 202, "{body}");
    let written = site.fake.world().deployments["blog-1"].spec.approval.clone().unwrap();
    assert_eq!((written.by.as_str(), written.digest.as_str()), ("fastdeploy:anna", "v1:sha256:a"));
    let (status, body) = site.post("anna", &path, None, &yes).await;
    assert_eq!((status, &body["reason"], &body["field"]), (422, &json!("Refused"), &json!("approval")));
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn who_waits_sees_who_is_before(pool: PgPool) {
    let site = site(&pool).await;
    let at = |phase: &str| json!({"observedGeneration": 1, "phase": phase});
    let first = site.run(("team", "blog"), 1, json!({}), at("Queued")).await;
    let running = site.run(("team", "blog"), 2, json!({}), at("Running")).await;
    let last = site.run(("team", "blog"), 3, json!({}), at("Queued")).await;
    site.run(("team", "shop"), 4, json!({}), at("Queued")).await;
    let queue = async |uid: Uuid| site.get("anna", &format!("/deployments/{uid}")).await.1["queue"].clone();
    assert_eq!(queue(running).await, Value::Null);
    assert_eq!(queue(first).await["position"], 1);
    let queue = queue(last).await;
    let before: Vec<_> = queue["before"].as_array().unwrap().iter().map(|run| run["name"].clone()).collect();
    assert_eq!((&queue["position"], before), (&json!(2), vec![json!("blog-2"), json!("blog-1")]));
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn two_runs_are_compared(pool: PgPool) {
    let site = site(&pool).await;
    for (n, content) in [
        (1, json!({"inputs": {"version": "v1"}, "options": {}})),
        (2, json!({"inputs": {"version": "v2"}, "options": {"forks": 3}})),
    ] {
        let mut status = ended(n as i64, "Succeeded", 60);
        (status["bundle"], status["revision"]) = (json!(format!("b{n}")), json!(format!("main@{n}")));
        site.run(("team", "blog"), n, json!({"inputs": {"version": format!("v{n}")}}), status).await;
        store::bundles::put(&pool, &format!("b{n}"), &format!("d{n}"), &content.to_string()).await.unwrap();
    }
    let gone =
        site.run(("team", "blog"), 3, json!({"inputs": {"version": "v3"}}), ended(3, "Succeeded", 60)).await;
    let foreign = site.run(("other", "wiki"), 4, json!({}), ended(1, "Succeeded", 60)).await;
    let compare = async |one: u128, with: Uuid| {
        site.get("anna", &format!("/deployments/{}/comparison?with={with}", Uuid::from_u128(one))).await
    };
    let (status, body) = compare(2, Uuid::from_u128(1)).await;
    assert_eq!((status, &body["whole"]), (200, &json!(true)), "{body}");
    assert_eq!(
        body["differences"],
        json!([{"path": "inputs.version", "before": "v1", "after": "v2"}, {"path": "options.forks", "after": 3},
            {"path": "revision", "before": "main@1", "after": "main@2"}])
    );
    let (_, body) = compare(2, gone).await;
    assert_eq!((&body["whole"], &body["differences"][0]["before"]), (&json!(false), &json!("v3")), "{body}");
    assert_eq!(compare(2, foreign).await.0, 404);
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn a_pipeline_waits_for_the_end(pool: PgPool) {
    let site = site(&pool).await;
    for (n, phase, succeeded) in [(1, "Succeeded", true), (2, "NothingDone", false), (3, "Failed", false)] {
        let uid = site.run(("team", "blog"), n, json!({}), ended(1, phase, 5)).await;
        let (_, body) = site.get("anna", &format!("/deployments/{uid}/wait?seconds=1")).await;
        assert_eq!((&body["finished"], &body["succeeded"]), (&json!(true), &json!(succeeded)), "{phase}");
    }
    let running = json!({"observedGeneration": 1, "number": 2, "phase": "Running", "attempt": 1});
    let uid = site.run(("team", "blog"), 4, json!({}), running).await;
    let path = format!("/deployments/{uid}/wait");
    let (_, body) = site.get("anna", &format!("{path}?seconds=1")).await;
    assert_eq!((&body["finished"], body.get("succeeded")), (&json!(false), None));
    let end = async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let mut over = site.fake.world().deployments["blog-4"].clone();
        over.metadata.resource_version = Some("900".into());
        over.status = serde_json::from_value(ended(2, "Succeeded", 5)).unwrap();
        site.mirror(&store::rows::deployment(&over).unwrap()).await;
    };
    let ((_, body), ()) = tokio::join!(site.get("anna", &path), end);
    assert_eq!((&body["finished"], &body["succeeded"]), (&json!(true), &json!(true)));
    assert_eq!(site.get("anna", &format!("{path}?seconds=26")).await.0, 400);
    assert_eq!(site.get("carl", &path).await.0, 404);
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn output_is_searched_and_taken_along(pool: PgPool) {
    let site = site(&pool).await;
    let uid = site.run(("team", "blog"), 1, json!({}), ended(1, "Failed", 60)).await;
    report(
        &pool,
        uid,
        1,
        &[
            json!({"kind": "output", "firstLine": 1, "text": "TASK [One]\nfatal: disk FULL"}),
            json!({"kind": "output", "firstLine": 3, "text": "ok\nthe disk is full"}),
        ],
    )
    .await;
    let search =
        async |query: &str| site.get("anna", &format!("/deployments/{uid}/output/search?{query}")).await;
    let (status, body) = search("q=disk").await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(
        body["hits"],
        json!([{"line": 2, "text": "fatal: disk FULL"}, {"line": 4, "text": "the disk is full"}])
    );
    let (_, body) = search("q=full&limit=1").await;
    assert_eq!((body["hits"].as_array().unwrap().len(), &body["next"]), (1, &json!(3)));
    let (_, body) = search("q=full&from=3").await;
    assert_eq!((&body["hits"][0]["line"], body.get("next")), (&json!(4), None));
    for wrong in ["", "q=", "q=x&limit=501", "q=x&from=0"] {
        assert_eq!(search(wrong).await.0, 400, "{wrong}");
    }
    let path = format!("/deployments/{uid}/output/download");
    let (status, headers, text) = site.text("anna", &path).await;
    assert_eq!((status, text.as_str()), (200, "TASK [One]\nfatal: disk FULL\nok\nthe disk is full\n"));
    assert!(headers["content-disposition"].to_str().unwrap().starts_with("attachment"));
    assert_eq!(headers["content-type"], "text/plain; charset=utf-8");
    assert_eq!(site.text("carl", &path).await.0, 404);
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn before_a_run_one_knows_the_form_the_steps_and_the_time(pool: PgPool) {
    let site = site(&pool).await;
    let mut inputs = form()["inputs"].as_array().unwrap().clone();
    let from = |chosen: Value, inputs: &[Value]| {
        let mut git = json!({"url": "https://git.example.com/blog"});
        git.as_object_mut().unwrap().extend(chosen.as_object().unwrap().clone());
        json!({"source": {"git": git}, "inputs": inputs})
    };
    site.service("team", "range", 4, from(json!({"semver": "1.x"}), &inputs), live()).await;
    inputs.push(json!({"name": "fix", "type": "gitCommit"}));
    site.service("team", "blog", 2, from(json!({"branch": "main"}), &inputs), live()).await;
    let of = site.fake.world().services["blog"].spec.source.git.clone().unwrap().repository("team");
    let tags =
        [("tag", "v1.0", "c2"), ("tag", "v1.9.0", "c3"), ("tag", "v1.10.0", "c4"), ("tag", "v2.0", "c5")];
    let refs = [("branch", "main", "c1"), ("branch", "next", "c2")].into_iter().chain(tags);
    store::refs::replace(&pool, &of, refs).await.unwrap();
    for (reference, subjects) in
        [("refs/heads/main", vec!["Newer", ""]), ("refs/heads/next", vec!["Not followed"])]
    {
        let commit = |subject: &str| store::commits::Commit {
            commit: format!("id of {subject}"),
            subject: subject.into(),
            author: "Ann".into(),
            at: NOW,
        };
        let commits: Vec<_> = subjects.into_iter().map(commit).collect();
        store::commits::replace(&pool, &of, reference, &commits).await.unwrap();
    }
    let (status, body) = site.get("anna", "/services/team/blog/form").await;
    assert_eq!(status, 200, "{body}");
    assert_eq!((&body["branches"][0]["name"], &body["tags"][0]["commit"]), (&json!("main"), &json!("c2")));
    assert_eq!(body["inputs"][0]["name"], "version");
    let first = json!({"commit": "id of Newer", "subject": "Newer", "author": "Ann", "at": NOW});
    assert_eq!((&body["commits"][0], &body["commits"][1]["subject"]), (&first, &json!("")));
    assert_eq!(body["commits"].as_array().unwrap().len(), 2, "{body}");
    // Of a branch there is nothing else to deploy; of a range of versions there is what is in it.
    assert_eq!(body["revisions"], json!([]));
    let (_, range) = site.get("anna", "/services/team/range/form").await;
    let names: Vec<_> = range["revisions"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["v1.10.0", "v1.9.0", "v1.0"]);
    assert_eq!(range["commits"], json!([]), "nobody asks for one");
    let inline = json!({"source": {"inline": {"deploy.yml": "[]"}}, "inputs": form()["inputs"]});
    site.service("team", "tiny", 3, inline, live()).await;
    let (_, none) = site.get("anna", "/services/team/tiny/form").await;
    assert_eq!([&none["commits"], &none["branches"], &none["revisions"]], [&json!([]); 3]);

    let (_, none) = site.get("anna", "/services/team/blog/plan").await;
    assert_eq!(none, json!({"steps": [], "declared": [], "notes": []}));
    let uid = site.run(("team", "blog"), 1, json!({}), ended(1, "Succeeded", 60)).await;
    let preview = json!({"mode": "Check"});
    site.run(("team", "blog"), 2, preview, ended(0, "Succeeded", 7)).await;
    report(&pool, uid, 1, &[
        json!({"kind": "plan", "steps": [{"key": "a:1#1", "name": "One"}, {"key": "a:2#1", "name": "Two"}],
            "declared": [{"by": "role web", "options": [
                {"name": "version", "type": "str"},
                {"name": "web_port", "type": "int", "default": 8080, "description": "Where"},
                {"name": "web_hosts", "type": "list"}]}]}),
        json!({"kind": "stepStarted", "key": "a:1#1", "name": "One"}),
    ])
    .await;
    let (_, plan) = site.get("anna", "/services/team/blog/plan").await;
    let steps: Vec<_> =
        plan["steps"].as_array().unwrap().iter().map(|step| (&step["name"], &step["state"])).collect();
    assert_eq!(steps, [(&json!("One"), &json!("Pending")), (&json!("Two"), &json!("Pending"))]);
    assert_eq!((&plan["usualSeconds"], &plan["of"]), (&json!(60), &json!(uid)));
    // The form asks for the version already, and what it cannot ask for is told.
    let yaml = "- name: web_port\n  type: number\n  help: Where\n  default: 8080\n";
    assert_eq!(plan["declared"], json!([{"name": "web_port", "help": "Where", "yaml": yaml}]));
    assert!(plan["notes"][0].as_str().unwrap().starts_with("web_hosts (role web): a list cannot"), "{plan}");
    let (_, durations) = site.get("anna", "/services/team/blog/durations").await;
    assert_eq!(durations["runs"].as_array().unwrap().len(), 1, "{durations}");
    for path in ["form", "plan", "durations"] {
        assert_eq!(site.get("carl", &format!("/services/team/blog/{path}")).await.0, 404);
    }
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn what_was_done_is_kept_and_taken_along(pool: PgPool) {
    let site = site(&pool).await;
    site.run(("other", "wiki"), 1, json!({}), asked(1, "Succeeded", "ben", "Dashboard")).await;
    let kept = site.run(("team", "blog"), 2, json!({}), asked(1, "Succeeded", "anna", "Dashboard")).await;
    assert!(!kept.is_nil());
    let made =
        store::outbox::Event::of_person(crds::events::EventType::UserCreated, "admin", "ben", json!({}));
    store::outbox::tell(&pool, &[made]).await.unwrap();
    site.fake.grant("fastdeploy:admins list services * *");
    let whats = |body: &Value| -> Vec<(String, String)> {
        let items = body["items"].as_array().unwrap_or_else(|| panic!("a list, not {body}"));
        let word = |item: &Value, key: &str| item[key].as_str().unwrap().to_owned();
        items.iter().map(|item| (word(item, "namespace"), word(item, "what"))).collect()
    };
    let (status, mine) = site.get("anna", "/activity?limit=500").await;
    assert_eq!(status, 200, "{mine}");
    assert!(whats(&mine).iter().all(|(namespace, _)| namespace == "team"), "{mine}");
    assert!(whats(&mine).iter().any(|(_, what)| what == "deployment.finished"), "{mine}");
    let (_, all) = site.get("admin", "/activity?what=user.").await;
    assert_eq!(whats(&all), [(String::new(), "user.created".to_owned())]);
    assert_eq!(whats(&site.get("anna", "/activity?what=user.").await.1), []);
    assert_eq!(whats(&site.get("carl", "/activity").await.1), []);
    let (_, first) = site.get("admin", "/activity?limit=1").await;
    let (_, rest) = site.get("admin", &format!("/activity?before={}", first["next"])).await;
    assert!(!whats(&rest).is_empty() && !whats(&rest).contains(&whats(&first)[0]), "{rest}");
    let (status, headers, text) = site.text("anna", "/activity/csv").await;
    assert_eq!((status, headers["content-type"].to_str().unwrap()), (200, "text/csv; charset=utf-8"));
    assert!(text.starts_with("id,at,what,who,") && text.contains("\"deployment.finished\""), "{text}");
    let (_, _, text) = site.text("anna", "/activity/jsonl").await;
    let line: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(line["namespace"], "team");
    for wrong in ["limit=0", "limit=501", "before=x", "who=%00", "kind=x"] {
        assert_eq!(site.get("anna", &format!("/activity?{wrong}")).await.0, 400, "{wrong}");
    }
}
