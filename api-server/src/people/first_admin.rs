//! The first administrator: from a Secret that is made if absent, into a database without one. So a
//! lost database never locks everybody out.

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use store::{PgPool, users};

use super::password::Passwords;
use crate::names;
use crate::stored::{self, Error};

/// Name and password, from the Secret.
#[derive(Clone)]
pub struct FirstAdmin {
    name: String,
    password: String,
}

/// Reads the Secret; makes it if there is none.
pub async fn load(client: &Client, namespace: &str) -> Result<FirstAdmin, Error> {
    let secrets = Api::<Secret>::namespaced(client.clone(), namespace);
    let secret = stored::get_or_create(&secrets, names::FIRST_ADMIN, || {
        let password = uuid::Uuid::new_v4().simple().to_string();
        Ok([(names::FIRST_ADMIN_NAME, "admin".to_owned()), (names::FIRST_ADMIN_PASSWORD, password)])
    })
    .await?;
    let value = |key| stored::value(&secret, names::FIRST_ADMIN, key);
    Ok(FirstAdmin { name: value(names::FIRST_ADMIN_NAME)?, password: value(names::FIRST_ADMIN_PASSWORD)? })
}

/// Makes the account, if there is no administrator.
pub async fn ensure(pool: &PgPool, passwords: &Passwords, admin: &FirstAdmin) -> Result<(), String> {
    let words = |error: store::sqlx::Error| error.to_string();
    if users::has_admin(pool).await.map_err(words)? {
        return Ok(());
    }
    let hash = passwords.hash(admin.password.clone()).await.map_err(|problem| problem.detail)?;
    if users::make_first_admin(pool, &admin.name, &hash).await.map_err(words)? {
        let (user, secret) = (&admin.name, names::FIRST_ADMIN);
        tracing::info!(user.name = user, "made the first administrator {user}, as the Secret {secret} says");
    }
    Ok(())
}
