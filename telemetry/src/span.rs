//! One span, as data.

use jiff::Timestamp;
use opentelemetry::{
    InstrumentationScope, KeyValue, SpanId,
    trace::{SpanContext, SpanKind, Status},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

/// Something that began and ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Its id and its trace's.
    pub context: SpanContext,
    /// The span around it.
    pub parent: Option<SpanId>,
    /// What it is, in few words.
    pub name: String,
    /// It answers somebody's request.
    pub is_server: bool,
    /// When it began.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// What went wrong.
    pub error: Option<String>,
    /// What is worth knowing of it.
    pub attributes: Vec<(&'static str, String)>,
}

impl From<Span> for SpanData {
    fn from(span: Span) -> Self {
        let attributes = span.attributes.into_iter().map(|(key, value)| KeyValue::new(key, value)).collect();
        Self {
            span_context: span.context,
            parent_span_id: span.parent.unwrap_or(SpanId::INVALID),
            parent_span_is_remote: false,
            span_kind: if span.is_server { SpanKind::Server } else { SpanKind::Internal },
            name: span.name.into(),
            start_time: span.began.into(),
            // Clocks differ; time does not run backwards.
            end_time: span.ended.max(span.began).into(),
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: span.error.map_or(Status::Unset, Status::error),
            instrumentation_scope: InstrumentationScope::builder("fastdeploy").build(),
        }
    }
}
