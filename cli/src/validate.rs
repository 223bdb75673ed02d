//! `fastdeploy validate`: what a cluster would lose or refuse, before it sees it.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Result, bail};
use crds::{
    Reason, Service,
    service::Credentials,
    source::{Image, Source},
};
use frozen::{Named, Repository};

use crate::manifests::Manifests;

/// Arguments.
#[derive(clap::Args)]
pub struct Args {
    /// Files of YAML or JSON, as for kubectl apply.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Says what is wrong; 1 if anything is.
pub fn run(args: &Args) -> Result<ExitCode> {
    let found = Manifests::read(&args.files)?;
    let mut wrong = found.unknown.clone();
    for (file, service) in &found.services {
        wrong.extend(meaningless(service, &found).map(|said| format!("{}: {said}", file.display())));
    }
    for said in &wrong {
        println!("{said}");
    }
    if found.services.is_empty() && found.deployments == 0 {
        bail!("there is neither a Service nor a Deployment of fastdeploy.dev/v1alpha1 in it");
    }
    if !wrong.is_empty() {
        return Ok(ExitCode::FAILURE);
    }
    println!(
        "{} Service(s) and {} Deployment(s): every field exists. Rules that only a cluster knows: kubectl apply --dry-run=server",
        found.services.len(),
        found.deployments
    );
    Ok(ExitCode::SUCCESS)
}

/// What cannot be meant, whatever else a cluster has.
fn meaningless(service: &Service, found: &Manifests) -> Option<String> {
    let mut service = service.clone();
    let spec = &mut service.spec;
    // What is in the cluster is the cluster's to check.
    spec.variables_from.clear();
    spec.credentials = Credentials::default();
    if spec.inventory.config_map_ref.take().is_some() || spec.inventory.secret_ref.take().is_some() {
        spec.inventory.local = Some(true);
    }
    let elsewhere =
        spec.source.config_map.as_ref().is_some_and(|map| !found.config_maps.contains_key(&map.name));
    if elsewhere || spec.source.git.is_some() {
        let image = Some(Image { path: "/".to_owned() });
        spec.source = Source { git: None, inline: None, config_map: None, image };
    }
    let fault = frozen::want(&service, &named(found), b"validate").err()?;
    (fault.reason == Reason::InvalidSpec).then_some(fault.message)
}

/// What the files have of what Services name.
pub fn named(found: &Manifests) -> Named {
    Named {
        config_maps: found.config_maps.iter().map(|(name, map)| (name.clone(), Some(map.clone()))).collect(),
        secrets: found.secrets.iter().map(|(name, secret)| (name.clone(), Some(secret.clone()))).collect(),
        repository: Repository::Looking,
    }
}
