//! How long a run will still take, from how long its steps took in earlier runs. Pure.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::{fold::FoldedStep, verdict::StepState};

/// What a step is taken to last that no earlier run knows, where no other step is known either. Seconds.
const UNKNOWN: f64 = 1.0;

/// How long a step usually takes.
#[derive(Clone, Debug, PartialEq)]
pub struct UsualStep {
    /// `file:line#n`.
    pub key: String,
    /// In the order of the earlier runs.
    pub place: i32,
    /// In which part of the earlier runs it ran: 0–1.
    pub often: f64,
    /// Seconds: half of the earlier runs took no longer.
    pub median: f64,
}

/// Seconds from now to the end, as earlier runs had it; nothing if there were none. What ran in earlier
/// runs behind the place where this one is counts, as often as it ran, whether it was planned or found on
/// the way; so does what is planned and new. A step that takes longer than usual is taken to end now.
pub fn seconds_left(steps: &[FoldedStep], usual: &[UsualStep], now: Timestamp) -> Option<f64> {
    if usual.is_empty() {
        return None;
    }
    let known: HashMap<&str, &UsualStep> = usual.iter().map(|step| (step.key.as_str(), step)).collect();
    let here: HashMap<&str, &FoldedStep> = steps.iter().map(|step| (step.key.as_str(), step)).collect();
    let begun = steps.iter().filter(|step| step.state != StepState::Pending);
    let reached = begun.filter_map(|step| known.get(step.key.as_str())).map(|step| step.place).max();
    let typical = {
        let mut all: Vec<f64> = usual.iter().map(|step| step.median).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or(UNKNOWN)
    };
    let running: f64 = steps
        .iter()
        .filter(|step| step.state == StepState::Running)
        .map(|step| {
            let since = step.started_at.map_or(0.0, |at| now.duration_since(at).as_secs_f64());
            let lasts = known.get(step.key.as_str()).map_or(typical, |usual| usual.median);
            (lasts - since).max(0.0)
        })
        .sum();
    let to_come: f64 = usual
        .iter()
        .filter(|step| match here.get(step.key.as_str()) {
            Some(step) => step.state == StepState::Pending,
            None => true,
        })
        .filter(|step| reached.is_none_or(|reached| step.place > reached))
        .map(|step| step.often * step.median)
        .sum();
    let unknown = steps
        .iter()
        .filter(|step| step.state == StepState::Pending && !step.conditional)
        .filter(|step| !known.contains_key(step.key.as_str()))
        .count() as f64;
    Some(running + to_come + unknown * typical)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::{
        event::{Event, Kind, PlannedStep},
        fold::Fold,
    };

    fn usual(key: &str, place: i32, often: f64, median: f64) -> UsualStep {
        UsualStep { key: key.to_owned(), place, often, median }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second)
    }

    /// Begins and ends of steps, each a second after the other.
    fn fold(planned: &[&str], moves: &[(&str, bool)]) -> Fold {
        let planned = planned.iter().map(|key| PlannedStep {
            key: (*key).to_owned(),
            name: String::new(),
            section: String::new(),
            conditional: false,
        });
        let mut kinds = vec![Kind::Plan { steps: planned.collect(), declared: Vec::new() }];
        kinds.extend(moves.iter().map(|(key, begins)| {
            let key = (*key).to_owned();
            if *begins {
                Kind::StepStarted { key, name: String::new(), section: String::new(), conditional: false }
            } else {
                Kind::StepFinished { key, state: StepState::Succeeded }
            }
        }));
        let mut fold = Fold::default();
        for (n, kind) in kinds.into_iter().enumerate() {
            fold.apply(&Event { seq: n as u64 + 1, at: at(n as i64), kind });
        }
        fold
    }

    #[test]
    fn what_is_left_falls_from_step_to_step() {
        let usual = [
            usual("a", 0, 1.0, 10.0),
            usual("b", 1, 1.0, 20.0),
            usual("found", 2, 0.5, 8.0),
            usual("c", 3, 1.0, 30.0),
        ];
        let left =
            |moves: &[(&str, bool)], now| seconds_left(&fold(&["a", "b", "c"], moves).steps, &usual, at(now));
        for (moves, now, expected) in [
            (&[][..], 0, 64.0),
            // Since 1 s.
            (&[("a", true)], 2, 9.0 + 20.0 + 4.0 + 30.0),
            // Longer than usual: it ends now.
            (&[("a", true)], 60, 54.0),
            (&[("a", true), ("a", false), ("b", true)], 3, 54.0),
            // What was found sometimes was not found this time.
            (&[("a", true), ("a", false), ("b", true), ("b", false), ("c", true)], 5, 30.0),
            // A batch of servers goes back to the beginning: what is behind it was done already.
            (&[("c", true), ("c", false), ("a", true)], 3, 10.0),
            (&[("a", true), ("a", false), ("b", true), ("b", false), ("c", true), ("c", false)], 9, 0.0),
        ] {
            assert_eq!(left(moves, now), Some(expected), "{moves:?}");
        }
    }

    #[test]
    fn a_new_step_is_taken_for_a_typical_one_and_without_history_nothing_is_said() {
        let usual = [usual("a", 0, 1.0, 10.0), usual("b", 1, 1.0, 4.0)];
        let steps = fold(&["a", "new", "b"], &[]).steps;
        assert_eq!(seconds_left(&steps, &usual, at(0)), Some(24.0));
        assert_eq!(seconds_left(&steps, &[], at(0)), None);
    }
}
