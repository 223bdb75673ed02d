//! Faults, one by one and at every place where they can happen: crashes, deletions, stops, clocks that jump,
//! names that are used again. `docs/checklist.md` says which line of the checklist each of them is.

use super::*;

/// How far a run is when something happens to it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum At {
    Asked,
    Numbered,
    JobMade,
    PodMade,
    Claimed,
    Reported,
    Ended,
    Judged,
}

const EVERYWHERE: [At; 8] =
    [At::Asked, At::Numbered, At::JobMade, At::PodMade, At::Claimed, At::Reported, At::Ended, At::Judged];

fn service_pass(history: &mut History) {
    history.happen(&Step::Service { late: 0, cut: 99 });
}

fn deployments_pass(history: &mut History) {
    for nth in 0..history.world.deployments.len() {
        history.happen(&Step::Deployment { nth, late: 0, cut: 99 });
    }
}

/// A person asks, and the run gets that far.
fn ask_until(history: &mut History, at: At) -> String {
    let before: Vec<_> = history.world.deployments.keys().cloned().collect();
    history.happen(&Step::Ask);
    let name =
        history.world.deployments.keys().find(|name| !before.contains(name)).expect("it is new").clone();
    go_on_until(history, at);
    name
}

fn go_on_until(history: &mut History, at: At) {
    let steps: [&dyn Fn(&mut History); 7] = [
        &|history| {
            service_pass(history);
        },
        &|history| {
            for _ in 0..3 {
                deployments_pass(history);
                service_pass(history);
            }
        },
        &|history| history.happen(&Step::MakePods),
        &|history| {
            for nth in 0..history.world.pods.len() {
                history.happen(&Step::Claim(nth));
            }
        },
        &|history| history.happen(&Step::Report(working(history), true)),
        &|history| history.happen(&Step::End(working(history), true)),
        &|history| {
            deployments_pass(history);
        },
    ];
    for step in &steps[..EVERYWHERE.iter().position(|place| *place == at).expect("a place")] {
        step(history);
    }
}

/// The pod that works, if there is one.
fn working(history: &History) -> usize {
    history.world.pods.keys().position(|pod| history.at_work.contains_key(pod)).unwrap_or(usize::MAX)
}

/// Everything that must hold once all is quiet.
fn assert_rest(history: &History, what: &str) {
    let world = &history.world;
    let status = world.service.status.clone().unwrap_or_default();
    assert!(status.active.is_none(), "{what}: the lock is held for ever");
    for deployment in world.deployments.values() {
        let status = deployment.status.clone().unwrap_or_default();
        assert!(has_ended(&status), "{what}: {} never ends", deployment.name_any());
        assert!(deployment.finalizers().is_empty(), "{what}: {} is held for ever", deployment.name_any());
    }
    for job in world.jobs.values() {
        let owner = &job.owner_references()[0].uid;
        let is_there = world.deployments.values().any(|d| d.uid().as_ref() == Some(owner));
        assert!(is_there, "{what}: Job {} is left over", job.name_any());
    }
    let (ready, _, reason) = says(history);
    assert_ne!(ready, "Unknown", "{what}: at rest, it is known whether the Service is ready ({reason})");
}

/// F1, F2: between every pair of writes, and after each one whose answer is lost: the next pass starts from nothing.
#[test]
fn a_crash_at_any_write_changes_nothing() {
    let told = |crash: Option<usize>| {
        let mut history =
            History::with(&json!({"deploy": "OnChange", "retries": {"limit": 1, "backoff": "30s"}}));
        history.crash_after = crash;
        history.come_to_rest();
        history.happen(&Step::Edit(1));
        history.come_to_rest();
        history.happen(&Step::Ask);
        history.happen(&Step::Preview);
        history.come_to_rest();
        assert_rest(&history, &format!("crash after write {crash:?}"));
        history
    };
    let whole = told(None);
    assert!(whole.written > 20, "expected many writes, saw {}", whole.written);
    for crash in 0..whole.written {
        let other = told(Some(crash));
        assert_eq!(other.started.len(), whole.started.len(), "runs, after a crash at write {crash}");
        assert_eq!(says(&other), says(&whole), "after a crash at write {crash}");
        let live = |history: &History| {
            history.world.service.status.clone().unwrap_or_default().live.map(|l| l.digest)
        };
        assert_eq!(live(&other), live(&whole), "after a crash at write {crash}");
    }
}

/// F13: deleted at each phase, with the database there or away: gone in the end, and nothing stays behind.
#[test]
fn a_deployment_can_be_deleted_at_any_time() {
    for database_away in [false, true] {
        for at in EVERYWHERE {
            let what = format!("deleted at {at:?}, database away: {database_away}");
            let mut history = History::new("Manual");
            history.happen(&Step::Database(database_away));
            let name = ask_until(&mut history, at);
            let nth = history.world.deployments.keys().position(|key| *key == name).expect("it is there");
            history.happen(&Step::Delete(nth));
            history.come_to_rest();
            assert!(!history.world.deployments.contains_key(&name), "{what}: it is still there");
            assert_rest(&history, &what);
            assert!(history.world.jobs.is_empty(), "{what}: its Job is left over");
            // Who comes after it is not in its way.
            history.happen(&Step::Ask);
            history.come_to_rest();
            assert_rest(&history, &what);
            let live = history.world.service.status.clone().unwrap_or_default().live;
            assert!(live.is_some(), "{what}: the next one did not run");
        }
    }
}

