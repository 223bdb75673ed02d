//! `/api/v1/services/{namespace}/{name}/promotion` and `…/promote`: what is live at one Service, run at another one.

mod plan;

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use crds::deployment::DeploymentSpec;
use crds::names;
use kube::ResourceExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::read::Snapshot;
use utoipa::{IntoParams, ToSchema};

use self::plan::{Hindrance, InputChange, Instead, LeftOut, Plan, RevisionChange};
use super::deployments::DeploymentAnswer;
use super::problem::{FieldError, Problem};
use super::secret_answers::{Given, SecretAnswers};
use super::services::visible;
use super::start::{self, idempotency_key, made_answer};
use super::view::RunMode;
use super::{App, Body, Path, Query};
use crate::audit;
use crate::people::Person;

/// Longest reason, in characters: from where it was promoted stands behind it.
const MAX_REASON: usize = 400;

/// Where to.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Towards {
    /// Name of the Service, in the same namespace, that is to run what is live here.
    to: String,
}

/// What a promotion would change.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Promotion {
    /// Where in the stream of changes this is true: subscribe from here.
    pub cursor: String,
    /// You may deploy the one that it is promoted to.
    pub may: bool,
    /// Why it is not possible; absent: it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub hindrance: Option<Hindrance>,
    /// The run that is live here: send it along when you promote what you have looked at. Absent: nothing is live.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub number: Option<i64>,
    /// Which source; absent: only answers are taken along, for the source has no revisions to choose from.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub revision: Option<RevisionChange>,
    /// The fields of the form that the other one has, but secrets.
    pub inputs: Vec<InputChange>,
    /// Live answers that are not taken along.
    pub left_out: Vec<LeftOut>,
    /// What has to be answered besides.
    pub missing: Vec<FieldError>,
    /// The other one has exactly this already.
    pub same: bool,
}

/// What is to be promoted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Promote {
    /// Name of the Service, in the same namespace, that is to run what is live here.
    to: String,
    /// The run that was live here when you looked: another one by now is refused.
    #[serde(default)]
    number: Option<i64>,
    /// Why, for people; at most 400 characters. From where it was promoted is written behind it.
    #[serde(default)]
    reason: Option<String>,
    /// Answers to the other one's form that count instead of the live ones.
    #[serde(default)]
    #[schema(required = false)]
    inputs: BTreeMap<String, Value>,
    /// Answers to the secret questions of the other one's form. Default: those that are live there.
    #[serde(default)]
    secret_inputs: Option<SecretAnswers>,
    /// Check: a preview, which changes nothing. Default: Apply.
    #[serde(default)]
    #[schema(required = false)]
    mode: RunMode,
}

