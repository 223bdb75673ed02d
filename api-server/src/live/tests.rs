//! Through a real socket, on a real PostgreSQL.

use std::net::SocketAddr;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use store::PgPool;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::api::fake::Site;
use crate::api::tests::{new_report, report};

/// For what must come.
const PATIENCE: Duration = Duration::from_secs(10);
/// In which what must not come would have come.
const QUIET: Duration = Duration::from_millis(300);

struct Browser(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Browser {
    async fn open(addr: SocketAddr) -> Self {
        Self(connect_async(format!("ws://{addr}/api/v1/ws")).await.unwrap().0)
    }

    async fn signed_in(site: &Site, addr: SocketAddr, who: &str) -> Self {
        let mut browser = Self::open(addr).await;
        browser.say(json!({"type": "signIn", "token": site.token(who)})).await;
        assert_eq!(browser.next().await["type"], "ready");
        browser
    }

    async fn say(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn subscribe(&mut self, topic: &str, after: &str) {
        self.say(json!({"type": "subscribe", "topic": topic, "after": after})).await;
    }

    /// The next text.
    async fn next(&mut self) -> Value {
        tokio::time::timeout(PATIENCE, async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).unwrap(),
                    Some(Ok(Message::Close(frame))) => {
                        return json!({"closed": frame.map(|frame| u16::from(frame.code))});
                    }
                    Some(Ok(_)) => {}
                    other => return json!({"ended": other.is_none()}),
                }
            }
        })
        .await
        .expect("a message")
    }

    async fn nothing(&mut self) {
        if let Ok(message) = tokio::time::timeout(QUIET, self.next()).await {
            panic!("{message}");
        }
    }
}

fn served(site: &Site) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(site.app.hub.clone().run());
    // As it is served: a limit must not stand in the way of an upgrade.
    let server = crate::limits::with_upgrades(axum_server::from_tcp(listener).unwrap());
    tokio::spawn(server.serve(site.router().into_make_service()));
    addr
}

fn status() -> Value {
    json!({"observedGeneration": 1})
}

async fn blog(pool: &PgPool) -> (Site, SocketAddr) {
    let site = Site::on(pool);
    for verb in ["list", "get"] {
        site.fake.grant(&format!("anna {verb} services team *"));
    }
    site.fake.grant("anna get deployments team *");
    site.service("team", "blog", 1, json!({}), status()).await;
    let addr = served(&site);
    (site, addr)
}

