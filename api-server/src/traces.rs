//! Our part of a Deployment's trace: the request that made it, and the claim. The operator sends the rest.

use axum::http::HeaderMap;
use crds::Deployment;
use jiff::Timestamp;
use kube::ResourceExt;
use opentelemetry::trace::SpanContext;
use telemetry::{
    Span, Trace, Traces,
    trace::{self, TRACEPARENT},
};

/// A request that will make a Deployment.
pub struct Request {
    /// What the Deployment hangs on: our span, or the caller's if we send none.
    context: SpanContext,
    caller: Option<SpanContext>,
    began: Timestamp,
}

impl Request {
    /// In the trace of the caller (header `traceparent`), else in a new one; none if nobody wants to know.
    pub fn of(headers: &HeaderMap, traces: &Traces, unique: &str, now: Timestamp) -> Option<Self> {
        let caller = headers.get(TRACEPARENT).and_then(|text| trace::parse(text.to_str().ok()?));
        let context = if traces.is_on() { trace::child(caller.as_ref(), unique) } else { caller.clone()? };
        Some(Self { context, caller, began: now })
    }

    /// What the Deployment's annotation says.
    pub fn traceparent(&self) -> String {
        trace::format(&self.context)
    }

    /// It made this one.
    pub fn made(self, traces: &Traces, made: &Deployment, now: Timestamp) {
        traces.send_one(Span {
            context: self.context,
            parent: self.caller.map(|caller| caller.span_id()),
            name: "request".into(),
            is_server: true,
            began: self.began,
            ended: now,
            error: None,
            attributes: vec![
                ("http.request.method", "POST".into()),
                ("http.route", "/api/v1/services/{namespace}/{name}/deployments".into()),
                ("k8s.namespace.name", made.namespace().unwrap_or_default()),
                ("fastdeploy.deployment", made.name_any()),
            ],
        });
    }
}

/// An attempt of this Deployment was permitted.
pub fn claimed(traces: &Traces, deployment: &Deployment, attempt: u32, began: Timestamp, now: Timestamp) {
    if !traces.is_on() {
        return;
    }
    let (trace, attempt) = (Trace::of(deployment), attempt.to_string());
    let span = Span {
        context: trace.span(&["claim", &attempt]),
        parent: Some(trace.span(&["prepare", &attempt]).span_id()),
        name: "claim".into(),
        is_server: true,
        began,
        ended: now,
        error: None,
        attributes: vec![("fastdeploy.attempt", attempt)],
    };
    traces.send(&trace, vec![span]);
}