/// F20: stopped at each phase, both ways, twice, and while the Service is suspended.
#[test]
fn a_run_can_be_stopped_at_any_time() {
    for suspended in [false, true] {
        for now in [false, true] {
            for at in EVERYWHERE {
                let what = format!("stopped at {at:?}, now: {now}, suspended: {suspended}");
                let mut history = History::new("Manual");
                let name = ask_until(&mut history, at);
                history.happen(&Step::Suspend(suspended));
                for _ in 0..2 {
                    let nth =
                        history.world.deployments.keys().position(|key| *key == name).expect("it is there");
                    history.happen(&Step::Cancel(nth, now));
                }
                let started = history.started.len();
                for _ in 0..3 {
                    deployments_pass(&mut history);
                    service_pass(&mut history);
                }
                let told = history
                    .world
                    .pods
                    .values()
                    .any(|p| p.annotations().contains_key(names::ANNOTATION_CANCEL));
                assert_eq!(told, at == At::Claimed, "{what}: whether the pod is asked to stop");
                // It does as it is asked.
                history.happen(&Step::End(working(&history), false));
                history.happen(&Step::MakePods);
                for nth in 0..history.world.pods.len() {
                    history.happen(&Step::Claim(nth));
                }
                assert_eq!(history.started.len(), started, "{what}: it began after it was stopped");
                history.come_to_rest();
                assert_rest(&history, &what);
                let status = history.world.deployments[&name].status.clone().unwrap_or_default();
                // A result that is there already beats a cancel.
                let done = [At::Reported, At::Ended, At::Judged].contains(&at);
                let wanted = if done { Phase::Succeeded } else { Phase::Cancelled };
                assert_eq!(status.phase, Some(wanted), "{what}: {:?}", status.failure);
            }
        }
    }
}

/// F11: the clock jumps an hour ahead or back. Whatever time-outs follow: no run twice, none for ever.
#[test]
fn a_clock_that_jumps_loses_nothing() {
    for hours in [-1, 1] {
        for at in EVERYWHERE {
            let what = format!("{hours} h at {at:?}");
            let mut history =
                History::with(&json!({"deploy": "OnChange", "retries": {"limit": 1, "backoff": "30s"}}));
            ask_until(&mut history, at);
            // What the runner's own clock (since boot) allows does not jump.
            let jump = SignedDuration::from_hours(hours);
            history.world.now += jump;
            for until in history.at_work.values_mut() {
                *until += jump;
            }
            for _ in 0..3 {
                service_pass(&mut history);
                deployments_pass(&mut history);
            }
            history.come_to_rest();
            assert_rest(&history, &what);
            let status = history.world.service.status.clone().unwrap_or_default();
            assert!(status.live.is_some(), "{what}: nothing is live");
        }
    }
}

/// F6: deleted and made again under the same name, while an old pass is on its way: it does not touch the new one.
#[test]
fn another_one_of_the_same_name_is_another_one() {
    for at in EVERYWHERE {
        let what = format!("an old pass from {at:?}");
        let mut history = History::new("Manual");
        let name = ask_until(&mut history, at);
        let old = history.world.clone();
        let old_uid = old.deployments[&name].uid();
        let nth = history.world.deployments.keys().position(|key| *key == name).expect("it is there");
        history.happen(&Step::Delete(nth));
        history.come_to_rest();
        assert!(!history.world.deployments.contains_key(&name), "{what}: it is gone");
        history.create(Deployment::new(&name, DeploymentSpec::of("blog")));
        assert_ne!(history.world.deployments[&name].uid(), old_uid);
        let before = history.world.deployments[&name].clone();

        let plan = old.deployment_plan(&name, false);
        history.carry_out(None, Some(&name), plan.writes, 99);
        let plan = old.service_plan();
        history.carry_out(old.service.metadata.resource_version.as_ref(), None, plan.writes, 99);
        assert_eq!(history.world.deployments.get(&name), Some(&before), "{what}");
        let foreign =
            |job: &&Job| job.owner_references().iter().any(|owner| Some(&owner.uid) == old_uid.as_ref());
        assert_eq!(history.world.jobs.values().filter(foreign).count(), 0, "{what}");
        history.come_to_rest();
        assert_rest(&history, &what);
        assert_eq!(history.ended.get(&before.uid().unwrap_or_default()), Some(&Phase::Succeeded), "{what}");
    }
}

