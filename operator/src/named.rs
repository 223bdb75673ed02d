//! Reads what a user named. A name that no object can have is not there; it must never become a part of another path.

use std::fmt::Debug;

use kube::Api;
use serde::de::DeserializeOwned;

/// The object of that name, if there is one.
pub async fn get<K>(api: &Api<K>, name: &str) -> Result<Option<K>, kube::Error>
where
    K: Clone + DeserializeOwned + Debug,
{
    if crds::names::is_object_name(name) { api.get_opt(name).await } else { Ok(None) }
}
