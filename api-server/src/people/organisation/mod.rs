//! Signing in with one's organisation (OpenID Connect, authorization code with PKCE). Who it is, and to which groups
//! they belong, is what the organisation says, under the names that the cluster's API server gives them; what they
//! may do is Kubernetes RBAC, as for everybody. It ends in the same session as a password does.

pub mod door;
mod form;
mod named;
pub(super) mod settings;
mod state;
#[cfg(test)]
pub(crate) mod tests;
mod tokens;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use moka::sync::Cache;

#[cfg(test)]
pub(crate) use self::form::encode;
pub use self::settings::{Invalid, Settings};
use super::federation::Trust;
use crate::identity::issuer::Issuer;

/// In the folder: how people sign in.
const FILE: &str = "oidc.json";
/// In the folder: what we show the organisation, to be known.
const SECRET: &str = "client-secret";
/// In the folder: whose tokens are exchanged for ours.
const FEDERATION: &str = "federation.json";
/// How soon a change is known, once the kubelet has brought it.
const LOOK: Duration = Duration::from_secs(5);
/// Sign-ins that are finished at once; others wait. Each one asks the organisation.
const AT_ONCE: usize = 8;
/// Sign-ins that are remembered, so that none is finished twice: bounds the memory.
const REMEMBERED: u64 = 10_000;

/// The organisation that people sign in with; none, where none is configured.
#[derive(Clone)]
pub struct Door(Arc<Inner>);

struct Inner {
    now: Mutex<Option<Arc<Organisation>>>,
    /// Sign-ins that came back.
    finished: Cache<String, ()>,
    room: tokio::sync::Semaphore,
}

/// An organisation, and what is known of it.
pub struct Organisation {
    settings: Settings,
    secret: Option<String>,
    issuer: Issuer,
}

impl Default for Door {
    fn default() -> Self {
        let finished =
            Cache::builder().max_capacity(REMEMBERED).time_to_live(state::LASTS.unsigned_abs()).build();
        Self(Arc::new(Inner { now: Mutex::default(), finished, room: tokio::sync::Semaphore::new(AT_ONCE) }))
    }
}

impl Door {
    fn now(&self) -> Option<Arc<Organisation>> {
        self.0.now.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on this one.
    pub fn lead_to(&self, organisation: Option<Organisation>) {
        *self.0.now.lock().unwrap_or_else(PoisonError::into_inner) = organisation.map(Arc::new);
    }
}

impl Organisation {
    /// From its settings, and what we show it.
    pub fn new(settings: Settings, secret: Option<String>) -> Result<Self, Invalid> {
        let issuer = Issuer::new(&settings.issuer, settings.client()?);
        Ok(Self { settings, secret, issuer })
    }

    fn read(text: &str, secret: Option<&str>) -> Result<Self, Invalid> {
        let secret = secret.map(|secret| secret.trim().to_owned()).filter(|secret| !secret.is_empty());
        Self::new(Settings::read(text)?, secret)
    }
}

/// Reads the folder again and again: it can be changed without a restart. What cannot be used changes nothing.
pub async fn keep(folder: PathBuf, door: Door, trust: Trust) {
    let (mut ways, mut rules) = (None, None);
    loop {
        let files = (text(&folder, FILE).await, text(&folder, SECRET).await);
        if ways.as_ref() != Some(&files) {
            take(&door, files.0.as_deref(), files.1.as_deref());
            ways = Some(files);
        }
        let file = text(&folder, FEDERATION).await;
        if rules.as_ref() != Some(&file) {
            match trust.read(file.as_deref()) {
                Ok(count) => tracing::info!("{count} rules say whose tokens are exchanged for ours"),
                Err(error) => {
                    tracing::warn!(error, "whose tokens are exchanged stays as it was: {error}");
                }
            }
            rules = Some(file);
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn text(folder: &Path, name: &str) -> Option<String> {
    tokio::fs::read_to_string(folder.join(name)).await.ok()
}

fn take(door: &Door, text: Option<&str>, secret: Option<&str>) {
    match text.map(|text| Organisation::read(text, secret)).transpose() {
        Ok(found) => {
            let issuer = found.as_ref().map_or("nobody else", |found| &found.settings.issuer);
            tracing::info!(issuer, "people sign in with a password, and with {issuer}");
            door.lead_to(found);
        }
        Err(error) => {
            let error = error.to_string();
            tracing::warn!(error, "sign-in with the organisation stays as it was: {error}");
        }
    }
}
