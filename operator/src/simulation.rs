//! A world in memory, for tests of the decisions only: random histories of edits, observations that
//! are late, crashes between any two writes, pods that come, claim, end and vanish. Whatever
//! happens, two runs of a Service are never on at once, an attempt runs Ansible once, what has
//! ended stays ended, numbers never repeat, and once the faults stop everything comes to rest.

mod faults;

use std::collections::{BTreeMap, BTreeSet};

use crds::{
    Deployment, DeploymentStatus, Phase, Reason, Service,
    deployment::{Approval, Cancel, Decision, DeploymentSpec, Mode, NumberRef, Run},
    kstatus, names,
};
use frozen::Named;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::{
        batch::v1::{Job, JobStatus},
        core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Pod, PodStatus},
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time},
};
use kube::ResourceExt;
use proptest::prelude::*;
use serde_json::json;

use crate::{
    deployment::{self, build::Installation, refusal::Refusal},
    lock, service,
    world::Write,
};

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    /// The author changes the playbook.
    Edit(u8),
    /// The author suspends or resumes.
    Suspend(bool),
    /// A person asks for a run.
    Ask,
    /// A person asks for a preview.
    Preview,
    /// A person wants that number again.
    Repeat(i64),
    /// A person agrees to the nth Deployment, or refuses it.
    Decide(usize, bool),
    /// Other teams leave room for one more run, or none.
    Room(bool),
    /// A person stops the nth Deployment.
    Cancel(usize, bool),
    /// A person deletes the nth Deployment.
    Delete(usize),
    /// A pass over the Service on what was seen so many steps ago, cut off after so many writes.
    Service { late: usize, cut: usize },
    /// The same over the nth Deployment.
    Deployment { nth: usize, late: usize, cut: usize },
    /// Kubernetes makes the pods of Jobs.
    MakePods,
    /// The nth pod asks for permission to start Ansible.
    Claim(usize),
    /// The nth pod ends; with a result, or without.
    End(usize, bool),
    /// The api-server writes the final report of the nth pod's run, while the pod still works on.
    Report(usize, bool),
    /// The nth pod, and all trace of its end, is gone.
    Vanish(usize),
    /// The nth pod's object is forced away, its node is out of reach: what it does goes on.
    Lose(usize),
    /// Somebody deletes the nth Job.
    DeleteJob(usize),
    /// Somebody changes a server, or undoes that.
    Drift(bool),
    /// The database goes away, or comes back.
    Database(bool),
    /// Kubernetes lets no Job and no pod be made: for a quota, for another reason, or it does again.
    Refuse(Option<bool>),
    /// Time passes.
    Wait(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let cut = prop_oneof![3 => Just(99_usize), 2 => 0..5_usize];
    let late = prop_oneof![3 => Just(0_usize), 1 => 1..6_usize];
    prop_oneof![
        1 => (0..4_u8).prop_map(Step::Edit),
        1 => any::<bool>().prop_map(Step::Suspend),
        2 => Just(Step::Ask),
        1 => Just(Step::Preview),
        1 => (1..6_i64).prop_map(Step::Repeat),
        2 => (0..6_usize, any::<bool>()).prop_map(|(n, yes)| Step::Decide(n, yes)),
        1 => any::<bool>().prop_map(Step::Room),
        1 => (0..6_usize, any::<bool>()).prop_map(|(n, now)| Step::Cancel(n, now)),
        1 => (0..6_usize).prop_map(Step::Delete),
        8 => (late.clone(), cut.clone()).prop_map(|(late, cut)| Step::Service { late, cut }),
        12 => (0..6_usize, late, cut).prop_map(|(nth, late, cut)| Step::Deployment { nth, late, cut }),
        4 => Just(Step::MakePods),
        5 => (0..4_usize).prop_map(Step::Claim),
        3 => (0..4_usize, any::<bool>()).prop_map(|(n, good)| Step::End(n, good)),
        2 => (0..4_usize, any::<bool>()).prop_map(|(n, good)| Step::Report(n, good)),
        1 => (0..4_usize).prop_map(Step::Vanish),
        1 => (0..4_usize).prop_map(Step::Lose),
        1 => (0..4_usize).prop_map(Step::DeleteJob),
        1 => any::<bool>().prop_map(Step::Drift),
        1 => any::<bool>().prop_map(Step::Database),
        1 => any::<Option<bool>>().prop_map(Step::Refuse),
        2 => (1..4_000_u32).prop_map(Step::Wait),
    ]
}

#[derive(Clone)]
struct World {
    now: Timestamp,
    clock: u64,
    service: Service,
    room: bool,
    /// The servers are not as the last run left them.
    drifted: bool,
    /// No run helps against that.
    stubborn: bool,
    database_away: bool,
    refused: Option<Refusal>,
    deployments: BTreeMap<String, Deployment>,
    jobs: BTreeMap<String, Job>,
    pods: BTreeMap<String, Pod>,
}

struct History {
    world: World,
    past: Vec<World>,
    /// Attempts that were allowed to start Ansible.
    started: Vec<(String, u32)>,
    /// Until when the pods that were allowed to start Ansible may be at work; gone with their end.
    at_work: BTreeMap<String, Timestamp>,
    /// Pods that have sent their final report: Ansible has ended there, the pod has not.
    reported: BTreeSet<String>,
    /// Numbers that were given, by uid.
    numbers: BTreeMap<String, i64>,
    ended: BTreeMap<String, Phase>,
    /// Who ever held the lock.
    locked: Vec<String>,
    /// Which was live last.
    live: Option<String>,
    /// How many writes there were.
    written: usize,
    /// The pass that makes this write goes no further, once.
    crash_after: Option<usize>,
    /// Kubernetes did not let a Job be made, just now.
    turned_away: bool,
}

