//! Traces: one for each Deployment, from request to last step, sent by OTLP over HTTP. Who has a part of it sends
//! it: the api-server request and claim, the operator the rest. They need not talk about it, because the ids
//! follow from the Deployment ([`trace`]). What cannot be sent is counted and forgotten ([`export`]): no run waits
//! for a trace.

pub mod export;
pub mod span;
pub mod trace;

pub use export::Traces;
pub use span::Span;
pub use trace::Trace;
