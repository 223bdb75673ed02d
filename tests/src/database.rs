//! The chart's PostgreSQL: taken away, brought back, and asked.

use anyhow::{Result, ensure};

use crate::{installation, kubectl};

const NAME: &str = "statefulset/fastdeploy-postgresql";

/// As many as that (0 or 1), and ready, or gone.
pub async fn scale(replicas: u32) -> Result<()> {
    let installation = installation();
    let words = ["--namespace", &installation, "scale", NAME];
    kubectl::run(&[&words[..], &[&format!("--replicas={replicas}")]].concat()).await?;
    let wait = ["--namespace", &installation, "rollout", "status", NAME, "--timeout=1m"];
    kubectl::run(&wait).await.map(drop)
}

/// Runs a statement.
pub async fn psql(statement: &str) -> Result<()> {
    let installation = installation();
    let command = "exec /usr/lib/postgresql/*/bin/psql --host /tmp --username fastdeploy --quiet fastdeploy";
    let words = ["--namespace", &installation, "exec", "--stdin", NAME, "--", "sh", "-c", command];
    let said = kubectl::ask(&words, statement).await?;
    ensure!(said.ok, "psql: {}", said.err);
    Ok(())
}
