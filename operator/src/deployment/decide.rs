//! What to do about a Deployment. Pure: the Deployment, what was observed, the time → a plan.

use std::time::Duration;

use crds::{
    Deployment, DeploymentStatus, Phase, Reason, Service,
    conditions::shorten,
    deployment::{Cancel, Mode, RequestedBy, Run, Via, WaitingFor},
    names,
    service::{NameRef, ObjectRef},
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::ResourceExt;
use protocol::bundle::Bundle;

use super::{
    answers::{self, Known, Secrets},
    approval::{self, Look},
    build::{self, Installation, TERMINATION_GRACE_SECONDS},
    conditions,
    fate::{self, Fate},
    refusal::{self, Refusal},
    verdict::{self, Verdict},
};
use crate::{
    calendar::windows::{self, Permit},
    lock,
    plan::Plan,
    service::triggers::{is_automatic, via},
    world::{Target, Write},
};
use frozen::{Fault, WantedRun, freeze};

/// A run that is being deleted gets this long to end its step before it is stopped.
const DELETE_PATIENCE: SignedDuration = SignedDuration::from_mins(5);
/// After `Now`, the runner gets this long before its pod is deleted.
const STOP_PATIENCE: SignedDuration = SignedDuration::from_secs(30);

/// A pod that was asked to stop has ended after that.
const END_PATIENCE: SignedDuration = SignedDuration::from_secs(10);

/// How often Kubernetes is asked again where it said no.
const ASK_AGAIN: Duration = Duration::from_secs(10);

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
    /// The run that is to be repeated; only where the input is not frozen yet.
    pub repeated: Option<Result<Repeated, Fault>>,
    /// The Secret with the secret answers; only where the input is not frozen yet.
    pub secrets: Secrets,
    /// The repository's branches and tags, where the form asks for one and the input is not frozen yet.
    pub refs: Known,
    /// There is room for one more run in namespace and cluster.
    pub room: bool,
    /// Why Kubernetes does not let the Job be made, or its pod.
    pub refused: Option<Refusal>,
}

/// A run that is to be repeated.
#[derive(Clone, Debug, PartialEq)]
pub struct Repeated {
    /// What it ran.
    pub bundle: Bundle,
    /// The source that it ran, for people.
    pub revision: String,
    /// The servers that failed.
    pub failed: Vec<String>,
    /// Name of the Secret with the secret answers that it ran with.
    pub secret: Option<String>,
}

/// What a Deployment runs, for ever.
struct Frozen {
    stored: frozen::StoredBundle,
    revision: String,
    inputs: Option<std::collections::BTreeMap<String, serde_json::Value>>,
    secret: Option<NameRef>,
}

