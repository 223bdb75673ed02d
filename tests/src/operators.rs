//! Operators on this machine instead of the one in the cluster, built to freeze at a fail point.

use std::{fs, process::Stdio, time::Duration};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client, runtime::wait::await_condition};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::process::{Child, Command};

use crate::{installation, system::Program};

/// Compiles an operator with fail points, and answers where it is.
pub async fn build() -> Result<String> {
    let workspace = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let built = Command::new("cargo")
        .args(["build", "--locked", "--quiet", "--package", "operator", "--features", "failpoints"])
        .current_dir(workspace)
        .status()
        .await?;
    ensure!(built.success(), "expected the operator to compile with fail points, see above");
    let folder = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| format!("{workspace}/target"));
    Ok(format!("{folder}/debug/fastdeploy-operator"))
}

/// One operator. Dropped: killed.
pub struct Operator {
    name: &'static str,
    client: Client,
    process: Child,
}

impl Operator {
    /// Starts one with the environment that the chart gives.
    pub async fn start(
        client: &Client,
        program: &str,
        name: &'static str,
        port: u16,
        stop_before: Option<&str>,
    ) -> Result<Self> {
        let stop_before = [("FASTDEPLOY_STOP_BEFORE", stop_before.unwrap_or_default())];
        Self::start_with(client, program, name, port, &stop_before).await
    }

    /// Starts one with the environment that the chart gives, and this.
    pub async fn start_with(
        client: &Client,
        program: &str,
        name: &'static str,
        port: u16,
        besides: &[(&str, &str)],
    ) -> Result<Self> {
        let environment = Program::new(client, "operator").environment().await?;
        let process = Command::new(program)
            .envs(environment)
            .env("FASTDEPLOY_NAMESPACE", installation())
            .env("POD_NAME", name)
            .env("FASTDEPLOY_METRICS_ADDR", format!("127.0.0.1:{port}"))
            .env("FASTDEPLOY_LOG_FORMAT", "text")
            .envs(besides.iter().copied())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("failed to start {program}"))?;
        Ok(Self { name, client: client.clone(), process })
    }

    /// Waits until it has the lease.
    pub async fn leads(&self) -> Result<()> {
        let leases = Api::<Lease>::namespaced(self.client.clone(), &installation());
        let ours = |lease: Option<&Lease>| {
            lease.and_then(|lease| lease.spec.as_ref()?.holder_identity.as_deref()) == Some(self.name)
        };
        let waited = await_condition(leases, "fastdeploy-operator", ours);
        let late = || format!("expected operator {} to lead within a minute", self.name);
        tokio::time::timeout(Duration::from_mins(1), waited).await.with_context(late)??;
        Ok(())
    }

    /// Waits until it has frozen itself. Linux tells nobody but the parent, so this one asks.
    pub async fn freezes(&self) -> Result<()> {
        let stat = format!("/proc/{}/stat", self.pid()?);
        let frozen = async {
            while !fs::read_to_string(&stat).is_ok_and(|text| text.contains(") T ")) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let late = || format!("expected operator {} to freeze at its fail point within a minute", self.name);
        tokio::time::timeout(Duration::from_mins(1), frozen).await.with_context(late)
    }

    /// Lets it go on where it froze.
    pub fn wake(&self) -> Result<()> {
        kill(self.pid()?, Signal::SIGCONT).map_err(Into::into)
    }

    /// Waits until it has ended by itself.
    pub async fn ends(&mut self) -> Result<()> {
        let late = || format!("expected operator {} to end within a minute", self.name);
        tokio::time::timeout(Duration::from_mins(1), self.process.wait()).await.with_context(late)??;
        Ok(())
    }

    /// Waits until it has ended, however long that takes.
    pub async fn over(&mut self) -> Result<()> {
        self.process.wait().await?;
        Ok(())
    }

    fn pid(&self) -> Result<Pid> {
        let pid = self.process.id().with_context(|| format!("operator {} has ended", self.name))?;
        Ok(Pid::from_raw(i32::try_from(pid)?))
    }
}
