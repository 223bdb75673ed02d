//! A program that receives webhooks: a pod of its own, which checks each signature for itself (Standard
//! Webhooks, in another language than the one that signs) and says on its log what came. What goes to
//! `/api/` it takes as such a program takes a commit's status.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use serde_json::{Value, json};

use crate::{Story, manifest::Manifest, pods, servers};

const NAME: &str = "receiver";
const PROGRAM: &str = r#"
import base64, hashlib, hmac, http.server, json, os, time
key = base64.b64decode(os.environ["SECRET"].removeprefix("whsec_"))
class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path.startswith("/api/"):
            said = {"path": self.path, "authorization": self.headers["authorization"], "event": json.loads(body)}
            print(json.dumps(said), flush=True)
            self.send_response(201)
            return self.end_headers()
        at, signature = self.headers["webhook-timestamp"], self.headers["webhook-signature"]
        signed = f'{self.headers["webhook-id"]}.{at}.'.encode() + body
        right = "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
        valid = hmac.compare_digest(right, signature) and abs(time.time() - int(at)) < 300
        said = {"path": self.path, "valid": valid, "content": self.headers["content-type"], "event": json.loads(body)}
        print(json.dumps(said), flush=True)
        self.send_response(204 if valid else 401)
        self.end_headers()
    def log_message(self, *words):
        pass
http.server.ThreadingHTTPServer(("", 8080), Receiver).serve_forever()
"#;

/// A program that receives webhooks.
pub struct Receiver {
    pods: Api<Pod>,
    address: String,
}

impl Receiver {
    /// In the story's namespace; it knows this secret.
    pub async fn of(story: &Story, secret: &str) -> Result<Self> {
        let image = servers::image(&story.client).await?;
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": NAME},
            "spec": {
                "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 1,
                "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [{
                    "name": NAME, "image": image, "imagePullPolicy": "IfNotPresent",
                    "command": ["python3", "-c", PROGRAM], "env": [{"name": "SECRET", "value": secret}],
                    "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
                    "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                }],
            },
        });
        story.apply(&Manifest(pod)).await?;
        let pods = story.api::<Pod>();
        let pod = pods::ready(story, NAME).await?;
        let address = pod.status.and_then(|status| status.pod_ip).context("the receiver has no address")?;
        Ok(Self { pods, address })
    }

    /// Where it receives.
    pub fn url(&self) -> String {
        format!("http://{}:8080/hook", self.address)
    }

    /// Where its API is.
    pub fn api(&self) -> String {
        format!("http://{}:8080/api/v1", self.address)
    }

    /// What has come, once it is so many.
    pub async fn heard(&self, enough: usize) -> Result<Vec<Value>> {
        pods::said(&self.pods, NAME, enough).await
    }
}
