//! Against a real collector's door: HTTP, protobuf, decoded with OpenTelemetry's own types.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Bytes, extract::State, http::StatusCode, routing::post};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest, common::v1::any_value::Value,
};
use prost::Message;
use telemetry::{Span, Trace, Traces};

/// What arrived, and what it answers next.
#[derive(Clone, Default)]
struct Collector {
    taken: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
    refusals: Arc<Mutex<Vec<StatusCode>>>,
}

impl Collector {
    async fn listen(&self) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let router = Router::new().route("/v1/traces", post(take)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    fn taken(&self) -> Vec<ExportTraceServiceRequest> {
        self.taken.lock().expect("not poisoned").clone()
    }
}

async fn take(State(collector): State<Collector>, body: Bytes) -> StatusCode {
    if let Some(status) = collector.refusals.lock().expect("not poisoned").pop() {
        return status;
    }
    match ExportTraceServiceRequest::decode(body) {
        Ok(request) => {
            collector.taken.lock().expect("not poisoned").push(request);
            StatusCode::OK
        }
        Err(_) => StatusCode::BAD_REQUEST,
    }
}

fn trace(traceparent: Option<&str>) -> Trace {
    Trace::of(
        &serde_json::from_value(serde_json::json!({
            "apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Deployment", "spec": {"service": "blog"},
            "metadata": {"name": "run", "uid": "0192e4a0-7c1e-4b1a-9f0e-0123456789ab",
                "annotations": traceparent.map(|text| serde_json::json!({"fastdeploy.dev/traceparent": text}))},
        }))
        .expect("a Deployment"),
    )
}

fn span(trace: &Trace, error: Option<&str>) -> Span {
    let at = |second: i64| jiff::Timestamp::from_second(1_764_000_000 + second).expect("a time");
    Span {
        context: trace.span(&["run", "1"]),
        parent: Some(trace.whole().span_id()),
        name: "run".into(),
        is_server: false,
        began: at(0),
        ended: at(7),
        error: error.map(Into::into),
        attributes: vec![("fastdeploy.service", "blog 🚀 {{ x }}".into())],
    }
}

/// The provider of cryptography is chosen by the program.
fn traces(address: SocketAddr) -> Traces {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Traces::to("fastdeploy-operator", Some(&format!("http://{address}/v1/traces"))).expect("an exporter")
}

#[tokio::test]
async fn a_span_arrives_as_it_was_meant() {
    let collector = Collector::default();
    let traces = traces(collector.listen().await);
    let trace = trace(None);
    traces.send(&trace, vec![span(&trace, Some("TaskFailed: no"))]);
    traces.flush(Duration::from_secs(10)).await;

    let taken = collector.taken();
    let [request] = taken.as_slice() else { panic!("expected one request, saw {taken:?}") };
    let resource = &request.resource_spans[0].resource.as_ref().expect("a resource").attributes;
    let name = resource.iter().find(|attribute| attribute.key == "service.name").expect("service.name");
    let text = |value: &Option<opentelemetry_proto::tonic::common::v1::AnyValue>| match value
        .as_ref()
        .and_then(|value| value.value.clone())
    {
        Some(Value::StringValue(text)) => text,
        other => panic!("expected a text, saw {other:?}"),
    };
    assert_eq!(text(&name.value), "fastdeploy-operator");
    let span = &request.resource_spans[0].scope_spans[0].spans[0];
    assert_eq!(span.trace_id, u128::from_str_radix(&trace.id(), 16).expect("hex").to_be_bytes());
    assert_eq!(span.span_id, trace.span(&["run", "1"]).span_id().to_bytes());
    assert_eq!(span.parent_span_id, trace.whole().span_id().to_bytes());
    assert_eq!(span.name, "run");
    assert_eq!(span.end_time_unix_nano - span.start_time_unix_nano, 7_000_000_000);
    assert_eq!(span.status.as_ref().map(|status| status.message.as_str()), Some("TaskFailed: no"));
    assert_eq!(text(&span.attributes[0].value), "blog 🚀 {{ x }}");
    assert_eq!(traces.lost(), 0);
}

#[tokio::test]
async fn one_that_is_busy_is_asked_again_one_that_refuses_is_not() {
    let collector = Collector::default();
    collector.refusals.lock().expect("not poisoned").push(StatusCode::SERVICE_UNAVAILABLE);
    let traces = traces(collector.listen().await);
    let trace = trace(None);
    traces.send(&trace, vec![span(&trace, None)]);
    traces.flush(Duration::from_secs(10)).await;
    assert_eq!((collector.taken().len(), traces.lost()), (1, 0));

    collector.refusals.lock().expect("not poisoned").push(StatusCode::UNAUTHORIZED);
    traces.send(&trace, vec![span(&trace, None)]);
    traces.flush(Duration::from_secs(10)).await;
    assert_eq!((collector.taken().len(), traces.lost()), (1, 1));
    traces.send(&trace, vec![span(&trace, None)]);
    traces.flush(Duration::from_secs(10)).await;
    assert_eq!((collector.taken().len(), traces.lost()), (2, 1));
}

#[tokio::test]
async fn a_trace_that_is_not_kept_is_not_sent() {
    let collector = Collector::default();
    let traces = traces(collector.listen().await);
    let trace = trace(Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"));
    traces.send(&trace, vec![span(&trace, None)]);
    traces.flush(Duration::from_secs(10)).await;
    assert_eq!((collector.taken().len(), traces.lost()), (0, 0));
}

/// Nobody there: nothing waits, what cannot be sent is counted, memory stays bounded.
#[tokio::test]
async fn nobody_waits_for_a_collector_that_hangs() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let traces = traces(listener.local_addr().expect("its address"));
    let trace = trace(None);
    let began = std::time::Instant::now();
    for _ in 0..20_000 {
        traces.send(&trace, vec![span(&trace, None)]);
    }
    assert!(began.elapsed() < Duration::from_secs(5), "sending took {:?}", began.elapsed());
    assert!(traces.lost() > 10_000, "what is too much is forgotten, saw {}", traces.lost());
    traces.flush(Duration::from_millis(100)).await;
    drop(listener);
}
