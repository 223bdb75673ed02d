//! From what was seen to how each part fares, with a reason that a page has words for. Pure.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use store::system::{self, State};
use utoipa::ToSchema;

use super::installation::{Parts, Workload};

/// A lease that was not renewed for so long: whoever had it is silent (the operator renews every second, and gives up after seven).
const SILENT: SignedDuration = SignedDuration::from_secs(10);
/// The mirror's writer says every ten seconds that it is at work.
const LATE: SignedDuration = SignedDuration::from_secs(25);
/// A notification that is due for so long is late.
const OVERDUE: SignedDuration = SignedDuration::from_mins(2);
/// One that was given up before is history.
const RECENT: SignedDuration = SignedDuration::from_hours(24);

/// What was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// None: none is configured; else how it fares, if it answers.
    pub database: Option<Option<State>>,
    /// What Kubernetes says.
    pub parts: Parts,
}

/// How a part fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub enum Health {
    /// There is nothing to do.
    Fine,
    /// It works; somebody should look.
    Attention,
    /// It does not work.
    Broken,
    /// It cannot be known.
    Unknown,
}

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub enum HealthReason {
    /// All that are to be there are ready.
    AllReady,
    /// Fewer are ready than are to be there.
    SomeNotReady,
    /// One leads, and all are ready.
    Leads,
    /// None leads: nothing is deployed until one does.
    NobodyLeads,
    /// The one that leads was not heard of for ten seconds.
    LeaderSilent,
    /// The database has the schema of this version.
    SchemaCurrent,
    /// The database has an older schema; it is brought up to date.
    SchemaBehind,
    /// The database has the schema of a newer version.
    SchemaAhead,
    /// The database does not answer.
    DatabaseAway,
    /// No database is configured.
    NoDatabase,
    /// What Kubernetes has is written down.
    MirrorCurrent,
    /// It is written down late: what the page shows is old.
    MirrorBehind,
    /// Nobody has written anything down yet.
    MirrorNever,
    /// Reports of runs are stored as they come.
    ReportsTaken,
    /// Reports cannot be stored; runs keep them until they can.
    ReportsWait,
    /// Everybody was told.
    AllTold,
    /// Some are due and were not tried.
    ToldLate,
    /// Some could not be told yet and are tried again.
    TriedAgain,
    /// Some were given up within a day.
    SomeGivenUp,
    /// Kubernetes did not say.
    NotSaid,
}

impl HealthReason {
    const fn health(self) -> Health {
        match self {
            Self::AllReady
            | Self::Leads
            | Self::SchemaCurrent
            | Self::MirrorCurrent
            | Self::ReportsTaken
            | Self::AllTold => Health::Fine,
            Self::SomeNotReady
            | Self::SchemaBehind
            | Self::SchemaAhead
            | Self::MirrorBehind
            | Self::ReportsWait
            | Self::ToldLate
            | Self::TriedAgain
            | Self::SomeGivenUp => Health::Attention,
            Self::NobodyLeads | Self::LeaderSilent | Self::DatabaseAway => Health::Broken,
            Self::NoDatabase | Self::MirrorNever | Self::NotSaid => Health::Unknown,
        }
    }
}

/// How a part fares, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Verdict {
    /// In one word.
    health: Health,
    /// Why; the page has a sentence for each.
    reason: HealthReason,
}

impl From<HealthReason> for Verdict {
    fn from(reason: HealthReason) -> Self {
        Self { health: reason.health(), reason }
    }
}

/// The installation.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct System {
    /// When it was looked at.
    at: Timestamp,
    /// What is at work.
    versions: Versions,
    /// The api-server: the page, its API, and reports of runs.
    api_server: ApiServerPart,
    /// The operator: it deploys.
    operator: OperatorPart,
    /// PostgreSQL: history, output, accounts.
    database: DatabasePart,
    /// The mirror: what Kubernetes has, in PostgreSQL.
    mirror: MirrorPart,
    /// Reports of runs.
    reports: ReportsPart,
    /// Notifications.
    notifications: NotificationsPart,
}

