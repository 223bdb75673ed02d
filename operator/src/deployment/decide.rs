//! What to do about a Deployment. Pure: the Deployment, what was observed, the time → a plan.

use std::time::Duration;

use crds::{
    Deployment, DeploymentStatus, Phase, Reason, Service,
    conditions::shorten,
    deployment::{Cancel, FailureStatus, RequestedBy, Via, WaitingFor},
    names,
    service::ObjectRef,
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::ResourceExt;

use super::{
    build::{self, Installation, TERMINATION_GRACE_SECONDS},
    conditions,
    fate::{self, Fate},
    verdict::{self, Verdict},
};
use crate::{
    frozen::{Fault, WantedRun, freeze},
    lock,
    plan::Plan,
    service::decide::via,
    world::{Target, Write},
};

/// A run that is being deleted gets this long to end its step before it is stopped.
const DELETE_PATIENCE: SignedDuration = SignedDuration::from_mins(5);
/// After `Now`, the runner gets this long before its pod is deleted.
const STOP_PATIENCE: SignedDuration = SignedDuration::from_secs(30);

const LOST: &str = "The run's pod is gone and left no result";
const LATE: &str = "The run's pod did not end in time";

/// What was observed for one pass.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The time.
    pub now: Timestamp,
    /// The Service as it is now, not as a cache has it.
    pub service: Option<Service>,
    /// What the Service wants now; only where the input is not frozen yet.
    pub wanted: Option<Result<WantedRun, Fault>>,
    /// The Job of the current attempt, if it is ours.
    pub job: Option<Job>,
    /// The pods of the current attempt.
    pub pods: Vec<Pod>,
    /// What the installation says about pods.
    pub installation: Installation,
}

/// Decides.
pub fn decide(deployment: &Deployment, observed: &Observed) -> Plan {
    let mut pass = Pass::new(deployment, observed);
    let deleting = deployment.metadata.deletion_timestamp.is_some();
    if pass.old.phase.is_some_and(Phase::is_terminal) {
        pass.let_go();
    } else if deleting {
        pass.delete();
    } else {
        pass.go_on();
    }
    pass.plan
}

struct Pass<'a> {
    deployment: &'a Deployment,
    observed: &'a Observed,
    old: DeploymentStatus,
    plan: Plan,
}

impl<'a> Pass<'a> {
    fn new(deployment: &'a Deployment, observed: &'a Observed) -> Self {
        let old = deployment.status.clone().unwrap_or_default();
        Self { deployment, observed, old, plan: Plan::default() }
    }

    fn go_on(&mut self) {
        let cancel = self.deployment.spec.cancel;
        let Some(service) = &self.observed.service else {
            // What runs goes on; whoever deleted the Service deletes this too, if it owns it.
            return if self.old.run.is_some() {
                self.watch_pod(cancel);
            } else {
                let message =
                    format!("there is no Service {} in this namespace", self.deployment.spec.service);
                self.stop_before_claim(Verdict::plain(Phase::Failed, Reason::ServiceNotFound, message));
            };
        };
        if self.old.attempt.is_some() {
            return self.prepare_or_watch(service, cancel);
        }
        if cancel.is_some() {
            return self.end(Verdict::plain(Phase::Cancelled, Reason::Cancelled, "Stopped before it began"));
        }
        if self.old.number.is_none() {
            return; // The Service controller numbers it; that wakes us.
        }
        let mut new = self.old.clone();
        let mut bundle = None;
        if new.digest.is_none() {
            match self.freeze(service) {
                Ok((stored, revision)) => {
                    new.digest = Some(stored.digest.clone());
                    new.bundle = Some(stored.name.clone());
                    new.revision = Some(revision);
                    bundle = Some(stored);
                }
                Err(fault) => return self.end(Verdict::plain(Phase::Failed, fault.reason, fault.message)),
            }
        }
        new.requested_by.get_or_insert_with(|| requested_by(service, self.deployment));
        let active = service.status.as_ref().and_then(|status| status.active.as_ref());
        if active.is_some_and(|active| Some(&active.uid) == self.deployment.uid().as_ref()) {
            self.start(service, new, bundle);
        } else {
            self.queue(
                service,
                active.map(|a| ObjectRef { name: a.name.clone(), uid: a.uid.clone() }),
                new,
                bundle,
            );
        }
    }

