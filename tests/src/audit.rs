//! Who did what, from the audit log of the cluster of `make up`, and what roles grant.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    fs::File,
    io::{BufRead, BufReader},
    path::PathBuf,
};

use anyhow::{Context, Result};
use k8s_openapi::api::{
    core::v1::Namespace,
    rbac::v1::{ClusterRole, PolicyRule, Role},
};
use kube::{Api, Client};
use serde::Deserialize;

use crate::installation;

const DECISION: &str = "authorization.k8s.io/decision";

/// One request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    /// `get`, `list`, …
    pub verb: String,
    /// API group.
    pub group: String,
    /// `pods`, or `deployments/status`.
    pub resource: String,
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object, where the request had one.
    pub name: String,
    /// HTTP status of the answer.
    pub code: u16,
    /// When, RFC 3339 in UTC: texts that can be compared.
    pub at: String,
    /// No role permitted it. (A namespace that goes away answers 403 as well.)
    pub forbidden: bool,
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verb, group, resource, namespace, name, code, .. } = self;
        write!(f, "{verb} {resource}.{group} {namespace}/{name} ({code})")
    }
}

impl Use {
    /// It changes something that is stored.
    pub fn is_write(&self) -> bool {
        let reviews = ["authentication.k8s.io", "authorization.k8s.io"];
        !matches!(self.verb.as_str(), "get" | "list" | "watch") && !reviews.contains(&self.group.as_str())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Line {
    verb: String,
    user: User,
    request_received_timestamp: String,
    object_ref: Option<ObjectRef>,
    response_status: Status,
    annotations: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
struct User {
    username: String,
}

#[derive(Default, Deserialize)]
struct Status {
    #[serde(default)]
    code: u16,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ObjectRef {
    resource: String,
    namespace: String,
    name: String,
    api_group: String,
    subresource: String,
}

/// The audit log, if the cluster's is on this machine.
pub struct Audit(PathBuf);

impl Audit {
    /// It.
    pub fn here(story: &str) -> Option<Self> {
        let path = std::env::var_os("FASTDEPLOY_AUDIT_LOG").map(PathBuf::from).filter(|path| path.exists());
        if path.is_none() {
            eprintln!("story {story}: not told, the cluster's audit log is not on this machine (make env)");
        }
        path.map(Self)
    }

    /// It, and the rotated ones that are still there.
    fn files(&self) -> Result<Vec<PathBuf>> {
        let folder = self.0.parent().context("the audit log has no folder")?;
        let mut files: Vec<_> =
            std::fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.retain(|path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("audit")));
        Ok(files)
    }

    /// Whether it has what was asked for when the installation was made: in a cluster that lives on, that is
    /// rotated away some day.
    pub async fn has_the_beginning(&self, client: &Client) -> Result<bool> {
        let namespace = Api::<Namespace>::all(client.clone()).get(&installation()).await?;
        let made = namespace.metadata.creation_timestamp.context("a namespace without an age")?.0.to_string();
        let is_older = |file: &PathBuf| {
            let mut first = String::new();
            BufReader::new(File::open(file)?).read_line(&mut first)?;
            let line: Line = serde_json::from_str(&first).unwrap_or_default();
            Ok(!line.request_received_timestamp.is_empty() && line.request_received_timestamp < made)
        };
        let older: Vec<bool> = self.files()?.iter().map(is_older).collect::<Result<_>>()?;
        Ok(older.contains(&true))
    }

    /// Every request of a ServiceAccount of the installation, from the rotated logs as well.
    pub fn uses(&self, account: &str) -> Result<Vec<Use>> {
        let username = format!("system:serviceaccount:{}:{account}", installation());
        let mut uses = Vec::new();
        for file in self.files()? {
            let text = std::fs::read_to_string(&file)?;
            let by_it = text.lines().filter(|line| line.contains(&username));
            uses.extend(by_it.filter_map(|line| {
                let line: Line = serde_json::from_str(line).ok()?;
                let object = line.object_ref.filter(|_| line.user.username == username)?;
                let sub = if object.subresource.is_empty() {
                    String::new()
                } else {
                    format!("/{}", object.subresource)
                };
                Some(Use {
                    verb: line.verb,
                    group: object.api_group,
                    resource: object.resource + &sub,
                    namespace: object.namespace,
                    name: object.name,
                    code: line.response_status.code,
                    at: line.request_received_timestamp,
                    forbidden: line.annotations.get(DECISION).is_some_and(|word| word == "forbid"),
                })
            }));
        }
        Ok(uses)
    }
}

/// One verb on one resource that a role grants.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    /// Only in this namespace.
    pub namespace: Option<String>,
    verb: String,
    group: String,
    resource: String,
    name: Option<String>,
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, verb, group, resource, name } = self;
        let place = namespace.as_deref().unwrap_or("everywhere");
        write!(f, "{verb} {resource}.{group} {} in {place}", name.as_deref().unwrap_or("*"))
    }
}

impl Grant {
    /// Whether it is a verb that no request has: it is asked about within others.
    pub fn is_asked_within(&self) -> bool {
        self.verb == "bind"
    }

    /// Whether it is made use of when the installation is made, and hardly ever again.
    pub fn is_for_the_beginning(&self) -> bool {
        self.verb == "create" && self.namespace.is_some()
    }

    /// Whether it permits this request.
    pub fn permits(&self, used: &Use) -> bool {
        self.verb == used.verb
            && self.group == used.group
            && self.resource == used.resource
            && self.namespace.as_ref().is_none_or(|namespace| *namespace == used.namespace)
            && self.name.as_ref().is_none_or(|name| *name == used.name)
    }
}

/// Everything that the roles of that name grant.
pub async fn grants(client: &Client, account: &str) -> Result<BTreeSet<Grant>> {
    let everywhere = Api::<ClusterRole>::all(client.clone()).get(account).await?.rules.unwrap_or_default();
    let at_home = Api::<Role>::namespaced(client.clone(), &installation()).get(account).await?.rules;
    let mut grants = expand(&everywhere, None);
    grants.extend(expand(&at_home.unwrap_or_default(), Some(&installation())));
    Ok(grants)
}

/// When these roles were last changed, RFC 3339 in UTC: what was refused before is of an earlier version.
pub async fn changed_at(client: &Client, account: &str) -> Result<String> {
    let everywhere = Api::<ClusterRole>::all(client.clone()).get(account).await?.metadata;
    let at_home = Api::<Role>::namespaced(client.clone(), &installation()).get(account).await?.metadata;
    let fields = [everywhere, at_home].into_iter().flat_map(|meta| meta.managed_fields.unwrap_or_default());
    Ok(fields.filter_map(|field| Some(field.time?.0.to_string())).max().unwrap_or_default())
}

fn expand(rules: &[PolicyRule], namespace: Option<&str>) -> BTreeSet<Grant> {
    let mut grants = BTreeSet::new();
    for rule in rules {
        let names: Vec<_> = match rule.resource_names.as_deref().unwrap_or_default() {
            [] => vec![None],
            names => names.iter().cloned().map(Some).collect(),
        };
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                for verb in &rule.verbs {
                    grants.extend(names.iter().map(|name| Grant {
                        namespace: namespace.map(str::to_owned),
                        verb: verb.clone(),
                        group: group.clone(),
                        resource: resource.clone(),
                        name: name.clone(),
                    }));
                }
            }
        }
    }
    grants
}