impl World {
    fn new(policy: &serde_json::Value) -> Self {
        let mut rules = json!({"timeout": "10m", "prepareTimeout": "5m"});
        rules.as_object_mut().expect("rules").extend(policy.as_object().expect("rules").clone());
        let service = serde_json::from_value(json!({
            "apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Service",
            "metadata": {"name": "blog", "namespace": "team", "uid": "service", "generation": 1, "resourceVersion": "0"},
            "spec": {
                "source": {"inline": {"deploy.yml": "0"}}, "playbook": "deploy.yml", "inventory": {"local": true},
                "policy": rules,
            },
        }))
        .expect("a Service");
        Self {
            now: Timestamp::UNIX_EPOCH,
            clock: 0,
            service,
            room: true,
            drifted: false,
            stubborn: false,
            database_away: false,
            refused: None,
            deployments: BTreeMap::new(),
            jobs: BTreeMap::new(),
            pods: BTreeMap::new(),
        }
    }

    fn tick(&mut self) -> String {
        self.clock += 1;
        self.clock.to_string()
    }

    fn service_plan(&self) -> crate::plan::Plan {
        let active = self.service.status.as_ref().and_then(|s| s.active.clone());
        let of_active =
            |pod: &&Pod| active.as_ref().is_some_and(|a| pod.labels()[names::LABEL_DEPLOYMENT] == a.name);
        let observed = service::decide::Observed {
            now: self.now,
            deployments: self.deployments.values().cloned().collect(),
            jobs: self.jobs.values().cloned().collect(),
            pods: self.pods.values().filter(of_active).cloned().collect(),
            archive: service::history::Archive::None,
            dependencies: Vec::new(),
            circle: None,
            waiting: 0,
            room: self.room,
            database_away: self.database_away,
            answered: true,
            wanted: frozen::want(&self.service, &Named::default(), b"key"),
        };
        service::decide::decide(&self.service, &observed)
    }

    /// `answered`: a write of this pass was refused.
    fn deployment_plan(&self, name: &str, answered: bool) -> crate::plan::Plan {
        let deployment = &self.deployments[name];
        let status = deployment.status.clone().unwrap_or_default();
        let attempt = status.attempt.unwrap_or(0);
        let of_run = |pod: &&Pod| pod.labels()[names::LABEL_DEPLOYMENT] == name;
        let waits =
            self.jobs.contains_key(&names::job(name, attempt)) && !self.pods.values().any(|p| of_run(&p));
        let observed = deployment::decide::Observed {
            now: self.now,
            service: Some(self.service.clone()),
            wanted: Some(frozen::want(&self.service, &Named::default(), b"key")),
            job: self.jobs.get(&names::job(name, attempt)).cloned(),
            pods: self.pods.values().filter(of_run).cloned().collect(),
            installation: Installation::default(),
            repeated: deployment.spec.repeat.map(|repeat| self.earlier(repeat.number)),
            secrets: deployment::answers::Secrets::None,
            refs: deployment::answers::Known::Nothing,
            room: self.room,
            refused: self.refused.clone().filter(|_| answered || waits),
        };
        deployment::decide::decide(deployment, &observed)
    }

    fn earlier(&self, number: i64) -> Result<deployment::decide::Repeated, frozen::Fault> {
        let has_number = |d: &&Deployment| d.status.as_ref().and_then(|status| status.number) == Some(number);
        let gone = frozen::Fault { reason: Reason::BundleNotFound, message: "gone".into() };
        let status = self.deployments.values().find(has_number).and_then(|d| d.status.clone());
        let digest = status.clone().and_then(|status| status.digest).ok_or(gone)?;
        let mut bundle = frozen::want(&self.service, &Named::default(), b"key")?.bundle;
        bundle.digest = digest;
        deployment::decide::repeated(number, &status.unwrap_or_default(), bundle, false, false)
    }

    /// What the runner of a pod says: a check says what would change.
    fn verdict(&self, pod_name: &str, good: bool) -> String {
        let result = if good { "Succeeded" } else { "Failed" };
        let name = self.pods.get(pod_name).map(|pod| pod.labels()[names::LABEL_DEPLOYMENT].clone());
        let check = name.and_then(|n| self.deployments.get(&n)).is_some_and(|d| d.spec.mode == Mode::Check);
        let step = json!([{"key": "deploy.yml:1#1", "name": "Write", "state": "Succeeded", "ok": 1,
            "changed": u32::from(check && self.drifted)}]);
        let steps: Vec<protocol::verdict::Step> = serde_json::from_value(step).expect("a step");
        let packed = protocol::verdict::pack_steps(&steps, 1_000);
        json!({"protocol": 1, "instance": pod_name, "result": result, "startedAt": self.now, "stepsTotal": 1,
            "hosts": {"total": 1, "ok": 1, "failed": 0, "unreachable": 0}, "steps": packed})
        .to_string()
    }

    fn make_pods(&mut self) {
        if self.refused.is_some() {
            return;
        }
        let jobs: Vec<Job> = self.jobs.values().cloned().collect();
        for job in jobs {
            let name = job.name_any();
            let counted =
                job.status.as_ref().is_some_and(|s| s.failed.unwrap_or(0) + s.succeeded.unwrap_or(0) > 0);
            if counted || self.pods.values().any(|pod| pod.owner_references()[0].name == name) {
                continue;
            }
            let uid = format!("pod-{}", self.tick());
            let owner =
                OwnerReference { name, uid: job.uid().unwrap_or_default(), ..OwnerReference::default() };
            let pod = Pod {
                metadata: ObjectMeta {
                    name: Some(uid.clone()),
                    uid: Some(uid.clone()),
                    labels: job.metadata.labels.clone(),
                    owner_references: Some(vec![owner]),
                    creation_timestamp: Some(Time(self.now)),
                    ..ObjectMeta::default()
                },
                ..Pod::default()
            };
            self.pods.insert(uid, pod);
        }
    }
}

impl History {
    fn new(policy: &str) -> Self {
        Self::with(&json!({ "deploy": policy }))
    }

