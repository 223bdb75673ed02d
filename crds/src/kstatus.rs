//! What generic tools (kubectl wait, Flux, Argo CD, Helm) make of a status, and the rules that a
//! status must keep for them. Every status that a test sees goes through [`check`]. The rules
//! are those of fluxcd/pkg `runtime/conditions/check`, FAIL0001–0011 and WARN0001–0005.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::conditions::{READY, RECONCILING, STALLED, find, is_true};

/// What kstatus says of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KStatus {
    /// As wanted.
    Current,
    /// On the way.
    InProgress,
    /// Will not get there by itself.
    Failed,
    /// Being deleted.
    Terminating,
}

/// The parts of an object that kstatus looks at.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// metadata.generation
    pub generation: i64,
    /// metadata.deletionTimestamp is set
    pub deleted: bool,
    /// status.observedGeneration
    pub observed_generation: i64,
    /// status.conditions
    pub conditions: &'a [Condition],
}

/// What kstatus says, in its own order of questions (cli-utils, pkg/kstatus).
pub fn compute(seen: Seen<'_>) -> KStatus {
    if seen.deleted {
        KStatus::Terminating
    } else if seen.observed_generation != seen.generation || is_true(seen.conditions, RECONCILING) {
        KStatus::InProgress
    } else if is_true(seen.conditions, STALLED) {
        KStatus::Failed
    } else {
        match find(seen.conditions, READY).map(|c| c.status.as_str()) {
            Some("True") | None => KStatus::Current,
            Some(_) => KStatus::InProgress,
        }
    }
}

/// The rules that this status breaks, as sentences; none if all is well.
pub fn check(seen: Seen<'_>) -> Vec<String> {
    let Seen { generation, observed_generation, conditions, .. } = seen;
    let mut broken = Vec::new();
    let mut rule = |number: &str, holds: bool, sentence: &str| {
        if !holds {
            broken.push(format!("{number}: {sentence}"));
        }
    };
    let unseen = observed_generation == -1 && conditions.is_empty();
    let ready = find(conditions, READY);
    let ready_is = |state: &str| ready.is_some_and(|c| c.status == state);
    let negative = [RECONCILING, STALLED];
    let negative_present = || conditions.iter().filter(|c| negative.contains(&c.type_.as_str()));
    let reconciling = is_true(conditions, RECONCILING);
    let stalled = is_true(conditions, STALLED);

    rule("FAIL0001", unseen || ready.is_some(), "Ready is always there once the object was seen");
    rule(
        "FAIL0002",
        !(ready_is("True") && (reconciling || stalled)),
        "Ready is not True while Reconciling or Stalled is",
    );
    rule("FAIL0003", !stalled || ready_is("False"), "Ready is False while Stalled is True");
    rule("FAIL0004", !reconciling || !ready_is("True"), "Ready is not True while Reconciling is True");
    rule("FAIL0005", !(reconciling && stalled), "Reconciling and Stalled are never both True");
    rule(
        "FAIL0006",
        observed_generation <= generation,
        "status.observedGeneration is not ahead of the generation",
    );
    rule(
        "FAIL0007",
        observed_generation == generation || !ready_is("True") || unseen || observed_generation < generation,
        "Ready True speaks of the generation that was observed",
    );
    rule(
        "FAIL0008",
        conditions.iter().all(|c| c.observed_generation.is_some_and(|g| g <= generation)),
        "each condition says which generation it speaks of, none ahead of the object's",
    );
    rule(
        "FAIL0009",
        conditions.iter().all(|c| c.observed_generation == Some(observed_generation)),
        "all conditions speak of the generation that was observed",
    );
    rule("FAIL0010", !ready_is("Unknown") || reconciling, "Ready is Unknown only while Reconciling is True");
    rule(
        "FAIL0011",
        observed_generation != generation || !ready_is("False") || reconciling || stalled,
        "Ready False comes with Reconciling or Stalled",
    );
    rule(
        "WARN0001",
        negative_present().all(|c| c.status == "True"),
        "Reconciling and Stalled are removed rather than set to False",
    );
    rule("WARN0002", conditions.iter().all(|c| !c.reason.is_empty()), "each condition has a reason");
    rule("WARN0003", conditions.iter().all(|c| !c.message.is_empty()), "each condition has a message");
    rule(
        "WARN0004",
        conditions.iter().all(|c| c.reason.chars().all(|c| c.is_ascii_alphanumeric())),
        "a reason is one CamelCase word",
    );
    let mut types: Vec<_> = conditions.iter().map(|c| c.type_.as_str()).collect();
    types.sort_unstable();
    types.dedup();
    rule("WARN0005", types.len() == conditions.len(), "each type of condition is there once");
    broken
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{
        Reason,
        conditions::{State, Wanted, merge},
    };

    fn seen(conditions: &[Condition]) -> Seen<'_> {
        Seen { generation: 2, deleted: false, observed_generation: 2, conditions }
    }

    fn conditions(list: &[(&'static str, State)]) -> Vec<Condition> {
        let wanted: Vec<_> = list
            .iter()
            .map(|&(type_, state)| Wanted { type_, state, reason: Reason::Progressing, message: "x".into() })
            .collect();
        merge(&[], &wanted, 2, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn good_states_keep_every_rule_and_mean_what_they_say() {
        for (list, meaning) in [
            (vec![(READY, State::True)], KStatus::Current),
            (vec![(READY, State::Unknown), (RECONCILING, State::True)], KStatus::InProgress),
            (vec![(READY, State::False), (RECONCILING, State::True)], KStatus::InProgress),
            (vec![(READY, State::False), (STALLED, State::True)], KStatus::Failed),
        ] {
            let conditions = conditions(&list);
            assert_eq!(check(seen(&conditions)), Vec::<String>::new());
            assert_eq!(compute(seen(&conditions)), meaning);
        }
    }

    #[test]
    fn bad_states_are_named() {
        for (list, rule) in [
            (vec![], "FAIL0001"),
            (vec![(READY, State::True), (STALLED, State::True)], "FAIL0002"),
            (vec![(READY, State::Unknown), (STALLED, State::True)], "FAIL0003"),
            (vec![(READY, State::True), (RECONCILING, State::True)], "FAIL0004"),
            (vec![(READY, State::False), (RECONCILING, State::True), (STALLED, State::True)], "FAIL0005"),
            (vec![(READY, State::Unknown)], "FAIL0010"),
            (vec![(READY, State::False)], "FAIL0011"),
            (vec![(READY, State::True), (STALLED, State::False)], "WARN0001"),
            (vec![(READY, State::True), (READY, State::True)], "WARN0005"),
        ] {
            let conditions = conditions(&list);
            let broken = check(seen(&conditions));
            assert!(broken.iter().any(|b| b.starts_with(rule)), "{rule} is not in {broken:?}");
        }
        let ahead = Seen { observed_generation: 3, ..seen(&[]) };
        assert!(check(ahead).iter().any(|b| b.starts_with("FAIL0006")));
    }

    #[test]
    fn an_object_that_nobody_has_looked_at_is_in_progress() {
        let unseen = Seen { generation: 1, deleted: false, observed_generation: -1, conditions: &[] };
        assert_eq!(compute(unseen), KStatus::InProgress);
        assert_eq!(check(unseen), Vec::<String>::new());
    }
}
