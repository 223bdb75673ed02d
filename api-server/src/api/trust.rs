//! "Trust this server": the key that a server showed, and that somebody has compared, becomes the one by which its
//! Service recognises it.

use axum::Json;
use axum::extract::State;
use crds::deployment::HostKey;
use crds::known_hosts;
use kube::ResourceExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::read::Snapshot;
use utoipa::ToSchema;
use uuid::Uuid;

use super::cluster::Wrote;
use super::deployments::find;
use super::manifest::{self, TRIES, mirrored, shape};
use super::problem::Problem;
use super::services::visible;
use super::{App, Body, Path};
use crate::people::Person;

/// What somebody has compared with the server's own key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Trust {
    /// `failure.hostKey.fingerprint` of the Deployment: `SHA256:…`.
    fingerprint: String,
}

/// By what the server is recognised from now on.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Trusted {
    /// The line in `spec.credentials.knownHosts.inline` of the Service.
    pub known_hosts: String,
}

/// Trust the server that a run did not recognise (HostKeyChanged): its key is written into the Service, in the place of
/// the one of before. Compare the fingerprint on the server itself first. It takes `update services.fastdeploy.dev`.
#[utoipa::path(post, path = "/deployments/{uid}/trust", tag = "deployments", operation_id = "trustServer",
    params(("uid" = Uuid, Path)), request_body = Trust,
    responses(
        (status = 200, description = "the next run recognises it", body = Trusted),
        (status = 409, description = "OtherKey, NoKey", body = Problem, content_type = "application/problem+json"),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn trust(
    State(app): State<App>,
    who: Person,
    Path(uid): Path<Uuid>,
    Body(Trust { fingerprint }): Body<Trust>,
) -> Result<Json<Trusted>, Problem> {
    let mut snapshot = Snapshot::begin(app.pool()?).await?;
    let row = find(&app, &who, &mut snapshot, uid).await?;
    drop(snapshot);
    let (namespace, name) = (row.namespace.as_str(), row.service.as_str());
    visible(&app, &who, (namespace, name)).await?;
    app.access.must(&who, "update", "services", (namespace, name)).await?;
    // Kubernetes' word, not that of the mirror: this is believed by every run to come.
    let there = app.cluster.deployment(namespace, &row.name).await?;
    let failure = there
        .filter(|there| there.uid() == Some(uid.to_string()))
        .and_then(|there| there.status?.failure)
        .filter(|failure| failure.reason == crds::Reason::HostKeyChanged.as_str());
    let line = confirmed(failure.and_then(|failure| failure.host_key), fingerprint.trim())?;
    for _ in 0..TRIES {
        let there = manifest::find(&app, namespace, name).await?;
        let Some(wanted) = pinned(&there, &line)? else { return Ok(Json(Trusted { known_hosts: line })) };
        match manifest::replace(&app, &who, (namespace, name), &there, wanted, false).await? {
            Wrote::Done(made) => {
                let user = &who.name;
                tracing::info!(
                    user.name = user,
                    service.namespace = namespace,
                    service.name = name,
                    "{user} trusts a server of {namespace}/{name} by its key {fingerprint}"
                );
                mirrored(&app, &made).await;
                return Ok(Json(Trusted { known_hosts: line }));
            }
            Wrote::Moved | Wrote::Exists => {}
            Wrote::Gone => return Err(Problem::not_found("service")),
            Wrote::Refused(refusal) => return Err(Problem::refused(refusal)),
        }
    }
    Err(Problem::unavailable("This service is being written all the time, try again.", "conflicts"))
}

/// The line that pins the key, if it is the one that was compared. The fingerprint is worked out anew: what a person
/// compares and what would be written must be the same key, whatever stands beside it. Pure.
fn confirmed(shown: Option<HostKey>, compared: &str) -> Result<String, Problem> {
    let nothing = "This run has met no server whose key could be trusted. Run it again, to see which key the server shows now.";
    let shown = shown.ok_or_else(|| Problem::conflict("NoKey", nothing))?;
    let line = shown.known_hosts.trim();
    let key = known_hosts::parse(line).map_err(|advice| {
        let detail = format!("The line of that key cannot stand in a service: {advice}.");
        Problem::conflict("NoKey", detail)
    })?;
    if key.fingerprint != compared || shown.fingerprint != compared {
        let detail = format!(
            "The server showed the key {}, not {compared}. Nothing was changed. Compare again, on the server itself; if they \
             differ, somebody else may answer in its place.",
            key.fingerprint
        );
        return Err(Problem::conflict("OtherKey", detail));
    }
    Ok(line.to_owned())
}

/// The Service's object with that line; none: it has it already. Pure.
fn pinned(there: &Value, line: &str) -> Result<Option<Value>, Problem> {
    let inline = &there["spec"]["credentials"]["knownHosts"]["inline"];
    let before: Vec<String> =
        inline.as_array().into_iter().flatten().filter_map(|line| line.as_str().map(Into::into)).collect();
    let after = known_hosts::with(&before, line).map_err(|advice| Problem::conflict("NoKey", advice))?;
    if after.len() == before.len() && before.iter().any(|before| before == line) {
        return Ok(None);
    }
    if after.len() > known_hosts::MOST {
        let detail = format!(
            "credentials.knownHosts.inline has {} lines already, which is the most. Move some of them into a ConfigMap, and name it in credentials.knownHosts.configMapRef.",
            known_hosts::MOST
        );
        return Err(Problem::invalid(Some("credentials.knownHosts.inline"), detail));
    }
    let mut wanted = shape::over(there, shape::shown(there.clone()));
    for part in ["credentials", "knownHosts"] {
        let pointer = if part == "credentials" { "/spec" } else { "/spec/credentials" };
        if let Some(Value::Object(parent)) = wanted.pointer_mut(pointer)
            && !parent.get(part).is_some_and(Value::is_object)
        {
            parent.insert(part.to_owned(), json!({}));
        }
    }
    wanted["spec"]["credentials"]["knownHosts"]["inline"] = json!(after);
    Ok(Some(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
    const PRINT: &str = "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU";

    fn shown(fingerprint: &str, line: &str) -> HostKey {
        HostKey { fingerprint: fingerprint.into(), known_hosts: line.into(), known: None }
    }

    #[test]
    fn only_the_key_that_was_compared_is_written() {
        let line = format!("web1 {KEY}");
        assert_eq!(confirmed(Some(shown(PRINT, &line)), PRINT).unwrap(), line);
        for (shown, compared, reason) in [
            (None, PRINT, "NoKey"),
            (Some(shown(PRINT, &line)), "SHA256:x", "OtherKey"),
            (Some(shown(PRINT, &line)), "", "OtherKey"),
            // A report that shows one key to people and would have another written.
            (Some(shown("SHA256:x", &line)), PRINT, "OtherKey"),
            (Some(shown("SHA256:x", &line)), "SHA256:x", "OtherKey"),
            // And one that would have it count for more than that server.
            (Some(shown(PRINT, &format!("* {KEY}"))), PRINT, "NoKey"),
            (Some(shown(PRINT, &format!("@cert-authority web1 {KEY}"))), PRINT, "NoKey"),
            (Some(shown(PRINT, &format!("web1 {KEY}\n* {KEY}"))), PRINT, "NoKey"),
        ] {
            let problem = confirmed(shown, compared).unwrap_err();
            assert_eq!((problem.status.as_u16(), problem.reason), (409, reason), "{}", problem.detail);
        }
    }

    #[test]
    fn the_line_stands_where_none_stood_and_in_the_place_of_the_old_one() {
        let line = format!("web1 {KEY}");
        let inline = "/spec/credentials/knownHosts/inline";
        for spec in [
            json!({}),
            json!({"credentials": {"ssh": {"user": "a"}}}),
            json!({"credentials": {"knownHosts": null}}),
        ] {
            let there =
                json!({"metadata": {"name": "blog", "resourceVersion": "7"}, "spec": spec, "status": {}});
            let wanted = pinned(&there, &line).unwrap().unwrap();
            assert_eq!(wanted.pointer(inline), Some(&json!([line])));
            assert_eq!(wanted["metadata"]["resourceVersion"], "7");
            assert_eq!(wanted["spec"]["credentials"]["ssh"], there["spec"]["credentials"]["ssh"]);
            assert_eq!(pinned(&wanted, &line).unwrap(), None);
        }
        let of = |lines: &[String]| json!({"metadata": {}, "spec": {"credentials": {"knownHosts": {"configMapRef": {"name": "a"}, "inline": lines}}}});
        let wanted =
            pinned(&of(&[format!("web1 {KEY} old"), format!("web2 {KEY}")]), &line).unwrap().unwrap();
        assert_eq!(wanted.pointer(inline), Some(&json!([format!("web2 {KEY}"), line])));
        assert_eq!(wanted["spec"]["credentials"]["knownHosts"]["configMapRef"]["name"], "a");
        let full: Vec<String> = (0..known_hosts::MOST).map(|n| format!("db{n} {KEY}")).collect();
        assert_eq!(pinned(&of(&full), &line).unwrap_err().status.as_u16(), 422);
    }
}
