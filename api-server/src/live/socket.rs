//! `/api/v1/ws`: one small task per socket reads, one per topic follows and writes. A browser that does not
//! take what it is sent is cut off with a reason; it never holds up others.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::response::{IntoResponse, Response};
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use jiff::Timestamp;
use store::read::{Position, Snapshot};
use tokio::sync::{Mutex, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use uuid::Uuid;

use super::changes::{self, Of};
use super::message::{FromServer, ToServer};
use super::runs::{self, Cursor, Place, What};
use crate::api::problem::Problem;
use crate::api::{App, deployments, services};
use crate::audit;
use crate::people::Person;

/// What a page says is short, and each socket has a buffer from its first byte on: 128 kB unless it is said.
const READ_BUFFER: usize = 4 * 1024;
/// Sockets of this process.
const SOCKETS: usize = 10_000;
/// Topics of one socket.
const TOPICS: usize = 50;
/// Bytes of a message from a browser.
const MAX_MESSAGE: usize = 16 * 1024;
/// For the first message.
const SIGN_IN: Duration = Duration::from_secs(10);
/// Between two pings.
const PING: Duration = Duration::from_secs(20);
/// Between two looks whether whoever follows may still be here: accounts are closed, tokens revoked.
const LOOK: Duration = Duration::from_secs(5);
/// Nothing came for so long, not even an answer to a ping: it is gone.
const SILENCE: Duration = Duration::from_mins(1);
/// For one message to leave.
pub(super) const SLOW: Duration = Duration::from_secs(10);
/// Before what failed is followed again by itself.
const PAUSE: Duration = Duration::from_secs(1);

/// The token has ended.
const SIGNED_OUT: u16 = 4000;
/// It does not take what it is sent.
const TOO_SLOW: u16 = 4001;
/// The first message was not a sign-in.
const NOT_SIGNED_IN: u16 = 4002;
/// This process is stopping.
const GOING_AWAY: u16 = 1001;
/// Not a message that we know.
const UNSUPPORTED: u16 = 1003;

static OPEN: AtomicUsize = AtomicUsize::new(0);

/// Why a topic is followed no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// What the browser knows is of another database, or too old.
    Reset,
}

/// What a socket is written with. All that write to it take turns: a message goes straight to the network, and no
/// other task has to be woken for it.
#[derive(Clone, Debug)]
pub struct Out {
    sink: Arc<Mutex<SplitSink<WebSocket, Message>>>,
    /// Why nothing can be written any more: with a code, if it is ours to say.
    end: watch::Sender<Option<End>>,
}