    fn with(policy: &serde_json::Value) -> Self {
        Self {
            world: World::new(policy),
            past: Vec::new(),
            started: Vec::new(),
            at_work: BTreeMap::new(),
            reported: BTreeSet::new(),
            numbers: BTreeMap::new(),
            ended: BTreeMap::new(),
            locked: Vec::new(),
            live: None,
            written: 0,
            crash_after: None,
            turned_away: false,
        }
    }

    fn nth<T>(map: &BTreeMap<String, T>, nth: usize) -> Option<String> {
        map.keys().nth(nth).cloned()
    }

    fn seen(&self, late: usize) -> &World {
        match self.past.len().checked_sub(late) {
            Some(at) if late > 0 => self.past.get(at).unwrap_or(&self.world),
            _ => &self.world,
        }
    }

    fn happen(&mut self, step: &Step) {
        self.past.push(self.world.clone());
        let world = &mut self.world;
        match step {
            Step::Edit(text) => {
                let files = world.service.spec.source.inline.get_or_insert_default();
                files.insert("deploy.yml".into(), crds::source::FileContent(text.to_string()));
                *world.service.metadata.generation.get_or_insert(1) += 1;
                world.service.metadata.resource_version = Some(world.tick());
            }
            Step::Suspend(suspend) => {
                world.service.spec.suspend = *suspend;
                *world.service.metadata.generation.get_or_insert(1) += 1;
                world.service.metadata.resource_version = Some(world.tick());
            }
            Step::Ask => {
                let deployment =
                    Deployment::new(&format!("by-hand-{}", world.clock), DeploymentSpec::of("blog"));
                self.create(deployment);
            }
            Step::Preview => {
                let spec = DeploymentSpec { mode: Mode::Check, ..DeploymentSpec::of("blog") };
                let deployment = Deployment::new(&format!("preview-{}", world.clock), spec);
                self.create(deployment);
            }
            Step::Repeat(number) => {
                let repeat = Some(NumberRef { number: *number });
                let spec = DeploymentSpec { repeat, ..DeploymentSpec::of("blog") };
                let deployment = Deployment::new(&format!("again-{}", world.clock), spec);
                self.create(deployment);
            }
            Step::Decide(nth, yes) => {
                let version = world.tick();
                if let Some(name) = Self::nth(&world.deployments, *nth) {
                    let deployment = world.deployments.get_mut(&name).expect("it is there");
                    let digest = deployment.status.as_ref().and_then(|status| status.digest.clone());
                    let decision = if *yes { Decision::Approved } else { Decision::Rejected };
                    let approval =
                        Approval { decision, digest: digest.unwrap_or_default(), by: "bob".into() };
                    deployment.spec.approval.get_or_insert(approval);
                    *deployment.metadata.generation.get_or_insert(1) += 1;
                    deployment.metadata.resource_version = Some(version);
                }
            }
            Step::Room(room) => world.room = *room,
            Step::Drift(drifted) => world.drifted = *drifted,
            Step::Database(away) => world.database_away = *away,
            Step::Cancel(nth, now) => {
                let version = world.tick();
                if let Some(name) = Self::nth(&world.deployments, *nth) {
                    let deployment = world.deployments.get_mut(&name).expect("it is there");
                    let cancel = if *now { Cancel::Now } else { Cancel::AfterStep };
                    deployment.spec.cancel = deployment.spec.cancel.max(Some(cancel));
                    *deployment.metadata.generation.get_or_insert(1) += 1;
                    deployment.metadata.resource_version = Some(version);
                }
            }
            Step::Delete(nth) => {
                if let Some(name) = Self::nth(&world.deployments, *nth) {
                    self.delete_deployment(&name);
                }
            }
            Step::Service { late, cut } => {
                let seen = self.seen(*late);
                let version = seen.service.metadata.resource_version.clone();
                let plan = seen.service_plan();
                self.carry_out(version.as_ref(), None, plan.writes, *cut);
            }
            Step::Deployment { nth, late, cut } => {
                let seen = self.seen(*late);
                if let Some(name) = Self::nth(&seen.deployments, *nth) {
                    let seen = seen.clone();
                    let plan = seen.deployment_plan(&name, false);
                    let makes_a_job = plan.writes.iter().any(|write| matches!(write, Write::CreateJob(_)));
                    assert!(!makes_a_job || plan.look_again.is_some(), "a pod that does not come is no news");
                    self.carry_out(None, Some(&name), plan.writes, *cut);
                    if std::mem::take(&mut self.turned_away) {
                        let now = World { refused: self.world.refused.clone(), ..seen };
                        let plan = now.deployment_plan(&name, true);
                        self.carry_out(None, Some(&name), plan.writes, *cut);
                    }
                }
            }
            Step::Refuse(quota) => {
                world.refused = quota.map(|quota| Refusal {
                    reason: if quota { Reason::QuotaExceeded } else { Reason::PodRefused },
                    message: "forbidden".into(),
                });
            }
            Step::MakePods => world.make_pods(),
            Step::Claim(nth) => {
                if let Some(pod) = Self::nth(&world.pods, *nth) {
                    self.claim(&pod);
                }
            }
            Step::End(nth, good) => {
                if let Some(pod) = Self::nth(&world.pods, *nth) {
                    self.end(&pod, *good);
                }
            }
            Step::Report(nth, good) => {
                if let Some(pod) = Self::nth(&world.pods, *nth) {
                    self.report(&pod, *good);
                }
            }
            Step::Vanish(nth) => {
                // Only what has ended can be gone for good: the kubelet sees to that.
                if let Some(name) = Self::nth(&world.pods, *nth)
                    && lock::pod_ended(&world.pods[&name])
                {
                    world.pods.remove(&name);
                }
            }
            Step::Lose(nth) => {
                if let Some(name) = Self::nth(&world.pods, *nth) {
                    world.pods.remove(&name);
                }
            }
            Step::DeleteJob(nth) => {
                if let Some(name) = Self::nth(&world.jobs, *nth) {
                    self.delete_job(&name);
                }
            }
            Step::Wait(seconds) => {
                world.now += SignedDuration::from_secs(i64::from(*seconds));
                // The runner enforces its deadline itself.
                let now = world.now;
                let late = self.at_work.iter().filter(|(_, until)| now >= **until);
                let late: Vec<_> = late.map(|(pod, _)| pod.clone()).collect();
                for pod in late {
                    self.end(&pod, false);
                }
            }
        }
        self.check();
    }

