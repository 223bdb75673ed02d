//! What Prometheus is told.

use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// How a claim ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types, reason = "label values are written like this")]
pub enum Outcome {
    /// Granted for the first time.
    granted,
    /// Granted again to the same process: it had not heard the answer.
    repeated,
    /// 403.
    refused,
    /// 409: another process of this attempt has it.
    fenced,
    /// 401.
    unauthenticated,
    /// 400, 404, 405, 413.
    invalid,
    /// 503.
    unavailable,
}

impl Outcome {
    const ALL: [Self; 7] = [
        Self::granted,
        Self::repeated,
        Self::refused,
        Self::fenced,
        Self::unauthenticated,
        Self::invalid,
        Self::unavailable,
    ];
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    outcome: Outcome,
}

/// All metrics of the api-server.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    claims: Family<Labels, Counter>,
    claim_duration: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        let claims = Family::<Labels, Counter>::default();
        for outcome in Outcome::ALL {
            drop(claims.get_or_create(&Labels { outcome }));
        }
        let claim_duration =
            Histogram::new([0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]);
        let mut registry = Registry::with_prefix("fastdeploy");
        registry.register("claims", "Claims of runs, by how they ended", claims.clone());
        registry.register_with_unit(
            "claim_duration",
            "From request to answer of a claim",
            Unit::Seconds,
            claim_duration.clone(),
        );
        Self { registry, claims, claim_duration }
    }
}

impl Metrics {
    /// A claim was answered.
    pub fn claim(&self, outcome: Outcome, took: Duration) {
        self.claims.get_or_create(&Labels { outcome }).inc();
        self.claim_duration.observe(took.as_secs_f64());
    }

    /// In OpenMetrics text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
