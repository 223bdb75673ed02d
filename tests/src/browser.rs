//! What a browser gets to see, without a browser: signs in, follows a run over the socket, takes it up
//! again where it was cut off, and remembers every event and every line.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use crds::Deployment;
use futures::{SinkExt, StreamExt};
use kube::ResourceExt;
use protocol::event::Event;
use serde_json::{Value, json};
use tokio_tungstenite::{connect_async, tungstenite::Message};

use crate::{kubectl, same};

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(200);
/// For what has happened to arrive.
const PATIENCE: Duration = Duration::from_mins(1);

/// One who is signed in.
#[derive(Clone)]
pub struct Browser {
    http: kube::Client,
    base: String,
    token: String,
}

impl Browser {
    /// At the page of `make env`, as its first administrator.
    pub async fn at_the_page() -> Result<Self> {
        Self::at(&env("FASTDEPLOY_URL")?).await
    }

    /// At this address.
    pub async fn at(base: &str) -> Result<Self> {
        Self::signed_in(base, &env("FASTDEPLOY_USER")?, &env("FASTDEPLOY_PASSWORD")?).await
    }

    /// At the page of `make env`, as somebody else.
    pub async fn of(name: &str, password: &str) -> Result<Self> {
        Self::signed_in(&env("FASTDEPLOY_URL")?, name, password).await
    }

    /// A program with this token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self.clone() }
    }

    async fn signed_in(base: &str, name: &str, password: &str) -> Result<Self> {
        let mut browser = Self { http: client(base)?, base: base.to_owned(), token: String::new() };
        let who = json!({"name": name, "password": password});
        let session = browser.ask("POST", "/session", Some(&who)).await?;
        session["token"].as_str().context("no token")?.clone_into(&mut browser.token);
        Ok(browser)
    }

    /// The same person, at another address.
    pub fn moved_to(&self, base: &str) -> Result<Self> {
        Ok(Self { http: client(base)?, base: base.to_owned(), token: self.token.clone() })
    }

    /// What the API answers, if it is a yes.
    pub async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let (status, answer) = self.try_ask(method, path, body).await?;
        ensure!(status < 300, "{method} {path}: expected a yes, saw {status} {answer}");
        Ok(answer)
    }

    /// What the API answers.
    pub async fn try_ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Value)> {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {}", self.token));
        let body = body.map(Value::to_string).unwrap_or_default().into_bytes();
        let response = self.http.send(request.body(body.into())?).await?;
        let status = response.status().as_u16();
        let bytes = http_body_util::BodyExt::collect(response.into_body()).await?.to_bytes();
        Ok((status, serde_json::from_slice(&bytes).unwrap_or_default()))
    }

    /// The same with headers of its own; answers with the ETag, too.
    pub async fn sends(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<(u16, String, Value)> {
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header("content-type", "application/json")
            .header("accept", "application/json")
            .header("authorization", format!("Bearer {}", self.token));
        for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
            request = request.header(*name, *value);
        }
        let body = body.filter(|body| !body.is_null()).map(Value::to_string).unwrap_or_default().into_bytes();
        let response = self.http.send(request.body(body.into())?).await?;
        let status = response.status().as_u16();
        let tag =
            response.headers().get("etag").and_then(|tag| tag.to_str().ok()).unwrap_or_default().to_owned();
        let bytes = http_body_util::BodyExt::collect(response.into_body()).await?.to_bytes();
        Ok((status, tag, serde_json::from_slice(&bytes).unwrap_or_default()))
    }

    /// A file, as it comes.
    pub async fn download(&self, path: &str) -> Result<(u16, Vec<u8>)> {
        let request = http::Request::get(format!("/api/v1{path}"))
            .header("authorization", format!("Bearer {}", self.token));
        let response = self.http.send(request.body(Vec::new().into())?).await?;
        let status = response.status().as_u16();
        Ok((status, http_body_util::BodyExt::collect(response.into_body()).await?.to_bytes().to_vec()))
    }

    /// Follows a run from its first event on, whatever happens to the connection.
    pub fn follow(&self, run: &Deployment) -> Followed {
        Left { browser: self.clone(), uid: run.uid().unwrap_or_default(), seen: Arc::default() }.back()
    }

    async fn follow_once(&self, uid: &str, seen: &Mutex<Seen>) -> Result<()> {
        let run = self.ask("GET", &format!("/deployments/{uid}"), None).await?;
        let cursor = run["cursor"].as_str().context("no cursor")?.to_owned();
        let url = format!("{}/api/v1/ws", self.base.replacen("http", "ws", 1));
        let (mut socket, _) = connect_async(&url).await?;
        let sign_in = json!({"type": "signIn", "token": self.token});
        socket.send(Message::text(sign_in.to_string())).await?;
        let (events, output) = (format!("deployments/{uid}"), format!("deployments/{uid}/output"));
        let (run_after, line_after) = {
            let seen = lock(seen);
            (seen.event_cursor.clone(), seen.line_cursor.clone())
        };
        let mut subscribe = json!({"type": "subscribe", "topic": events, "after": cursor});
        if let Some(after) = run_after {
            subscribe["runAfter"] = json!(after);
        }
        socket.send(Message::text(subscribe.to_string())).await?;
        let epoch = cursor.split('.').next().unwrap_or_default();
        let after = line_after.unwrap_or_else(|| format!("{epoch}.1.0"));
        let subscribe = json!({"type": "subscribe", "topic": output, "after": after});
        socket.send(Message::text(subscribe.to_string())).await?;
        while let Some(message) = socket.next().await {
            let Message::Text(text) = message? else { continue };
            lock(seen).hear(&serde_json::from_str(&text)?)?;
        }
        Ok(())
    }
}