    fn create(&mut self, mut deployment: Deployment) {
        let version = self.world.tick();
        let name = deployment.name_any();
        if self.world.deployments.contains_key(&name) {
            return;
        }
        deployment.metadata.uid = Some(format!("uid-{version}"));
        deployment.metadata.namespace = Some("team".into());
        deployment.metadata.resource_version = Some(version);
        deployment.metadata.generation = Some(1);
        deployment.metadata.creation_timestamp = Some(Time(self.world.now));
        self.world.deployments.insert(name, deployment);
    }

    fn delete_deployment(&mut self, name: &str) {
        let version = self.world.tick();
        let now = self.world.now;
        let Some(deployment) = self.world.deployments.get_mut(name) else { return };
        deployment.metadata.deletion_timestamp.get_or_insert(Time(now));
        deployment.metadata.resource_version = Some(version);
        self.collect(name);
    }

    /// Garbage collection, once nothing holds the object any more.
    fn collect(&mut self, name: &str) {
        let deployment = &self.world.deployments[name];
        if deployment.metadata.deletion_timestamp.is_none() || !deployment.finalizers().is_empty() {
            return;
        }
        self.world.deployments.remove(name);
        let jobs: Vec<_> =
            self.world.jobs.keys().filter(|job| job.starts_with(&format!("{name}-a"))).cloned().collect();
        for job in jobs {
            self.delete_job(&job);
        }
    }

    fn delete_job(&mut self, name: &str) {
        self.world.jobs.remove(name);
        let pods: Vec<_> = self
            .world
            .pods
            .iter()
            .filter(|(_, pod)| pod.owner_references()[0].name == name)
            .map(|(key, _)| key.clone())
            .collect();
        for pod in pods {
            self.end(&pod, false);
            self.world.pods.remove(&pod);
        }
    }

    /// What the api-server does: one guarded write, so it always sees the world as it is.
    fn claim(&mut self, pod_name: &str) {
        let world = &mut self.world;
        let pod = &world.pods[pod_name];
        if lock::pod_ended(pod) {
            return;
        }
        let attempt: u32 = pod.labels()[names::LABEL_ATTEMPT].parse().expect("a number");
        let active = world.service.status.as_ref().and_then(|s| s.active.clone());
        let version = (world.clock + 1).to_string();
        let Some(deployment) = world.deployments.get_mut(&pod.labels()[names::LABEL_DEPLOYMENT]) else {
            return;
        };
        let status = deployment.status.clone().unwrap_or_default();
        let granted = deployment.metadata.deletion_timestamp.is_none()
            && deployment.spec.cancel.is_none()
            && !status.phase.is_some_and(Phase::is_terminal)
            && status.attempt == Some(attempt)
            && status.run.as_ref().is_none_or(|run| run.attempt < attempt)
            && active.is_some_and(|active| Some(&active.uid) == deployment.uid().as_ref());
        if !granted {
            return;
        }
        self.at_work.insert(pod_name.into(), world.now + SignedDuration::from_mins(10));
        let run = Run {
            attempt,
            instance: pod_name.into(),
            pod_uid: pod_name.into(),
            claimed_at: world.now,
            deadline: Some(world.now + SignedDuration::from_mins(10)),
            seq: 0,
            progress: None,
            step: None,
            result: None,
        };
        deployment.status.get_or_insert_default().run = Some(run);
        deployment.metadata.resource_version = Some(version);
        let started = (deployment.uid().unwrap_or_default(), attempt);
        world.tick();
        assert!(!self.started.contains(&started), "Ansible ran twice for {started:?}");
        self.started.push(started);
    }

    fn report(&mut self, pod_name: &str, good: bool) {
        let version = self.world.tick();
        let result = self.world.verdict(pod_name, good);
        let of_pod = |d: &&mut Deployment| {
            d.status.as_ref().and_then(|s| s.run.as_ref()).is_some_and(|run| run.pod_uid == pod_name)
        };
        let Some(deployment) = self.world.deployments.values_mut().find(of_pod) else { return };
        let run = deployment.status.as_mut().and_then(|status| status.run.as_mut()).expect("it has one");
        run.result = Some(result);
        self.reported.insert(pod_name.to_owned());
        deployment.metadata.resource_version = Some(version);
    }

    fn end(&mut self, pod_name: &str, good: bool) {
        let message = if good { self.world.verdict(pod_name, true) } else { String::new() };
        let world = &mut self.world;
        self.at_work.remove(pod_name);
        let Some(pod) = world.pods.get_mut(pod_name).filter(|pod| !lock::pod_ended(pod)) else { return };
        let changes = |d: &Deployment| d.spec.mode == Mode::Apply;
        if good && world.deployments.get(&pod.labels()[names::LABEL_DEPLOYMENT]).is_some_and(changes) {
            world.drifted = world.stubborn;
        }
        let terminated = ContainerStateTerminated {
            exit_code: i32::from(!good),
            message: Some(message),
            finished_at: Some(Time(world.now)),
            ..ContainerStateTerminated::default()
        };
        pod.status = Some(PodStatus {
            phase: Some(if good { "Succeeded" } else { "Failed" }.into()),
            container_statuses: Some(vec![ContainerStatus {
                name: deployment::build::CONTAINER.into(),
                state: Some(ContainerState { terminated: Some(terminated), ..ContainerState::default() }),
                ..ContainerStatus::default()
            }]),
            ..PodStatus::default()
        });
        let owner = pod.owner_references()[0].name.clone();
        if let Some(job) = world.jobs.get_mut(&owner) {
            job.status = Some(JobStatus { failed: Some(1), ..JobStatus::default() });
        }
    }