/// Decides.
pub fn decide(deployment: &Deployment, observed: &Observed) -> Plan {
    let mut pass = Pass::new(deployment, observed);
    let deleting = deployment.metadata.deletion_timestamp.is_some();
    if pass.old.phase.is_some_and(Phase::is_terminal) {
        pass.let_go();
    } else if deleting {
        pass.delete();
    } else if let Some(refusal) = &observed.refused
        && pass.run().is_none()
        && pass.cancel().is_none()
    {
        pass.refused(refusal);
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
        let cancel = self.cancel();
        let Some(service) = &self.observed.service else {
            // What runs goes on; whoever deleted the Service deletes this too, if it owns it.
            return if self.run().is_some() {
                self.watch_pod(cancel);
            } else {
                let message =
                    format!("there is no Service {} in this namespace", self.deployment.spec.service);
                self.stop_before_claim(Verdict::plain(Phase::Failed, Reason::ServiceNotFound, message));
            };
        };
        if self.old.retry_at.is_some() {
            return self.retry(service, cancel);
        }
        if self.old.attempt.is_some() {
            return self.prepare_or_watch(service, cancel);
        }
        if cancel.is_some() {
            return self.end(Verdict::plain(Phase::Cancelled, Reason::Cancelled, "Stopped before it began"));
        }
        if self.old.number.is_none() && self.deployment.spec.mode == Mode::Apply {
            return; // The Service controller numbers it; that wakes us.
        }
        let mut new = self.old.clone();
        let mut bundle = None;
        if new.digest.is_none() {
            match self.freeze(service) {
                Ok(Frozen { stored, revision, inputs, secret }) => {
                    new.digest = Some(stored.digest.clone());
                    new.bundle = Some(stored.name.clone());
                    new.revision = Some(revision);
                    new.inputs = inputs;
                    new.secret_inputs = secret;
                    bundle = Some(stored);
                }
                // The source is being looked at: that takes a moment, and is no fault.
                Err(fault) if fault.reason == Reason::Progressing => {
                    return self.plan.look_again_in(Duration::from_secs(1));
                }
                Err(fault) => return self.end(Verdict::plain(Phase::Failed, fault.reason, fault.message)),
            }
        }
        new.requested_by.get_or_insert_with(|| requested_by(service, self.deployment));
        if !self.agreed(service, &mut new, &mut bundle) {
            return;
        }
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

    /// How to stop, if somebody wants that, or if something newer is to begin.
    fn cancel(&self) -> Option<Cancel> {
        let gives_way = self.old.replaced_by.as_ref().map(|_| match self.deployment.spec.mode {
            Mode::Apply => Cancel::AfterStep,
            // It changes nothing, so nothing is left half done.
            Mode::Check => Cancel::Now,
        });
        self.deployment.spec.cancel.max(gives_way)
    }

    /// The claim of the attempt that is on.
    fn run(&self) -> Option<&Run> {
        self.old.run_of_attempt()
    }

    /// Checks the inputs and freezes what is wanted now, or what is to be repeated.
    fn freeze(&self, service: &Service) -> Result<Frozen, Fault> {
        let spec = &self.deployment.spec;
        let check = spec.mode == Mode::Check;
        let (secrets, now) = (&self.observed.secrets, self.observed.now);
        let created = self.deployment.metadata.creation_timestamp.as_ref().map_or(now, |time| time.0);
        if spec.repeat.is_some() || spec.failed_of.is_some() {
            let unread = || {
                Err(Fault { reason: Reason::BundleNotFound, message: "the earlier run was not read".into() })
            };
            if !spec.inputs.is_empty() {
                let message =
                    "what is repeated has its inputs already: leave out inputs, or leave out repeat".into();
                return Err(Fault { reason: Reason::InvalidInput, message });
            }
            let Repeated { mut bundle, revision, failed, secret } =
                self.observed.repeated.clone().unwrap_or_else(unread)?;
            answers::of_repeated(&bundle.credentials.secret_inputs, secrets, created, now)?;
            let secret = self.secret(&bundle, secret);
            if spec.failed_of.is_some() {
                bundle.options.limit = Some(failed.join(","));
            } else if let Some(limit) = &spec.limit {
                bundle.options.limit = Some(limit.clone());
            }
            bundle.options.check = check;
            frozen::recognise(service, &mut bundle.credentials);
            let inputs = Some(bundle.inputs.clone());
            return Ok(Frozen { stored: frozen::store(bundle)?, revision, inputs, secret });
        }
        let answers = crds::inputs::fill_in(&service.spec.inputs, &spec.inputs)
            .map_err(|message| Fault { reason: Reason::InvalidInput, message })?;
        answers::check_refs(&service.spec.inputs, &answers, &self.observed.refs)?;
        let secret_inputs = answers::of_form(&service.spec.inputs, secrets, created, now)?;
        let mut wanted = self.observed.wanted.clone().unwrap_or_else(|| {
            Err(Fault { reason: Reason::SourceNotFound, message: "the source was not read".into() })
        })?;
        let revision = wanted.source.revision.clone();
        wanted.bundle.options.check = check;
        wanted.bundle.options.limit.clone_from(&spec.limit);
        wanted.bundle.credentials.secret_inputs = secret_inputs;
        let secret = self.secret(&wanted.bundle, None);
        Ok(Frozen { stored: freeze(wanted, answers, spec.context.clone())?, revision, inputs: None, secret })
    }

    /// The Secret that the run's secret answers come from, if it has any.
    fn secret(&self, bundle: &Bundle, repeated: Option<String>) -> Option<NameRef> {
        let own = answers::named(&self.deployment.spec).map(ToOwned::to_owned);
        let name = own.or(repeated).filter(|_| !bundle.credentials.secret_inputs.is_empty())?;
        Some(NameRef { name })
    }

    /// Whether nobody has to agree, or somebody has. Else it waits, or ends.
    fn agreed(
        &mut self,
        service: &Service,
        new: &mut DeploymentStatus,
        bundle: &mut Option<frozen::StoredBundle>,
    ) -> bool {
        let now = self.observed.now;
        match approval::look(service, self.deployment, new, now) {
            Look::NotNeeded => true,
            Look::Given(approval, until) => {
                self.plan.look_again_at(until, now);
                new.approval.get_or_insert(approval);
                true
            }
            // Who refused it stands in its status, as who agrees does.
            Look::Refused(approval) => {
                let message = format!("Refused by {}", approval::person(&approval.by));
                let refused = Verdict::plain(Phase::Cancelled, Reason::ApprovalRejected, message);
                self.end_from(DeploymentStatus { approval: Some(approval), ..self.old.clone() }, refused);
                false
            }
            Look::Not(reason, message) => {
                self.end(Verdict::plain(Phase::Cancelled, reason, message));
                false
            }
            Look::Waits(until) => {
                self.plan.look_again_at(until, now);
                new.waiting_for =
                    Some(WaitingFor { reason: Reason::WaitingForApproval.as_str().into(), behind: None });
                let message = "Waits until somebody agrees";
                self.set(new, Phase::AwaitingApproval, Reason::WaitingForApproval, message);
                if bundle.is_some() {
                    self.adopt(service);
                }
                self.plan.writes.extend(bundle.take().map(Write::Bundle));
                self.write(new.clone());
                false
            }
        }
    }

    /// An attempt has failed, and its pod has ended: the next one, when its time has come.
    fn retry(&mut self, service: &Service, cancel: Option<Cancel>) {
        if cancel.is_some() {
            let message = "Stopped before the next attempt";
            return self.end(Verdict::plain(Phase::Cancelled, Reason::Cancelled, message));
        }
        let at = self.old.retry_at.unwrap_or(self.observed.now);
        if self.observed.now < at {
            return self.plan.look_again_at(at, self.observed.now);
        }
        let mut new = self.old.clone();
        new.retry_at = None;
        let attempt = new.attempt.unwrap_or(1).saturating_add(1);
        self.attempt(service, new, None, attempt);
    }

    /// Puts a failed attempt down to be followed by another one, if the policy says so and it is certain
    /// that nothing of it is at work any more.
    fn tries_again(&mut self, verdict: &Verdict) -> bool {
        let (Some(service), Some(_)) = (&self.observed.service, self.run()) else { return false };
        let retries = &service.spec.policy.retries;
        let attempt = self.old.attempt.unwrap_or(1);
        let wanted = verdict.phase == Phase::Failed
            && !verdict.reason.needs_a_change()
            && attempt <= retries.limit
            && self.cancel().is_none();
        if !wanted {
            return false;
        }
        if !self.run().is_some_and(|run| lock::run_ended(run, self.pod())) {
            // Its result is there; its end is news that wakes us.
            self.plan.look_again_in(Duration::from_secs(10));
            return self.pod().is_some();
        }
        let backoff = crds::duration::parse(&retries.backoff).unwrap_or(Duration::from_secs(30));
        let pause = SignedDuration::try_from(backoff * 2_u32.pow(attempt.saturating_sub(1).min(10)));
        let at =
            self.observed.now.saturating_add(pause.unwrap_or(SignedDuration::MAX)).unwrap_or(Timestamp::MAX);
        let mut new = self.old.clone();
        new.retry_at = Some(at);
        new.started_at = new.started_at.or(self.run().map(|run| run.claimed_at));
        let message = shorten(
            &format!(
                "Attempt {attempt} failed: {}; the next one begins {}",
                verdict.message,
                at.strftime("%H:%M:%S UTC")
            ),
            500,
        );
        self.set(&mut new, Phase::Preparing, Reason::Retrying, &message);
        self.write(new);
        self.plan.look_again_at(at, self.observed.now);
        self.plan.writes.push(Write::Event { reason: Reason::Retrying, note: message, warning: true });
        true
    }

    fn queue(
        &mut self,
        service: &Service,
        behind: Option<ObjectRef>,
        mut new: DeploymentStatus,
        bundle: Option<frozen::StoredBundle>,
    ) {
        let (reason, message) = match &behind {
            Some(behind) => (Reason::Queued, format!("Waits until {} has ended", behind.name)),
            None if service.spec.suspend => (Reason::Suspended, "Waits: the Service is suspended".to_owned()),
            None if !self.observed.room => {
                (Reason::WaitingForSlot, "Waits: as many runs are on as may be".to_owned())
            }
            None if self.forbidden(service).is_some() => {
                (Reason::WaitingForWindow, self.forbidden(service).unwrap_or_default())
            }
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

    /// Why its windows forbid it, if they do.
    fn forbidden(&self, service: &Service) -> Option<String> {
        let by_person = !is_automatic(service, self.deployment);
        let windows = &service.spec.policy.windows;
        if self.deployment.spec.mode == Mode::Check {
            return None;
        }
        match windows::permit(windows, by_person, self.observed.now).ok()? {
            Permit::Now => None,
            Permit::At(at) => Some(format!("Waits until {}", at.strftime("%Y-%m-%d %H:%M UTC"))),
            Permit::Never => Some("Its windows never let it start".to_owned()),
        }
    }

    /// Its turn: everything that the pod needs first, then the attempt, then the Job.
    fn start(&mut self, service: &Service, new: DeploymentStatus, bundle: Option<frozen::StoredBundle>) {
        self.attempt(service, new, bundle, 1);
    }

    fn attempt(
        &mut self,
        service: &Service,
        mut new: DeploymentStatus,
        bundle: Option<frozen::StoredBundle>,
        attempt: u32,
    ) {
        let job = match build::job(self.deployment, service, &new, attempt, &self.observed.installation) {
            Ok(job) => job,
            Err(fault) => return self.end(Verdict::plain(Phase::Failed, fault.reason, fault.message)),
        };
        new.attempt = Some(attempt);
        new.waiting_for = None;
        self.set(&mut new, Phase::Preparing, Reason::Preparing, "The run's pod is being made");
        self.adopt(service);
        self.plan.writes.extend(bundle.map(Write::Bundle));
        self.write(new);
        self.make(job);
    }

    /// Its pod wakes us; one that does not come is no news, so somebody has to look.
    fn make(&mut self, job: Job) {
        self.plan.writes.push(Write::CreateJob(Box::new(job)));
        self.plan.look_again_in(refusal::SUSPICIOUS_AFTER.unsigned_abs());
    }

    /// An attempt was begun: its Job is there, was not made yet, or is gone.
    fn prepare_or_watch(&mut self, service: &Service, cancel: Option<Cancel>) {
        if self.observed.job.is_some() || self.run().is_some() {
            return self.watch_pod(cancel);
        }
        if cancel.is_some() {
            return self.end(Verdict::plain(Phase::Cancelled, Reason::Cancelled, "Stopped before it began"));
        }
        // Not made yet, or deleted before Ansible was allowed to start: making it (again) is safe.
        let attempt = self.old.attempt.unwrap_or(1);
        match build::job(self.deployment, service, &self.old, attempt, &self.observed.installation) {
            Ok(job) => self.make(job),
            Err(fault) => self.end(Verdict::plain(Phase::Failed, fault.reason, fault.message)),
        }
    }

    /// The pod that counts: the one that claimed, else the newest.
    fn pod(&self) -> Option<&'a Pod> {
        let pods = self.observed.pods.iter();
        match self.run() {
            Some(run) => pods.clone().find(|pod| pod.uid().as_deref() == Some(&run.pod_uid)),
            None => pods.max_by_key(|pod| pod.metadata.creation_timestamp.clone().map(|t| t.0)),
        }
    }

    fn watch_pod(&mut self, cancel: Option<Cancel>) {
        let pod = self.pod();
        let claimed = self.run().is_some();
        let fate = pod.map(fate::of);
        // The final report decides, and does not wait for the pod's end as the lock does.
        if let Some(verdict) = self.run().and_then(verdict::of_report) {
            if self.was_only_asked_to_stop(&verdict, fate.as_ref()) {
                return self.plan.look_again_in(Duration::from_secs(1));
            }
            let verdict = verdict.explained_by(fate.as_ref());
            if !self.tries_again(&verdict) {
                self.end(verdict);
            }
            return;
        }
        if let Some(Fate::Ended(end)) = &fate {
            let verdict = verdict::of(end, self.run(), cancel.is_some());
            if !self.tries_again(&verdict) {
                self.end(verdict);
            }
            return;
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

    /// All that the runner knows is that its pod was to stop. Why stands with the pod's end, and that is near.
    fn was_only_asked_to_stop(&self, verdict: &Verdict, fate: Option<&Fate>) -> bool {
        let since = verdict.at.unwrap_or(Timestamp::UNIX_EPOCH);
        verdict.reason == Reason::RunnerLost
            && fate.is_some_and(|fate| !matches!(fate, Fate::Ended(_)))
            && self.observed.now.duration_since(since) < END_PATIENCE
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
        let since = job.metadata.creation_timestamp.as_ref().map_or(self.observed.now, |time| time.0);
        if pod.is_none() {
            let suspicious = since.saturating_add(refusal::SUSPICIOUS_AFTER).unwrap_or(Timestamp::MAX);
            if self.observed.now < suspicious {
                self.plan.look_again_at(suspicious, self.observed.now);
            } else {
                self.plan.look_again_in(ASK_AGAIN);
            }
        }
        let until = since.saturating_add(self.prepare_timeout()).unwrap_or(Timestamp::MAX);
        let started = pod
            .and_then(|pod| {
                pod.status.as_ref()?.container_statuses.as_ref()?.first()?.state.as_ref()?.running.clone()
            })
            .and_then(|running| running.started_at)
            .map(|time| time.0);
        if self.observed.now >= until {
            // A pod that runs has asked all the time: it is the answer that did not come.
            let (reason, message) = match started {
                Some(_) => (
                    Reason::ApiUnreachable,
                    "The pod asked fastDeploy's API for the permission to start Ansible, without an answer within policy.prepareTimeout",
                ),
                None => (Reason::Timeout, "Ansible was not started within policy.prepareTimeout"),
            };
            return self.stop_before_claim(Verdict::plain(Phase::Failed, reason, message));
        }
        self.plan.look_again_at(until, self.observed.now);
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

    /// Kubernetes said no. Says so, asks again, and gives up once nobody is likely to mend it any more.
    fn refused(&mut self, refusal: &Refusal) {
        let now = self.observed.now;
        let service = self.observed.service.as_ref();
        let active = service.and_then(|service| service.status.as_ref()?.active.as_ref());
        let turn = active.filter(|active| Some(&active.uid) == self.deployment.uid().as_ref());
        let created = self.deployment.metadata.creation_timestamp.as_ref().map_or(now, |time| time.0);
        let since = turn.map_or(created, |turn| turn.since);
        let patience = refusal.patience().unwrap_or_else(|| self.prepare_timeout());
        let until = since.saturating_add(patience).unwrap_or(Timestamp::MAX);
        if now >= until {
            let message = refusal.message.clone();
            return self.stop_before_claim(Verdict::plain(Phase::Failed, refusal.reason, message));
        }
        let mut new = self.old.clone();
        let phase = self.old.phase.unwrap_or(Phase::Pending);
        self.set(&mut new, phase, refusal.reason, &shorten(&refusal.message, 500));
        self.write(new);
        self.plan.look_again_at(until, now);
        self.plan.look_again_in(ASK_AGAIN);
    }

    /// How long it may take from the Job to the claim.
    fn prepare_timeout(&self) -> SignedDuration {
        let service = self.observed.service.as_ref();
        let prepare = service.and_then(|s| crds::duration::parse(&s.spec.policy.prepare_timeout).ok());
        SignedDuration::try_from(prepare.unwrap_or(Duration::from_mins(10))).unwrap_or(SignedDuration::MAX)
    }

    fn watch_run(&mut self, pod: Option<&Pod>, cancel: Option<Cancel>) {
        let Some(run) = self.run().cloned() else { return };
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
        new.started_at = new.started_at.or(Some(run.claimed_at));
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
        self.end_from(self.old.clone(), verdict);
    }

    fn end_from(&mut self, mut new: DeploymentStatus, verdict: Verdict) {
        if let Some(service) = &self.observed.service {
            new.requested_by.get_or_insert_with(|| requested_by(service, self.deployment));
        }
        let mut verdict = verdict;
        if verdict.reason == Reason::Cancelled
            && self.deployment.spec.cancel.is_none()
            && let Some(newer) = &self.old.replaced_by
        {
            verdict.reason = Reason::Replaced;
            verdict.message = format!("Gave way to {}", newer.name);
        }
        if verdict.phase == Phase::Succeeded && self.deployment.spec.mode == Mode::Check {
            verdict.message = preview(&verdict);
        }
        let (phase, reason) = (verdict.phase, verdict.reason);
        let generation = self.deployment.metadata.generation.unwrap_or_default();
        let (new, sentence) = verdict::ended(new, verdict, generation, self.observed.now);
        let number = new.number.map(|number| format!("#{number} ")).unwrap_or_default();
        let proven = self.run().is_none_or(|run| lock::run_ended(run, self.pod()));
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
        let ended = self.run().is_none_or(|run| lock::run_ended(run, self.pod()));
        if ended || holds.is_none_or(|active| active.until.is_some()) {
            self.remove_finalizer();
        } else if !self.deployment.finalizers().is_empty() {
            self.plan.look_again_in(Duration::from_secs(5));
        }
    }

    /// It is being deleted: nothing is left running, and nothing on the servers is touched.
    fn delete(&mut self) {
        let Some(run) = self.run().cloned() else {
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

/// What of an earlier run can be repeated. `limited`: a person had chosen its servers.
pub fn repeated(
    number: i64,
    status: &DeploymentStatus,
    mut bundle: Bundle,
    only_failed: bool,
    limited: bool,
) -> Result<Repeated, Fault> {
    let fault = |message: String| Err(Fault { reason: Reason::InvalidInput, message });
    let hosts = status.hosts.clone().unwrap_or_default();
    if only_failed {
        let failed = (hosts.failed + hosts.unreachable) as usize;
        let known = hosts.failed_names.len();
        if !status.phase.is_some_and(Phase::is_terminal) {
            return fault(format!("failedOf: #{number} has not ended yet"));
        }
        if known == 0 {
            return fault(format!("failedOf: no server failed in #{number}; use repeat"));
        }
        if failed > known {
            return fault(format!(
                "failedOf: {failed} servers failed in #{number}, and only the first {known} are known; use repeat, with limit"
            ));
        }
        // The rest of the whole completes it; the rest of a part does not, and must not look like it.
        if limited {
            return fault(format!("failedOf: #{number} was limited itself; use repeat, with limit"));
        }
    }
    bundle.options.limit = None;
    bundle.options.check = false;
    let revision = status.revision.clone().unwrap_or_default();
    let secret = status.secret_inputs.as_ref().map(|reference| reference.name.clone());
    Ok(Repeated { bundle, revision, failed: hosts.failed_names, secret })
}

/// What a preview found, in a sentence.
fn preview(verdict: &Verdict) -> String {
    let changed = |step: &&crds::deployment::StepStatus| step.hosts.as_ref().is_some_and(|h| h.changed > 0);
    let (changing, all) = (verdict.steps.iter().filter(changed).count(), verdict.steps.len());
    let servers = verdict.hosts.as_ref().map_or(0, |hosts| hosts.total);
    let on = if servers == 1 { "1 server".to_owned() } else { format!("{servers} servers") };
    match changing {
        0 => format!("Would change nothing on {on}"),
        _ => format!("Would change something in {changing} of {all} steps on {on}"),
    }
}

fn requested_by(service: &Service, deployment: &Deployment) -> RequestedBy {
    let (via, trigger) = via(service, deployment);
    let asked = names::requester(deployment.annotations());
    let name = match via {
        Via::Change | Via::Schedule | Via::Rollback | Via::Drift => "fastDeploy".to_owned(),
        Via::Kubectl => asked.map_or("someone with kubectl", approval::person).to_owned(),
        Via::Dashboard => asked.unwrap_or_default().to_owned(),
    };
    RequestedBy { name, via, trigger }
}

/// Unused seconds are no reason to wait: the grace of the pod must fit into the patience for it.
const _: () = assert!(TERMINATION_GRACE_SECONDS <= STOP_PATIENCE.as_secs());
