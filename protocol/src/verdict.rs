//! What a runner leaves behind: the pod's termination message. One JSON object of
//! at most [`MAX_BYTES`], written atomically just before exit. The operator reads
//! it from the pod's status, so a verdict needs neither our API nor a database.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Kubernetes cuts at 4096 bytes; we stay clear of it.
pub const MAX_BYTES: usize = 3_072;
/// What [`unpack_steps`] is willing to inflate to.
pub const MAX_UNPACKED_BYTES: usize = 256 * 1024;

/// The pod's termination message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// [`crate::PROTOCOL`].
    pub protocol: u32,
    /// Which process wrote it.
    pub instance: String,
    /// How it ended.
    pub result: RunResult,
    /// Why, unless it succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Exit code of Ansible, where it ran and was not killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// From Ansible's statistics.
    #[serde(default)]
    pub hosts: Hosts,
    /// When Ansible was started; absent if it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<jiff::Timestamp>,
    /// When Ansible had ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<jiff::Timestamp>,
    /// Whether the site answered after the run; absent: not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site_up: Option<bool>,
    /// How many steps there were in all.
    #[serde(default)]
    pub steps_total: u32,
    /// Packed [`Step`]s (see [`crate::verdict::Step`]): JSON array, raw deflate, base64.
    /// Finished unremarkable steps are left out, oldest first, where all would not fit.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub steps: String,
    /// From `set_stats`; left out where they would not fit.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, Value>,
}

/// How a run ended, as the runner saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunResult {
    /// Exit 0 and statistics that show work.
    Succeeded,
    /// Exit 0, but no host matched or no task ran.
    NothingDone,
    /// Anything else.
    Failed,
    /// Stopped because somebody asked for it.
    Cancelled,
}

/// Why a run did not succeed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// One of the reasons of the `crds` crate, for example `TaskFailed`.
    pub reason: String,
    /// Name of the failed step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The first server that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// What Ansible or the runner said, masked, at most 500 characters.
    pub message: String,
    /// Where a server was not recognised: the key that it shows now. Nobody has confirmed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key: Option<HostKey>,
}

/// A server's own key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostKey {
    /// As `ssh` shows it: `SHA256:…`.
    pub fingerprint: String,
    /// A line for `known_hosts`.
    pub line: String,
    /// The fingerprint by which it was known until now; none: it was not known at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<String>,
}

/// Servers, counted from Ansible's statistics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hosts {
    /// All that the plays matched.
    pub total: u32,
    /// Without a failure.
    pub ok: u32,
    /// With a failed task.
    pub failed: u32,
    /// That could not be reached.
    pub unreachable: u32,
    /// The first failed or unreachable ones, at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed_names: Vec<String>,
}

/// One step, as packed into [`Verdict::steps`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// `file:line#n`: the nth time that this task ran; the path is relative to the source.
    pub key: String,
    /// What people see.
    pub name: String,
    /// How it ended.
    pub state: StepState,
    /// When the first host began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<jiff::Timestamp>,
    /// When the last host ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<jiff::Timestamp>,
    /// Servers where it was fine.
    #[serde(default)]
    pub ok: u32,
    /// Servers where it changed something.
    #[serde(default)]
    pub changed: u32,
    /// A short word on what went wrong, masked, at most 200 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// How a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StepState {
    /// Planned, not begun.
    Pending,
    /// Begun.
    Running,
    /// Fine on every server.
    Succeeded,
    /// Failed on at least one.
    Failed,
    /// Left out on all.
    Skipped,
    /// Failed, and the playbook handled it.
    Rescued,
    /// At least one server could not be reached.
    Unreachable,
    /// The run was stopped in it.
    Cancelled,
}