    fn carry_out(
        &mut self,
        service_version: Option<&String>,
        of: Option<&str>,
        writes: Vec<Write>,
        cut: usize,
    ) {
        let mut versions = BTreeMap::new();
        for write in writes.into_iter().take(cut) {
            if !self.write(service_version, of, &mut versions, write) {
                return; // A conflict: the pass ends here.
            }
            self.written += 1;
            if self.crash_after == Some(self.written - 1) {
                return;
            }
        }
    }

    fn write(
        &mut self,
        service_version: Option<&String>,
        of: Option<&str>,
        versions: &mut BTreeMap<String, String>,
        write: Write,
    ) -> bool {
        match write {
            Write::ServiceStatus { new, .. } => {
                if self.world.service.metadata.resource_version.as_ref() != service_version {
                    return false;
                }
                let version = self.world.tick();
                self.world.service.metadata.resource_version = Some(version);
                self.world.service.status = Some(*new);
            }
            Write::DeploymentStatus { target, new, .. } => {
                let expected = versions.get(&target.uid).cloned().or(target.resource_version);
                let version = self.world.tick();
                let Some(there) = self.world.deployments.get_mut(&target.name) else { return false };
                if there.uid().as_ref() != Some(&target.uid) || there.metadata.resource_version != expected {
                    return false;
                }
                there.status = Some(*new);
                there.metadata.resource_version = Some(version.clone());
                versions.insert(target.uid, version);
            }
            Write::CreateDeployment(deployment) => self.create(*deployment),
            Write::DeleteDeployment(target) => {
                if self
                    .world
                    .deployments
                    .get(&target.name)
                    .is_some_and(|d| d.uid().as_ref() == Some(&target.uid))
                {
                    self.delete_deployment(&target.name);
                }
            }
            Write::Adopt { target, finalizers, owners } => {
                let expected = versions.get(&target.uid).cloned().or(target.resource_version);
                let version = self.world.tick();
                let Some(there) = self.world.deployments.get_mut(&target.name) else { return false };
                if there.metadata.resource_version != expected {
                    return false;
                }
                there.metadata.finalizers = Some(finalizers);
                there.metadata.owner_references = Some(owners);
                there.metadata.resource_version = Some(version.clone());
                versions.insert(target.uid, version);
            }
            Write::RemoveFinalizer(target) => {
                let version = self.world.tick();
                if let Some(there) = self.world.deployments.get_mut(&target.name)
                    && there.uid().as_ref() == Some(&target.uid)
                {
                    there.metadata.finalizers = None;
                    there.metadata.resource_version = Some(version);
                    self.collect(&target.name);
                }
            }
            Write::CreateJob(_) if self.world.refused.is_some() => {
                self.turned_away = true;
                return false;
            }
            Write::CreateJob(mut job) => {
                let uid = format!("job-{}", self.world.tick());
                // Garbage collection would take a Job whose owner is gone.
                let owner = of.is_some_and(|name| {
                    let owner = &job.owner_references()[0].uid;
                    self.world.deployments.get(name).is_some_and(|d| d.uid().as_ref() == Some(owner))
                });
                if owner {
                    let uid = &job.owner_references()[0].uid;
                    assert!(self.locked.contains(uid), "a Job was made for a run whose turn it never was");
                }
                if owner && !self.world.jobs.contains_key(&job.name_any()) {
                    job.metadata.uid = Some(uid);
                    job.metadata.creation_timestamp = Some(Time(self.world.now));
                    self.world.jobs.insert(job.name_any(), *job);
                }
            }
            Write::DeleteJob(target) => {
                if self
                    .world
                    .jobs
                    .get(&target.name)
                    .is_some_and(|job| job.uid().as_ref() == Some(&target.uid))
                {
                    self.delete_job(&target.name);
                }
            }
            Write::CancelPod { target, cancel } => {
                let now = self.world.now.to_string();
                if let Some(pod) = self.world.pods.get_mut(&target.name) {
                    let annotations = pod.annotations_mut();
                    annotations.insert(names::ANNOTATION_CANCEL.into(), cancel.as_str().into());
                    annotations.insert(names::ANNOTATION_CANCELLED_AT.into(), now);
                }
            }
            Write::DeletePod(target) => {
                self.end(&target.name, false);
            }
            Write::Bundle(_) | Write::Event { .. } => {}
        }
        true
    }

