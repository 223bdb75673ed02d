//! Everything between the claim and the start: the source, credentials, what the playbook needs besides.

use std::{collections::BTreeMap, path::PathBuf};

use protocol::bundle::Bundle;

use crate::{
    command::{self, Given},
    config::Config,
    failure::Stop,
    files, layout,
    paths::Paths,
    project::Project,
    requirements, ssh, version,
};

/// What was laid out.
#[derive(Debug)]
pub struct Laid {
    /// Where Ansible, or the script, starts.
    pub root: PathBuf,
    /// What it is given.
    pub given: Given,
    /// What people should know, as lines of output before its own.
    pub notes: Vec<String>,
}

/// Lays everything out. It may take long: repositories are fetched, collections installed.
pub fn make(config: &Config, bundle: &Bundle, paths: &Paths) -> Result<Laid, Stop> {
    let root = layout::source(bundle, paths)?;
    for directory in [
        paths.memory("tmp"),
        paths.memory("cp"),
        paths.work("callback"),
        paths.work("home"),
        paths.work("tmp"),
    ] {
        files::make_private_dir(&directory)?;
    }
    let pod = &config.environment;
    let credentials = &bundle.credentials;
    let mut given = Given {
        ssh: ssh::prepare(credentials, pod, bundle.script.is_some(), paths)?,
        project: Project::read(&root),
        ..Given::default()
    };
    let mut notes =
        given.project.overruled(bundle.options.pipelining, credentials.ssh, credentials.ssh_user.is_some());
    notes.extend(ssh::overruled(credentials));
    if bundle.options.fact_cache_seconds.is_some() {
        match facts(config, paths) {
            Ok(facts) => given.facts = Some(facts),
            Err(why) => notes.push(format!("[fastDeploy] facts are not kept: {why}")),
        }
    }
    if bundle.script.is_none() || bundle.requirements.is_some() {
        let environment: BTreeMap<String, String> = command::common(pod, &given, bundle, paths);
        let version = version::check(&environment)?;
        let installed = requirements::install(bundle, &root, &version, environment, paths)?;
        given.requirements = installed.at;
        notes.extend(installed.said);
    }
    Ok(Laid { root, given, notes })
}

/// A directory of this Service's own: the same name is another server elsewhere.
fn facts(config: &Config, paths: &Paths) -> Result<PathBuf, String> {
    let cache = paths.cache().ok_or("there is no cache in the pod")?;
    let facts = cache.join("facts").join(&config.service);
    files::make_private_dir(&facts).map_err(|stop| stop.message)?;
    Ok(facts)
}
