//! The refresh token's cookie: no script sees it, no other site sends it, only the session's path gets it.

use axum::http::{HeaderMap, HeaderValue, header};
use jiff::SignedDuration;

use crate::api::problem::Problem;

/// Its name.
pub const NAME: &str = "fastdeploy-session";
/// How long a browser stays signed in without being used.
pub const LASTS: SignedDuration = SignedDuration::from_hours(14 * 24);

/// The header that sets it. `secure`: only over HTTPS, or to this very machine.
pub fn set(token: &str, secure: bool) -> Option<HeaderValue> {
    header(token, LASTS.as_secs(), secure)
}

/// The header that removes it.
pub fn clear(secure: bool) -> Option<HeaderValue> {
    header("", 0, secure)
}

fn header(token: &str, seconds: i64, secure: bool) -> Option<HeaderValue> {
    let secure = if secure { "; Secure" } else { "" };
    let text =
        format!("{NAME}={token}; Path=/api/v1/session; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    HeaderValue::from_str(&text).ok()
}

/// The token that a browser shows.
pub fn read(headers: &HeaderMap) -> Option<&str> {
    named(headers, NAME)
}

/// What a browser shows under this name.
pub fn named<'a>(headers: &'a HeaderMap, wanted: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == wanted && !value.is_empty()).then_some(value))
}

/// A request that another site made a browser send is none.
pub fn same_site(headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let fetched = text(header::HeaderName::from_static("sec-fetch-site"));
    let origin = text(header::ORIGIN);
    let host = text(header::HOST).unwrap_or_default();
    let foreign = fetched.is_some_and(|site| !matches!(site, "same-origin" | "none"))
        || origin
            .is_some_and(|origin| origin.split_once("://").is_none_or(|(_, authority)| authority != host));
    if foreign { Err(Problem::forbidden("This request comes from another site.")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn it_is_found_among_others() {
        let found = |cookie| read(&headers(&[("cookie", cookie)])).map(ToOwned::to_owned);
        assert_eq!(found("a=b; fastdeploy-session=abc; c=d"), Some("abc".into()));
        assert_eq!(found("xfastdeploy-session=abc; fastdeploy-session="), None);
        assert_eq!(read(&HeaderMap::new()), None);
    }

    #[test]
    fn other_sites_are_refused() {
        let host = ("host", "deploy.example.com");
        assert!(same_site(&headers(&[host])).is_ok());
        assert!(
            same_site(&headers(&[
                host,
                ("origin", "https://deploy.example.com"),
                ("sec-fetch-site", "same-origin")
            ]))
            .is_ok()
        );
        for foreign in [
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("origin", "https://deploy.example.com.evil.example"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            assert!(same_site(&headers(&[host, foreign])).is_err(), "{foreign:?}");
        }
    }

    #[test]
    fn scripts_and_other_paths_do_not_get_it() {
        let cookie = set("abc", true).unwrap();
        let cookie = cookie.to_str().unwrap();
        for part in ["HttpOnly", "SameSite=Strict", "Secure", "Path=/api/v1/session", "Max-Age=1209600"] {
            assert!(cookie.contains(part), "{cookie}");
        }
        assert!(!set("abc", false).unwrap().to_str().unwrap().contains("Secure"));
    }
}
