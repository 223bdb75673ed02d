//! `/docs/api`: the contract and the problems, for people. One page without scripts and without anything from
//! elsewhere, made of the OpenAPI document, so that it is never older than what answers.

use std::fmt::Write;
use std::sync::LazyLock;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

use super::openapi;
use super::problem::KINDS;

/// Anchors of problems are their reasons: each problem's `type` points there.
const STYLE: &str = include_str!("docs.css");

static PAGE: LazyLock<String> =
    LazyLock::new(|| page(&serde_json::from_str(&openapi::json()).unwrap_or_default()));

/// The page.
pub async fn show() -> Response {
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")], PAGE.as_str())
        .into_response()
}

/// How it looks.
pub async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")], STYLE)
        .into_response()
}

fn page(contract: &Value) -> String {
    let mut html = String::from(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>fastDeploy API</title><link rel=\"stylesheet\" href=\"/docs/api.css\"></head><body>",
    );
    let _ = write!(
        html,
        "<header><h1>fastDeploy API</h1><p>{}</p><p>Machines read <a href=\"/api/v1/openapi.json\">openapi.json</a>.</p></header>",
        text(&contract["info"]["description"])
    );
    let operations = operations(contract);
    html.push_str("<nav aria-label=\"Operations\">");
    for (tag, operations) in &operations {
        let _ = write!(html, "<h2>{}</h2><ul>", escape(tag));
        for (method, path, operation) in operations {
            let id = text(&operation["operationId"]);
            let _ = write!(
                html,
                "<li><a href=\"#{id}\"><b>{}</b> {}</a></li>",
                method.to_uppercase(),
                escape(path)
            );
        }
        html.push_str("</ul>");
    }
    html.push_str("<h2>more</h2><ul><li><a href=\"#problems\">Problems</a></li><li><a href=\"#schemas\">Shapes</a></li></ul></nav><main>");
    for (method, path, operation) in operations.iter().flat_map(|(_, operations)| operations) {
        operation_section(&mut html, method, path, operation);
    }
    problems(&mut html);
    html.push_str("<h2 id=\"schemas\">Shapes</h2>");
    for (name, schema) in entries(&contract["components"]["schemas"]) {
        schema_section(&mut html, name, schema);
    }
    html.push_str("</main></body></html>\n");
    html
}

type Operation<'a> = (&'a str, &'a str, &'a Value);

/// By their tags.
fn operations(contract: &Value) -> Vec<(String, Vec<Operation<'_>>)> {
    let mut found: Vec<(String, Vec<Operation<'_>>)> = Vec::new();
    for (path, methods) in entries(&contract["paths"]) {
        for (method, operation) in
            entries(methods).filter(|(_, operation)| operation["operationId"].is_string())
        {
            let tag = operation["tags"][0].as_str().unwrap_or_default();
            match found.iter_mut().find(|(known, _)| known == tag) {
                Some((_, operations)) => operations.push((method, path, operation)),
                None => found.push((tag.to_owned(), vec![(method, path, operation)])),
            }
        }
    }
    found
}

fn operation_section(html: &mut String, method: &str, path: &str, operation: &Value) {
    let id = text(&operation["operationId"]);
    let _ = write!(
        html,
        "<section id=\"{id}\"><h3><b>{}</b> <code>/api/v1{}</code></h3><p>{}</p><p>{}</p>",
        method.to_uppercase(),
        escape(path),
        text(&operation["summary"]),
        text(&operation["description"])
    );
    let parameters = operation["parameters"].as_array();
    if let Some(parameters) = parameters.filter(|parameters| !parameters.is_empty()) {
        html.push_str("<table><caption>Parameters</caption><tr><th>name</th><th>where</th><th>type</th><th>meaning</th></tr>");
        for parameter in parameters {
            let _ = write!(
                html,
                "<tr><td><code>{}</code></td><td>{}</td><td>{}</td><td>{}</td></tr>",
                text(&parameter["name"]),
                text(&parameter["in"]),
                kind(&parameter["schema"]),
                text(&parameter["description"])
            );
        }
        html.push_str("</table>");
    }
    let bodies = |content: &Value| {
        let all = entries(content)
            .map(|(media, body)| format!("{} <code>{}</code>", kind(&body["schema"]), escape(media)));
        all.collect::<Vec<_>>().join(" or ")
    };
    if operation["requestBody"].is_object() {
        let _ = write!(html, "<p>Body: {}</p>", bodies(&operation["requestBody"]["content"]));
    }
    html.push_str("<table><caption>Answers</caption><tr><th>status</th><th>body</th><th>meaning</th></tr>");
    for (status, response) in entries(&operation["responses"]) {
        let _ = write!(
            html,
            "<tr><td>{}</td><td>{}</td><td>{}</td></tr>",
            escape(status),
            bodies(&response["content"]),
            text(&response["description"])
        );
    }
    html.push_str("</table></section>");
}

fn problems(html: &mut String) {
    html.push_str(
        "<h2 id=\"problems\">Problems</h2><p>Every refusal is <code>application/problem+json</code>; its <code>type</code> points here. Nothing was changed.</p>\
         <table><tr><th>reason</th><th>status</th><th>meaning</th></tr>",
    );
    for (reason, status, meaning) in KINDS {
        let _ = write!(
            html,
            "<tr id=\"{reason}\"><td><code>{reason}</code></td><td>{status}</td><td>{}</td></tr>",
            escape(meaning)
        );
    }
    html.push_str("</table>");
}

fn schema_section(html: &mut String, name: &str, schema: &Value) {
    let name = escape(name);
    let _ =
        write!(html, "<section id=\"schema-{name}\"><h3>{name}</h3><p>{}</p>", text(&schema["description"]));
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<_> = words.iter().map(|word| format!("<code>{}</code>", text(word))).collect();
        let _ = write!(html, "<p>One of {}</p>", words.join(", "));
    }
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if schema["properties"].is_object() {
        html.push_str("<table><tr><th>field</th><th>type</th><th>meaning</th></tr>");
        for (field, property) in entries(&schema["properties"]) {
            let always = if required.contains(&field) { "" } else { " <i>may be absent</i>" };
            let _ = write!(
                html,
                "<tr><td><code>{}</code></td><td>{}{always}</td><td>{}</td></tr>",
                escape(field),
                kind(property),
                text(&property["description"])
            );
        }
        html.push_str("</table>");
    }
    html.push_str("</section>");
}

