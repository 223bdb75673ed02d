//! The disk on which PostgreSQL keeps what runs report is full: Ansible does not wait for it, nothing of the run is
//! lost, and when there is room again its last report arrives, and with it the verdict.

use crds::Phase;
use tests::{
    Outcome, Result, Servers, Story, database, deployment, ensure, expect, holds,
    reports::{self, Arrived},
    same, service,
};

/// Those that hold reports go to a disk of their own, which is in memory and has 64 MB: no other table is in the way.
const MOVE: &str = "
do $$ declare part regclass; begin
  for part in select inhrelid::regclass from pg_inherits where inhparent in ('run_events'::regclass, 'run_output'::regclass)
  loop execute format('alter table %s set tablespace TO', part); end loop;
end $$;
";
/// More than what is left in pages that are there already.
const WRITE: &str = "create table too_much tablespace small as
  select repeat(md5(random()::text), 1000) from generate_series(1, 1000);";

fn moved(to: &str) -> String {
    format!("\\set ON_ERROR_STOP 1\n{}", MOVE.replace("TO", to))
}

#[tokio::test]
async fn disk_full() -> Outcome {
    Story::tell_alone("disk-full", async |story| {
        database::psql(
            "\\set ON_ERROR_STOP 1\n\\! mkdir -p /tmp/small\ncreate tablespace small location '/tmp/small';",
        )
        .await?;
        let told = Box::pin(told(story)).await;
        database::psql("\\! rm -f /tmp/filler").await?;
        database::psql(&moved("pg_default")).await?;
        database::psql("\\set ON_ERROR_STOP 1\ndrop tablespace small;\n\\! rm -rf /tmp/small").await?;
        told
    })
    .await
}

async fn told(story: &Story) -> Result<()> {
    let servers = Servers::of(story).await?;
    // Output that cannot be made smaller.
    let tasks = format!(
        "
- {{name: Prove, ansible.builtin.shell: '{}'}}
- {{name: Stay, ansible.builtin.pause: {{seconds: 2}}}}
- {{name: Much, ansible.builtin.debug: {{msg: \"{{{{ lookup('ansible.builtin.password', '/dev/null', length=40000) }}}}\"}}, loop: [1, 2, 3, 4, 5, 6]}}
",
        servers.prove()
    );
    story.apply(&service("blog").on(&servers).tasks(&tasks)).await?;
    database::psql(&moved("small")).await?;
    database::psql("\\! cat /dev/zero > /tmp/filler 2> /dev/null").await?;
    let refused = database::psql(&format!("\\set ON_ERROR_STOP 1\n{WRITE}")).await;
    let said = refused.err().map(|error| error.to_string()).unwrap_or_default();
    holds("what PostgreSQL says", &said, "No space left on device")?;

    story.apply(&deployment("run", "blog")).await?;
    story.says("run", "PLAY RECAP").await?;
    same("runs of Ansible on the server", servers.proofs(0).await?, 1)?;
    let run = story.runs("run").await?;
    ensure!(
        run.status.and_then(|status| status.run).is_some_and(|run| run.result.is_none()),
        "expected the final report to wait for the disk, saw it"
    );

    database::psql("\\! rm /tmp/filler").await?;
    let run = story.ends("run").await?;
    expect::ended(&run, Phase::Succeeded, "Succeeded")?;
    let Arrived { lines, .. } = reports::arrived(story, &run, 1).await?;
    let long = lines.iter().filter(|line| line.len() > 40_000).count();
    same("long lines that are stored, of six on two servers", long, 12)?;
    story.service_is("blog", "True", "True", "Deployed").await?;
    same("pods", story.pods.ever().len(), 1)
}
