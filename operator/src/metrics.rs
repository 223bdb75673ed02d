//! Prometheus metrics.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use crds::DeploymentStatus;
use jiff::Timestamp;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::world::Write;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Pass {
    kind: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Failed {
    kind: &'static str,
    reason: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Written {
    write: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Ended {
    phase: &'static str,
    reason: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Phase {
    phase: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Namespace {
    namespace: String,
}

/// What is counted.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    passes: Family<Pass, Counter>,
    seconds: Family<Kind, Histogram>,
    errors: Family<Failed, Counter>,
    writes: Family<Written, Counter>,
    ended: Family<Ended, Counter>,
    run_seconds: Family<Phase, Histogram>,
    queued_seconds: Histogram,
    queued: Family<Namespace, Gauge>,
    /// How many wait, of Services where some do.
    waiting: Arc<Mutex<HashMap<(String, String), i64>>>,
    mirror_seconds: Histogram,
    mirror_waiting: Gauge<i64, AtomicI64>,
    spans_lost: Counter,
    /// Who knows how many spans were lost.
    traces: telemetry::Traces,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("fastdeploy_operator");
        let passes = Family::<Pass, Counter>::default();
        let seconds = Family::<Kind, Histogram>::new_with_constructor(|| {
            Histogram::new([0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0])
        });
        let errors = Family::<Failed, Counter>::default();
        let writes = Family::<Written, Counter>::default();
        let ended = Family::<Ended, Counter>::default();
        let run_seconds = Family::<Phase, Histogram>::new_with_constructor(|| {
            Histogram::new([1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0])
        });
        let queued_seconds = Histogram::new([0.05, 0.25, 1.0, 5.0, 30.0, 120.0, 600.0, 3_600.0]);
        let queued = Family::<Namespace, Gauge>::default();
        let mirror_seconds = Histogram::new([0.005, 0.025, 0.1, 0.5, 2.0, 10.0, 60.0]);
        let mirror_waiting = Gauge::default();
        registry.register("reconciles", "Reconcile passes by kind and result", passes.clone());
        registry.register("reconcile_seconds", "How long a pass took", seconds.clone());
        registry.register("errors", "Passes that failed, by Kubernetes' reason", errors.clone());
        registry.register("writes", "Writes to Kubernetes", writes.clone());
        registry.register("deployments", "Deployments that have ended, by phase and reason", ended.clone());
        registry.register(
            "run_seconds",
            "From the start of Ansible to the end of the run",
            run_seconds.clone(),
        );
        registry.register(
            "queued_seconds",
            "From the creation of a Deployment to its first attempt",
            queued_seconds.clone(),
        );
        registry.register("queued", "Deployments that wait for their turn, by namespace", queued.clone());
        registry.register(
            "mirror_seconds",
            "How long a batch of changes took to be written into PostgreSQL",
            mirror_seconds.clone(),
        );
        registry.register("mirror_waiting", "Changes that wait to be mirrored", mirror_waiting.clone());
        let spans_lost = Counter::default();
        registry.register("spans_lost", "Spans that no collector took", spans_lost.clone());
        Self {
            registry: Arc::new(registry),
            passes,
            seconds,
            errors,
            writes,
            ended,
            run_seconds,
            queued_seconds,
            queued,
            waiting: Arc::default(),
            mirror_seconds,
            mirror_waiting,
            spans_lost,
            traces: telemetry::Traces::default(),
        }
    }
}

impl Metrics {
    /// With the spans that were lost.
    pub fn with(traces: telemetry::Traces) -> Self {
        Self { traces, ..Self::default() }
    }

    /// A pass has ended.
    pub fn pass(&self, kind: &'static str, result: &'static str, took: Duration) {
        self.passes.get_or_create(&Pass { kind, result }).inc();
        self.seconds.get_or_create(&Kind { kind }).observe(took.as_secs_f64());
    }

    /// A pass has failed, for this reason.
    pub fn error(&self, kind: &'static str, reason: &str) {
        self.errors.get_or_create(&Failed { kind, reason: reason.to_owned() }).inc();
    }

    /// A write is about to be made.
    pub fn write(&self, write: &Write) {
        self.writes.get_or_create(&Written { write: write.name() }).inc();
    }

    /// A Deployment's status was written. `created`: when the Deployment was.
    pub fn moved(&self, old: &DeploymentStatus, new: &DeploymentStatus, created: Option<Timestamp>) {
        let since = |from: Timestamp, to: Timestamp| to.duration_since(from).as_secs_f64().max(0.0);
        if old.attempt.is_none() && new.attempt.is_some() {
            let begun = new.conditions.iter().map(|c| c.last_transition_time.0).max();
            if let (Some(created), Some(begun)) = (created, begun) {
                self.queued_seconds.observe(since(created, begun));
            }
        }
        let ends = !old.phase.is_some_and(crds::Phase::is_terminal);
        if let Some(phase) = new.phase.filter(|phase| ends && phase.is_terminal()) {
            let reason = new.reason.clone().unwrap_or_default();
            self.ended.get_or_create(&Ended { phase: phase.as_str(), reason }).inc();
            if let (Some(started), Some(finished)) = (new.started_at, new.finished_at) {
                let phase = Phase { phase: phase.as_str() };
                self.run_seconds.get_or_create(&phase).observe(since(started, finished));
            }
        }
    }

    /// So many Deployments of a Service wait for their turn.
    pub fn waiting(&self, namespace: &str, service: &str, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (namespace.to_owned(), service.to_owned());
        let before = if count == 0 { waiting.remove(&key) } else { waiting.insert(key, count) };
        let change = count - before.unwrap_or(0);
        if change != 0 {
            self.queued.get_or_create(&Namespace { namespace: namespace.to_owned() }).inc_by(change);
        }
    }

    /// A batch of changes was mirrored and took so long; so many wait.
    pub fn mirrored(&self, took: Duration, waiting: usize) {
        self.mirror_seconds.observe(took.as_secs_f64());
        self.mirror_waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }

    /// The text that Prometheus reads.
    pub fn text(&self) -> String {
        self.spans_lost.inner().store(self.traces.lost(), Ordering::Relaxed);
        let mut text = String::new();
        if encode(&mut text, &self.registry).is_err() {
            text.clear();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_is_the_sum_over_services_and_goes_back_to_nothing() {
        let metrics = Metrics::default();
        let queue = || {
            let text = metrics.text();
            let line = text.lines().find(|line| line.starts_with("fastdeploy_operator_queued{"));
            line.and_then(|line| line.rsplit(' ').next()?.parse::<i64>().ok())
        };
        metrics.waiting("team", "a", 2);
        metrics.waiting("team", "b", 1);
        metrics.waiting("team", "a", 1);
        assert_eq!(queue(), Some(2));
        metrics.waiting("team", "a", 0);
        metrics.waiting("team", "b", 0);
        assert_eq!(queue(), Some(0));
    }

    #[test]
    fn an_end_is_counted_once() {
        let metrics = Metrics::default();
        let status = |phase| DeploymentStatus { phase: Some(phase), ..DeploymentStatus::default() };
        let (on, over) = (status(crds::Phase::Running), status(crds::Phase::Failed));
        metrics.moved(&on, &over, None);
        metrics.moved(&over, &over, None);
        assert!(
            metrics.text().contains("deployments_total{phase=\"Failed\",reason=\"\"} 1"),
            "{}",
            metrics.text()
        );
    }
}
