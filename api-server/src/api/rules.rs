//! By which rules a Service is deployed, and whether its servers still are what they should be: shapes of
//! the API, made from the object. Pure.

use crds::drift::{DriftResult, DriftStatus};
use crds::policy::{self, Policy};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

/// When runs start that nobody asked for, when none may, and who has to agree.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rules {
    /// Runs by the clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub schedule: Option<Schedule>,
    /// Times of the week in which runs may start, or may not.
    pub windows: Vec<Window>,
    /// Somebody has to agree before a run starts.
    pub approval: bool,
    /// What fails is undone by itself.
    pub rollback: bool,
    /// What has drifted is corrected by itself.
    pub correct: bool,
}

/// Runs by the clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// Minute, hour, day, month, day of the week.
    pub cron: String,
    /// On whose clock.
    pub time_zone: String,
}

/// A time of the week.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// On which days it begins; none: on every day.
    pub days: Vec<Weekday>,
    /// When it begins: `08:00`.
    pub from: String,
    /// When it ends: `18:00`, or `24:00`. Before `from`: on the next day.
    pub to: String,
    /// On whose clock.
    pub time_zone: String,
    /// Runs may start in it; false: none may.
    pub allow: bool,
    /// It concerns what people ask for, too.
    pub everyone: bool,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the words of the custom resource")]
pub enum Weekday {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// The next run that nobody has to ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Next {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub because: Because,
}

/// Why a run starts that nobody asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the words of the custom resource")]
pub enum Because {
    Change,
    Schedule,
    Retry,
    Window,
    Rollback,
    Drift,
}

/// Whether the servers still are what the last run left there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Drift {
    /// What checks come to; absent: nothing is known yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub result: Option<DriftFound>,
    /// The number of the run that left the servers as they should be.
    pub number: i64,
    /// When the last check had ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub checked_at: Option<Timestamp>,
    /// The Deployment that looked; its steps and its output have the differences.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub check: Option<String>,
    /// Why the last check told nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub message: Option<String>,
    /// What running the live Deployment again would change; the first 20 steps.
    pub steps: Vec<DriftedStep>,
    /// How many steps that are in all.
    pub steps_total: u32,
    /// The Deployment that puts it right by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub correction: Option<String>,
}

/// What checks come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub enum DriftFound {
    /// The servers are as they were left.
    InSync,
    /// They are not.
    Drifted,
    /// They are not, and a run that was to correct it did not.
    NotIdempotent,
}

/// A step that would change something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DriftedStep {
    /// `file:line#n`.
    pub key: String,
    /// What people see.
    pub name: String,
    /// On how many servers.
    pub hosts: u32,
}

/// Of a policy.
pub fn rules(policy: Policy) -> Rules {
    Rules {
        schedule: policy
            .schedule
            .map(|schedule| Schedule { cron: schedule.cron, time_zone: schedule.time_zone }),
        windows: policy.windows.into_iter().map(window).collect(),
        approval: policy.approval.required,
        rollback: policy.rollback_on_failure,
        correct: policy.drift.is_some_and(|drift| drift.correct),
    }
}

fn window(window: policy::Window) -> Window {
    let policy::Window { days, from, to, time_zone, effect, applies_to } = window;
    let day = |day| match day {
        policy::Day::Mon => Weekday::Mon,
        policy::Day::Tue => Weekday::Tue,
        policy::Day::Wed => Weekday::Wed,
        policy::Day::Thu => Weekday::Thu,
        policy::Day::Fri => Weekday::Fri,
        policy::Day::Sat => Weekday::Sat,
        policy::Day::Sun => Weekday::Sun,
    };
    Window {
        days: days.into_iter().map(day).collect(),
        from,
        to,
        time_zone,
        allow: effect == policy::Effect::Allow,
        everyone: applies_to == policy::AppliesTo::Everyone,
    }
}

/// Of a status.
pub const fn next(next: &crds::service::Next) -> Next {
    let because = match next.because {
        policy::Cause::Change => Because::Change,
        policy::Cause::Schedule => Because::Schedule,
        policy::Cause::Retry => Because::Retry,
        policy::Cause::Window => Because::Window,
        policy::Cause::Rollback => Because::Rollback,
        policy::Cause::Drift => Because::Drift,
    };
    Next { at: next.at, because }
}

/// Of a status.
pub fn drift(drift: DriftStatus) -> Drift {
    let DriftStatus {
        after: _,
        number,
        ended: _,
        checked,
        baseline: _,
        result,
        steps,
        steps_total,
        to_correct: _,
        correction,
    } = drift;
    let (checked_at, check, message) = match checked {
        Some(checked) => (Some(checked.at), Some(checked.deployment.uid), checked.message),
        None => (None, None, None),
    };
    Drift {
        result: result.map(|result| match result {
            DriftResult::InSync => DriftFound::InSync,
            DriftResult::Drifted => DriftFound::Drifted,
            DriftResult::NotIdempotent => DriftFound::NotIdempotent,
        }),
        number,
        checked_at,
        check,
        message,
        steps: steps
            .into_iter()
            .map(|step| DriftedStep { key: step.key, name: step.name, hosts: step.hosts })
            .collect(),
        steps_total,
        correction: correction.map(|run| run.uid),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn rules_are_told_as_they_are_written() {
        let policy = json!({
            "schedule": {"cron": "0 4 * * *", "timeZone": "Europe/Berlin"},
            "windows": [{"days": ["Mon", "Fri"], "from": "08:00", "to": "18:00", "appliesTo": "Everyone"},
                {"from": "23:00", "to": "01:00", "effect": "Deny"}],
            "approval": {"required": true}, "rollbackOnFailure": true, "drift": {"every": "1h", "correct": true},
        });
        let rules = rules(serde_json::from_value(policy).unwrap());
        assert_eq!(
            serde_json::to_value(rules).unwrap(),
            json!({
                "schedule": {"cron": "0 4 * * *", "timeZone": "Europe/Berlin"},
                "windows": [
                    {"days": ["Mon", "Fri"], "from": "08:00", "to": "18:00", "timeZone": "UTC", "allow": true, "everyone": true},
                    {"days": [], "from": "23:00", "to": "01:00", "timeZone": "UTC", "allow": false, "everyone": false},
                ],
                "approval": true, "rollback": true, "correct": true,
            })
        );
    }

    #[test]
    fn drift_says_which_steps_on_how_many_servers() {
        let found: Value = json!({
            "after": {"name": "blog-1", "uid": "u1"}, "number": 4, "ended": "Succeeded", "result": "Drifted", "baseline": [],
            "checked": {"deployment": {"name": "blog-2", "uid": "u2"}, "at": "2026-11-26T20:00:00Z", "phase": "Succeeded"},
            "steps": [{"key": "deploy.yml:4#1", "name": "Write the page", "hosts": 2}], "stepsTotal": 1,
        });
        let drift = drift(serde_json::from_value(found).unwrap());
        assert_eq!(
            serde_json::to_value(drift).unwrap(),
            json!({
                "result": "Drifted", "number": 4, "checkedAt": "2026-11-26T20:00:00Z", "check": "u2",
                "steps": [{"key": "deploy.yml:4#1", "name": "Write the page", "hosts": 2}], "stepsTotal": 1,
            })
        );
    }
}
