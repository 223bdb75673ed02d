//! Both programs are told of a collector of OpenTelemetry. A run that was asked for by the API is one trace there, from
//! the request to the last step.

use std::collections::BTreeMap;

use crds::Phase;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest, common::v1::any_value::Value, trace::v1::Span,
};
use prost::Message;
use serde_json::json;
use tests::{
    Outcome, Result, Story, browser, browser::Browser, ensure, expect, pods::Python, same, service,
    system::Program,
};

/// Prints what it is sent, in hexadecimal digits.
const COLLECTOR: &str = r#"
import http.server, threading

one_line = threading.Lock()

class Collector(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        with one_line:
            print(self.path, self.headers["content-type"], body.hex(), flush=True)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *words):
        pass

http.server.ThreadingHTTPServer(("0.0.0.0", 4318), Collector).serve_forever()
"#;
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

#[tokio::test]
async fn a_deployment_is_one_trace() -> Outcome {
    Story::tell_alone("traces", async |story| {
        let collector = Python::start(story, "collector", 4318, COLLECTOR).await?;
        let programs = ["operator", "api-server"].map(|component| Program::new(&story.client, component));
        for program in &programs {
            program.set(ENDPOINT, Some(&collector.url())).await?;
        }
        let outcome = Box::pin(one_trace(story, &collector)).await;
        for program in &programs {
            program.set(ENDPOINT, None).await?;
        }
        outcome
    })
    .await
}

async fn one_trace(story: &Story, collector: &Python<'_>) -> Result<()> {
    story.apply(&service("blog").tasks("[{name: Copy, ansible.builtin.debug: {msg: hi}}, {name: Restart, ansible.builtin.debug: {msg: ho}}]")).await?;
    let pods = Program::new(&story.client, "api-server").pods().await?;
    let address = pods.first().and_then(|pod| pod.status.as_ref()?.pod_ip.clone()).unwrap_or_default();
    let browser = Browser::at(&format!("http://{address}:8080")).await?;
    let path = format!("/services/{}/blog", story.namespace);
    browser::known(&browser, &path).await?;
    let asked = browser.ask("POST", &format!("{path}/deployments"), Some(&json!({}))).await?;
    let text = |key: &str| asked["deployment"][key].as_str().unwrap_or_default().to_owned();
    let run = story.ends(&text("name")).await?;
    expect::ended(&run, Phase::Succeeded, "Succeeded")?;

    // Two programs send them, each when it has some.
    let spans = arrived(story, collector, &["request", "claim", "deploy blog"]).await?;
    let root = spans.values().find(|(_, span)| span.name == "request");
    let (_, root) = root.ok_or_else(|| tests::anyhow!("no span of the request: {:?}", names(&spans)))?;
    same("parents of the request", root.parent_span_id.len(), 0)?;
    ensure!(spans.values().all(|(_, span)| span.trace_id == root.trace_id), "more than one trace");
    let found: Vec<_> = spans
        .values()
        .map(|(program, span)| {
            let parent = spans.get(&span.parent_span_id).map_or("", |(_, parent)| parent.name.as_str());
            (span.name.as_str(), parent, program.as_str())
        })
        .collect();
    let (operator, api) = ("fastdeploy-operator", "fastdeploy-api-server");
    for wanted in [
        ("request", "", api),
        ("deploy blog", "request", operator),
        ("queued", "deploy blog", operator),
        ("prepare", "deploy blog", operator),
        ("claim", "prepare", api),
        ("run", "deploy blog", operator),
        ("Copy", "run", operator),
        ("Restart", "run", operator),
        ("verdict", "deploy blog", operator),
    ] {
        ensure!(found.contains(&wanted), "expected the span {wanted:?}, saw {found:?}");
    }
    same("spans", found.len(), 9)
}

type Spans = BTreeMap<Vec<u8>, (String, Span)>;

fn names(spans: &Spans) -> Vec<&str> {
    spans.values().map(|(_, span)| span.name.as_str()).collect()
}

/// The spans by their ids, each with the program that sent it, once those of these names have come.
async fn arrived(story: &Story, collector: &Python<'_>, last: &[&str]) -> Result<Spans> {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let spans = decoded(story, &collector.log().await?)?;
        if last.iter().all(|name| names(&spans).contains(name)) {
            return Ok(spans);
        }
        ensure!(
            std::time::Instant::now() < until,
            "expected the spans {last:?} within 30 s, saw {:?}",
            names(&spans)
        );
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
}

/// Those of this story: other runs of the cluster are traced as well as long as it lasts.
fn decoded(story: &Story, log: &str) -> Result<Spans> {
    let mut all = Spans::new();
    for line in log.lines() {
        let body = line.strip_prefix("/v1/traces application/x-protobuf ");
        let body = body.ok_or_else(|| tests::anyhow!("expected traces in protobuf, saw {line:.200}"))?;
        let request = ExportTraceServiceRequest::decode(hex::decode(body)?.as_slice())?;
        for resource in request.resource_spans {
            let attributes = resource.resource.map(|resource| resource.attributes).unwrap_or_default();
            let program = text(&attributes, "service.name");
            for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                all.insert(span.span_id.clone(), (program.clone(), span));
            }
        }
    }
    let here = |span: &Span| text(&span.attributes, "k8s.namespace.name") == story.namespace;
    let trace = all.values().find(|(_, span)| here(span)).map(|(_, span)| span.trace_id.clone());
    all.retain(|_, (_, span)| Some(&span.trace_id) == trace.as_ref());
    Ok(all)
}

fn text(attributes: &[opentelemetry_proto::tonic::common::v1::KeyValue], key: &str) -> String {
    let value = attributes.iter().find(|attribute| attribute.key == key).and_then(|a| a.value.clone());
    match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        _ => String::new(),
    }
}