    fn check(&mut self) {
        let world = &self.world;
        let with_ansible = self.at_work.keys().filter(|pod| !self.reported.contains(*pod));
        assert!(with_ansible.count() <= 1, "two runs of one Service are on at once");
        for deployment in world.deployments.values() {
            let uid = deployment.uid().unwrap_or_default();
            let status = deployment.status.clone().unwrap_or_default();
            if let Some(number) = status.number {
                assert_eq!(*self.numbers.entry(uid.clone()).or_insert(number), number, "a number changed");
            }
            if let Some(ended) = self.ended.get(&uid) {
                assert_eq!(status.phase, Some(*ended), "what has ended changed");
            } else if let Some(phase) = status.phase.filter(|phase| phase.is_terminal()) {
                self.ended.insert(uid, phase);
            }
            assert_good(deployment.metadata.generation, status.observed_generation, &status.conditions);
        }
        let mut numbers: Vec<_> = self.numbers.values().collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), self.numbers.len(), "a number was given twice");
        let status = world.service.status.clone().unwrap_or_default();
        if let Some(active) = &status.active
            && !self.locked.contains(&active.uid)
        {
            assert!(!world.service.spec.suspend, "a run's turn came though the Service is suspended");
            self.locked.push(active.uid.clone());
        }
        let live = status.live.as_ref().map(|live| live.deployment.uid.clone());
        let turn = |uid: &Option<String>| self.locked.iter().position(|had| Some(had) == uid.as_ref());
        assert!(turn(&live) >= turn(&self.live), "a run whose turn was earlier became the live one");
        self.live = live;
        assert_good(world.service.metadata.generation, status.observed_generation, &status.conditions);
        let checks = world.deployments.values().filter(|d| service::drift::is_check(&world.service, d));
        for check in checks {
            let uid = check.uid().unwrap_or_default();
            let refers = [
                status.last.as_ref().map(|l| &l.deployment.uid),
                status.live.as_ref().map(|l| &l.deployment.uid),
            ];
            assert!(!refers.contains(&Some(&uid)), "a check for drift became the last or the live run");
            assert!(
                check.status.as_ref().is_none_or(|s| s.number.is_none()),
                "a check for drift has a number"
            );
        }
    }

    /// One pass of both controllers over everything as it is.
    fn look(&mut self) {
        self.happen(&Step::Service { late: 0, cut: 99 });
        for nth in 0..self.world.deployments.len() {
            self.happen(&Step::Deployment { nth, late: 0, cut: 99 });
        }
    }

    /// Everybody looks until a run has a pod; those that were made ask for permission.
    fn begin(&mut self) {
        (0..4).for_each(|_| self.look());
        self.happen(&Step::MakePods);
        (0..self.world.pods.len()).for_each(|nth| self.happen(&Step::Claim(nth)));
    }

    /// One pass over everything; pods claim and succeed. Answers whether anything happened.
    fn pass(&mut self) -> bool {
        let before = (self.world.clock, self.started.len());
        self.look();
        self.happen(&Step::MakePods);
        for nth in 0..self.world.pods.len() {
            self.happen(&Step::Claim(nth));
            let claimed = self.world.deployments.values().any(|d| {
                let pod = Self::nth(&self.world.pods, nth);
                d.status.as_ref().and_then(|s| s.run.as_ref()).map(|r| r.pod_uid.clone()) == pod
            });
            if claimed {
                self.happen(&Step::End(nth, true));
            }
        }
        (self.world.clock, self.started.len()) != before
    }

    /// Passes until only time may change anything.
    fn settle(&mut self) {
        assert!((0..100).any(|_| !self.pass()), "it does not settle: {:#?}", self.world.service_plan());
    }

    /// No more faults: passes on the world as it is, pods that claim and succeed, time that passes.
    fn come_to_rest(&mut self) {
        self.world.service.spec.suspend = false;
        self.world.room = true;
        self.world.refused = None;
        // Whoever looks by the clock never rests.
        self.world.service.spec.policy.drift = None;
        let version = self.world.tick();
        self.world.service.metadata.resource_version = Some(version);
        for _ in 0..400 {
            if !self.pass() {
                // Nothing wants to be written; only time may still change that: deadline, grace, approval.
                self.happen(&Step::Wait(4_000));
                let plan = self.world.service_plan();
                let names: Vec<_> = self.world.deployments.keys().cloned().collect();
                if plan.writes.is_empty()
                    && names.iter().all(|n| self.world.deployment_plan(n, false).writes.is_empty())
                {
                    return;
                }
            }
        }
        panic!("it does not come to rest: {:#?}", self.world.service_plan());
    }
}

fn assert_good(
    generation: Option<i64>,
    observed: i64,
    conditions: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition],
) {
    let seen = kstatus::Seen {
        generation: generation.unwrap_or_default(),
        deleted: false,
        observed_generation: observed,
        conditions,
    };
    let broken = kstatus::check(seen);
    assert!(broken.is_empty(), "{broken:?}");
}

fn has_ended(status: &DeploymentStatus) -> bool {
    status.phase.is_some_and(Phase::is_terminal)
}

