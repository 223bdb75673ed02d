//! The decision: may this process start Ansible? Plain data in, plain data out.
//!
//! A grant is only worth something once it is written, guarded by the resourceVersion of the
//! Deployment that was decided on. The Service must have been read after that Deployment: the
//! operator writes a Deployment's end before it releases the lock, so that a lock which is still
//! held together with a Deployment which is still the same means that the run is on.

use crds::deployment::{Deployment, Run};
use crds::service::Service;
use jiff::{Timestamp, Unit};

use super::answer::Refusal;
use super::pod::RunPod;
use super::request::Ask;

/// Yes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// What `status.run` says, or is to say.
    pub run: Run,
    /// It is to be written; else it stands there already, and the runner had not heard the answer.
    pub new: bool,
    /// When Ansible must have ended.
    pub deadline: Timestamp,
}

/// Grant iff the run is on, it is this attempt's turn, nobody asked to stop it, and no other
/// process has this attempt.
pub fn decide(
    ask: &Ask,
    pod: &RunPod,
    deployment: Option<&Deployment>,
    service: Option<&Service>,
    now: Timestamp,
) -> Result<Grant, Refusal> {
    let gone = || Refusal::forbidden("NotThisRun", "This run is not there any longer.");
    let deployment = deployment.ok_or_else(gone)?;
    if deployment.metadata.uid.as_deref() != Some(&ask.uid) {
        return Err(gone());
    }
    may_start(ask, deployment)?;
    holds_lock(ask, service)?;
    match deployment.status.as_ref().and_then(|status| status.run.as_ref()) {
        None => grant(ask, pod, now),
        Some(run) if run.attempt < ask.attempt => grant(ask, pod, now),
        Some(run) if run.attempt > ask.attempt => Err(wrong_attempt(ask, run.attempt)),
        Some(run) if run.instance == ask.instance && run.pod_uid == pod.uid => repeat(run, pod, now),
        Some(run) => Err(Refusal::fenced(format!(
            "Attempt {} was given to another process at {}: this one must not start.",
            ask.attempt, run.claimed_at
        ))),
    }
}

/// The Deployment's side, but for who has it.
fn may_start(ask: &Ask, deployment: &Deployment) -> Result<(), Refusal> {
    let status = deployment.status.as_ref();
    if let Some(phase) = status.and_then(|status| status.phase).filter(|phase| phase.is_terminal()) {
        let message = format!("This run has ended: {}.", phase.as_str());
        return Err(Refusal::forbidden("Terminal", message));
    }
    if deployment.metadata.deletion_timestamp.is_some() {
        return Err(Refusal::forbidden("Deleted", "This run's Deployment is being deleted."));
    }
    if let Some(cancel) = deployment.spec.cancel {
        let message = format!("Somebody stopped this run: cancel is {}.", cancel.as_str());
        return Err(Refusal::forbidden("Cancelled", message));
    }
    match status.and_then(|status| status.attempt) {
        Some(attempt) if attempt == ask.attempt => Ok(()),
        Some(attempt) => Err(wrong_attempt(ask, attempt)),
        None => Err(Refusal::forbidden("WrongAttempt", "This run has not begun an attempt yet.")),
    }
}

fn holds_lock(ask: &Ask, service: Option<&Service>) -> Result<(), Refusal> {
    let active = service.and_then(|service| service.status.as_ref()?.active.as_ref());
    match active {
        Some(active) if active.uid == ask.uid => Ok(()),
        Some(active) => {
            let message = format!("It is the turn of another run: {}.", active.name);
            Err(Refusal::forbidden("NotYourTurn", message))
        }
        None => Err(Refusal::forbidden("NotYourTurn", "It is not the turn of this run.")),
    }
}

fn wrong_attempt(ask: &Ask, attempt: u32) -> Refusal {
    let message = format!("This run is at attempt {attempt}, not {}.", ask.attempt);
    Refusal::forbidden("WrongAttempt", message)
}

