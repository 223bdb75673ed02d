//! Every reason that a condition, an Event or a failure may carry, with a sentence on what it
//! means and a hint on what to do. `docs/reasons.md` is generated from it.

macro_rules! reasons {
    ($($name:ident: $meaning:literal, $hint:literal;)*) => {
        /// Why something is as it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs)]
        pub enum Reason { $($name),* }

        impl Reason {
            /// All of them, in the order of the docs.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// As it is written in status and Events.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),* }
            }

            /// What it means, for people.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning),* }
            }

            /// What one can do about it, for people. Empty where nothing needs to be done.
            pub const fn hint(self) -> &'static str {
                match self { $(Self::$name => $hint),* }
            }
        }
    };
}

reasons! {
    Progressing: "It is being looked at for the first time.", "";
    Deployed: "What is wanted is on the servers.", "";
    WaitingForPerson: "It is out of date, and only people deploy it.", "Make a Deployment, or set policy.deploy to OnChange.";
    WaitingForWindow: "It is out of date, and its windows say when a run may start by itself.", "Wait, deploy it yourself, or change policy.windows.";
    WaitingForApproval: "A run waits until somebody agrees.", "Somebody with the verb approve agrees or refuses: spec.approval of the Deployment, or the page.";
    DependencyNotReady: "A Service that it depends on is not Ready, or has a run on.", "See dependsOn, and mend that Service first.";
    Drifted: "The servers no longer are what the live Deployment left.", "See status.drift and the output of the check; deploy again, or set policy.drift.correct.";
    NotIdempotent: "A run was to correct drift, and the same steps would change something again.", "Change the playbook so that a second run changes nothing, or find out who else changes the servers; then deploy.";
    RolledBack: "The last run failed, and what was live before was brought back.", "Read why the run failed, mend it; a change is tried at once.";
    Suspended: "It is suspended: no new run starts.", "Set spec.suspend to false to go on.";
    DeploymentRunning: "A Deployment is on.", "";
    ProgressingWithRetry: "It failed and is tried again.", "Wait, or mend the cause; a change is tried at once.";
    InputRequired: "The form has a required input without a default, so nobody but a person can start the first run.", "Make a Deployment with the inputs, or give them defaults.";
    InvalidSpec: "What the Service says cannot be carried out.", "Change the Service as the message says.";
    ServiceNotFound: "There is no Service of that name in this namespace.", "Check spec.service; kubectl get fsvc lists what there is.";
    SourceNotFound: "The source, or something else that the Service names, is not there.", "Create it, or change the Service.";
    SourceUnavailable: "The source cannot be reached, or not with these credentials.", "Check source.git: the address, the Secret and whether the server answers; it is tried again by itself.";
    Pending: "It has not been looked at yet.", "";
    Queued: "It waits for its turn: another Deployment of this Service is before it.", "";
    WaitingForSlot: "As many runs are on as may be, in its namespace or in the cluster.", "Wait; namespaces take turns.";
    Retrying: "An attempt failed, and another one begins soon.", "Wait, or stop it and mend the cause.";
    Preparing: "Its pod is being made.", "";
    WaitingForClaim: "Its pod waits for the permission to start Ansible.", "If this lasts, see whether fastDeploy's API is running.";
    WaitingForLostRunner: "The result is known, but the old pod may still be at work: nothing new starts until it has surely ended.", "Bring the node back, or delete it, to go on sooner.";
    Running: "Ansible runs.", "";
    Succeeded: "Ansible's own statistics say that all went well.", "";
    NothingDone: "Ansible ended without an error, but no server matched or no task ran.", "Compare the playbook's hosts: line with the inventory, and options.tags with the tasks' tags.";
    TaskFailed: "A step failed on a server.", "Read what the step said, mend the playbook or the server, then deploy again.";
    HostUnreachable: "A server could not be reached.", "Check that the server is on, that its address in the inventory is right and that nothing blocks SSH.";
    AuthenticationFailed: "A server refused the login.", "Check credentials.ssh: the user, and whether the server knows the key.";
    HostKeyChanged: "A server did not prove that it is the one that is known: its key is new or has changed.", "If the server was set up anew, compare its fingerprint, then trust it on the page of the run or put its new key into credentials.knownHosts; if not, find out who answers there.";
    SyntaxError: "Ansible could not read the playbook, a role or the inventory.", "Mend the file and line that the message names.";
    RequirementsFailed: "Collections or roles that the playbook needs could not be installed.", "Read what ansible-galaxy said: whether requirements names what there is, and whether credentials.galaxy may read it.";
    ScriptFailed: "The script ended with an error.", "Read the last lines of its output; mend it, then deploy again.";
    ImageUnsuitable: "The runner's image lacks what a run needs.", "Put what the message names into the image, or leave runner.image out.";
    SecretMissing: "A Secret or ConfigMap that the run needs is not there, or lacks a key.", "Create it, or change the name in the Service.";
    ImagePull: "The runner's image could not be pulled.", "Check runner.image for typing errors and runner.imagePullSecrets for the registry's password.";
    Unschedulable: "No node of the cluster can take the run's pod.", "Lower runner.resources, change runner.nodeSelector, or add a node.";
    QuotaExceeded: "A quota of the namespace leaves no room for the run's pod.", "Wait until others have ended, or have the ResourceQuota raised; it goes on by itself.";
    PodRefused: "Kubernetes does not let the run's pod be made: a limit range, pod security, an admission policy, or a ServiceAccount that is not there.", "Change runner in the Service as the message says, or ask whoever runs the cluster.";
    OutOfMemory: "The run's pod used more memory than it may.", "Raise runner.resources.limits.memory, or lower options.forks.";
    Timeout: "It took longer than it may.", "Raise policy.timeout (or policy.prepareTimeout, if Ansible never started), or find the step that hangs.";
    RunnerLost: "The run's pod ended without a result: it was deleted, its container was killed, or its node was lost.", "Deploy again; servers may be half changed. If it happens often, look at the nodes.";
    Cancelled: "Somebody stopped it.", "Deploy again when you are ready; servers may be half changed.";
    Superseded: "A newer Deployment that nobody asked for took its place before it began.", "Nothing: the newer one does the same and more.";
    Replaced: "It was stopped because a newer Deployment was to begin (policy.concurrency: Replace).", "See how the newer one ends.";
    ApprovalRejected: "Somebody refused it.", "Ask them why; make a new Deployment when they agree.";
    ApprovalExpired: "Nobody agreed in time, or it did not begin in time after somebody had.", "Make a new Deployment and have it approved within policy.approval.expiresAfter.";
    ApprovalVoid: "The approval does not count: it was for something else, or given by who asked for the run.", "Make a new Deployment; somebody else has to agree to the digest that its status shows.";
    BundleNotFound: "What an earlier Deployment ran is not known any more.", "Choose a later number, or deploy what the Service says now.";
    HealthCheckFailed: "Ansible ended well, and the site does not answer as it should.", "Look at the application's own log; go back to an earlier Deployment, or set policy.rollbackOnFailure.";
    BecomeFailed: "A server did not let the user become another one (sudo).", "Check credentials: whether the user may use sudo there, and whether it asks for a password.";
    VaultPassword: "Something encrypted with ansible-vault could not be opened.", "Check that the Service names the right vault password for it.";
    KeyboardNeeded: "The playbook waits for somebody at a keyboard (vars_prompt, pause without seconds, a debugger), and a run has none.", "Make what it asks for an input of the Service (spec.inputs) of that name, or give pause its seconds.";
    Evicted: "Kubernetes removed the run's pod to save its node.", "Deploy again; servers may be half changed. Give the runner more memory or disk in runner.resources.";
    NodeLost: "The node of the run's pod does not answer any more.", "Bring the node back; then deploy again, servers may be half changed.";
    ApiUnreachable: "The pod could not reach fastDeploy's API to ask for the permission to start.", "See whether fastDeploy's API runs and whether a NetworkPolicy blocks the way to it.";
    InvalidInput: "An input does not fit the Service's form.", "Correct the input as the message says and make a new Deployment.";
    ClaimRefused: "The pod was not permitted to start Ansible.", "Deploy again; if it comes back, look at the log of fastDeploy's API.";
    RunnerFailed: "The runner could not start Ansible.", "Read the message and the pod's log.";
    AnsibleFailed: "Ansible ended with an error that is not tied to a step.", "Read the message and the pod's log.";
    HistoryLost: "A Deployment was removed that PostgreSQL does not know.", "Bring PostgreSQL back, or raise history.succeeded and history.failed meanwhile.";
}

