//! The roles of the two programs are exactly what they use: nothing was refused, and nothing is
//! granted that no story made use of.

use tests::{
    Outcome, Story,
    audit::{self, Audit, Use},
    same,
};

/// What every account may do anyway, by Kubernetes' own roles.
fn is_everybodys(used: &Use) -> bool {
    (used.group == "authorization.k8s.io" && used.resource.starts_with("self")) || used.resource.is_empty()
}

#[tokio::test]
async fn rights_are_used_and_uses_are_rights() -> Outcome {
    let Some(audit) = Audit::here("rights") else { return Ok(()) };
    Story::tell_alone("rights", async |story| {
        let mut wrong = Vec::new();
        for account in ["fastdeploy-operator", "fastdeploy-api-server"] {
            let granted = audit::grants(&story.client, account).await?;
            let mut used = audit.uses(account)?;
            used.retain(|used| !is_everybodys(used));
            used.sort();
            used.dedup();
            let refused = used.iter().filter(|used| used.forbidden);
            wrong.extend(refused.map(|used| format!("{account} was refused: {used}")));
            let foreign = used.iter().filter(|used| !granted.iter().any(|grant| grant.permits(used)));
            wrong.extend(foreign.map(|used| format!("{account} used what its roles do not grant: {used}")));
            let idle = granted.iter().filter(|grant| !used.iter().any(|used| grant.permits(used)));
            wrong.extend(idle.map(|grant| format!("{account} never used: {grant}")));
        }
        same("rights", wrong, Vec::<String>::new())
    })
    .await
}