/// F9: what has ended stays ended, whatever its pod or its reports say later.
#[test]
fn a_late_word_changes_no_verdict() {
    let mut history = History::new("Manual");
    let name = ask_until(&mut history, At::Claimed);
    let pod = working(&history);
    history.happen(&Step::End(pod, false));
    deployments_pass(&mut history);
    let verdict = history.world.deployments[&name].status.clone().unwrap_or_default().phase;
    assert_eq!(verdict, Some(Phase::Failed));
    history.happen(&Step::Report(pod, true));
    history.come_to_rest();
    assert_eq!(history.world.deployments[&name].status.clone().unwrap_or_default().phase, verdict);
}

/// F7: the Job and its pod are deleted by somebody: the run has an end, and a cause.
#[test]
fn a_job_that_somebody_deletes_is_no_riddle() {
    for at in [At::JobMade, At::PodMade, At::Claimed] {
        let mut history = History::new("Manual");
        let name = ask_until(&mut history, at);
        history.happen(&Step::DeleteJob(0));
        history.come_to_rest();
        assert_rest(&history, &format!("its Job deleted at {at:?}"));
        let status = history.world.deployments[&name].status.clone().unwrap_or_default();
        if at == At::Claimed {
            assert_eq!(status.failure.map(|failure| failure.reason).as_deref(), Some("RunnerLost"));
        }
    }
}

/// F12: what Kubernetes does not let be made is told; a quota is waited for, other faults are not for long.
#[test]
fn what_kubernetes_refuses_is_told() {
    let word = |history: &History, name: &str| {
        let status = history.world.deployments[name].status.clone().unwrap_or_default();
        (status.phase, status.reason.unwrap_or_default())
    };
    let preparing = |reason: &str| (Some(Phase::Preparing), reason.to_owned());
    let failed = |reason: &str| (Some(Phase::Failed), reason.to_owned());
    for at in [At::Numbered, At::JobMade] {
        for (quota, reason) in [(true, "QuotaExceeded"), (false, "PodRefused")] {
            let what = format!("{reason} from {at:?}");
            let mut history = History::new("Manual");
            let name = ask_until(&mut history, at);
            history.happen(&Step::Refuse(Some(quota)));
            (0..4).for_each(|_| history.look());
            assert_eq!(word(&history, &name), preparing(reason), "{what}");
            let mut mended = History { world: history.world.clone(), ..History::new("Manual") };
            mended.locked.clone_from(&history.locked);
            mended.happen(&Step::Refuse(None));
            mended.come_to_rest();
            assert_eq!(word(&mended, &name).0, Some(Phase::Succeeded), "{what}: goes on by itself");
            history.happen(&Step::Wait(29));
            history.look();
            assert_eq!(word(&history, &name), preparing(reason), "{what}: patience");
            history.happen(&Step::Wait(1));
            history.look();
            assert_eq!(
                word(&history, &name),
                if quota { preparing(reason) } else { failed(reason) },
                "{what}"
            );
            history.happen(&Step::Wait(270));
            history.look();
            assert_eq!(word(&history, &name), failed(reason), "{what}: given up");
            history.happen(&Step::Refuse(None));
            history.come_to_rest();
            assert_rest(&history, &what);
            assert!(history.started.is_empty(), "{what}: it ran");
        }
    }
    // Whoever does not want it any more is heard.
    let mut history = History::new("Manual");
    let name = ask_until(&mut history, At::Numbered);
    history.happen(&Step::Refuse(Some(true)));
    (0..4).for_each(|_| history.look());
    history.happen(&Step::Cancel(0, false));
    history.look();
    assert_eq!(word(&history, &name), (Some(Phase::Cancelled), "Cancelled".to_owned()));
}

/// What a Service and its Deployments say while they wait.
#[test]
fn whoever_waits_says_for_what() {
    let mut history = History::new("Manual");
    ask_until(&mut history, At::Claimed);
    service_pass(&mut history);
    assert_eq!(says(&history).2, "DeploymentRunning");
    history.happen(&Step::Lose(working(&history)));
    deployments_pass(&mut history);
    service_pass(&mut history);
    assert_eq!(says(&history).2, "WaitingForLostRunner");

    let mut history = History::new("Manual");
    history.happen(&Step::Room(false));
    let name = ask_until(&mut history, At::JobMade);
    let waiting = |history: &History| {
        let status = history.world.deployments[&name].status.clone().unwrap_or_default();
        status.waiting_for.map(|waiting| waiting.reason)
    };
    assert_eq!(waiting(&history).as_deref(), Some("WaitingForSlot"));
    history.come_to_rest();
    assert_eq!(waiting(&history), None);

    let mut history = History::new("OnChange");
    let input = json!([{"name": "version", "type": "text", "required": true}]);
    history.world.service.spec.inputs = serde_json::from_value(input).expect("inputs");
    service_pass(&mut history);
    service_pass(&mut history);
    assert_eq!(says(&history), said(["True", "False", "InputRequired"]));
    assert!(history.world.deployments.is_empty(), "nobody but a person can answer");
}
