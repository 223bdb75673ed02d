//! Leader election by a Lease: 10 s valid, given up when not renewed for 7 s, renewed every second.
//! A lost lease ends the process; whatever it was about to write is fenced by resourceVersions.
//! Who waits watches the lease: one that is given back is taken at once, and nobody asks in vain.

use std::{
    pin::pin,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use crds::names;
use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams, PostParams},
    runtime::{WatchStreamExt, watcher::watch_object},
};
use serde_json::json;

use crate::clock::Clock;

const VALID: Duration = Duration::from_secs(10);
const RENEW_DEADLINE: Duration = Duration::from_secs(7);
const RETRY: Duration = Duration::from_secs(1);
/// A watch that says nothing for so long, though the leader renews every second, may be dead: one that waits
/// looks for itself.
const SILENCE: Duration = Duration::from_secs(2);
const NAME: &str = names::OPERATOR;

/// Whether we lead, as far as this process can know without asking.
#[derive(Clone, Default)]
pub struct Leadership(Arc<Mutex<Option<Instant>>>);

impl Leadership {
    /// The lease was renewed lately enough. A process that was frozen finds out here.
    pub fn holds(&self) -> bool {
        let renewed = *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        renewed.is_some_and(|at| at.elapsed() < RENEW_DEADLINE)
    }

    fn renewed(&self, at: Instant) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(at);
    }
}

/// What a look at the lease says. Pure.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    /// Nobody has it, or it has run out, or it is ours: take or renew it.
    Take,
    /// Somebody else has it.
    Wait,
}

/// Takes part in the election.
pub struct Election {
    api: Api<Lease>,
    identity: String,
    clock: Clock,
    leadership: Leadership,
    /// What another one's lease last said, and when we saw that: its clock is not ours.
    seen: Option<(Option<String>, Instant)>,
    /// When we took it.
    acquired: Option<Timestamp>,
    /// As we wrote it last: whoever renews need not read it first.
    written: Option<Lease>,
}

impl Election {
    /// Identity is the pod's name.
    pub fn new(client: Client, namespace: &str, identity: String, clock: Clock) -> Self {
        let api = Api::namespaced(client, namespace);
        Self {
            api,
            identity,
            clock,
            leadership: Leadership::default(),
            seen: None,
            acquired: None,
            written: None,
        }
    }

    /// A handle to ask whether we lead.
    pub fn leadership(&self) -> Leadership {
        self.leadership.clone()
    }

    /// Returns once we lead.
    pub async fn win(&mut self) {
        let mut changes = pin!(watch_object(self.api.clone(), NAME).default_backoff());
        loop {
            match tokio::time::timeout(RENEW_DEADLINE / 2, self.attempt()).await {
                Ok(Ok(true)) => return,
                Ok(Ok(false)) => {}
                Ok(Err(error)) => tracing::warn!(error = %error, "the lease could not be read"),
                Err(_) => tracing::warn!("reading the lease took too long"),
            }
            // Renewed in time again and again: no reason to ask.
            while let Ok(Some(change)) =
                tokio::time::timeout(patience(self.unchanged_for()), changes.next()).await
            {
                match change {
                    Ok(Some(lease)) if self.look(&lease, Instant::now()) == Look::Wait => {}
                    Ok(_) => break,
                    Err(error) => tracing::warn!(error = %error, "the lease could not be watched"),
                }
            }
        }
    }

    /// Returns when we lead no more.
    pub async fn keep(&mut self) {
        while self.leadership.holds() {
            tokio::time::sleep(RETRY).await;
            let attempt = tokio::time::timeout(RENEW_DEADLINE / 2, self.renew()).await;
            match attempt {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => return,
                Ok(Err(error)) => tracing::warn!(error = %error, "the lease could not be renewed"),
                Err(_) => tracing::warn!("renewing the lease took too long"),
            }
        }
    }

    /// Gives the lease back, so that another one need not wait.
    pub async fn release(&self) {
        let patch = json!({ "spec": { "holderIdentity": null, "renewTime": null } });
        let ours = match self.api.get(NAME).await {
            Ok(lease) => holder(&lease).as_deref() == Some(&self.identity),
            Err(_) => false,
        };
        if ours && let Err(error) = self.api.patch(NAME, &manager(), &Patch::Merge(patch)).await {
            tracing::warn!(error = %error, "the lease could not be given back");
        }
    }