    /// Checks the inputs and freezes what is wanted now.
    fn freeze(&self, service: &Service) -> Result<(crate::frozen::StoredBundle, String), Fault> {
        let answers = crds::inputs::fill_in(&service.spec.inputs, &self.deployment.spec.inputs)
            .map_err(|message| Fault { reason: Reason::InvalidInput, message })?;
        let wanted = self.observed.wanted.clone().unwrap_or_else(|| {
            Err(Fault { reason: Reason::SourceNotFound, message: "the source was not read".into() })
        })?;
        let revision = wanted.revision.clone();
        Ok((freeze(wanted, answers)?, revision))
    }

    fn queue(
        &mut self,
        service: &Service,
        behind: Option<ObjectRef>,
        mut new: DeploymentStatus,
        bundle: Option<crate::frozen::StoredBundle>,
    ) {
        let (reason, message) = match &behind {
            Some(behind) => (Reason::Queued, format!("Waits until {} has ended", behind.name)),
            None if service.spec.suspend => (Reason::Suspended, "Waits: the Service is suspended".to_owned()),
            None => (Reason::Queued, "Waits for its turn".to_owned()),
        };
        new.waiting_for = Some(WaitingFor { reason: reason.as_str().into(), behind });
        self.set(&mut new, Phase::Queued, reason, &message);
        if bundle.is_some() {
            self.adopt(service);
        }
        self.plan.writes.extend(bundle.map(Write::Bundle));
        self.write(new);
    }

    /// Its turn: everything that the pod needs first, then the attempt, then the Job.
    fn start(
        &mut self,
        service: &Service,
        mut new: DeploymentStatus,
        bundle: Option<crate::frozen::StoredBundle>,
    ) {
        let name = new.bundle.clone().unwrap_or_default();
        let job = match build::job(self.deployment, service, &name, 1, &self.observed.installation) {
            Ok(job) => job,
            Err(fault) => return self.end(Verdict::plain(Phase::Failed, fault.reason, fault.message)),
        };
        new.attempt = Some(1);
        new.waiting_for = None;
        self.set(&mut new, Phase::Preparing, Reason::Preparing, "The run's pod is being made");
        self.adopt(service);
        self.plan.writes.extend(bundle.map(Write::Bundle));
        self.write(new);
        self.plan.writes.push(Write::CreateJob(Box::new(job)));
    }

    /// An attempt was begun: its Job is there, was not made yet, or is gone.
    fn prepare_or_watch(&mut self, service: &Service, cancel: Option<Cancel>) {
        if self.observed.job.is_some() || self.old.run.is_some() {
            return self.watch_pod(cancel);
        }
        if cancel.is_some() {
            return self.end(Verdict::plain(Phase::Cancelled, Reason::Cancelled, "Stopped before it began"));
        }
        // Not made yet, or deleted before Ansible was allowed to start: making it (again) is safe.
        let attempt = self.old.attempt.unwrap_or(1);
        let bundle = self.old.bundle.clone().unwrap_or_default();
        match build::job(self.deployment, service, &bundle, attempt, &self.observed.installation) {
            Ok(job) => self.plan.writes.push(Write::CreateJob(Box::new(job))),
            Err(fault) => self.end(Verdict::plain(Phase::Failed, fault.reason, fault.message)),
        }
    }

