//! Configuration: all of it read before anything starts.

use std::{net::SocketAddr, time::Duration};

/// Drives the world toward what Services say.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "fastdeploy-operator", version)]
pub struct Config {
    /// Namespace of this installation
    #[arg(long, env = "FASTDEPLOY_NAMESPACE", default_value = "fastdeploy-system")]
    pub namespace: String,
    /// Name of this process in the election of a leader: the pod's name
    #[arg(long, env = "POD_NAME", default_value = "fastdeploy-operator-on-a-host")]
    pub identity: String,
    /// Image of the pods in which Ansible runs
    #[arg(long, env = "FASTDEPLOY_RUNNER_IMAGE")]
    pub runner_image: String,
    /// When that image is pulled: Always, IfNotPresent or Never
    #[arg(long, env = "FASTDEPLOY_RUNNER_IMAGE_PULL_POLICY", default_value = "IfNotPresent")]
    pub runner_image_pull_policy: String,
    /// Base URL of the api-server's listener for claims, as a run's pod reaches it
    #[arg(
        long,
        env = "FASTDEPLOY_RUNS_URL",
        default_value = "https://fastdeploy-runs.fastdeploy-system.svc:8443"
    )]
    pub runs_url: String,
    /// ConfigMap with the authority that signed that listener's certificate (key ca.crt)
    #[arg(long, env = "FASTDEPLOY_CA_CONFIGMAP", default_value = "fastdeploy-ca")]
    pub ca_config_map: String,
    /// PostgreSQL to mirror Services and Deployments into: postgres://user:password@host:5432/name. Without one, nothing is mirrored
    #[arg(long, env = "FASTDEPLOY_DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// How many runs may be on at once in the cluster
    #[arg(long, env = "FASTDEPLOY_MAX_RUNS", default_value_t = 100)]
    pub max_runs: usize,
    /// How many runs may be on at once in a namespace
    #[arg(long, env = "FASTDEPLOY_MAX_RUNS_PER_NAMESPACE", default_value_t = 20)]
    pub max_runs_per_namespace: usize,
    /// Addresses and ranges inside that notifications may go to, separated by commas: 10.1.0.0/16. Those of the internet they may anyway
    #[arg(long, env = "FASTDEPLOY_OUTBOUND_ALLOW", value_delimiter = ',')]
    pub outbound_allow: Vec<outbound::Network>,
    /// A folder, in memory if possible, where credentials of repositories lie while git works
    #[arg(long, env = "FASTDEPLOY_PRIVATE_FOLDER", default_value = "/tmp")]
    pub private_folder: std::path::PathBuf,
    /// How long the Kubernetes API may say nothing, as 75s: then a request has failed, and a watch is taken up again. A watch
    /// is taken up anew once a minute
    #[arg(long, env = "FASTDEPLOY_KUBERNETES_PATIENCE", default_value = "75s", value_parser = crds::duration::parse)]
    pub kubernetes_patience: Duration,
    /// Where /healthz, /readyz and /metrics are served
    #[arg(long, env = "FASTDEPLOY_METRICS_ADDR", default_value = "0.0.0.0:8080")]
    pub metrics_address: SocketAddr,
    /// json or text
    #[arg(long, env = "FASTDEPLOY_LOG_FORMAT", default_value = "text", value_parser = ["json", "text"])]
    pub log_format: String,
}

impl Config {
    /// Where notifications may go.
    pub fn outbound(&self) -> outbound::Allowed {
        outbound::Allowed { besides: self.outbound_allow.clone(), any: false }
    }
}
