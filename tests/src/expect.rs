//! Comparisons whose failure says what was expected and what was seen.

use std::fmt::Debug;

use anyhow::{Result, ensure};
use crds::{Deployment, Phase};

/// Both are the same.
// By value, so that stories read well.
#[allow(clippy::needless_pass_by_value)]
pub fn same<T: Debug + PartialEq>(what: &str, seen: T, expected: T) -> Result<()> {
    ensure!(seen == expected, "{what}: expected {expected:?}, saw {seen:?}");
    Ok(())
}

/// The text contains a part, whatever the case.
pub fn holds(what: &str, text: &str, part: &str) -> Result<()> {
    let found = text.to_lowercase().contains(&part.to_lowercase());
    ensure!(found, "{what}: expected a text with “{part}”, saw “{text}”");
    Ok(())
}

/// The Deployment ended in this way. A failure has a sentence, and a hint where people can help.
pub fn ended(run: &Deployment, phase: Phase, reason: &str) -> Result<()> {
    let status = run.status.clone().unwrap_or_default();
    let failure = status.failure.clone();
    let message = failure.as_ref().map(|f| f.message.clone()).unwrap_or_default();
    same(
        &format!("phase and reason of {} ({message})", run.metadata.name.clone().unwrap_or_default()),
        (status.phase, status.reason.as_deref()),
        (Some(phase), Some(reason)),
    )?;
    ensure!(status.finished_at.is_some(), "expected finishedAt on a Deployment that has ended, saw none");
    if phase != Phase::Succeeded {
        let Some(failure) = failure else {
            anyhow::bail!("expected status.failure with {phase:?}, saw none")
        };
        same("failure.reason", failure.reason.as_str(), reason)?;
        ensure!(!failure.message.is_empty(), "expected failure.message to say something, saw nothing");
        ensure!(!failure.hint.is_empty(), "expected failure.hint to say what to do, saw nothing");
    }
    Ok(())
}
