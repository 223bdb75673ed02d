//! What passes look at the world with: live reads, repositories, PostgreSQL, the time.

use crds::Service;
use kube::{Client, runtime::reflector::Store};
use store::PgPool;

use crate::{clock::Clock, slots::Slots, sources::Sources};

/// What passes look at the world with.
pub struct Eyes {
    /// Kubernetes.
    pub client: Client,
    /// The time.
    pub clock: Clock,
    /// The installation's key for HMACs.
    pub digest_key: Vec<u8>,
    /// PostgreSQL, if there is one: asked before history is removed, and for what is repeated.
    pub pool: Option<PgPool>,
    /// Repositories.
    pub sources: Sources,
    /// How many runs may be on at once.
    pub slots: Slots,
    /// All Services.
    pub services: Store<Service>,
}
