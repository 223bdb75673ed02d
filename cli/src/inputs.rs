//! `fastdeploy inputs`: the form of a Service, from what its project already says of its variables.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, anyhow};
use crds::argument_specs::{Proposed, propose};
use serde::Serialize;

/// A file of a project that is larger holds no argument specs.
const LARGEST: u64 = 1 << 20;

/// Arguments.
#[derive(clap::Args)]
pub struct Args {
    /// The project's folder: where Ansible would be started.
    #[arg(value_name = "DIRECTORY")]
    folder: PathBuf,
    /// The playbook, as a path in it. Default: deploy.yml, or else site.yml.
    #[arg(long)]
    playbook: Option<String>,
}

#[derive(Serialize)]
struct Form<'a> {
    inputs: &'a [crds::service::Input],
}

/// Prints the form as YAML for `spec`, and on standard error what did not fit into one.
pub fn run(args: &Args) -> Result<ExitCode> {
    let mut files = BTreeMap::new();
    collect(&args.folder, "", &mut files)
        .with_context(|| format!("failed to read {}", args.folder.display()))?;
    let usual = ["deploy.yml", "site.yml"].into_iter().find(|name| files.contains_key(*name));
    let playbook = args.playbook.as_deref().or(usual).unwrap_or("deploy.yml");
    let Proposed { inputs, notes } = propose(&files, playbook).map_err(|said| anyhow!(said))?;
    for note in notes {
        eprintln!("{note}");
    }
    print!("{}", serde_yaml::to_string(&Form { inputs: &inputs })?);
    Ok(ExitCode::SUCCESS)
}

/// The YAML files below a folder. Neither links nor hidden folders are followed.
fn collect(folder: &Path, prefix: &str, files: &mut BTreeMap<String, String>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (kind, name) = (entry.file_type()?, entry.file_name().to_string_lossy().into_owned());
        let path = format!("{prefix}{name}");
        if kind.is_dir() && !name.starts_with('.') {
            collect(&entry.path(), &format!("{path}/"), files)?;
        } else if kind.is_file()
            && entry.path().extension().is_some_and(|ending| ending == "yml" || ending == "yaml")
            && entry.metadata()?.len() <= LARGEST
            && let Ok(text) = fs::read_to_string(entry.path())
        {
            files.insert(path, text);
        }
    }
    Ok(())
}
