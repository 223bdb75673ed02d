//! Inputs: what does not fit the form is refused within seconds; what fits reaches the playbook as
//! data, never as a template.

use std::time::Instant;

use crds::Phase;
use tests::{Outcome, Story, deployment, ensure, expect, holds, same, service};

const FORM: &str = r"
inputs:
  - {name: version, type: text, required: true, pattern: 'v[0-9.]+'}
  - {name: servers, type: number, minimum: 1, maximum: 3}
  - {name: color, type: choice, choices: [blue, green], default: blue}
  - {name: words, type: text}
  - {name: letter, type: textarea}
  - {name: fast, type: boolean}
  - {name: parts, type: multichoice, choices: [web, mail]}
  - {name: day, type: date}
";

#[tokio::test]
async fn inputs_against_the_form() -> Outcome {
    Story::tell("inputs", async |story| {
        story.apply(&service("blog").with(FORM)).await?;
        story.service_is("blog", "True", "False", "WaitingForPerson").await?;
        for (n, (inputs, word)) in [
            ("{}", "inputs.version: an answer is required"),
            ("{version: latest}", "does not match"),
            ("{version: v1, servers: 4}", "the largest is 3"),
            ("{version: v1, servers: '2'}", "a number, without quotes"),
            ("{version: v1, color: red}", "write one of blue, green"),
            ("{version: v1, colour: blue}", "the form has no such field"),
            ("{version: v1, words: \"two\\nlines\"}", "write one line"),
            ("{version: v1, letter: [a]}", "a text"),
            ("{version: v1, fast: 'yes'}", "write true or false"),
            ("{version: v1, parts: [web, ftp]}", "write one of web, mail"),
            ("{version: v1, day: '2026-02-30'}", "2026-11-23"),
        ]
        .into_iter()
        .enumerate()
        {
            let began = Instant::now();
            let name = format!("bad-{n}");
            story.apply(&deployment(&name, "blog").with(&format!("inputs: {inputs}"))).await?;
            let run = story.ends(&name).await?;
            expect::ended(&run, Phase::Failed, "InvalidInput")?;
            let failure = run.status.and_then(|status| status.failure);
            holds("failure.message", &failure.map(|f| f.message).unwrap_or_default(), word)?;
            ensure!(
                began.elapsed().as_secs() < 5,
                "expected a refusal within 5 s, saw it after {:?}",
                began.elapsed()
            );
        }
        same("pods that were made for them", story.pods.ever().len(), 0)
    })
    .await
}

#[tokio::test]
async fn inputs_are_data() -> Outcome {
    Story::tell("inputs-are-data", async |story| {
        let tasks = r#"
- {name: Tell, ansible.builtin.debug: {msg: 'words are <{{ words }}> in {{ color }}'}}
- name: Types
  ansible.builtin.assert:
    that:
      - servers + 1 == 3
      - fast
      - "parts == ['web', 'mail']"
      - "day == '2026-11-23'"
      - "letter.splitlines() == ['dear', 'all']"
"#;
        story.apply(&service("blog").with(FORM).tasks(tasks)).await?;
        let inputs = r#"inputs: {version: v1, words: "{{ 6 * 7 }} {% raw %} {{ lookup('pipe', 'id') }}",
            servers: 2, fast: true, parts: [web, mail], day: '2026-11-23', letter: "dear\nall"}"#;
        story.apply(&deployment("run", "blog").with(inputs)).await?;
        expect::ended(&story.ends("run").await?, Phase::Succeeded, "Succeeded")?;
        let log = story.log_of("run").await?;
        holds("the log", &log, "words are <{{ 6 * 7 }} {% raw %} {{ lookup('pipe', 'id') }}> in blue")
    })
    .await
}