impl Reason {
    /// Trying the very same again cannot help: somebody has to change something first.
    pub const fn needs_a_change(self) -> bool {
        matches!(
            self,
            Self::SyntaxError
                | Self::InvalidInput
                | Self::InvalidSpec
                | Self::ServiceNotFound
                | Self::BundleNotFound
                | Self::VaultPassword
                | Self::KeyboardNeeded
                | Self::ImageUnsuitable
                | Self::ApprovalRejected
                | Self::ApprovalVoid
                | Self::ApprovalExpired
        )
    }

    /// The reason of that name, as a runner reports it.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.as_str() == name)
    }
}

/// The table of the docs.
pub fn markdown() -> String {
    use std::fmt::Write;
    let mut table = String::from(
        "# Reasons\n\nGenerated from `crds/src/reasons.rs`. Each stands in a condition, an Event or `status.failure`.\n\n| reason | what it means | what to do |\n|---|---|---|\n",
    );
    for reason in Reason::ALL {
        let hint = if reason.hint().is_empty() { "–" } else { reason.hint() };
        let _ = writeln!(table, "| `{}` | {} | {hint} |", reason.as_str(), reason.meaning());
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_can_be_read_back_and_is_a_sentence() {
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(*reason));
            assert!(reason.meaning().ends_with('.'), "{}", reason.as_str());
            assert!(reason.hint().is_empty() || reason.hint().ends_with('.'), "{}", reason.as_str());
        }
        assert_eq!(Reason::parse("NoSuchReason"), None);
    }
}
