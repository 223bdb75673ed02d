//! `/api/v1/activity`: the audit log: who did what, when, from where, with which result.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::activity::{self, Entry, Filter};
use store::read::{Namespaces, Snapshot};
use utoipa::{IntoParams, ToSchema};

use super::problem::Problem;
use super::{App, Query, bounded};
use crate::people::Person;

/// Most lines on a page.
const MAX_PAGE: i64 = 500;
/// Most lines of a file.
const MAX_EXPORT: i64 = 50_000;

/// Which lines.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// event (default): what happened; request: what was asked of the API, with its status; any: both.
    #[serde(default)]
    #[param(inline)]
    kind: Kind,
    /// Only this event (docs/events.md), or what begins so: `user.`.
    what: Option<String>,
    /// Only what this person did.
    who: Option<String>,
    /// Only in this namespace.
    namespace: Option<String>,
    /// Only of Services of this name.
    service: Option<String>,
    /// Only about this object or account.
    subject: Option<String>,
    /// Written down then or later.
    from: Option<Timestamp>,
    /// Written down earlier.
    to: Option<Timestamp>,
    /// At most so many: 1 to 500, default 100; of a file 1 to 50000, default 10000.
    limit: Option<i64>,
    /// `next` of the page before.
    before: Option<i64>,
}

/// What kind of lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// What happened, whoever did it and by whatever way.
    #[default]
    Event,
    /// What was asked of the API: each write, each look at output.
    Request,
    /// Both.
    Any,
}

/// A part of the log, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct ActivityPage {
    /// `before` of the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next: Option<i64>,
    /// Of this page.
    pub items: Vec<Activity>,
}

/// Something that was done.
#[derive(Debug, Serialize, ToSchema)]
pub struct Activity {
    /// Its number.
    pub id: i64,
    /// When it happened, as far as is known.
    pub at: Timestamp,
    /// `event`: it happened; `request`: it was asked of the API.
    pub kind: String,
    /// What: a word of docs/events.md; of a request its operation in openapi.json.
    pub what: String,
    /// Who; empty where that is not known: somebody with kubectl, or nobody.
    pub who: String,
    /// Where; empty: it is about no namespace.
    pub namespace: String,
    /// Which Service; may be empty.
    pub service: String,
    /// What or whom it is about.
    pub subject: String,
    /// From where it was done, as far as is known.
    pub address: String,
    /// With which program; of requests.
    pub agent: String,
    /// The number of the request.
    #[serde(rename = "requestId")]
    pub request_id: String,
    /// With which status it was answered; of requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub status: Option<i32>,
    /// What is told with it.
    #[schema(value_type = Object)]
    pub data: Value,
}

impl From<Entry> for Activity {
    fn from(entry: Entry) -> Self {
        let Entry {
            id,
            at,
            kind,
            what,
            actor,
            address,
            agent,
            request_id,
            namespace,
            service,
            subject,
            status,
            data,
        } = entry;
        Self {
            id,
            at,
            kind,
            what,
            who: actor,
            namespace,
            service,
            subject,
            address,
            agent,
            request_id,
            status,
            data,
        }
    }
}

/// What was done, in the namespaces whose Services you may see; administrators see what belongs to none, too.
#[utoipa::path(get, path = "/activity", tag = "activity", operation_id = "listActivity", params(Which),
    responses((status = 200, body = ActivityPage), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn list(
    State(app): State<App>,
    who: Person,
    Query(which): Query<Which>,
) -> Result<Json<ActivityPage>, Problem> {
    let limit = bounded("limit", which.limit, 100, MAX_PAGE)?;
    let mut items = read(&app, &who, which, limit + 1).await?;
    let more = items.len() as i64 > limit;
    items.truncate(limit as usize);
    let next = items.last().filter(|_| more).map(|last| last.id);
    Ok(Json(ActivityPage { next, items }))
}

/// The same as a CSV file.
#[utoipa::path(get, path = "/activity/csv", tag = "activity", operation_id = "exportActivityCsv", params(Which),
    responses((status = 200, body = String, content_type = "text/csv"), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn csv(
    State(app): State<App>,
    who: Person,
    Query(which): Query<Which>,
) -> Result<Response, Problem> {
    let limit = bounded("limit", which.limit, 10_000, MAX_EXPORT)?;
    let items = read(&app, &who, which, limit).await?;
    let mut text =
        "id,at,what,who,namespace,service,subject,address,data,kind,agent,requestId,status\n".to_owned();
    for line in items {
        let Activity {
            id,
            at,
            kind,
            what,
            who,
            namespace,
            service,
            subject,
            address,
            agent,
            request_id,
            status,
            data,
        } = line;
        let (id, at, data) = (id.to_string(), at.to_string(), data.to_string());
        let status = status.map(|status| status.to_string()).unwrap_or_default();
        let row = [
            &id,
            &at,
            &what,
            &who,
            &namespace,
            &service,
            &subject,
            &address,
            &data,
            &kind,
            &agent,
            &request_id,
            &status,
        ]
        .map(|text| cell(text));
        text.push_str(&row.join(","));
        text.push('\n');
    }
    Ok(file("text/csv; charset=utf-8", "activity.csv", text))
}

/// The same as a file with one JSON object per line.
#[utoipa::path(get, path = "/activity/jsonl", tag = "activity", operation_id = "exportActivityJsonLines", params(Which),
    responses((status = 200, body = String, content_type = "application/jsonl"), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn jsonl(
    State(app): State<App>,
    who: Person,
    Query(which): Query<Which>,
) -> Result<Response, Problem> {
    let limit = bounded("limit", which.limit, 10_000, MAX_EXPORT)?;
    let items = read(&app, &who, which, limit).await?;
    let lines = items.iter().filter_map(|item| serde_json::to_string(item).ok());
    let text = lines.map(|line| line + "\n").collect::<String>();
    Ok(file("application/jsonl", "activity.jsonl", text))
}

async fn read(app: &App, who: &Person, which: Which, limit: i64) -> Result<Vec<Activity>, Problem> {
    let filter = Filter {
        kind: match which.kind {
            Kind::Event => Some("event".to_owned()),
            Kind::Request => Some("request".to_owned()),
            Kind::Any => None,
        },
        what: which.what,
        actor: which.who,
        namespace: which.namespace,
        service: which.service,
        subject: which.subject,
        from: which.from,
        to: which.to,
    };
    let pool = app.pool()?;
    let mut snapshot = Snapshot::begin(pool).await?;
    let of = app.access.namespaces(who, &mut snapshot).await?;
    drop(snapshot);
    let everything = who.admin && of == Namespaces::All;
    let found = activity::list(pool, &of, everything, &filter, which.before, limit).await?;
    Ok(found.into_iter().map(Activity::from).collect())
}

/// As RFC 4180 writes it. What a spreadsheet would take for a formula is told to be text.
fn cell(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

fn file(kind: &'static str, name: &str, text: String) -> Response {
    let name = format!("attachment; filename=\"{name}\"");
    ([(header::CONTENT_TYPE, kind.to_owned()), (header::CONTENT_DISPOSITION, name)], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::cell;

    #[test]
    fn a_spreadsheet_runs_nothing_that_somebody_typed() {
        assert_eq!(cell("=cmd|' /C calc'!A0"), "\"'=cmd|' /C calc'!A0\"");
        assert_eq!(cell("say \"hi\", ben"), "\"say \"\"hi\"\", ben\"");
    }
}