/// Packs as many steps as fit into `max_bytes`, in their order. What is worth least goes
/// first: fine ones that changed nothing and skipped ones from the oldest on, then pending ones from the last on,
/// then the rest; failed ones go last.
pub fn pack_steps(steps: &[Step], max_bytes: usize) -> String {
    let mut order: Vec<usize> = (0..steps.len()).collect();
    order.sort_by_key(|&i| {
        let worth = worth(&steps[i]);
        (worth, if worth == 1 { steps.len() - i } else { i })
    });
    let packed_without = |dropped: usize| {
        let mut kept = order[dropped..].to_vec();
        kept.sort_unstable();
        let kept: Vec<&Step> = kept.into_iter().map(|i| &steps[i]).collect();
        pack(&kept)
    };
    // The fewest that must go. Size falls with what is dropped, but for a byte or two of
    // the compression: hence the check at the end.
    let (mut low, mut high) = (0, steps.len());
    while low < high {
        let middle = usize::midpoint(low, high);
        if packed_without(middle).is_some_and(|packed| packed.len() <= max_bytes) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    (low..=steps.len())
        .filter_map(packed_without)
        .find(|packed| packed.len() <= max_bytes)
        .unwrap_or_default()
}

/// The steps that [`pack_steps`] kept. Garbage and what would inflate beyond
/// [`MAX_UNPACKED_BYTES`] are errors; nothing is no steps.
pub fn unpack_steps(packed: &str) -> Result<Vec<Step>, UnpackError> {
    if packed.is_empty() {
        return Ok(Vec::new());
    }
    let deflated = STANDARD_NO_PAD.decode(packed)?;
    let json = miniz_oxide::inflate::decompress_to_vec_with_limit(&deflated, MAX_UNPACKED_BYTES)
        .map_err(|error| UnpackError::Inflate(error.to_string()))?;
    Ok(serde_json::from_slice(&json)?)
}

/// Why packed steps could not be read.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// Not base64.
    #[error("failed to decode packed steps: {0}")]
    Decode(#[from] base64::DecodeError),
    /// Not deflate, cut off, or a bomb.
    #[error("failed to inflate packed steps: {0}")]
    Inflate(String),
    /// Not a list of steps.
    #[error("failed to read packed steps: {0}")]
    Read(#[from] serde_json::Error),
}

fn worth(step: &Step) -> u8 {
    match step.state {
        StepState::Succeeded | StepState::Skipped if step.message.is_empty() && step.changed == 0 => 0,
        StepState::Pending => 1,
        StepState::Succeeded | StepState::Skipped => 2,
        StepState::Rescued | StepState::Running | StepState::Cancelled => 3,
        StepState::Failed | StepState::Unreachable => 4,
    }
}

/// Nothing where nobody would unpack it.
fn pack(steps: &[&Step]) -> Option<String> {
    if steps.is_empty() {
        return Some(String::new());
    }
    let json = serde_json::to_vec(steps).expect("steps are plain data");
    (json.len() <= MAX_UNPACKED_BYTES)
        .then(|| STANDARD_NO_PAD.encode(miniz_oxide::deflate::compress_to_vec(&json, 9)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn step(n: usize, state: StepState, message: &str) -> Step {
        Step {
            key: format!("deploy.yml:{n}#1"),
            name: format!("Step {n}"),
            state,
            started_at: jiff::Timestamp::from_second(1_800_000_000 + n as i64).ok(),
            finished_at: None,
            ok: 1,
            changed: 0,
            message: message.to_owned(),
        }
    }

    #[test]
    fn few_steps_come_back_whole() {
        let steps = [
            step(1, StepState::Succeeded, ""),
            step(2, StepState::Failed, "no such file"),
            step(3, StepState::Pending, ""),
        ];
        assert_eq!(unpack_steps(&pack_steps(&steps, 2_000)).expect("packed"), steps);
        assert_eq!(unpack_steps("").expect("nothing"), []);
    }

    #[test]
    fn a_failed_step_outlives_a_thousand_fine_ones_and_fits() {
        let mut steps: Vec<Step> = (0..1_000).map(|n| step(n, StepState::Succeeded, "")).collect();
        steps[3] = step(3, StepState::Failed, "disk full");
        let packed = pack_steps(&steps, 1_500);
        assert!(packed.len() <= 1_500);
        let back = unpack_steps(&packed).expect("packed");
        assert_eq!(back[0], steps[3]);
        assert_eq!(back[1..], steps[steps.len() - (back.len() - 1)..], "the newest stay");
        assert!(back.len() > 20, "only {} fit", back.len());
    }

    #[test]
    fn where_nothing_fits_nothing_is_packed() {
        assert_eq!(pack_steps(&[step(1, StepState::Failed, "x")], 10), "");
    }

    #[test]
    fn a_bomb_is_an_error() {
        let bomb = miniz_oxide::deflate::compress_to_vec(&vec![b' '; 50 << 20], 9);
        let packed = STANDARD_NO_PAD.encode(bomb);
        assert!(matches!(unpack_steps(&packed), Err(UnpackError::Inflate(_))));
    }

    proptest! {
        #[test]
        fn garbage_never_panics(text in ".{0,200}", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = unpack_steps(&text);
            let _ = unpack_steps(&STANDARD_NO_PAD.encode(bytes));
        }

        #[test]
        fn what_fits_comes_back_as_a_part_of_it_in_order(
            states in prop::collection::vec((0..8_usize, ".{0,40}"), 0..60), max in 0..3_000_usize,
        ) {
            use StepState::{Cancelled, Failed, Pending, Rescued, Running, Skipped, Succeeded, Unreachable};
            let all = [Pending, Running, Succeeded, Failed, Skipped, Rescued, Unreachable, Cancelled];
            let steps: Vec<Step> =
                states.iter().enumerate().map(|(n, (state, message))| step(n, all[*state], message)).collect();
            let packed = pack_steps(&steps, max);
            prop_assert!(packed.len() <= max);
            let mut rest = steps.iter();
            for kept in unpack_steps(&packed).expect("packed by us") {
                prop_assert!(rest.any(|step| *step == kept));
            }
        }
    }
}