/// Versions, as far as they are known.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Versions {
    /// Of the api-server that answers.
    api_server: String,
    /// Of the operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    operator: Option<String>,
    /// Of the chart.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    chart: Option<String>,
    /// Of Kubernetes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    kubernetes: Option<String>,
    /// Of PostgreSQL.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    postgresql: Option<String>,
}

/// How many there are of a program.
#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Replicas {
    /// How many there are to be.
    wanted: i32,
    /// How many are ready.
    ready: i32,
    /// What they run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    image: Option<String>,
}

/// The api-server.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiServerPart {
    /// How it fares.
    verdict: Verdict,
    /// How many there are; absent: it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    replicas: Option<Replicas>,
}

/// The operator.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OperatorPart {
    /// How it fares.
    verdict: Verdict,
    /// How many there are; absent: it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    replicas: Option<Replicas>,
    /// The pod that leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    leader: Option<String>,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    since: Option<Timestamp>,
    /// When it last said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    renewed_at: Option<Timestamp>,
}

/// PostgreSQL.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabasePart {
    /// How it fares.
    verdict: Verdict,
    /// Its size, in bytes; absent: it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    bytes: Option<i64>,
    /// The last change of the schema that was made; absent: it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    migration: Option<i64>,
    /// The last one that this version brings.
    newest_migration: i64,
}

/// The mirror.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MirrorPart {
    /// How it fares.
    verdict: Verdict,
    /// Seconds since its writer last said that it is at work; it does so every ten.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    lag_seconds: Option<i64>,
    /// Changes that were waiting then.
    waiting: i64,
    /// The last change that was written, within a day.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    changed_at: Option<Timestamp>,
}

/// Reports of runs.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReportsPart {
    /// How they fare.
    verdict: Verdict,
    /// Runs that are reporting.
    open: i64,
    /// When a report last came.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    last_at: Option<Timestamp>,
    /// Stretches of events that were lost with an earlier database.
    gaps: i64,
}

/// Notifications.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NotificationsPart {
    /// How they fare.
    verdict: Verdict,
    /// Events that nobody looked through yet.
    events: i64,
    /// Notifications that wait for their turn, or for another try.
    pending: i64,
    /// Given up, within thirty days.
    dead: i64,
    /// When the last one was given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    dead_at: Option<Timestamp>,
}

/// How everything fares.
pub fn of(seen: &Seen, now: Timestamp) -> System {
    let Parts { kubernetes, api_server, operator, leader } = &seen.parts;
    let state = seen.database.as_ref().and_then(Option::as_ref);
    let away = if seen.database.is_some() { HealthReason::DatabaseAway } else { HealthReason::NoDatabase };
    let of_either =
        |pick: fn(&Workload) -> Option<&String>| api_server.iter().chain(operator).find_map(pick).cloned();
    let leader = leader.clone();
    System {
        at: now,
        versions: Versions {
            api_server: env!("CARGO_PKG_VERSION").to_owned(),
            operator: operator.as_ref().and_then(|operator| operator.version.clone()),
            chart: of_either(|workload| workload.chart.as_ref()),
            kubernetes: kubernetes.as_ref().map(|version| version.trim_start_matches('v').to_owned()),
            postgresql: state.map(|state| state.version.clone()),
        },
        api_server: ApiServerPart {
            verdict: readiness(api_server.as_ref()).into(),
            replicas: api_server.as_ref().map(replicas),
        },
        operator: OperatorPart {
            verdict: leading(
                operator.as_ref(),
                leader.as_ref().map(|one| (one.pod.is_some(), one.renewed_at)),
                now,
            )
            .into(),
            replicas: operator.as_ref().map(replicas),
            since: leader.as_ref().filter(|one| one.pod.is_some()).and_then(|one| one.since),
            renewed_at: leader.as_ref().and_then(|one| one.renewed_at),
            leader: leader.and_then(|one| one.pod),
        },
        database: DatabasePart {
            verdict: state.map_or(away, schema).into(),
            bytes: state.map(|state| state.bytes),
            migration: state.map(|state| state.migration),
            newest_migration: system::newest_migration(),
        },
        mirror: MirrorPart {
            verdict: state.map_or(away, |state| mirrored(state, now)).into(),
            lag_seconds: state
                .and_then(|state| state.mirror.beat_at)
                .map(|at| (now - at).get_seconds().max(0)),
            waiting: state.map_or(0, |state| state.mirror.waiting),
            changed_at: state.and_then(|state| state.mirror.changed_at),
        },
        reports: ReportsPart {
            verdict: match (&seen.database, state) {
                (_, Some(_)) => HealthReason::ReportsTaken,
                (Some(_), None) => HealthReason::ReportsWait,
                (None, None) => HealthReason::NoDatabase,
            }
            .into(),
            open: state.map_or(0, |state| state.reports.open),
            last_at: state.and_then(|state| state.reports.last_at),
            gaps: state.map_or(0, |state| state.reports.gaps),
        },
        notifications: NotificationsPart {
            verdict: state.map_or(away, |state| told(state, now)).into(),
            events: state.map_or(0, |state| state.told.events),
            pending: state.map_or(0, |state| state.told.pending),
            dead: state.map_or(0, |state| state.told.dead),
            dead_at: state.and_then(|state| state.told.dead_at),
        },
    }
}

