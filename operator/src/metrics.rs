//! Prometheus metrics.

use std::{sync::Arc, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};

use crate::world::Write;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Pass {
    kind: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Written {
    write: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

/// What is counted.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    passes: Family<Pass, Counter>,
    seconds: Family<Kind, Histogram>,
    writes: Family<Written, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("fastdeploy_operator");
        let passes = Family::<Pass, Counter>::default();
        let seconds = Family::<Kind, Histogram>::new_with_constructor(|| {
            Histogram::new([0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0])
        });
        let writes = Family::<Written, Counter>::default();
        registry.register("reconciles", "Reconcile passes by kind and result", passes.clone());
        registry.register("reconcile_seconds", "How long a pass took", seconds.clone());
        registry.register("writes", "Writes to Kubernetes", writes.clone());
        Self { registry: Arc::new(registry), passes, seconds, writes }
    }
}

impl Metrics {
    /// A pass has ended.
    pub fn pass(&self, kind: &'static str, result: &'static str, took: Duration) {
        self.passes.get_or_create(&Pass { kind, result }).inc();
        self.seconds.get_or_create(&Kind { kind }).observe(took.as_secs_f64());
    }

    /// A write is about to be made.
    pub fn write(&self, write: &Write) {
        self.writes.get_or_create(&Written { write: write.name() }).inc();
    }

    /// The text that Prometheus reads.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if encode(&mut text, &self.registry).is_err() {
            text.clear();
        }
        text
    }
}