/// The code, if one is to be said, and the reason.
type End = (Option<u16>, &'static str);

impl Out {
    fn new(sink: SplitSink<WebSocket, Message>) -> Self {
        Self { sink: Arc::new(Mutex::new(sink)), end: watch::Sender::new(None) }
    }

    /// Waits until it has left. Where it can't, the socket ends, and with it whoever follows for it.
    pub async fn send(&self, text: impl Into<Utf8Bytes>) {
        self.write(Message::Text(text.into())).await;
    }

    async fn write(&self, message: Message) {
        let mut sink = self.sink.lock().await;
        // Whoever waited for its turn does not wait for a deaf browser once more.
        if self.end.borrow().is_some() {
            return;
        }
        let end = match timeout(SLOW, sink.send(message)).await {
            Ok(Ok(())) => return,
            Ok(Err(_)) => (None, ""),
            Err(_) => (Some(TOO_SLOW), "too slow"),
        };
        self.end.send_replace(Some(end));
    }

    async fn close(self, code: u16, reason: &'static str) {
        // Whoever wrote meanwhile has been stopped.
        close(&mut *self.sink.lock().await, code, reason).await;
    }
}

/// One of [`SOCKETS`].
struct Seat;

impl Seat {
    fn take() -> Option<Self> {
        let there = OPEN.fetch_add(1, Ordering::Relaxed);
        let seat = Self;
        (there < SOCKETS).then_some(seat)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Opens a socket.
pub async fn open(State(app): State<App>, upgrade: WebSocketUpgrade) -> Response {
    let Some(seat) = Seat::take() else {
        return Problem::unavailable("Too many pages are open here, try again.", "too many sockets")
            .into_response();
    };
    upgrade.max_message_size(MAX_MESSAGE).read_buffer_size(READ_BUFFER).on_upgrade(move |socket| async move {
        let _seat = seat;
        let (sink, stream) = socket.split();
        Box::pin(serve(app, sink, stream)).await;
    })
}

async fn serve(app: App, mut sink: SplitSink<WebSocket, Message>, mut stream: SplitStream<WebSocket>) {
    let first = timeout(SIGN_IN, next_text(&mut stream)).await.ok().flatten();
    let person = first.and_then(|text| match serde_json::from_str(&text) {
        Ok(ToServer::SignIn { token }) => Some(token),
        _ => None,
    });
    let person = match person {
        Some(token) => Some(Person::of_token(&app, &token).await),
        None => None,
    };
    let person = match person {
        Some(Ok(Some(person))) => person,
        Some(Err(problem)) => {
            tracing::warn!(error = problem.detail, "a socket could not be opened: {}", problem.detail);
            return close(&mut sink, GOING_AWAY, "try again").await;
        }
        Some(Ok(None)) => return close(&mut sink, SIGNED_OUT, "signed out").await,
        None => return close(&mut sink, NOT_SIGNED_IN, "the first message must be signIn").await,
    };
    let ready = FromServer::Ready { user: &person.name, expires_at: person.expires_at };
    let out = Out::new(sink);
    out.send(ready.text()).await;
    let mut session = Session { app, person, out, topics: HashMap::new() };
    let (code, reason) = session.run(&mut stream).await;
    session.topics.values().for_each(AbortHandle::abort);
    if let Some(code) = code {
        session.out.close(code, reason).await;
    }
}

async fn next_text(stream: &mut SplitStream<WebSocket>) -> Option<String> {
    loop {
        match stream.next().await? {
            Ok(Message::Text(text)) => return Some(text.as_str().to_owned()),
            Ok(Message::Ping(_) | Message::Pong(_)) => {}
            _ => return None,
        }
    }
}

async fn close(sink: &mut SplitSink<WebSocket, Message>, code: u16, reason: &'static str) {
    let frame = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
    let _ = timeout(PAUSE, sink.send(frame)).await;
    let _ = timeout(PAUSE, sink.close()).await;
}

struct Session {
    app: App,
    person: Person,
    out: Out,
    topics: HashMap<String, AbortHandle>,
}

impl Session {
    /// Until the socket ends: with a code, if it is ours to say why.
    async fn run(&mut self, stream: &mut SplitStream<WebSocket>) -> End {
        let mut closing = self.app.hub.0.closing.subscribe();
        let mut end = self.out.end.subscribe();
        let mut ping = interval(PING);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        let ended = tokio::time::sleep(self.left());
        tokio::pin!(ended);
        loop {
            let message = tokio::select! {
                message = stream.next() => {
                    heard = Instant::now();
                    match message {
                        Some(Ok(Message::Text(text))) => {
                            let Ok(message) = serde_json::from_str(text.as_str()) else {
                                return (Some(UNSUPPORTED), "not a message of this protocol");
                            };
                            match self.take(message).await {
                                Ok(Some(answer)) => Message::text(answer),
                                Ok(None) => continue,
                                Err(signed_out) => return (Some(SIGNED_OUT), signed_out),
                            }
                        }
                        Some(Ok(Message::Binary(_))) => return (Some(UNSUPPORTED), "send text"),
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                        Some(Ok(Message::Close(_)) | Err(_)) | None => return (None, ""),
                    }
                }
                _ = ping.tick() => {
                    if heard.elapsed() > SILENCE {
                        return (None, "");
                    }
                    Message::Ping(axum::body::Bytes::new())
                }
                _ = look.tick() => {
                    if !self.person.still_counts(&self.app).await {
                        return (Some(SIGNED_OUT), "signed out");
                    }
                    continue;
                }
                () = &mut ended => {
                    // Renewed meanwhile?
                    if self.left().is_zero() {
                        return (Some(SIGNED_OUT), "signed out");
                    }
                    ended.as_mut().reset(Instant::now() + self.left());
                    continue;
                }
                () = async { drop(closing.wait_for(|closing| *closing).await) } => {
                    return (Some(GOING_AWAY), "this server is stopping");
                }
                end = async { end.wait_for(Option::is_some).await.ok().and_then(|end| *end) } => {
                    return end.unwrap_or((None, ""));
                }
            };
            self.out.write(message).await;
        }
    }

    /// Until the token ends.
    fn left(&self) -> Duration {
        let left = self.person.expires_at.duration_since((self.app.clock)());
        Duration::try_from(left).unwrap_or_default()
    }

    async fn take(&mut self, message: ToServer) -> Result<Option<String>, &'static str> {
        match message {
            ToServer::SignIn { token } | ToServer::Renew { token } => {
                let renewed = Person::of_token(&self.app, &token).await.ok().flatten();
                // With other rights, what is followed is followed anew.
                let same = |renewed: &Person| {
                    let rights = |person: &Person| {
                        (person.name.clone(), person.admin, person.groups.clone(), person.scope.clone())
                    };
                    rights(renewed) == rights(&self.person)
                };
                let renewed = renewed.filter(same).ok_or("signed out")?;
                let expires_at: Timestamp = renewed.expires_at;
                self.person = renewed;
                Ok(Some(FromServer::Renewed { expires_at }.text()))
            }
            ToServer::Ping {} => Ok(Some(FromServer::Pong.text())),
            ToServer::Unsubscribe { topic } => {
                self.topics.remove(&topic).inspect(AbortHandle::abort);
                Ok(None)
            }
            ToServer::Subscribe { topic, after, run_after } => {
                self.topics.remove(&topic).inspect(AbortHandle::abort);
                self.topics.retain(|_, task| !task.is_finished());
                if self.topics.len() >= TOPICS {
                    let detail = "A page follows at most 50 topics.";
                    return Ok(Some(FromServer::Refused { topic: &topic, reason: "TooMany", detail }.text()));
                }
                let (app, who, out) = (self.app.clone(), self.person.clone(), self.out.clone());
                let name = topic.clone();
                let task = tokio::spawn(async move {
                    follow(&app, &who, &topic, &after, run_after.as_deref(), &out).await;
                });
                self.topics.insert(name, task.abort_handle());
                Ok(None)
            }
        }
    }
}

/// Follows a topic, and says why if it ends.
async fn follow(app: &App, who: &Person, topic: &str, after: &str, run_after: Option<&str>, out: &Out) {
    match topic_of(app, who, topic, after, run_after, out).await {
        Ok(Ended::Reset) => out.send(FromServer::Reset { topic }.text()).await,
        // It goes on from what the page has then.
        Err(problem) if problem.status.is_server_error() => {
            tokio::time::sleep(PAUSE).await;
            out.send(FromServer::Reset { topic }.text()).await;
        }
        Err(Problem { reason, detail, .. }) => {
            out.send(FromServer::Refused { topic, reason, detail: &detail }.text()).await;
        }
    }
}

async fn topic_of(
    app: &App,
    who: &Person,
    topic: &str,
    after: &str,
    run_after: Option<&str>,
    out: &Out,
) -> Result<Ended, Problem> {
    let of = match topic.split('/').collect::<Vec<_>>().as_slice() {
        ["services"] => Of::Services,
        ["services", namespace, name] => {
            services::visible(app, who, (namespace, name)).await?;
            Of::Service { namespace: (*namespace).to_owned(), name: (*name).to_owned() }
        }
        ["deployments", uid] => return run(app, who, (topic, uid), after, run_after, out).await,
        ["deployments", uid, "output"] => return output(app, who, (topic, uid), after, out).await,
        _ => return Err(Problem::not_found("topic")),
    };
    // A cursor that cannot be read is one of another time.
    let Ok(after) = after.parse::<Position>() else { return Ok(Ended::Reset) };
    out.send(FromServer::Subscribed { topic }.text()).await;
    let (hub, epoch) = (&app.hub, after.epoch);
    first([
        Box::pin(changes::follow(hub, &app.access, who, (topic, &of), after, out)),
        Box::pin(hub.another_database(epoch)),
    ])
    .await
}

/// What the first of them says. Each is asked only if there is something new for itself.
async fn first<const N: usize>(all: [BoxFuture<'_, Result<Ended, Problem>>; N]) -> Result<Ended, Problem> {
    FuturesUnordered::from_iter(all).next().await.unwrap_or(Ok(Ended::Reset))
}

async fn run(
    app: &App,
    who: &Person,
    (topic, uid): (&str, &str),
    after: &str,
    run_after: Option<&str>,
    out: &Out,
) -> Result<Ended, Problem> {
    let (uid, of, epoch) = deployment(app, who, uid).await?;
    let after = after.parse::<Position>().ok().filter(|after| after.epoch == epoch);
    let run_after = match run_after {
        Some(text) => place(text, epoch),
        None => Some(Cursor { epoch, place: Place::START }),
    };
    let (Some(after), Some(run_after)) = (after, run_after) else { return Ok(Ended::Reset) };
    out.send(FromServer::Subscribed { topic }.text()).await;
    let (hub, access) = (&app.hub, &app.access);
    first([
        Box::pin(runs::follow(hub, (access, who, &of), (topic, uid, What::Events), run_after, out)),
        Box::pin(changes::follow(hub, access, who, (topic, &of), after, out)),
        Box::pin(hub.another_database(epoch)),
    ])
    .await
}

async fn output(
    app: &App,
    who: &Person,
    (topic, uid): (&str, &str),
    after: &str,
    out: &Out,
) -> Result<Ended, Problem> {
    let (uid, of, epoch) = deployment(app, who, uid).await?;
    let Some(after) = place(after, epoch) else { return Ok(Ended::Reset) };
    audit::output_followed(app, &who.name, uid).await;
    out.send(FromServer::Subscribed { topic }.text()).await;
    first([
        Box::pin(runs::follow(&app.hub, (&app.access, who, &of), (topic, uid, What::Output), after, out)),
        Box::pin(app.hub.another_database(epoch)),
    ])
    .await
}

fn place(text: &str, epoch: Uuid) -> Option<Cursor> {
    text.parse::<Cursor>().ok().filter(|cursor| cursor.epoch == epoch)
}

/// A run that one may see, and the database that it is in.
async fn deployment(app: &App, who: &Person, uid: &str) -> Result<(Uuid, Of, Uuid), Problem> {
    let uid: Uuid = uid.parse().map_err(|_| Problem::not_found("deployment"))?;
    let mut snapshot = Snapshot::begin(app.hub.joining()?).await?;
    let epoch = snapshot.position.epoch;
    let row = snapshot.deployments_by_uid(&[uid]).await?.pop();
    // The connection is there for others while Kubernetes is asked.
    drop(snapshot);
    let row = row.ok_or_else(|| Problem::not_found("deployment"))?;
    deployments::visible(app, who, (&row.namespace, &row.name)).await?;
    Ok((uid, Of::Deployment { uid, namespace: row.namespace, name: row.name }, epoch))
}