fn replicas(workload: &Workload) -> Replicas {
    Replicas { wanted: workload.wanted, ready: workload.ready, image: workload.image.clone() }
}

fn readiness(workload: Option<&Workload>) -> HealthReason {
    match workload {
        None => HealthReason::NotSaid,
        Some(workload) if workload.ready < workload.wanted => HealthReason::SomeNotReady,
        Some(_) => HealthReason::AllReady,
    }
}

/// Whether one leads, as the lease says (somebody holds it, when it was renewed), then whether all are there.
fn leading(
    workload: Option<&Workload>,
    lease: Option<(bool, Option<Timestamp>)>,
    now: Timestamp,
) -> HealthReason {
    match lease {
        None => HealthReason::NotSaid,
        Some((false, _)) => HealthReason::NobodyLeads,
        Some((true, renewed)) if renewed.is_none_or(|at| now.duration_since(at) > SILENT) => {
            HealthReason::LeaderSilent
        }
        Some(_) if readiness(workload) == HealthReason::SomeNotReady => HealthReason::SomeNotReady,
        Some(_) => HealthReason::Leads,
    }
}

fn schema(state: &State) -> HealthReason {
    match state.migration.cmp(&system::newest_migration()) {
        std::cmp::Ordering::Less => HealthReason::SchemaBehind,
        std::cmp::Ordering::Equal => HealthReason::SchemaCurrent,
        std::cmp::Ordering::Greater => HealthReason::SchemaAhead,
    }
}

fn mirrored(state: &State, now: Timestamp) -> HealthReason {
    match state.mirror.beat_at {
        None => HealthReason::MirrorNever,
        Some(at) if now.duration_since(at) > LATE => HealthReason::MirrorBehind,
        Some(_) => HealthReason::MirrorCurrent,
    }
}