/// A type in words, with a link where it has a name.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        let name = escape(name);
        return format!("<a href=\"#schema-{name}\">{name}</a>");
    }
    for several in ["oneOf", "allOf", "anyOf"] {
        if let Some(all) = schema[several].as_array() {
            return all.iter().map(kind).collect::<Vec<_>>().join(" or ");
        }
    }
    if schema["items"].is_object() {
        return format!("list of {}", kind(&schema["items"]));
    }
    if schema["additionalProperties"].is_object() {
        return format!("map to {}", kind(&schema["additionalProperties"]));
    }
    let words = match &schema["type"] {
        Value::Array(types) => types.iter().map(text).collect::<Vec<_>>().join(" or "),
        Value::String(_) => text(&schema["type"]),
        _ => "anything".to_owned(),
    };
    match schema["format"].as_str() {
        Some(format) => format!("{words} ({})", escape(format)),
        None => words,
    }
}

fn entries(object: &Value) -> impl Iterator<Item = (&str, &Value)> {
    static NONE: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);
    object.as_object().unwrap_or(&NONE).iter().map(|(key, value)| (key.as_str(), value))
}

fn text(value: &Value) -> String {
    escape(value.as_str().unwrap_or_default())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn everything_of_the_contract_is_on_the_page_and_every_link_leads_somewhere() {
        let contract: Value = serde_json::from_str(&openapi::json()).unwrap();
        let html = page(&contract);
        for (_, methods) in entries(&contract["paths"]) {
            for (_, operation) in
                entries(methods).filter(|(_, operation)| operation["operationId"].is_string())
            {
                assert!(html.contains(&format!("<section id=\"{}\">", text(&operation["operationId"]))));
            }
        }
        for link in html.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(html.contains(&format!("id=\"{link}\"")), "#{link} leads nowhere");
        }
        for (reason, ..) in KINDS {
            assert!(html.contains(&format!("id=\"{reason}\"")), "{reason}");
        }
        assert!(!html.contains("<script") && !html.contains("style=") && !html.contains("src="));
        let outside =
            html.split("href=\"").skip(1).filter(|rest| !rest.starts_with('#') && !rest.starts_with('/'));
        assert_eq!(outside.count(), 0);
    }

    #[test]
    fn what_stands_in_the_contract_is_text() {
        let evil = json!({"info": {"description": "<script>x</script>"}, "paths": {"/<b>": {"get": {"operationId": "\"><i", "tags": ["<u>"], "responses": {}}}}});
        let html = page(&evil);
        assert!(!html.contains("<script>") && !html.contains("<u>") && !html.contains("\"><i"), "{html}");
    }
}
