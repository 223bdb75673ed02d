//! kubectl, as a person uses it: for what is about its words, and for looking into pods.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use tokio::{io::AsyncWriteExt, process::Command};

/// What kubectl said.
pub struct Said {
    /// It succeeded.
    pub ok: bool,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// Runs kubectl with these words, and with this on standard input.
pub async fn ask(words: &[&str], input: &str) -> Result<Said> {
    let mut child = Command::new("kubectl")
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("kubectl is not in the PATH: eval \"$(make -s env)\"")?;
    let mut stdin = child.stdin.take().context("kubectl has no standard input")?;
    stdin.write_all(input.as_bytes()).await?;
    drop(stdin);
    let output = child.wait_with_output().await?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Said { ok: output.status.success(), out: text(output.stdout), err: text(output.stderr) })
}

/// Runs kubectl; answers its output.
pub async fn run(words: &[&str]) -> Result<String> {
    let said = ask(words, "").await?;
    ensure!(said.ok, "kubectl {}: {}", words.join(" "), said.err);
    Ok(said.out)
}