fn grant(ask: &Ask, pod: &RunPod, now: Timestamp) -> Result<Grant, Refusal> {
    // Milliseconds are enough for people.
    let claimed_at = now.round(Unit::Millisecond).unwrap_or(now);
    let deadline = deadline(claimed_at, pod)?;
    let run = Run {
        attempt: ask.attempt,
        instance: ask.instance.clone(),
        pod_uid: pod.uid.clone(),
        claimed_at,
        deadline: Some(deadline),
        seq: 0,
        progress: None,
        step: None,
        result: None,
    };
    Ok(Grant { run, new: true, deadline })
}

/// What is written counts: the operator releases the lock by it.
fn repeat(run: &Run, pod: &RunPod, now: Timestamp) -> Result<Grant, Refusal> {
    let deadline = run.deadline.map_or_else(|| deadline(run.claimed_at, pod), Ok)?;
    if deadline <= now {
        let message = format!("This run had to end by {deadline}.");
        return Err(Refusal::forbidden("DeadlinePassed", message));
    }
    Ok(Grant { run: run.clone(), new: false, deadline })
}

fn deadline(claimed_at: Timestamp, pod: &RunPod) -> Result<Timestamp, Refusal> {
    let beyond = |_| Refusal::forbidden("DeadlinePassed", "status.run.claimedAt lies beyond all time.");
    claimed_at.checked_add(pod.timeout).map_err(beyond)
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use crds::deployment::{Cancel, Phase};
    use jiff::SignedDuration;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use proptest::prelude::*;

    use super::*;
    use crate::claim::fake::{self, NOW};

    fn pod() -> RunPod {
        let timeout = SignedDuration::from_mins(30);
        RunPod { uid: "pod-1".into(), deployment: "blog-1".into(), timeout }
    }

    fn run(attempt: u32, instance: &str, pod: &str) -> Run {
        let claimed_at = NOW - SignedDuration::from_mins(10);
        Run {
            attempt,
            instance: instance.into(),
            pod_uid: pod.into(),
            claimed_at,
            deadline: None,
            seq: 7,
            progress: None,
            step: None,
            result: None,
        }
    }

    type Change = fn(&mut Deployment, &mut Service);

    fn decide_changed(change: Change) -> Result<Grant, Refusal> {
        let (mut deployment, mut service) = (fake::deployment(), fake::service());
        change(&mut deployment, &mut service);
        decide(&fake::ask(), &pod(), Some(&deployment), Some(&service), NOW)
    }

    fn status(deployment: &mut Deployment) -> &mut crds::DeploymentStatus {
        deployment.status.as_mut().unwrap()
    }

    #[test]
    fn a_run_whose_turn_it_is_is_granted() {
        let grant = decide_changed(|_, _| {}).unwrap();
        let run = Run {
            attempt: 1,
            instance: "i-1".into(),
            pod_uid: "pod-1".into(),
            claimed_at: NOW,
            deadline: Some(NOW + SignedDuration::from_mins(30)),
            seq: 0,
            progress: None,
            step: None,
            result: None,
        };
        assert_eq!(grant, Grant { run, new: true, deadline: NOW + SignedDuration::from_mins(30) });
    }

    #[test]
    fn a_new_attempt_follows_an_older_ones_claim() {
        let (mut deployment, service) = (fake::deployment(), fake::service());
        status(&mut deployment).attempt = Some(2);
        status(&mut deployment).run = Some(run(1, "i-0", "pod-0"));
        let ask = Ask { attempt: 2, ..fake::ask() };
        let grant = decide(&ask, &pod(), Some(&deployment), Some(&service), NOW).unwrap();
        assert_eq!((grant.new, grant.run.attempt, grant.run.seq), (true, 2, 0));
    }

    #[test]
    fn the_same_process_hears_the_same_answer_again() {
        let grant = decide_changed(|d, _| status(d).run = Some(run(1, "i-1", "pod-1"))).unwrap();
        let expected =
            Grant { run: run(1, "i-1", "pod-1"), new: false, deadline: NOW + SignedDuration::from_mins(20) };
        assert_eq!(grant, expected);
    }

    #[test]
    fn the_deadline_that_was_written_stays() {
        let written = NOW + SignedDuration::from_mins(5);
        let (mut deployment, service) = (fake::deployment(), fake::service());
        status(&mut deployment).run = Some(Run { deadline: Some(written), ..run(1, "i-1", "pod-1") });
        let grant = decide(&fake::ask(), &pod(), Some(&deployment), Some(&service), NOW).unwrap();
        assert_eq!((grant.new, grant.deadline), (false, written));
        let refusal = decide(&fake::ask(), &pod(), Some(&deployment), Some(&service), written).unwrap_err();
        assert_eq!(refusal.reason, "DeadlinePassed");
    }

    #[test]
    fn everything_else_is_refused() {
        let cases: [(&str, u16, &str, Change); 19] = [
            ("another uid", 403, "NotThisRun", |d, _| d.metadata.uid = Some("uid-2".into())),
            ("no uid", 403, "NotThisRun", |d, _| d.metadata.uid = None),
            ("succeeded", 403, "Terminal", |d, _| status(d).phase = Some(Phase::Succeeded)),
            ("nothing done", 403, "Terminal", |d, _| status(d).phase = Some(Phase::NothingDone)),
            ("failed", 403, "Terminal", |d, _| status(d).phase = Some(Phase::Failed)),
            ("cancelled", 403, "Terminal", |d, _| status(d).phase = Some(Phase::Cancelled)),
            ("being deleted", 403, "Deleted", |d, _| d.metadata.deletion_timestamp = Some(Time(NOW))),
            ("to stop", 403, "Cancelled", |d, _| d.spec.cancel = Some(Cancel::AfterStep)),
            ("to stop now", 403, "Cancelled", |d, _| d.spec.cancel = Some(Cancel::Now)),
            ("no status", 403, "WrongAttempt", |d, _| d.status = None),
            ("no attempt", 403, "WrongAttempt", |d, _| status(d).attempt = None),
            ("a later attempt", 403, "WrongAttempt", |d, _| status(d).attempt = Some(2)),
            ("a later claim", 403, "WrongAttempt", |d, _| status(d).run = Some(run(2, "i-1", "pod-1"))),
            ("a Service without status", 403, "NotYourTurn", |_, s| s.status = None),
            ("a free lock", 403, "NotYourTurn", |_, s| s.status.as_mut().unwrap().active = None),
            ("another's lock", 403, "NotYourTurn", |_, s| {
                s.status.as_mut().unwrap().active.as_mut().unwrap().uid = "uid-2".into();
            }),
            ("another process", 409, "Fenced", |d, _| status(d).run = Some(run(1, "i-2", "pod-1"))),
            ("another pod", 409, "Fenced", |d, _| status(d).run = Some(run(1, "i-1", "pod-2"))),
            ("too late", 403, "DeadlinePassed", |d, _| {
                let claimed_at = NOW - SignedDuration::from_mins(30);
                status(d).run = Some(Run { claimed_at, ..run(1, "i-1", "pod-1") });
            }),
        ];
        for (name, code, reason, change) in cases {
            let refusal = decide_changed(change).expect_err(name);
            assert_eq!((refusal.status.as_u16(), refusal.reason), (code, reason), "{name}");
            assert!(refusal.message.ends_with('.'), "{name}: {}", refusal.message);
        }
        let (deployment, service) = (fake::deployment(), fake::service());
        let refusal = decide(&fake::ask(), &pod(), None, Some(&service), NOW).unwrap_err();
        assert_eq!(refusal.reason, "NotThisRun");
        let refusal = decide(&fake::ask(), &pod(), Some(&deployment), None, NOW).unwrap_err();
        assert_eq!(refusal.reason, "NotYourTurn");
    }

    #[test]
    fn a_claim_at_the_end_of_time_does_no_harm() {
        let refusal = decide_changed(|d, _| {
            status(d).run = Some(Run { claimed_at: Timestamp::MAX, ..run(1, "i-1", "pod-1") });
        });
        assert_eq!(refusal.unwrap_err().reason, "DeadlinePassed");
        assert!(
            decide(&fake::ask(), &pod(), Some(&fake::deployment()), Some(&fake::service()), Timestamp::MAX)
                .is_err()
        );
    }

    fn any_phase() -> impl Strategy<Value = Option<Phase>> {
        proptest::option::of(prop_oneof![
            4 => Just(Phase::Preparing),
            2 => Just(Phase::Running),
            1 => Just(Phase::Pending),
            1 => Just(Phase::Queued),
            1 => Just(Phase::Succeeded),
            1 => Just(Phase::NothingDone),
            1 => Just(Phase::Failed),
            1 => Just(Phase::Cancelled),
        ])
    }

    fn any_run() -> impl Strategy<Value = Option<Run>> {
        let run = (0_u32..4, 1_u8..3, 1_u8..3, -3_000_i64..3_000).prop_map(|(attempt, i, p, ago)| Run {
            claimed_at: NOW - SignedDuration::from_secs(ago),
            ..run(attempt, &format!("i-{i}"), &format!("pod-{p}"))
        });
        proptest::option::of(run)
    }

    /// Mostly the first one.
    fn mostly<T: Clone + std::fmt::Debug + 'static>(usual: T, other: T) -> impl Strategy<Value = T> {
        prop_oneof![5 => Just(usual), 1 => Just(other)]
    }

    prop_compose! {
        fn any_deployment()(
            uid in mostly("uid-1", "uid-2"),
            deleted in mostly(false, true),
            cancel in mostly(None, Some(Cancel::AfterStep)),
            has_status in mostly(true, false),
            phase in any_phase(),
            attempt in proptest::option::of(1_u32..4),
            run in any_run(),
        ) -> Deployment {
            let mut deployment = fake::deployment();
            deployment.metadata.uid = Some(uid.into());
            deployment.metadata.deletion_timestamp = deleted.then_some(Time(NOW));
            deployment.spec.cancel = cancel;
            *status(&mut deployment) = crds::DeploymentStatus { phase, attempt, run, ..Default::default() };
            if !has_status {
                deployment.status = None;
            }
            deployment
        }
    }

    prop_compose! {
        fn any_service()(there in mostly(true, false), active in mostly(Some("uid-1"), None), other in mostly(false, true)) -> Option<Service> {
            let mut service = fake::service();
            let status = service.status.as_mut().unwrap();
            match active {
                Some(uid) => status.active.as_mut().unwrap().uid = if other { "uid-2".into() } else { uid.into() },
                None => status.active = None,
            }
            there.then_some(service)
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// The conditions, written once more in another way.
        #[test]
        fn it_grants_if_and_only_if_all_conditions_hold(
            deployment in any_deployment(), service in any_service(), attempt in 1_u32..4, instance in 1_u8..3,
        ) {
            let ask = Ask { attempt, instance: format!("i-{instance}"), ..fake::ask() };
            let decision = decide(&ask, &pod(), Some(&deployment), service.as_ref(), NOW);

            let status = deployment.status.clone().unwrap_or_default();
            let active = service.and_then(|s| s.status).and_then(|s| s.active).map(|active| active.uid);
            let open = deployment.metadata.uid.as_deref() == Some("uid-1")
                && deployment.metadata.deletion_timestamp.is_none()
                && deployment.spec.cancel.is_none()
                && !status.phase.is_some_and(Phase::is_terminal)
                && status.attempt == Some(attempt)
                && active.as_deref() == Some("uid-1");
            let free = status.run.as_ref().is_none_or(|run| run.attempt < attempt);
            let mine = status.run.as_ref().is_some_and(|run| {
                run.attempt == attempt && run.instance == ask.instance && run.pod_uid == "pod-1"
                    && run.claimed_at + pod().timeout > NOW
            });
            prop_assert_eq!(decision.is_ok(), open && (free || mine), "{:?}", decision);
            match decision {
                Ok(grant) => {
                    prop_assert_eq!(grant.new, free);
                    prop_assert_eq!(grant.deadline, grant.run.claimed_at + pod().timeout);
                    prop_assert_eq!((grant.run.attempt, &grant.run.instance), (attempt, &ask.instance));
                }
                Err(refusal) => {
                    let fenced = refusal.status == StatusCode::CONFLICT;
                    prop_assert!(fenced || refusal.status == StatusCode::FORBIDDEN);
                    prop_assert!(!fenced || status.run.is_some_and(|run| run.attempt == attempt));
                }
            }
        }
    }
}
