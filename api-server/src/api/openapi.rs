//! The contract, generated: `openapi.json` beside this crate is this, and the page's types come from it.

use std::collections::HashMap;
use std::sync::LazyLock;

use axum::http::Method;
use serde_json::Value;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};

use super::{
    activity, compare, decisions, deployments, evidence, form, manifest, output, problem, promotion,
    services, start, trust, wait,
};
use crate::hooks;
use crate::people::organisation::door;
use crate::people::{account, deliveries, federation, roles, session, tokens, users};
use crate::system;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "fastDeploy",
        description = "Deployments of web applications with Ansible, run by Kubernetes. Sign in at /session, send the token as bearer. Every answer says with `cursor` where in the stream of changes it is true; the WebSocket /api/v1/ws goes on from there (docs/websocket.md).",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    servers((url = "/api/v1")),
    paths(
        session::sign_in, session::refresh, session::sign_out, door::ways, door::start, door::callback, account::read, account::change_password, users::list,
        users::create, users::change, users::delete, users::reset_password, roles::list, roles::bind, roles::unbind,
        tokens::list, tokens::create, tokens::revoke, federation::exchange, deliveries::list, deliveries::retry, services::list, services::one,
        manifest::create, manifest::read, manifest::change, manifest::delete,
        promotion::look, promotion::promote, deployments::list, form::form, form::plan, form::durations, deployments::find_all, deployments::one,
        start::start, start::retry, decisions::cancel, decisions::decide, trust::trust, compare::compare, wait::wait, output::read,
        output::search, output::download, evidence::download, activity::list, activity::csv, activity::jsonl, hooks::hear, system::read,
    ),
    components(schemas(problem::Problem)),
    modifiers(&Bearer),
    security(("bearer" = []))
)]
struct Contract;

struct Bearer;

impl utoipa::Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_default();
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    }
}

/// The operation of a method and a path, in words of the contract.
pub fn operation(method: &Method, path: &str) -> Option<&'static str> {
    static KNOWN: LazyLock<HashMap<(String, String), String>> = LazyLock::new(|| {
        let contract: Value = serde_json::from_str(&json()).unwrap_or_default();
        let paths = contract["paths"].as_object().into_iter().flatten();
        let all = paths.flat_map(|(path, methods)| {
            let methods = methods.as_object().into_iter().flatten();
            methods.filter_map(move |(method, operation)| {
                let id = operation["operationId"].as_str()?;
                Some(((method.to_uppercase(), path.clone()), id.to_owned()))
            })
        });
        all.collect()
    });
    KNOWN.get(&(method.as_str().to_owned(), path.to_owned())).map(String::as_str)
}

/// As JSON, for people to read.
pub fn json() -> String {
    let contract = Contract::openapi();
    let mut text = contract.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_committed_is_what_is_served() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
        // `make generate` asks this test to write it: a program of its own would be compiled for that.
        if std::env::var_os("GENERATE").is_some() {
            std::fs::write(path, super::json()).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap();
        assert!(committed == super::json(), "api-server/openapi.json is stale: run make generate");
    }
}