    /// The pod that counts: the one that claimed, else the newest.
    fn pod(&self) -> Option<&'a Pod> {
        let pods = self.observed.pods.iter();
        match &self.old.run {
            Some(run) => pods.clone().find(|pod| pod.uid().as_deref() == Some(&run.pod_uid)),
            None => pods.max_by_key(|pod| pod.metadata.creation_timestamp.clone().map(|t| t.0)),
        }
    }

    fn watch_pod(&mut self, cancel: Option<Cancel>) {
        let pod = self.pod();
        let claimed = self.old.run.is_some();
        // The final report decides, and does not wait for the pod's end as the lock does.
        if let Some(verdict) = self.old.run.as_ref().and_then(verdict::of_report) {
            return self.end(verdict);
        }
        let fate = pod.map(fate::of);
        if let Some(Fate::Ended(end)) = &fate {
            return self.end(verdict::of(end, self.old.run.as_ref(), cancel.is_some()));
        }
        if claimed {
            self.watch_run(pod, cancel);
        } else if cancel.is_some() {
            self.stop_before_claim(Verdict::plain(
                Phase::Cancelled,
                Reason::Cancelled,
                "Stopped before Ansible was started",
            ));
        } else {
            self.watch_preparation(pod, fate);
        }
    }

    fn watch_preparation(&mut self, pod: Option<&Pod>, fate: Option<Fate>) {
        let Some(job) = &self.observed.job else { return };
        if pod.is_none() && lock::job_counted_end(job) {
            let message = "The run's pod was deleted before Ansible was started";
            return self.end(Verdict::plain(Phase::Failed, Reason::RunnerLost, message));
        }
        match fate {
            Some(Fate::Hopeless(reason, message)) => {
                return self.stop_before_claim(Verdict::plain(Phase::Failed, reason, message));
            }
            Some(Fate::Unscheduled(until, message)) if self.observed.now >= until => {
                return self.stop_before_claim(Verdict::plain(Phase::Failed, Reason::Unschedulable, message));
            }
            Some(Fate::Unscheduled(until, _)) => self.plan.look_again_at(until, self.observed.now),
            _ => {}
        }
        let prepare = self
            .observed
            .service
            .as_ref()
            .and_then(|service| crds::duration::parse(&service.spec.policy.prepare_timeout).ok())
            .unwrap_or(Duration::from_mins(10));
        let since = job.metadata.creation_timestamp.as_ref().map_or(self.observed.now, |time| time.0);
        let until = SignedDuration::try_from(prepare)
            .ok()
            .and_then(|prepare| since.saturating_add(prepare).ok())
            .unwrap_or(Timestamp::MAX);
        if self.observed.now >= until {
            let message = "Ansible was not started within policy.prepareTimeout";
            return self.stop_before_claim(Verdict::plain(Phase::Failed, Reason::Timeout, message));
        }
        self.plan.look_again_at(until, self.observed.now);
        let started = pod
            .and_then(|pod| {
                pod.status.as_ref()?.container_statuses.as_ref()?.first()?.state.as_ref()?.running.clone()
            })
            .and_then(|running| running.started_at)
            .map(|time| time.0);
        // A claim takes milliseconds; only one that is long in coming is worth a word.
        let patience = SignedDuration::from_secs(5);
        match started.and_then(|started| started.saturating_add(patience).ok()) {
            Some(worth_a_word) if self.observed.now >= worth_a_word => {
                let mut new = self.old.clone();
                let message = "The pod waits for the permission to start Ansible";
                self.set(&mut new, Phase::Preparing, Reason::WaitingForClaim, message);
                self.write(new);
            }
            Some(worth_a_word) => self.plan.look_again_at(worth_a_word, self.observed.now),
            None => {}
        }
    }

    fn watch_run(&mut self, pod: Option<&Pod>, cancel: Option<Cancel>) {
        let Some(run) = self.old.run.clone() else { return };
        let end = lock::certain_end(&run);
        let Some(pod) = pod else {
            let verdict = if cancel.is_some() {
                Verdict::plain(Phase::Cancelled, Reason::Cancelled, "")
            } else {
                Verdict::plain(Phase::Failed, Reason::RunnerLost, LOST)
            };
            return self.end(verdict);
        };
        if self.observed.now >= end {
            self.end(Verdict::plain(Phase::Failed, Reason::Timeout, LATE));
            self.delete_job();
            return;
        }
        self.plan.look_again_at(end, self.observed.now);
        if let Some(cancel) = cancel {
            self.ask_pod_to_stop(pod, cancel);
        }
        let mut new = self.old.clone();
        new.started_at = Some(run.claimed_at);
        new.waiting_for = None;
        let (reason, message) = match cancel {
            None => (Reason::Running, "Ansible is running"),
            Some(Cancel::AfterStep) => (Reason::Running, "Stops after the step that is on"),
            Some(Cancel::Now) => (Reason::Running, "Is being stopped"),
        };
        self.set(&mut new, Phase::Running, reason, message);
        self.write(new);
    }

    fn ask_pod_to_stop(&mut self, pod: &Pod, cancel: Cancel) {
        let target =
            Target { name: pod.name_any(), uid: pod.uid().unwrap_or_default(), resource_version: None };
        let told = pod.annotations().get(names::ANNOTATION_CANCEL).map(String::as_str);
        if told != Some(cancel.as_str()) && told != Some(Cancel::Now.as_str()) {
            self.plan.writes.push(Write::CancelPod { target, cancel });
            // Our own annotation is no news that would wake us.
            self.plan.look_again_in(STOP_PATIENCE.unsigned_abs());
        } else if cancel == Cancel::Now && pod.metadata.deletion_timestamp.is_none() {
            let since = pod.annotations().get(names::ANNOTATION_CANCELLED_AT).and_then(|at| at.parse().ok());
            let until =
                since.unwrap_or(self.observed.now).saturating_add(STOP_PATIENCE).unwrap_or(Timestamp::MAX);
            if self.observed.now >= until {
                self.plan.writes.push(Write::DeletePod(target));
            } else {
                self.plan.look_again_at(until, self.observed.now);
            }
        }
    }

    /// Ends it while its pod may still come to ask: the verdict first, which makes every later claim
    /// a refused one, then the pod.
    fn stop_before_claim(&mut self, verdict: Verdict) {
        self.end(verdict);
        self.delete_job();
    }

    fn delete_job(&mut self) {
        if let Some(job) = self.observed.job.as_ref().filter(|job| job.metadata.deletion_timestamp.is_none())
        {
            self.plan.writes.push(Write::DeleteJob(Target {
                name: job.name_any(),
                uid: job.uid().unwrap_or_default(),
                resource_version: None,
            }));
        }
    }

    /// Writes the verdict, lets go of the object and tells people.
    fn end(&mut self, verdict: Verdict) {
        let mut new = self.old.clone();
        if let Some(service) = &self.observed.service {
            new.requested_by.get_or_insert_with(|| requested_by(service, self.deployment));
        }
        let Verdict { phase, reason, step, host, message, hosts, steps, outputs, at } = verdict;
        new.waiting_for = None;
        new.steps = steps;
        new.hosts = hosts;
        new.outputs = outputs;
        new.started_at = new.run.as_ref().map(|run| run.claimed_at);
        new.finished_at = Some(at.unwrap_or(self.observed.now));
        if phase != Phase::Succeeded {
            new.failure = Some(FailureStatus {
                reason: reason.as_str().into(),
                step: step.clone(),
                host: host.clone(),
                message: shorten(&message, 1_000),
                hint: reason.hint().into(),
            });
        }
        let place = match (&step, &host) {
            (Some(step), Some(host)) => format!("“{step}” on {host}: "),
            (Some(step), None) => format!("“{step}”: "),
            (None, Some(host)) => format!("{host}: "),
            (None, None) => String::new(),
        };
        let sentence = shorten(&format!("{place}{message}"), 500);
        self.set(&mut new, phase, reason, &sentence);
        let number = new.number.map(|number| format!("#{number} ")).unwrap_or_default();
        let proven = new.run.is_none() || self.pod().is_some_and(lock::pod_ended);
        self.write(new);
        if proven {
            self.remove_finalizer();
        }
        self.plan.writes.push(Write::Event {
            reason,
            note: format!("{number}{sentence}"),
            warning: phase != Phase::Succeeded && phase != Phase::Cancelled,
        });
    }

    /// It has ended, and everything else is the Service controller's. A run whose end nobody saw
    /// is held until the lock notes how long it may still be at work.
    fn let_go(&mut self) {
        let service = self.observed.service.as_ref().filter(|s| s.metadata.deletion_timestamp.is_none());
        let active = service.and_then(|s| s.status.as_ref()?.active.as_ref());
        let holds = active.filter(|active| Some(&active.uid) == self.deployment.uid().as_ref());
        let ended = self.pod().is_some_and(lock::pod_ended);
        if ended || self.old.run.is_none() || holds.is_none_or(|active| active.until.is_some()) {
            self.remove_finalizer();
        } else if !self.deployment.finalizers().is_empty() {
            self.plan.look_again_in(Duration::from_secs(5));
        }
    }

    /// It is being deleted: nothing is left running, and nothing on the servers is touched.
    fn delete(&mut self) {
        let Some(run) = self.old.run.clone() else {
            self.delete_job();
            return self.remove_finalizer();
        };
        // Whoever watches still learns how it ended.
        if let Some(verdict) = verdict::of_report(&run) {
            return self.end(verdict);
        }
        let Some(pod) = self.pod() else {
            return self.end(Verdict::plain(Phase::Cancelled, Reason::RunnerLost, LOST));
        };
        if let Fate::Ended(end) = fate::of(pod) {
            return self.end(verdict::of(&end, Some(&run), true));
        }
        if self.observed.now >= lock::certain_end(&run) {
            return self.end(Verdict::plain(Phase::Failed, Reason::Timeout, LATE));
        }
        let since =
            self.deployment.metadata.deletion_timestamp.as_ref().map_or(self.observed.now, |time| time.0);
        let patience = since.saturating_add(DELETE_PATIENCE).unwrap_or(Timestamp::MAX);
        let impatient = self.deployment.spec.cancel == Some(Cancel::Now) || self.observed.now >= patience;
        if !impatient {
            self.plan.look_again_at(patience, self.observed.now);
        }
        self.ask_pod_to_stop(pod, if impatient { Cancel::Now } else { Cancel::AfterStep });
    }

    fn adopt(&mut self, service: &Service) {
        let uid = service.uid().unwrap_or_default();
        let mut owners = self.deployment.owner_references().to_vec();
        let mut finalizers = self.deployment.finalizers().to_vec();
        let before = (owners.len(), finalizers.len());
        if owners.iter().all(|owner| owner.uid != uid) {
            let mut owner = build::owner_reference::<Service>(&service.name_any(), &uid, true);
            owner.controller = owners.iter().all(|o| o.controller != Some(true)).then_some(true);
            owners.push(owner);
        }
        if finalizers.iter().all(|finalizer| finalizer != names::FINALIZER_RUN) {
            finalizers.push(names::FINALIZER_RUN.into());
        }
        if before != (owners.len(), finalizers.len()) {
            self.plan.writes.push(Write::Adopt { target: self.target(), finalizers, owners });
        }
    }

    fn remove_finalizer(&mut self) {
        if self.deployment.finalizers().iter().any(|f| f == names::FINALIZER_RUN) {
            self.plan.writes.push(Write::RemoveFinalizer(self.target()));
        }
    }

    fn set(&self, new: &mut DeploymentStatus, phase: Phase, reason: Reason, message: &str) {
        let generation = self.deployment.metadata.generation.unwrap_or_default();
        conditions::set(new, phase, reason, message, generation, self.observed.now);
    }

    fn write(&mut self, new: DeploymentStatus) {
        if new != self.old {
            self.plan.writes.push(Write::DeploymentStatus {
                target: self.target(),
                old: Box::new(self.old.clone()),
                new: Box::new(new),
            });
        }
    }

    fn target(&self) -> Target {
        Target {
            name: self.deployment.name_any(),
            uid: self.deployment.uid().unwrap_or_default(),
            resource_version: self.deployment.resource_version(),
        }
    }
}

fn requested_by(service: &Service, deployment: &Deployment) -> RequestedBy {
    let (via, trigger) = via(service, deployment);
    let name = match via {
        Via::Change => "fastDeploy".to_owned(),
        Via::Kubectl => "someone with kubectl".to_owned(),
        Via::Dashboard => names::requester(deployment.annotations()).unwrap_or_default().to_owned(),
    };
    RequestedBy { name, via, trigger }
}

/// Unused seconds are no reason to wait: the grace of the pod must fit into the patience for it.
const _: () = assert!(TERMINATION_GRACE_SECONDS <= STOP_PATIENCE.as_secs());