/// What would change if what is live here were promoted to another Service.
#[utoipa::path(get, path = "/services/{namespace}/{name}/promotion", tag = "services", operation_id = "getPromotion",
    params(("namespace" = String, Path), ("name" = String, Path), Towards),
    responses((status = 200, body = Promotion), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn look(
    State(app): State<App>,
    who: Person,
    Path((namespace, name)): Path<(String, String)>,
    Query(Towards { to }): Query<Towards>,
) -> Result<Json<Promotion>, Problem> {
    both_visible(&app, &who, &namespace, (&name, &to)).await?;
    let mut snapshot = Snapshot::begin(app.pool()?).await?;
    let mut read = async |name: &str| {
        let row = snapshot.service(&namespace, name).await?;
        let row = row.and_then(|row| serde_json::from_value::<crds::Service>(row.object).ok());
        row.ok_or_else(|| Problem::not_found("service"))
    };
    let (here, there) = (read(&name).await?, read(&to).await?);
    let cursor = snapshot.position.to_string();
    drop(snapshot);
    let Plan { hindrance, number, revision, changes, left_out, missing, same, inputs: _, secret: _ } =
        plan::plan(&here, &there, &Instead::default());
    let may = app.access.may(&who, "deploy", "services", (&namespace, &to)).await?;
    Ok(Json(Promotion { cursor, may, hindrance, number, revision, inputs: changes, left_out, missing, same }))
}

/// Run at another Service of the namespace what is live here: with the live answers and, from Git, exactly the live
/// commit. With an Idempotency-Key, the same request again answers with the same run.
#[utoipa::path(post, path = "/services/{namespace}/{name}/promote", tag = "services", operation_id = "promoteService",
    params(("namespace" = String, Path), ("name" = String, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 128 characters, new for each deed")),
    request_body = Promote,
    responses(
        (status = 201, body = DeploymentAnswer),
        (status = 200, description = "it was started by this key before", body = DeploymentAnswer),
        (status = 409, description = "NothingLive, OtherSource, OtherLive, Suspended or KeyUsed", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "InvalidInput", body = Problem, content_type = "application/problem+json"),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn promote(
    State(app): State<App>,
    who: Person,
    Path((namespace, name)): Path<(String, String)>,
    headers: HeaderMap,
    Body(body): Body<Promote>,
) -> Result<Response, Problem> {
    let Promote { to, number, reason, inputs, secret_inputs, mode } = body;
    audit::about(&namespace, &to, &to);
    visible(&app, &who, (&namespace, &name)).await?;
    visible(&app, &who, (&namespace, &to)).await?;
    app.access.must(&who, "deploy", "services", (&namespace, &to)).await?;
    unlike(&name, &to)?;
    let reason = reason.map(|reason| reason.trim().to_owned()).filter(|reason| !reason.is_empty());
    if reason.as_ref().is_some_and(|reason| reason.chars().count() > MAX_REASON) {
        return Err(Problem::invalid(
            Some("reason"),
            format!("reason: write at most {MAX_REASON} characters."),
        ));
    }
    let read = async |name: &str| {
        let found = app.cluster.service(&namespace, name).await?;
        found.ok_or_else(|| Problem::not_found("service"))
    };
    let (here, there) = (read(&name).await?, read(&to).await?);
    let trigger = start::trigger(&who, &idempotency_key(&headers)?);
    let made = names::deployment(&to, &there.uid().unwrap_or_default(), &trigger);
    let (secret, said) = match secret_inputs.map(SecretAnswers::given).transpose()? {
        None => (None, None),
        Some(Given::Named(name)) => (Some(name), None),
        // Without a key it will be another run's; whatever it is called, it is not the one that is live there.
        Some(Given::Said(values)) => (Some(names::secret_inputs(&made)), Some(values)),
    };
    let wish = Wish { from: name, reason, mode, instead: Instead { inputs, secret } };
    // Something else may be live here by the time that a lost answer is asked for again.
    if headers.contains_key("idempotency-key")
        && let Some(made) = app.cluster.deployment(&namespace, &made).await?
    {
        if !(wish.is(&made.spec) && start::is_asked(&app, &who, &made, said.as_ref())) {
            return Err(start::key_used());
        }
        return made_answer(&app, &who, StatusCode::OK, &made).await;
    }
    let found = plan::plan(&here, &there, &wish.instead);
    if let Some(hindrance) = found.hindrance {
        return Err(hindrance.into());
    }
    if number.is_some() && number != found.number {
        let detail =
            "Something else is live there by now than you have looked at: look again, then promote that.";
        return Err(Problem::conflict("OtherLive", detail));
    }
    if let Some(first) = found.missing.first() {
        let detail = first.message.clone();
        return Err(Problem::wrong(found.missing, detail));
    }
    start::make(&app, &who, (&namespace, &to), &headers, wish.spec(&to, found), said).await
}

async fn both_visible(
    app: &App,
    who: &Person,
    namespace: &str,
    (name, to): (&str, &str),
) -> Result<(), Problem> {
    visible(app, who, (namespace, name)).await?;
    visible(app, who, (namespace, to)).await?;
    unlike(name, to)
}

fn unlike(name: &str, to: &str) -> Result<(), Problem> {
    if name != to {
        return Ok(());
    }
    Err(Problem::invalid(
        Some("to"),
        "to: write the name of another Service than the one that is promoted from.",
    ))
}

/// What somebody wants.
struct Wish {
    from: String,
    reason: Option<String>,
    mode: RunMode,
    instead: Instead,
}

impl Wish {
    fn spec(self, to: &str, plan: Plan) -> DeploymentSpec {
        DeploymentSpec {
            reason: Some(format!("{}{}{}", self.told(), plan.number.unwrap_or_default(), self.end())),
            inputs: plan.inputs,
            mode: self.mode.into(),
            revision: plan.revision.map(|revision| revision.commit),
            secret_inputs: plan.secret.map(start::answers_in),
            ..DeploymentSpec::of(to)
        }
    }

    /// The note of the run, up to the number of what was live.
    fn told(&self) -> String {
        match &self.reason {
            Some(reason) => format!("{reason} (promoted from {} #", self.from),
            None => format!("Promoted from {} #", self.from),
        }
    }

    const fn end(&self) -> &'static str {
        if self.reason.is_some() { ")" } else { "" }
    }

    /// Whether a run came from this wish, whatever was live then.
    fn is(&self, made: &DeploymentSpec) -> bool {
        let number = made.reason.as_ref().and_then(|reason| {
            reason.strip_prefix(&self.told())?.strip_suffix(self.end())?.parse::<i64>().ok()
        });
        let given = self.instead.inputs.iter().all(|(name, value)| made.inputs.get(name) == Some(value));
        let secret = made.secret_inputs.as_ref().map(|inputs| &inputs.secret_ref.name);
        let secret = self.instead.secret.is_none() || self.instead.secret.as_ref() == secret;
        number.is_some() && given && secret && made.mode == self.mode.into()
    }
}
