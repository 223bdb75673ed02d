//! From where a request comes. Behind an ingress that is what the ingress says; only as many words of
//! `X-Forwarded-For` are believed as there are proxies that the installation knows of.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;

use crate::api::App;

/// From where a request comes; none, where nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address(pub Option<IpAddr>);

impl Address {
    /// In words, for a log.
    pub fn text(self) -> String {
        self.0.map_or_else(|| "unknown".to_owned(), |address| address.to_string())
    }

    /// For counting: who has an IPv6 address has a network of them.
    pub fn counted(self) -> String {
        match self.0 {
            Some(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_none() => format!("{:x}", v6.to_bits() >> 64),
            _ => self.text(),
        }
    }
}

impl FromRequestParts<App> for Address {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
        let said = parts.headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
        let said: Vec<&str> = said.flat_map(|value| value.split(',')).map(str::trim).collect();
        Ok(Self(from(peer, &said, app.people.proxies)))
    }
}

/// The last proxy has written the last word, which is who spoke to it, and so on.
fn from(peer: Option<IpAddr>, said: &[&str], proxies: usize) -> Option<IpAddr> {
    if proxies == 0 {
        return peer;
    }
    let word = said.len().checked_sub(proxies).and_then(|n| said.get(n));
    word.and_then(|word| word.parse().ok()).or(peer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_chooses_from_where_he_comes() {
        let peer = "10.0.0.9".parse().ok();
        let address = |text: &str| text.parse::<IpAddr>().ok();
        assert_eq!(from(peer, &["1.1.1.1"], 0), peer);
        assert_eq!(from(peer, &["6.6.6.6", "1.1.1.1"], 1), address("1.1.1.1"));
        assert_eq!(from(peer, &["6.6.6.6", "1.1.1.1", "10.0.0.8"], 2), address("1.1.1.1"));
        assert_eq!(from(peer, &[], 1), peer);
        assert_eq!(from(peer, &["nonsense"], 1), peer);
        assert_eq!(from(None, &[], 1), None);
    }

    #[test]
    fn a_network_of_addresses_is_one_caller() {
        let address = |text: &str| Address(text.parse().ok()).counted();
        assert_eq!(address("2001:db8:1:2::1"), address("2001:db8:1:2:ffff::9"));
        assert_ne!(address("2001:db8:1:2::1"), address("2001:db8:1:3::1"));
        assert_ne!(address("1.1.1.1"), address("1.1.1.2"));
    }
}
