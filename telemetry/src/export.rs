//! Sends spans to a collector, by OTLP over HTTP. Off unless the environment names one, by OpenTelemetry's own
//! variables: `OTEL_EXPORTER_OTLP_ENDPOINT`, `…_HEADERS`, `…_TIMEOUT` and the like, also with `TRACES_`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hyper_rustls::HttpsConnectorBuilder;
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{Resource, trace::SpanExporter as _};
use tokio::sync::{mpsc, oneshot};

use crate::{Span, Trace};

/// How many spans wait at most; what comes on top is counted and forgotten.
const WAITING: usize = 8_192;
/// How many leave at once.
const BATCH: usize = 512;
/// For one request: a collector that hangs must not keep us.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why traces cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The environment says something else than OpenTelemetry understands.
    #[error("failed to read OTEL_EXPORTER_OTLP_…: {0}")]
    Config(#[from] ExporterBuildError),
    /// No certificates on this machine.
    #[error("failed to read the certificates that are trusted: {0}")]
    Certificates(#[from] std::io::Error),
}

enum Message {
    Spans(Vec<Span>),
    Flush(oneshot::Sender<()>),
}

/// Where spans go: to a collector, or nowhere.
#[derive(Clone, Default)]
pub struct Traces {
    sender: Option<mpsc::Sender<Message>>,
    lost: Arc<AtomicU64>,
}

impl Traces {
    /// As the environment says. `program`: what sends them, such as `fastdeploy-operator`.
    pub fn from_environment(program: &'static str) -> Result<Self, Error> {
        let named = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        if named.into_iter().any(is_set) { Self::to(program, None) } else { Ok(Self::default()) }
    }

    /// To a collector at this URL (with path), or where the environment says. Call it within a runtime.
    pub fn to(program: &'static str, url: Option<&str>) -> Result<Self, Error> {
        let https = HttpsConnectorBuilder::new().with_native_roots()?.https_or_http().enable_http1().build();
        let mut builder = SpanExporter::builder()
            .with_http()
            .with_http_client(HyperClient::new(https, TIMEOUT, None))
            .with_protocol(Protocol::HttpBinary);
        if let Some(url) = url {
            builder = builder.with_endpoint(url);
        }
        let mut exporter = builder.build()?;
        exporter.set_resource(&Resource::builder().with_service_name(program).build());
        let (sender, messages) = mpsc::channel(WAITING);
        let lost = Arc::<AtomicU64>::default();
        tokio::spawn(send(exporter, messages, lost.clone()));
        Ok(Self { sender: Some(sender), lost })
    }

    /// Somebody takes them: only then is it worth making some.
    pub const fn is_on(&self) -> bool {
        self.sender.is_some()
    }

    /// Sends spans of a trace, soon; never waits.
    pub fn send(&self, trace: &Trace, spans: Vec<Span>) {
        self.offer(trace.is_sampled(), spans);
    }

    /// Sends a span that is in no Deployment's trace yet.
    pub fn send_one(&self, span: Span) {
        self.offer(span.context.is_sampled(), vec![span]);
    }

    fn offer(&self, sampled: bool, spans: Vec<Span>) {
        let Some(sender) = self.sender.as_ref().filter(|_| sampled && !spans.is_empty()) else { return };
        let count = spans.len() as u64;
        if sender.try_send(Message::Spans(spans)).is_err() {
            self.lost.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// How many spans could not be sent so far.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Returns once what was given before has left, or after that long: before a process ends.
    pub async fn flush(&self, within: Duration) {
        let Some(sender) = &self.sender else { return };
        let (done, is_done) = oneshot::channel();
        let flushed = async {
            if sender.send(Message::Flush(done)).await.is_ok() {
                let _ = is_done.await;
            }
        };
        let _ = tokio::time::timeout(within, flushed).await;
    }
}

async fn send(exporter: SpanExporter, mut messages: mpsc::Receiver<Message>, lost: Arc<AtomicU64>) {
    let mut waiting = Vec::new();
    let mut works = true;
    while messages.recv_many(&mut waiting, BATCH).await > 0 {
        let (mut spans, mut flushed) = (Vec::new(), Vec::new());
        for message in waiting.drain(..) {
            match message {
                Message::Spans(more) => spans.extend(more),
                Message::Flush(done) => flushed.push(done),
            }
        }
        let count = spans.len() as u64;
        if count > 0 {
            // It tries again by itself what is worth trying again.
            match exporter.export(spans.into_iter().map(Into::into).collect()).await {
                Ok(()) if !works => tracing::info!("traces are taken again"),
                Ok(()) => {}
                Err(error) => {
                    lost.fetch_add(count, Ordering::Relaxed);
                    // Once, not with each batch.
                    if works {
                        tracing::warn!(error = %error, "{count} spans could not be sent: {error}");
                    }
                    works = false;
                    continue;
                }
            }
            works = true;
        }
        for done in flushed {
            let _ = done.send(());
        }
    }
}