/// What a browser has seen of a run.
#[derive(Default)]
struct Seen {
    events: Vec<Value>,
    lines: Vec<(i64, String)>,
    event_cursor: Option<String>,
    line_cursor: Option<String>,
    /// How often it had to begin anew.
    resets: usize,
    /// When the last event came.
    at: Option<Instant>,
}

impl Seen {
    fn hear(&mut self, message: &Value) -> Result<()> {
        let cursor = message["cursor"].as_str().map(ToOwned::to_owned);
        match message["type"].as_str().unwrap_or_default() {
            "events" => {
                self.events.extend(message["events"].as_array().cloned().unwrap_or_default());
                self.event_cursor = cursor;
                self.at = Some(Instant::now());
            }
            "output" => {
                let first = message["first"].as_i64().context("no first line")?;
                let lines = message["lines"].as_array().cloned().unwrap_or_default();
                let lines = lines.iter().map(|line| line.as_str().unwrap_or_default().to_owned());
                self.lines.extend((first..).zip(lines));
                self.line_cursor = cursor;
            }
            // Another database: what is known is void.
            "reset" => {
                *self = Self { resets: self.resets + 1, ..Self::default() };
                bail!("reset");
            }
            "refused" => bail!("{message}"),
            _ => {}
        }
        Ok(())
    }
}

/// A browser that remembers what it saw of a run, and hears nothing.
pub struct Left {
    browser: Browser,
    uid: String,
    seen: Arc<Mutex<Seen>>,
}

impl Left {
    /// Lines that it had seen when it left.
    #[must_use]
    pub fn lines(&self) -> usize {
        lock(&self.seen).lines.len()
    }

    /// Takes it up where it left.
    pub fn back(self) -> Followed {
        let Self { browser, uid, seen } = self;
        let (follower, of, inside) = (browser.clone(), uid.clone(), Arc::clone(&seen));
        let task = tokio::spawn(async move {
            loop {
                // Why it was cut off is told by what is seen at the end.
                let _ = follower.follow_once(&of, &inside).await;
                tokio::time::sleep(PAUSE).await;
            }
        });
        Followed { browser, uid, seen, task }
    }
}

/// A run that is followed; no longer once this is dropped.
pub struct Followed {
    browser: Browser,
    uid: String,
    seen: Arc<Mutex<Seen>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Followed {
    /// Goes away, once it has seen something of it.
    pub async fn leave(mut self) -> Result<Left> {
        let began = Instant::now();
        while lock(&self.seen).lines.is_empty() {
            ensure!(began.elapsed() < PATIENCE, "expected a line on the socket, saw none");
            tokio::time::sleep(PAUSE).await;
        }
        self.task.abort();
        // Aborted it returns an error; what counts is that it hears nothing any more.
        let _ = (&mut self.task).await;
        Ok(Left { browser: self.browser.clone(), uid: self.uid.clone(), seen: Arc::clone(&self.seen) })
    }

    /// Exactly these events and lines have come, in order, each once. Of output only the lines.
    pub async fn saw(&self, events: &[Event], lines: &[String]) -> Result<()> {
        let expected: Vec<Value> = events.iter().map(serde_json::to_value).collect::<Result<_, _>>()?;
        let began = Instant::now();
        let enough = || {
            let seen = lock(&self.seen);
            seen.events.len() >= expected.len() && seen.lines.len() >= lines.len()
        };
        while !enough() && began.elapsed() < PATIENCE {
            tokio::time::sleep(PAUSE).await;
        }
        let seen = lock(&self.seen);
        same("events on the socket", seen.events.clone(), expected)?;
        same("lines on the socket", seen.lines.clone(), (1..).zip(lines.iter().cloned()).collect())
    }

    /// How often it had to begin anew.
    pub fn resets(&self) -> usize {
        lock(&self.seen).resets
    }

    /// When the last event came.
    pub fn last_event_at(&self) -> Option<Instant> {
        lock(&self.seen).at
    }
}

/// Waits until the API knows of what was just made with kubectl.
pub async fn known(browser: &Browser, path: &str) -> Result<()> {
    let began = Instant::now();
    loop {
        let (status, answer) = browser.try_ask("GET", path, None).await?;
        if status == 200 {
            return Ok(());
        }
        ensure!(began.elapsed() < PATIENCE, "expected the API to know of {path}, saw {status} {answer}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// The addresses of the api-server's replicas.
pub async fn replicas() -> Result<Vec<String>> {
    let installation = crate::installation();
    let words = [
        "--namespace",
        &installation,
        "get",
        "pods",
        "--selector=app.kubernetes.io/component=api-server",
        "--field-selector=status.phase=Running",
        "--output=jsonpath={.items[*].status.podIP}",
    ];
    let addresses = kubectl::run(&words).await?;
    Ok(addresses.split_whitespace().map(|address| format!("http://{address}:8080")).collect())
}

fn lock(seen: &Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A client for plain HTTP is all that is needed of this one.
fn client(base: &str) -> Result<kube::Client> {
    Ok(kube::Client::try_from(kube::Config::new(base.parse()?))?)
}

fn env(name: &str) -> Result<String> {
    std::env::var(name).with_context(|| format!("no {name}: eval \"$(make -s env)\""))
}