/// Rules of every kind; without a schedule, which never comes to rest.
fn rules() -> impl Strategy<Value = serde_json::Value> {
    let words = |a: &'static str, b: &'static str| prop_oneof![Just(a), Just(b)];
    let yes = any::<bool>;
    (words("OnChange", "Manual"), words("Queue", "Replace"), 0..3_u32, yes(), yes(), yes(), yes()).prop_map(
        |(deploy, concurrency, retries, rollback, approval, drift, correct)| {
            json!({
                "deploy": deploy,
                "concurrency": concurrency,
                "drift": drift.then(|| json!({"every": "30m", "correct": correct})),
                "retries": {"limit": retries, "backoff": "30s"},
                "rollbackOnFailure": rollback,
                "approval": {"required": approval, "own": true, "expiresAfter": "1h"},
            })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_runs_happen_once_and_everything_comes_to_rest(
        rules in rules(),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut history = History::with(&rules);
        let on_change = rules["deploy"] == "OnChange";
        for step in &steps {
            history.happen(step);
        }
        history.come_to_rest();

        let world = &history.world;
        let status = world.service.status.clone().unwrap_or_default();
        prop_assert!(status.active.is_none(), "the lock is held for ever");
        for deployment in world.deployments.values() {
            let status = deployment.status.clone().unwrap_or_default();
            prop_assert!(has_ended(&status), "{} never ends: {status:?}", deployment.name_any());
            prop_assert!(deployment.finalizers().is_empty(), "{} is held for ever", deployment.name_any());
        }
        let ready = crds::conditions::find(&status.conditions, "Ready").map(|c| c.status.clone());
        prop_assert_ne!(ready.as_deref(), Some("Unknown"), "at rest, it is known whether the Service is ready");
        if on_change {
            let wanted = frozen::want(&world.service, &Named::default(), b"key").unwrap();
            let handled = status.handled.map(|handled| handled.digest);
            prop_assert_eq!(handled.as_deref(), Some(wanted.digest()), "what is wanted was not acted on");
        }
        // The last run's, and the last preview's.
        prop_assert!(world.jobs.len() <= 2, "Jobs are left over");
        let checks = world.deployments.values().filter(|d| service::drift::is_check(&world.service, d));
        prop_assert!(checks.count() <= 1, "checks for drift are left over");
    }
}

/// One history without faults, as a person would tell it.
#[test]
fn a_change_makes_one_run_and_then_there_is_rest() {
    let mut history = History::new("OnChange");
    history.come_to_rest();
    let runs = |history: &History| history.started.len();
    assert_eq!(runs(&history), 1);
    history.happen(&Step::Edit(7));
    history.come_to_rest();
    history.come_to_rest();
    assert_eq!(runs(&history), 2);
    let status = history.world.service.status.clone().unwrap_or_default();
    assert_eq!(status.live.map(|live| live.number), Some(2));
    assert!(crds::conditions::is_true(&status.conditions, crds::conditions::IN_SYNC));
    assert_eq!(status.last_number, Some(2));
}

/// With `Manual`, only people make runs.
#[test]
fn manual_makes_no_run_by_itself() {
    let mut history = History::new("Manual");
    history.come_to_rest();
    assert!(history.started.is_empty());
    let status = history.world.service.status.clone().unwrap_or_default();
    let ready = crds::conditions::find(&status.conditions, "Ready").expect("Ready is there");
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("True", "WaitingForPerson"));
}

/// A pod that never asks, and one that never ends though its time is over: both are given up.
#[test]
fn what_does_not_come_or_does_not_end_is_given_up() {
    for claims in [false, true] {
        let mut history = History::new("Manual");
        let pass = |history: &mut History| (0..3).for_each(|_| history.look());
        history.happen(&Step::Ask);
        pass(&mut history);
        history.happen(&Step::MakePods);
        if claims {
            history.happen(&Step::Claim(0));
            // Its node does not answer any more: nobody reports an end.
            history.at_work.clear();
        }
        history.happen(&Step::Wait(if claims { 719 } else { 299 }));
        pass(&mut history);
        assert!(history.ended.is_empty(), "patience: {claims}");
        history.happen(&Step::Wait(1));
        pass(&mut history);
        let status = history.world.deployments.values().next().and_then(|d| d.status.clone());
        let status = status.expect("a verdict");
        assert_eq!(status.failure.map(|failure| failure.reason).as_deref(), Some("Timeout"));
        let service = history.world.service.status.clone().unwrap_or_default();
        assert!(service.active.is_none(), "the lock is free again: {claims}");
    }
}

/// A Service whose status was lost (restored from a repository, say) does not begin again at #1.
#[test]
fn numbers_go_on_though_the_services_status_was_lost() {
    let mut history = History::new("OnChange");
    history.come_to_rest();
    history.happen(&Step::Edit(1));
    history.come_to_rest();
    history.world.service.status = None;
    history.live = None;
    history.happen(&Step::Ask);
    history.come_to_rest();
    assert_eq!(history.numbers.values().max(), Some(&3));
}

/// Whoever waits until somebody agrees is passed by a later number. What ran last is what is on the servers.
#[test]
fn what_ran_last_is_live_whatever_its_number() {
    let agreed = |history: &mut History, number: i64| {
        let is = |d: &Deployment| d.status.as_ref().and_then(|status| status.number) == Some(number);
        let nth = history.world.deployments.values().position(is).expect("it has a number");
        history.happen(&Step::Decide(nth, true));
    };
    for good in [true, false] {
        let approval = json!({"required": true, "own": true, "expiresAfter": "1h"});
        let mut history = History::with(&json!({
            "deploy": "Manual", "approval": approval, "rollbackOnFailure": true, "drift": {"every": "1h"},
        }));
        let status = |history: &History| history.world.service.status.clone().unwrap_or_default();
        let live = |history: &History| status(history).live.map(|live| live.number);
        history.happen(&Step::Ask);
        history.settle();
        history.happen(&Step::Ask);
        history.settle();
        agreed(&mut history, 2);
        history.settle();
        assert_eq!(live(&history), Some(2));
        history.happen(&Step::Wait(60));
        agreed(&mut history, 1);
        history.begin();
        let pod = history.world.pods.keys().position(|pod| history.at_work.contains_key(pod));
        history.happen(&Step::End(pod.expect("it works"), good));
        history.settle();
        // Half changed, the servers are as #2 had left them again once #3 has repeated that.
        assert_eq!(live(&history), Some(if good { 1 } else { 3 }));
        assert_eq!(status(&history).last.map(|last| last.number), Some(Some(if good { 1 } else { 3 })));
        assert_eq!(status(&history).drift.map(|drift| drift.number), Some(if good { 1 } else { 3 }));
    }
}

/// Its node is out of reach, its pod was forced away, and somebody deletes it: the Deployment may go,
/// the lock may not.
#[test]
fn the_lock_of_a_lost_run_stays_though_its_deployment_is_deleted() {
    let mut history = History::new("Manual");
    history.happen(&Step::Ask);
    history.begin();
    assert_eq!(history.at_work.len(), 1);
    history.happen(&Step::Lose(0));
    // The verdict, and the deletion before anybody else has looked.
    history.happen(&Step::Deployment { nth: 0, late: 0, cut: 99 });
    history.happen(&Step::Delete(0));
    history.happen(&Step::Deployment { nth: 0, late: 0, cut: 99 });
    history.happen(&Step::Ask);
    history.begin();
    assert_eq!(history.world.deployments.len(), 1, "a Deployment whose run is lost can be deleted");
    assert_eq!(history.started.len(), 1, "the lock is held while it may be at work");
    history.happen(&Step::Wait(1_000));
    history.come_to_rest();
    assert_eq!(history.started.len(), 2);
}

/// What the Service says of itself: Ready, InSync, the reason.
fn says(history: &History) -> (String, String, String) {
    let status = history.world.service.status.clone().unwrap_or_default();
    let find = |type_| crds::conditions::find(&status.conditions, type_).cloned().expect("it is there");
    let (ready, in_sync) = (find(crds::conditions::READY), find(crds::conditions::IN_SYNC));
    (ready.status, in_sync.status, ready.reason)
}

fn said(words: [&str; 3]) -> (String, String, String) {
    let [ready, in_sync, reason] = words.map(str::to_owned);
    (ready, in_sync, reason)
}

/// The numbers that were given, and how often Ansible ran.
fn runs(history: &History) -> (usize, usize) {
    (history.numbers.len(), history.started.len())
}

#[test]
fn drift_is_found_and_stays_until_somebody_deploys() {
    let mut history = History::with(&json!({"deploy": "OnChange", "drift": {"every": "1h"}}));
    history.settle();
    // The run, and the baseline at once.
    assert_eq!((runs(&history), says(&history)), ((1, 2), said(["True", "True", "Deployed"])));
    history.happen(&Step::Drift(true));
    history.happen(&Step::Wait(3_599));
    history.settle();
    assert_eq!(runs(&history), (1, 2), "not before its time");
    history.happen(&Step::Database(true));
    history.happen(&Step::Wait(1));
    history.settle();
    assert_eq!(runs(&history), (1, 2), "not without the database");
    history.happen(&Step::Database(false));
    history.settle();
    assert_eq!((runs(&history), says(&history)), ((1, 3), said(["True", "False", "Drifted"])));
    history.happen(&Step::Wait(3_600));
    history.settle();
    assert_eq!((runs(&history), says(&history)), ((1, 4), said(["True", "False", "Drifted"])));
    // A run of a person, and the new baseline.
    history.happen(&Step::Ask);
    history.settle();
    assert_eq!((runs(&history), says(&history)), ((2, 6), said(["True", "True", "Deployed"])));
    history.happen(&Step::Suspend(true));
    history.happen(&Step::Drift(true));
    history.happen(&Step::Wait(9_000));
    history.settle();
    assert_eq!(runs(&history), (2, 6), "not while it is suspended");
}

#[test]
fn drift_is_corrected_once_and_what_does_not_help_is_not_done_again() {
    let mut history = History::with(&json!({"deploy": "Manual", "drift": {"every": "1h", "correct": true}}));
    history.happen(&Step::Ask);
    history.settle();
    assert_eq!((runs(&history), says(&history)), ((1, 2), said(["True", "True", "Deployed"])));
    history.happen(&Step::Drift(true));
    history.happen(&Step::Wait(3_600));
    history.settle();
    // The check, the correction, the baseline after it.
    assert_eq!((runs(&history), says(&history)), ((2, 5), said(["True", "True", "Deployed"])));
    let status = history.world.service.status.clone().unwrap_or_default();
    let live = status.live.expect("something is live");
    assert_eq!(live.number, 2);
    let by = &history.world.deployments[&live.deployment.name];
    assert_eq!(service::triggers::via(&history.world.service, by).0, crds::deployment::Via::Drift);

    history.world.stubborn = true;
    history.happen(&Step::Drift(true));
    history.happen(&Step::Wait(3_600));
    history.settle();
    assert_eq!((runs(&history), says(&history)), ((3, 8), said(["False", "False", "NotIdempotent"])));
    for _ in 0..3 {
        history.happen(&Step::Wait(3_600));
        history.settle();
    }
    assert_eq!((runs(&history), says(&history)), ((3, 11), said(["False", "False", "NotIdempotent"])));
    // Whoever mends it on the server, or deploys, is heard.
    history.happen(&Step::Drift(false));
    history.happen(&Step::Wait(3_600));
    history.settle();
    assert_eq!((runs(&history), says(&history)), ((3, 12), said(["True", "True", "Deployed"])));
}

#[test]
fn a_step_that_changes_something_each_time_is_no_drift() {
    let mut history =
        History::with(&json!({"deploy": "OnChange", "drift": {"every": "1h", "correct": true}}));
    history.world.stubborn = true;
    history.settle();
    for _ in 0..3 {
        history.happen(&Step::Wait(3_600));
        history.settle();
    }
    assert_eq!((runs(&history), says(&history)), ((1, 5), said(["True", "True", "Deployed"])));
}

#[test]
fn a_check_for_drift_gives_way_at_once() {
    let mut history = History::with(&json!({"deploy": "OnChange", "drift": {"every": "1h"}}));
    history.settle();
    history.happen(&Step::Wait(3_600));
    let check = |history: &History| {
        let all = history.world.deployments.values().enumerate();
        let mut checks = all.filter(|(_, d)| {
            service::drift::is_check(&history.world.service, d) && !d.status.as_ref().is_some_and(has_ended)
        });
        checks.next().map(|(nth, d)| (nth, d.clone()))
    };
    history.begin();
    let (_, on) = check(&history).expect("a check is on");
    assert!(on.status.as_ref().is_some_and(|s| s.run.is_some()), "{:?}", on.status);
    assert_eq!(says(&history), said(["True", "True", "Deployed"]), "a check is no news of the Service");
    history.happen(&Step::Ask);
    history.happen(&Step::Service { late: 0, cut: 99 });
    let (nth, _) = check(&history).expect("it is on until its pod has ended");
    history.happen(&Step::Deployment { nth, late: 0, cut: 99 });
    let told =
        history.world.pods.values().find_map(|p| p.annotations().get(names::ANNOTATION_CANCEL).cloned());
    assert_eq!(told.as_deref(), Some("Now"));
    let pod = history.world.pods.keys().position(|p| history.at_work.contains_key(p)).expect("it works");
    history.happen(&Step::End(pod, false));
    history.settle();
    let reason = |d: &Deployment| d.status.clone().unwrap_or_default().reason;
    assert_eq!(
        history.world.service.status.clone().unwrap_or_default().live.map(|live| live.number),
        Some(2)
    );
    let replaced = history.ended.get(&on.uid().unwrap_or_default());
    assert_eq!(
        replaced,
        Some(&Phase::Cancelled),
        "{:?}",
        history.world.deployments.values().map(reason).collect::<Vec<_>>()
    );
}
