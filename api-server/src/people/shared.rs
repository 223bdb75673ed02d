//! What the handlers of people share, besides what all handlers share.

use std::sync::Arc;

use store::PgPool;

use super::bindings::Bindings;
use super::federation::Trust;
use super::organisation::Door;
use super::standing::Standing;
use crate::api::problem::Problem;
use crate::hooks::Hooks;
use crate::system::installation::Installation;

/// What people's handlers need.
#[derive(Clone)]
pub struct Shared {
    /// Whose tokens count.
    pub standing: Standing,
    /// Proxies before us that write `X-Forwarded-For`.
    pub proxies: usize,
    /// What Git servers tell.
    pub hooks: Hooks,
    /// The organisation that people sign in with.
    pub door: Door,
    /// Whose tokens are exchanged for ours.
    pub trust: Trust,
    /// Who has which role.
    pub roles: Option<Arc<dyn Bindings>>,
    /// How the installation itself fares.
    pub installation: Option<Arc<dyn Installation>>,
}

impl Shared {
    /// Without what belongs to an installation only.
    pub fn new(pool: Option<PgPool>) -> Self {
        Self {
            standing: Standing::new(pool),
            proxies: 0,
            hooks: Hooks::default(),
            door: Door::default(),
            trust: Trust::default(),
            roles: None,
            installation: None,
        }
    }

    /// Who has which role.
    pub fn bindings(&self) -> Result<&Arc<dyn Bindings>, Problem> {
        let away = || Problem::unavailable("Roles cannot be read here.", "no cluster is known");
        self.roles.as_ref().ok_or_else(away)
    }
}