async fn cursor(site: &Site, path: &str) -> String {
    let (status, body) = site.get("anna", path).await;
    assert_eq!(status, 200, "{body}");
    body["cursor"].as_str().unwrap().to_owned()
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn only_who_signs_in_is_heard(pool: PgPool) {
    let (site, addr) = blog(&pool).await;
    for (first, code) in [
        (json!({"type": "signIn", "token": "nonsense"}), 4000),
        (json!({"type": "subscribe", "topic": "services", "after": ""}), 4002),
        (json!({"type": "hello"}), 4002),
        (json!(3), 4002),
    ] {
        let mut browser = Browser::open(addr).await;
        browser.say(first.clone()).await;
        assert_eq!(browser.next().await, json!({"closed": code}), "{first}");
    }
    let mut browser = Browser::signed_in(&site, addr, "anna").await;
    browser.say(json!({"type": "ping"})).await;
    assert_eq!(browser.next().await, json!({"type": "pong"}));
    // A newer token keeps the socket; one of somebody else does not.
    browser.say(json!({"type": "renew", "token": site.token("anna")})).await;
    assert_eq!(browser.next().await["type"], "renewed");
    browser.say(json!({"type": "renew", "token": site.token("ben")})).await;
    assert_eq!(browser.next().await, json!({"closed": 4000}));
    let mut browser = Browser::signed_in(&site, addr, "anna").await;
    browser.say(json!({"type": "nonsense"})).await;
    assert_eq!(browser.next().await, json!({"closed": 1003}));
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn changes_come_live_and_what_was_missed_comes_at_once(pool: PgPool) {
    let (site, addr) = blog(&pool).await;
    let before = cursor(&site, "/services").await;
    let mut browser = Browser::signed_in(&site, addr, "anna").await;
    browser.subscribe("services", &before).await;
    assert_eq!(browser.next().await, json!({"type": "subscribed", "topic": "services"}));
    browser.nothing().await;
    site.service("team", "blog", 2, json!({"title": "Blog"}), status()).await;
    let message = browser.next().await;
    assert_eq!((&message["type"], &message["service"]["title"]), (&json!("service"), &json!("Blog")));
    let seen = message["cursor"].as_str().unwrap().to_owned();
    // A run is news of its Service.
    site.deployment("blog", 1, json!({"observedGeneration": 1, "phase": "Running"})).await;
    assert_eq!(browser.next().await["type"], "service");
    // What one may not see does not come.
    site.service("other", "wiki", 3, json!({}), status()).await;
    browser.nothing().await;

    // Away meanwhile: all of it at once, each object as it is now, and only what is new.
    drop(browser);
    let mut browser = Browser::signed_in(&site, addr, "anna").await;
    browser.subscribe("services/team/blog", &before).await;
    assert_eq!(browser.next().await["type"], "subscribed");
    assert_eq!(browser.next().await["service"]["title"], "Blog");
    assert_eq!(browser.next().await["deployment"]["phase"], "Running");
    browser.nothing().await;
    browser.subscribe("services", &seen).await;
    assert_eq!(browser.next().await["type"], "subscribed");
    assert_eq!(browser.next().await["type"], "service");
    browser.say(json!({"type": "unsubscribe", "topic": "services/team/blog"})).await;
    browser.say(json!({"type": "unsubscribe", "topic": "services"})).await;
    browser.say(json!({"type": "ping"})).await;
    assert_eq!(browser.next().await["type"], "pong");
    site.service("team", "blog", 4, json!({}), status()).await;
    browser.nothing().await;
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn an_unknown_place_is_answered_by_reset(pool: PgPool) {
    let (site, addr) = blog(&pool).await;
    let now = cursor(&site, "/services").await;
    let (epoch, _) = now.split_once('.').unwrap();
    let mut browser = Browser::signed_in(&site, addr, "anna").await;
    for after in
        ["", "x", "0b6d9c1e6f1c4a869a553f6f3b1c0001.1", &format!("{epoch}.99"), &format!("{epoch}.-1")]
    {
        browser.subscribe("services", after).await;
        loop {
            let message = browser.next().await;
            if message["type"] != "subscribed" {
                assert_eq!(message, json!({"type": "reset", "topic": "services"}), "{after}");
                break;
            }
        }
    }
    // What he knows is forgotten here.
    site.service("team", "blog", 2, json!({}), status()).await;
    sqlx::query("update changes set at = now() - interval '2 days'").execute(&pool).await.unwrap();
    store::changes::prune(&pool, jiff::Timestamp::now()).await.unwrap();
    browser.subscribe("services", &now).await;
    assert_eq!(browser.next().await["type"], "subscribed");
    assert_eq!(browser.next().await["type"], "reset");
    // Another database: whoever follows is told.
    let now = cursor(&site, "/services").await;
    browser.subscribe("services", &now).await;
    assert_eq!(browser.next().await["type"], "subscribed");
    sqlx::query("update stream set epoch = gen_random_uuid()").execute(&pool).await.unwrap();
    site.service("team", "blog", 3, json!({}), status()).await;
    assert_eq!(browser.next().await["type"], "reset");
}

/// Pages that all come again at once would take them from reports and requests, and wait for them in vain.
#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn who_joins_needs_no_connection_of_others(pool: PgPool) {
    let (site, addr) = blog(&pool).await;
    let uid = site.deployment("blog", 1, json!({"observedGeneration": 1, "phase": "Running"})).await;
    let before = cursor(&site, "/services").await;
    site.service("team", "blog", 2, json!({"title": "Blog"}), status()).await;
    let mut browser = Browser::signed_in(&site, addr, "anna").await;
    let mut held = Vec::new();
    while let Ok(connection) = tokio::time::timeout(QUIET, pool.acquire()).await {
        held.push(connection.unwrap());
    }
    assert!(!held.is_empty());
    browser.subscribe("services", &before).await;
    assert_eq!(browser.next().await["type"], "subscribed");
    assert_eq!(browser.next().await["service"]["title"], "Blog");
    browser.subscribe(&format!("deployments/{uid}"), &before).await;
    assert_eq!(browser.next().await["type"], "subscribed");
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn a_role_that_is_taken_away_is_gone_at_once(pool: PgPool) {
    let (site, addr) = blog(&pool).await;
    let uid = site.deployment("blog", 1, json!({"observedGeneration": 1, "phase": "Running"})).await;
    let after = cursor(&site, "/services").await;
    let mut browser = Browser::signed_in(&site, addr, "anna").await;
    let topic = format!("deployments/{uid}");
    for topic in ["services", &topic] {
        browser.subscribe(topic, &after).await;
        assert_eq!(browser.next().await["type"], "subscribed");
    }
    report(&pool, uid, 1, &[step(1)]).await;
    assert_eq!(browser.next().await["type"], "events");
    site.fake.world().grants.clear();
    site.app.access.forget();
    site.service("team", "blog", 2, json!({}), status()).await;
    browser.nothing().await;
    report(&pool, uid, 2, &[step(2)]).await;
    let message = browser.next().await;
    assert_eq!((&message["type"], &message["topic"]), (&json!("refused"), &json!(topic)));
    for topic in ["services/team/blog", &topic, "deployments/x", "nonsense"] {
        browser.subscribe(topic, &after).await;
        let message = browser.next().await;
        assert_eq!(
            (&message["type"], &message["reason"]),
            (&json!("refused"), &json!("NotFound")),
            "{topic}"
        );
    }
}

fn step(n: i64) -> Value {
    json!({"kind": "stepStarted", "key": format!("a:{n}#1"), "name": format!("Step {n}")})
}

fn seqs(message: &Value) -> Vec<i64> {
    message["events"].as_array().unwrap().iter().map(|event| event["seq"].as_i64().unwrap()).collect()
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn events_of_a_run_come_once_in_order_without_gap(pool: PgPool) {
    let (site, addr) = blog(&pool).await;
    let uid = site.deployment("blog", 1, json!({"observedGeneration": 1, "phase": "Running"})).await;
    let topic = format!("deployments/{uid}");
    let after = cursor(&site, &format!("/deployments/{uid}")).await;
    let mut early = Browser::signed_in(&site, addr, "anna").await;
    early.subscribe(&topic, &after).await;
    assert_eq!(early.next().await["type"], "subscribed");
    report(&pool, uid, 1, &[step(1), step(2)]).await;
    let message = early.next().await;
    assert_eq!((seqs(&message), &message["attempt"]), (vec![1, 2], &json!(1)));
    let seen = message["cursor"].as_str().unwrap().to_owned();
    let watched = sqlx::query_scalar::<_, bool>("select until > now() from followed where uid = $1");
    assert!(watched.bind(uid).fetch_one(&pool).await.unwrap(), "the runner is told to hurry");
    report(&pool, uid, 3, &[json!({"kind": "output", "firstLine": 1, "text": "x"})]).await;
    early.nothing().await;
    report(&pool, uid, 4, &[step(4)]).await;
    assert_eq!(seqs(&early.next().await), [4]);

    // One that was away, one that comes late, and all while it goes on.
    let (mut away, mut late) =
        (Browser::signed_in(&site, addr, "anna").await, Browser::signed_in(&site, addr, "anna").await);
    away.say(json!({"type": "subscribe", "topic": topic, "after": after, "runAfter": seen})).await;
    late.subscribe(&topic, &after).await;
    let reporting = async {
        for first in (5..1_205).step_by(3) {
            report(&pool, uid, first, &[step(first), step(first + 1), step(first + 2)]).await;
        }
    };
    let follow = async |browser: &mut Browser, from: i64| {
        let mut next = from;
        while next < 1_205 {
            let message = browser.next().await;
            if message["type"] != "events" {
                continue;
            }
            for seq in seqs(&message) {
                // 3 is output.
                next += i64::from(next == 3);
                assert_eq!(seq, next);
                next += 1;
            }
        }
        browser.nothing().await;
    };
    tokio::join!(reporting, follow(&mut early, 5), follow(&mut away, 3), follow(&mut late, 1));
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn output_goes_on_where_the_answer_ended(pool: PgPool) {
    let (site, addr) = blog(&pool).await;
    let uid = site.deployment("blog", 1, json!({"observedGeneration": 1, "phase": "Running"})).await;
    report(&pool, uid, 1, &[json!({"kind": "output", "firstLine": 1, "text": "a\nb\nc"})]).await;
    let after = cursor(&site, &format!("/deployments/{uid}/output?limit=2")).await;
    let topic = format!("deployments/{uid}/output");
    let mut browser = Browser::signed_in(&site, addr, "anna").await;
    browser.subscribe(&topic, &after).await;
    assert_eq!(browser.next().await["type"], "subscribed");
    let message = browser.next().await;
    assert_eq!((&message["first"], &message["lines"]), (&json!(3), &json!(["c"])));
    report(&pool, uid, 2, &[json!({"kind": "output", "firstLine": 4, "text": "d\n\"e\""})]).await;
    let message = browser.next().await;
    assert_eq!((&message["first"], &message["lines"]), (&json!(4), &json!(["d", "\"e\""])));
    browser.nothing().await;
}

/// What is not stored shows that nobody asks PostgreSQL.
#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn what_comes_to_this_process_is_told_without_being_read(pool: PgPool) {
    let (site, addr) = blog(&pool).await;
    let uid = site.deployment("blog", 1, json!({"observedGeneration": 1, "phase": "Running"})).await;
    let topic = format!("deployments/{uid}");
    let mut browser = Browser::signed_in(&site, addr, "anna").await;
    for (topic, path) in [(&topic, ""), (&format!("{topic}/output"), "/output")] {
        browser.subscribe(topic, &cursor(&site, &format!("/deployments/{uid}{path}")).await).await;
        assert_eq!(browser.next().await["type"], "subscribed");
    }
    let lines = |n, text| json!({"kind": "output", "firstLine": n, "text": text});
    let took = |first, bodies: &[Value]| site.app.hub.took(&new_report(uid, first, bodies));

    report(&pool, uid, 1, &[step(1), lines(1, "a\nb")]).await;
    let stored = [browser.next().await, browser.next().await];
    let of = |all: &[Value], what: &str| all.iter().find(|message| message["type"] == what).cloned().unwrap();
    took(3, &[step(3), lines(3, "c\n\"d\""), lines(5, "")]);
    let told = [browser.next().await, browser.next().await];
    let (stored, told) = (|what| of(&stored, what), |what| of(&told, what));
    assert_eq!(told("output")["lines"], json!(["c", "\"d\"", ""]));
    assert_eq!((told("output")["first"].as_i64(), seqs(&told("events"))), (Some(3), vec![3]));
    // In the same words.
    for what in ["events", "output"] {
        let keys = |message: &Value| message.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&told(what)), keys(&stored(what)));
    }
    assert_eq!(told("events")["events"][0]["at"], stored("events")["events"][0]["at"]);

    // What does not follow, or goes back, is looked for in PostgreSQL, where there is nothing.
    took(7, &[step(7), lines(8, "x")]);
    took(4, &[lines(4, "y")]);
    browser.nothing().await;
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn a_server_that_stops_says_so(pool: PgPool) {
    let (site, addr) = blog(&pool).await;
    let mut browser = Browser::signed_in(&site, addr, "anna").await;
    site.app.hub.close();
    assert_eq!(browser.next().await, json!({"closed": 1001}));
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn one_who_reads_nothing_holds_nobody_up(pool: PgPool) {
    let (site, addr) = blog(&pool).await;
    let uid = site.deployment("blog", 1, json!({"observedGeneration": 1, "phase": "Running"})).await;
    let topic = format!("deployments/{uid}/output");
    let after = {
        let (_, body) = site.get("anna", &format!("/deployments/{uid}/output")).await;
        body["cursor"].as_str().unwrap().to_owned()
    };
    let mut deaf = Browser::signed_in(&site, addr, "anna").await;
    deaf.subscribe(&topic, &after).await;
    let mut good = Browser::signed_in(&site, addr, "anna").await;
    good.subscribe(&topic, &after).await;
    assert_eq!(good.next().await["type"], "subscribed");
    // Far more than what the kernel keeps for one who does not read.
    let line = "x".repeat(60_000);
    for n in 1..=300 {
        report(&pool, uid, n, &[json!({"kind": "output", "firstLine": n, "text": line})]).await;
    }
    let mut next = 1;
    while next <= 300 {
        let message = good.next().await;
        assert_eq!(message["first"], json!(next));
        next += message["lines"].as_array().unwrap().len() as i64;
    }
    // He is cut off: what was sent ends before the last line.
    let cut = tokio::time::timeout(Duration::from_secs(15), async {
        tokio::time::sleep(super::socket::SLOW + Duration::from_secs(1)).await;
        let mut last = 0;
        loop {
            let message = deaf.next().await;
            match message["lines"].as_array() {
                Some(lines) => last = message["first"].as_i64().unwrap() + lines.len() as i64 - 1,
                None if message["type"] == "subscribed" => {}
                None => return (last, message),
            }
        }
    });
    let (last, end) = cut.await.expect("it ends");
    assert!(last < 300 && (end == json!({"closed": 4001}) || end.get("ended").is_some()), "{last} {end}");
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn a_check_for_drift_is_told_to_those_only_who_follow_it(pool: PgPool) {
    let (site, addr) = blog(&pool).await;
    let after = cursor(&site, "/services").await;
    let status =
        json!({"observedGeneration": 1, "phase": "Running", "requestedBy": {"name": "", "via": "Drift"}});
    let uid = site.run(("team", "blog"), 1, json!({"mode": "Check"}), status).await;
    site.deployment("blog", 2, json!({"observedGeneration": 1, "phase": "Running"})).await;
    let mut browser = Browser::signed_in(&site, addr, "anna").await;
    for (topic, expected) in
        [("services/team/blog".to_owned(), vec!["blog-2"]), (format!("deployments/{uid}"), vec!["blog-1"])]
    {
        browser.say(json!({"type": "subscribe", "topic": topic, "after": after})).await;
        let mut seen = Vec::new();
        while seen.len() < expected.len() {
            let message = browser.next().await;
            if message["type"] == "deployment" {
                seen.push(message["deployment"]["name"].as_str().unwrap().to_owned());
            }
        }
        browser.say(json!({"type": "ping"})).await;
        loop {
            let message = browser.next().await;
            assert_ne!(message["type"], "deployment", "{message}");
            if message["type"] == "pong" {
                break;
            }
        }
        assert_eq!(seen, expected, "{topic}");
        browser.say(json!({"type": "unsubscribe", "topic": topic})).await;
    }
}
