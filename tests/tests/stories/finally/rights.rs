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
        let is_whole = audit.has_the_beginning(&story.client).await?;
        if !is_whole {
            eprintln!("the audit log no longer has the day of the installation: what it creates then is not looked at");
        }
        for account in ["fastdeploy-operator", "fastdeploy-api-server"] {
            let granted = audit::grants(&story.client, account).await?;
            let mut used = audit.uses(account)?;
            used.retain(|used| !is_everybodys(used));
            // The log of a cluster that lives on is older than these roles.
            let changed = audit::changed_at(&story.client, account).await?;
            let mut of_now: Vec<_> = used
                .iter()
                .filter(|used| used.at >= changed)
                .cloned()
                .map(|u| Use { at: String::new(), ..u })
                .collect();
            of_now.sort();
            of_now.dedup();
            let refused = of_now.iter().filter(|used| used.forbidden);
            wrong.extend(refused.map(|used| format!("{account} was refused: {used}")));
            let foreign = of_now.iter().filter(|used| !granted.iter().any(|grant| grant.permits(used)));
            wrong.extend(foreign.map(|used| format!("{account} used what its roles do not grant: {used}")));
            // `bind` is no request: Kubernetes asks itself for it when a RoleBinding is made.
            let idle = granted.iter().filter(|grant| !grant.is_asked_within());
            let idle = idle.filter(|grant| is_whole || !grant.is_for_the_beginning());
            let idle = idle.filter(|grant| !used.iter().any(|used| grant.permits(used)));
            wrong.extend(idle.map(|grant| format!("{account} never used: {grant}")));
        }
        same("rights", wrong, Vec::<String>::new())
    })
    .await
}
