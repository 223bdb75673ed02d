//! To which trace a Deployment belongs, and the ids of its spans. Both follow from what Kubernetes has of it: its
//! uid and an annotation. So whoever sends a span, and however often, means the same one.

use std::collections::HashMap;

use crds::{Deployment, names};
use kube::ResourceExt;
use opentelemetry::{
    SpanId, TraceFlags, TraceId,
    propagation::TextMapPropagator,
    trace::{SpanContext, TraceContextExt},
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use sha2::{Digest, Sha256};

/// Header, and end of the annotation, of W3C's trace context.
pub const TRACEPARENT: &str = "traceparent";

/// The trace of one Deployment.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    uid: String,
    id: TraceId,
    /// The span from which the Deployment was asked for.
    parent: Option<SpanId>,
    sampled: bool,
}

impl Trace {
    /// The one that whoever made it named; else its own, whose id is its uid.
    pub fn of(deployment: &Deployment) -> Self {
        let uid = deployment.uid().unwrap_or_default();
        let named = deployment.annotations().get(names::ANNOTATION_TRACEPARENT).and_then(|text| parse(text));
        match named {
            Some(context) => Self {
                uid,
                id: context.trace_id(),
                parent: Some(context.span_id()),
                sampled: context.is_sampled(),
            },
            None => Self { id: own(&uid), uid, parent: None, sampled: true },
        }
    }

    /// Its id, for people: 32 hexadecimal digits.
    pub fn id(&self) -> String {
        self.id.to_string()
    }

    /// Whoever began the trace wants it kept.
    pub const fn is_sampled(&self) -> bool {
        self.sampled
    }

    /// The span around the Deployment's.
    pub const fn parent(&self) -> Option<SpanId> {
        self.parent
    }

    /// A span of this Deployment: the same words, the same id.
    pub fn span(&self, words: &[&str]) -> SpanContext {
        let id = SpanId::from_bytes(eight(&format!("{}\n{}", self.uid, words.join("\n"))));
        context(self.id, id, self.sampled)
    }

    /// The span of the Deployment as a whole.
    pub fn whole(&self) -> SpanContext {
        self.span(&["deployment"])
    }
}

/// What a `traceparent` says; none if it is not one.
pub fn parse(traceparent: &str) -> Option<SpanContext> {
    let carrier = HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]);
    let context = TraceContextPropagator::new().extract(&carrier).span().span_context().clone();
    context.is_valid().then_some(context)
}

/// As a `traceparent`.
pub fn format(context: &SpanContext) -> String {
    let flags = context.trace_flags() & TraceFlags::SAMPLED;
    format!("00-{}-{}-{:02x}", context.trace_id(), context.span_id(), flags)
}

/// A span in the trace of whoever asks, else in a new one. `unique`: what nobody else has, such as a new UUID.
pub fn child(caller: Option<&SpanContext>, unique: &str) -> SpanContext {
    let (trace, sampled) =
        caller.map_or_else(|| (own(unique), true), |caller| (caller.trace_id(), caller.is_sampled()));
    context(trace, SpanId::from_bytes(eight(unique)), sampled)
}

fn context(trace: TraceId, span: SpanId, sampled: bool) -> SpanContext {
    let flags = if sampled { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
    SpanContext::new(trace, span, flags, false, opentelemetry::trace::TraceState::default())
}

/// A UUID's digits are a trace's id; of other texts, a hash.
fn own(text: &str) -> TraceId {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    match TraceId::from_hex(&digits) {
        Ok(id) if id != TraceId::INVALID && digits.len() == 32 => id,
        _ => {
            let hash = Sha256::digest(text);
            let mut bytes = [0; 16];
            bytes.copy_from_slice(&hash[..16]);
            TraceId::from_bytes(bytes)
        }
    }
}

fn eight(text: &str) -> [u8; 8] {
    let hash = Sha256::digest(text);
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash[..8]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "0192e4a0-7c1e-4b1a-9f0e-0123456789ab";
    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn deployment(traceparent: Option<&str>) -> Deployment {
        let annotations = traceparent.map(|text| serde_json::json!({ "fastdeploy.dev/traceparent": text }));
        let meta = serde_json::json!({ "name": "run", "uid": UID, "annotations": annotations });
        serde_json::from_value(serde_json::json!({
            "apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Deployment", "metadata": meta, "spec": {"service": "blog"},
        }))
        .expect("a Deployment")
    }

    #[test]
    fn a_deployment_of_its_own_has_its_uid_as_trace() {
        let trace = Trace::of(&deployment(None));
        assert_eq!(trace.id(), UID.replace('-', ""));
        assert_eq!((trace.parent(), trace.is_sampled()), (None, true));
        assert_eq!(trace.span(&["run", "1"]), Trace::of(&deployment(None)).span(&["run", "1"]));
        assert_ne!(trace.span(&["run", "1"]).span_id(), trace.span(&["run", "2"]).span_id());
    }

    #[test]
    fn whoever_asks_may_name_the_trace_and_leave_it_out() {
        let trace = Trace::of(&deployment(Some(PARENT)));
        assert_eq!(trace.id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(trace.parent().map(|id| id.to_string()).as_deref(), Some("00f067aa0ba902b7"));
        assert!(trace.is_sampled());
        assert!(!Trace::of(&deployment(Some(&PARENT.replace("-01", "-00")))).is_sampled());
    }

    #[test]
    fn what_is_no_traceparent_is_no_trace() {
        for text in ["", "00", "{{ lookup('pipe', 'id') }}", &PARENT.replace('4', "x"), &PARENT[..40]] {
            assert_eq!(Trace::of(&deployment(Some(text))), Trace::of(&deployment(None)), "{text}");
        }
    }

    #[test]
    fn a_request_continues_the_callers_trace_and_says_so() {
        let caller = parse(PARENT);
        let request = child(caller.as_ref(), "a request");
        assert_eq!(parse(&format(&request)), Some(remote(&request)));
        assert_eq!(request.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_ne!(Some(request.span_id()), caller.map(|caller| caller.span_id()));
        assert!(child(None, UID).is_sampled());
    }

    fn remote(context: &SpanContext) -> SpanContext {
        SpanContext::new(
            context.trace_id(),
            context.span_id(),
            context.trace_flags(),
            true,
            opentelemetry::trace::TraceState::default(),
        )
    }
}
