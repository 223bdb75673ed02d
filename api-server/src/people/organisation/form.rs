//! Names and values as they stand in an address or in a form's body. Pure.

use std::fmt::Write;

/// `a=b&c=d`, every byte escaped that could be taken for something else.
pub fn encode(pairs: &[(&str, &str)]) -> String {
    let pairs = pairs.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// One of them.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

/// The address with these behind it; it may have some already.
pub fn with(address: &str, pairs: &[(&str, &str)]) -> String {
    let between = if address.contains('?') { '&' } else { '?' };
    format!("{address}{between}{}", encode(pairs))
}

/// A place of this page, if it is one: nobody is led elsewhere by what stands in an address.
pub fn own_path(text: &str) -> Option<&str> {
    // Browsers take a backslash for a slash, and leave out tabs and line breaks.
    let sound = text.len() <= 2000 && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let ours = text.starts_with('/') && !text.starts_with("//") && !text.starts_with("/api/");
    (sound && ours).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_taken_for_something_else_is_escaped() {
        assert_eq!(encode(&[("a b", "c&d=é"), ("x", "-._~1")]), "a%20b=c%26d%3D%C3%A9&x=-._~1");
        assert_eq!(with("https://a/b", &[("c", "d")]), "https://a/b?c=d");
        assert_eq!(with("https://a/b?p=q", &[("c", "d")]), "https://a/b?p=q&c=d");
    }

    #[test]
    fn nobody_is_led_elsewhere() {
        for ours in ["/", "/services/team/blog?deploy=1#x", "/sign-in"] {
            assert_eq!(own_path(ours), Some(ours));
        }
        for elsewhere in [
            "",
            "//evil.example",
            "/\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "evil.example",
            "\\\\evil.example",
            " /x",
            "/a b",
            "/api/v1/session/oidc/start",
            "/é",
        ] {
            assert_eq!(own_path(elsewhere), None, "{elsewhere:?}");
        }
    }
}