fn told(state: &State, now: Timestamp) -> HealthReason {
    let since = |at: Option<Timestamp>| at.map(|at| now.duration_since(at));
    if since(state.told.due_since).is_some_and(|due| due > OVERDUE) {
        HealthReason::ToldLate
    } else if since(state.told.dead_at).is_some_and(|ago| ago < RECENT) {
        HealthReason::SomeGivenUp
    } else if state.told.failing > 0 {
        HealthReason::TriedAgain
    } else {
        HealthReason::AllTold
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use store::system::{Mirror, Reports, Told};

    use super::*;
    use crate::claim::fake::NOW;
    use crate::system::installation::Leader;

    fn before(seconds: i64) -> Timestamp {
        NOW - SignedDuration::from_secs(seconds)
    }

    fn state() -> State {
        State {
            version: "15.18".into(),
            bytes: 12_000_000,
            migration: system::newest_migration(),
            mirror: Mirror { beat_at: Some(before(4)), waiting: 0, changed_at: Some(before(60)) },
            reports: Reports { open: 1, last_at: Some(before(2)), gaps: 0 },
            told: Told {
                events: 0,
                pending: 1,
                failing: 0,
                due_since: Some(before(5)),
                dead: 0,
                dead_at: None,
            },
        }
    }

    fn seen() -> Seen {
        let workload = |ready| Workload {
            wanted: 2,
            ready,
            version: Some("0.1.0".into()),
            chart: Some("0.1.0".into()),
            image: Some("r/x:1".into()),
        };
        let leader =
            Leader { pod: Some("op-1".into()), since: Some(before(3600)), renewed_at: Some(before(1)) };
        Seen {
            database: Some(Some(state())),
            parts: Parts {
                kubernetes: Some("v1.34.1".into()),
                api_server: Some(workload(2)),
                operator: Some(workload(2)),
                leader: Some(leader),
            },
        }
    }

    /// Reason after reason, in the order of the answer.
    fn reasons(seen: &Seen) -> Vec<String> {
        let report = serde_json::to_value(of(seen, NOW)).unwrap();
        ["apiServer", "operator", "database", "mirror", "reports", "notifications"]
            .iter()
            .map(|part| report[part]["verdict"]["reason"].as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn with_everything_at_work_all_is_fine() {
        let report = serde_json::to_value(of(&seen(), NOW)).unwrap();
        let fine = ["AllReady", "Leads", "SchemaCurrent", "MirrorCurrent", "ReportsTaken", "AllTold"];
        assert_eq!(reasons(&seen()), fine);
        for part in ["apiServer", "operator", "database", "mirror", "reports", "notifications"] {
            assert_eq!(report[part]["verdict"]["health"], "Fine", "{part}");
        }
        assert_eq!(
            report["versions"],
            json!({"apiServer": env!("CARGO_PKG_VERSION"), "operator": "0.1.0", "chart": "0.1.0",
                "kubernetes": "1.34.1", "postgresql": "15.18"})
        );
        assert_eq!(report["mirror"]["lagSeconds"], 4);
        assert_eq!(report["operator"]["leader"], "op-1");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let with = |change: fn(&mut Seen)| {
            let mut seen = seen();
            change(&mut seen);
            reasons(&seen)
        };
        let state = |seen: &mut Seen, change: fn(&mut State)| {
            change(seen.database.as_mut().unwrap().as_mut().unwrap());
        };
        assert_eq!(with(|seen| seen.parts.api_server.as_mut().unwrap().ready = 1)[0], "SomeNotReady");
        assert_eq!(with(|seen| seen.parts.operator.as_mut().unwrap().ready = 1)[1], "SomeNotReady");
        assert_eq!(with(|seen| seen.parts.leader = Some(Leader::default()))[1], "NobodyLeads");
        assert_eq!(
            with(|seen| seen.parts.leader.as_mut().unwrap().renewed_at = Some(before(11)))[1],
            "LeaderSilent"
        );
        for (change, part, reason) in [
            ((|it| it.migration -= 1) as fn(&mut State), 2, "SchemaBehind"),
            (|it| it.migration += 1, 2, "SchemaAhead"),
            (|it| it.mirror.beat_at = Some(before(26)), 3, "MirrorBehind"),
            (|it| it.mirror.beat_at = None, 3, "MirrorNever"),
            (|it| it.told.due_since = Some(before(121)), 5, "ToldLate"),
            (|it| it.told.failing = 1, 5, "TriedAgain"),
            (|it| (it.told.dead, it.told.dead_at) = (1, Some(before(3600))), 5, "SomeGivenUp"),
            (|it| (it.told.dead, it.told.dead_at) = (1, Some(before(2 * 86_400))), 5, "AllTold"),
        ] {
            let mut seen = seen();
            state(&mut seen, change);
            assert_eq!(reasons(&seen)[part], reason);
        }
    }

    #[test]
    fn what_is_away_is_said_and_the_rest_is_shown() {
        let away = Seen { database: Some(None), ..seen() };
        assert_eq!(
            reasons(&away),
            ["AllReady", "Leads", "DatabaseAway", "DatabaseAway", "ReportsWait", "DatabaseAway"]
        );
        let nothing = Seen { database: None, parts: Parts::default() };
        let unknown = ["NotSaid", "NotSaid", "NoDatabase", "NoDatabase", "NoDatabase", "NoDatabase"];
        assert_eq!(reasons(&nothing), unknown);
        assert_eq!(of(&nothing, NOW).versions.kubernetes, None);
        assert_eq!(serde_json::to_value(of(&nothing, NOW)).unwrap()["database"].get("bytes"), None::<&Value>);
    }
}
