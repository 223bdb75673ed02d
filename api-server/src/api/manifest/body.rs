//! A manifest as it is sent.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use serde_json::Value;

use crate::api::App;
use crate::api::problem::Problem;

/// Largest manifest, in bytes: 256 kB of files and variables, written as JSON at its worst.
pub const MAX_MANIFEST: usize = 1024 * 1024;

/// One object, in YAML or JSON.
#[derive(Debug)]
pub struct Manifest(pub Value);

impl FromRequest<App> for Manifest {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let yaml = match kind.as_str() {
            "application/yaml" | "application/x-yaml" | "text/yaml" => true,
            "application/json" => false,
            _ => {
                let detail = "Send the manifest with content-type: application/yaml or application/json.";
                return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", detail));
            }
        };
        let bytes = Bytes::from_request(request, app).await.map_err(|error| {
            if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
                let detail = format!("A manifest has at most {MAX_MANIFEST} bytes.");
                Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "TooLarge", detail)
            } else {
                Problem::bad_request(format!("{}.", error.body_text()))
            }
        })?;
        parse(&bytes, yaml).map(Self).map_err(Problem::bad_request)
    }
}

fn parse(bytes: &[u8], yaml: bool) -> Result<Value, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "The manifest is not UTF-8.".to_owned())?;
    let object: Value = if yaml {
        serde_yaml::from_str(text).map_err(|error| format!("The YAML cannot be read: {error}."))?
    } else {
        serde_json::from_str(text).map_err(|error| format!("The JSON cannot be read: {error}."))?
    };
    if object.is_object() {
        Ok(object)
    } else {
        Err("Write one manifest: apiVersion, kind, metadata, spec.".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_cannot_be_read_is_said_with_its_place() {
        assert!(
            parse(b"a: [1\nb: 2", true).unwrap_err().contains("line"),
            "{:?}",
            parse(b"a: [1\nb: 2", true)
        );
        assert!(parse(b"a: 1\n---\nb: 2", true).unwrap_err().starts_with("The YAML cannot be read"));
        for (bytes, yaml) in [(&b"3"[..], true), (b"", true), (b"[]", false), (b"{", false), (b"\xff", true)]
        {
            assert!(parse(bytes, yaml).is_err(), "{bytes:?}");
        }
        assert_eq!(parse(b"kind: Service", true).unwrap(), parse(br#"{"kind":"Service"}"#, false).unwrap());
    }

    #[test]
    fn a_few_lines_do_not_become_a_million() {
        let mut text = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for n in 1..20 {
            let before = (0..10).map(|_| format!("*a{}", n - 1)).collect::<Vec<_>>().join(",");
            writeln!(text, "a{n}: &a{n} [{before}]").unwrap();
        }
        assert!(parse(text.as_bytes(), true).is_err());
        let deep = "[".repeat(100_000);
        assert!(parse(deep.as_bytes(), true).is_err() && parse(deep.as_bytes(), false).is_err());
    }

    proptest! {
        #[test]
        fn nothing_that_is_sent_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), yaml: bool) {
            let _ = parse(&bytes, yaml);
        }
    }
}