    /// By a write alone, as long as nobody else has written; then by a look, as whoever comes first.
    async fn renew(&mut self) -> Result<bool, kube::Error> {
        if let Some(lease) = self.written.take() {
            let (before, now) = (Instant::now(), self.clock.now());
            let renewed = self.write(&lease, before, now).await;
            let is_another = match &renewed {
                Ok(renewed) => !renewed,
                Err(kube::Error::Api(status)) => status.is_not_found(),
                Err(_) => false,
            };
            if !is_another {
                return renewed;
            }
        }
        self.attempt().await
    }

    async fn attempt(&mut self) -> Result<bool, kube::Error> {
        let (before, now) = (Instant::now(), self.clock.now());
        let Some(lease) = self.api.get_opt(NAME).await? else {
            let lease = Lease {
                metadata: ObjectMeta { name: Some(NAME.into()), ..ObjectMeta::default() },
                spec: Some(self.spec(now, 0)),
            };
            let created = self.api.create(&PostParams::default(), &lease).await;
            return self.outcome(created, before, now);
        };
        if self.look(&lease, before) == Look::Wait {
            return Ok(false);
        }
        self.write(&lease, before, now).await
    }

    /// Takes or renews the lease, unless somebody has written to it since it was like this.
    async fn write(&mut self, lease: &Lease, before: Instant, now: Timestamp) -> Result<bool, kube::Error> {
        let transitions = lease.spec.as_ref().and_then(|s| s.lease_transitions).unwrap_or(0);
        let ours = holder(lease).as_deref() == Some(&self.identity);
        let spec = self.spec(now, transitions + i32::from(!ours));
        let patch = json!({ "metadata": { "resourceVersion": lease.resource_version() }, "spec": spec });
        let patched = self.api.patch(NAME, &manager(), &Patch::Merge(patch)).await;
        self.outcome(patched, before, now)
    }

    /// Notes what the lease says, seen at that time, and what follows from it.
    fn look(&mut self, lease: &Lease, at: Instant) -> Look {
        let version = lease.spec.as_ref().and_then(|s| s.renew_time.as_ref()).map(|t| t.0.to_string());
        if self.seen.as_ref().is_none_or(|(seen, _)| *seen != version) {
            self.seen = Some((version, at));
        }
        look(holder(lease).as_deref(), &self.identity, self.unchanged_for())
    }

    fn unchanged_for(&self) -> Duration {
        self.seen.as_ref().map_or(Duration::ZERO, |(_, at)| at.elapsed())
    }

    fn outcome(
        &mut self,
        result: Result<Lease, kube::Error>,
        before: Instant,
        now: Timestamp,
    ) -> Result<bool, kube::Error> {
        match result {
            Ok(lease) => {
                self.written = Some(lease);
                self.acquired.get_or_insert(now);
                self.leadership.renewed(before);
                Ok(true)
            }
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn spec(&self, now: Timestamp, transitions: i32) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(VALID.as_secs() as i32),
            acquire_time: Some(MicroTime(self.acquired.unwrap_or(now))),
            renew_time: Some(MicroTime(now)),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }
    }
}

fn manager() -> PatchParams {
    PatchParams { field_manager: Some(names::OPERATOR.into()), ..PatchParams::default() }
}

fn holder(lease: &Lease) -> Option<String> {
    lease.spec.as_ref()?.holder_identity.clone().filter(|holder| !holder.is_empty())
}

/// How long one that waits listens to its watch before it looks for itself.
fn patience(unchanged_for: Duration) -> Duration {
    VALID.saturating_sub(unchanged_for).clamp(RETRY / 2, SILENCE)
}

fn look(holder: Option<&str>, identity: &str, unchanged_for: Duration) -> Look {
    match holder {
        Some(holder) if holder != identity && unchanged_for < VALID => Look::Wait,
        _ => Look::Take,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_ones_lease_is_respected_until_it_has_run_out() {
        assert_eq!(look(None, "a", Duration::ZERO), Look::Take);
        assert_eq!(look(Some("a"), "a", Duration::ZERO), Look::Take);
        assert_eq!(look(Some("b"), "a", Duration::from_secs(9)), Look::Wait);
        assert_eq!(look(Some("b"), "a", VALID), Look::Take);
    }

    /// The watch may be dead, the lease about to run out: neither makes a takeover late, or a busy loop.
    #[test]
    fn one_that_waits_looks_when_the_lease_runs_out() {
        assert_eq!(patience(Duration::ZERO), SILENCE);
        assert_eq!(patience(Duration::from_millis(9_100)), Duration::from_millis(900));
        assert_eq!(patience(VALID * 2), RETRY / 2);
    }
}
