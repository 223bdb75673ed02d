//! The contract, generated: `openapi.json` beside this crate is this, and the page's types come from it.

use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};

use super::{
    activity, compare, decisions, deployments, form, manifest, output, problem, services, start, wait,
};
use crate::people::{account, deliveries, roles, session, tokens, users};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "fastDeploy",
        description = "Deployments of web applications with Ansible, run by Kubernetes. Sign in at /session, send the token as bearer. Every answer says with `cursor` where in the stream of changes it is true; the WebSocket /api/v1/ws goes on from there (docs/websocket.md).",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    servers((url = "/api/v1")),
    paths(
        session::sign_in, session::refresh, session::sign_out, account::read, account::change_password, users::list,
        users::create, users::change, users::delete, users::reset_password, roles::list, roles::bind, roles::unbind,
        tokens::list, tokens::create, tokens::revoke, deliveries::list, deliveries::retry, services::list, services::one,
        manifest::create, manifest::read, manifest::change, manifest::delete,
        deployments::list, form::form, form::plan, form::durations, deployments::find_all, deployments::one,
        start::start, start::retry, decisions::cancel, decisions::decide, compare::compare, wait::wait, output::read,
        output::search, output::download, activity::list, activity::csv, activity::jsonl,
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
