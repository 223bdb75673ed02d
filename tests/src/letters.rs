//! A mail server: a pod of its own, over TLS from the first byte on and by STARTTLS, with a certificate
//! of its own authority and a password. What it took it says on its log.

use anyhow::Result;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use serde_json::{Value, json};

use crate::{
    Story,
    certificates::{self, Signed},
    manifest::Manifest,
    pods, servers,
};

const NAME: &str = "letters";
/// With which one signs in.
const PASSWORD: &str = "p@ss%word";
const PROGRAM: &str = r#"
import asyncio, email, email.policy, json, os, ssl
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain("/etc/letters/tls.crt", "/etc/letters/tls.key")
class Keep:
    def __init__(self, port):
        self.port = port
    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        said = {"port": self.port, "from": envelope.mail_from, "to": envelope.rcpt_tos, "text": mail.get_content()}
        said |= {name.lower(): mail[name] for name in ("Subject", "Message-ID", "Auto-Submitted")}
        print(json.dumps(said), flush=True)
        return "250 kept"
def who(server, session, envelope, mechanism, data):
    right = ("me@example.com", os.environ["PASSWORD"])
    good = isinstance(data, LoginPassword) and (data.login.decode(), data.password.decode()) == right
    return AuthResult(success=good, handled=False)
async def serve():
    loop = asyncio.get_running_loop()
    starttls = lambda: SMTP(Keep(8587), authenticator=who, auth_required=True, tls_context=context, require_starttls=True)
    tls = lambda: SMTP(Keep(8465), authenticator=who, auth_required=True, auth_require_tls=False)
    await loop.create_server(starttls, "", 8587)
    await loop.create_server(tls, "", 8465, ssl=context)
    await asyncio.Event().wait()
asyncio.run(serve())
"#;

/// A mail server.
pub struct Letters {
    pods: Api<Pod>,
    host: String,
    signed: Signed,
}

impl Letters {
    /// In the story's namespace.
    pub async fn of(story: &Story) -> Result<Self> {
        let host = format!("{NAME}.{}.svc.cluster.local", story.namespace);
        let signed = certificates::signed(&host)?;
        let image = servers::image(&story.client).await?;
        let keys = json!({"tls.crt": signed.certificate, "tls.key": signed.key});
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": NAME, "labels": {"app": NAME}},
            "spec": {
                "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 1,
                "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "fsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [{
                    "name": NAME, "image": image, "imagePullPolicy": "IfNotPresent",
                    "command": ["python3", "-c", PROGRAM], "env": [{"name": "PASSWORD", "value": PASSWORD}],
                    "readinessProbe": {"tcpSocket": {"port": 8465}, "periodSeconds": 1},
                    "volumeMounts": [{"name": "keys", "mountPath": "/etc/letters", "readOnly": true}],
                    "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                }],
                "volumes": [{"name": "keys", "secret": {"secretName": "letters-tls"}}],
            },
        });
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": NAME},
            "spec": {"clusterIP": "None", "selector": {"app": NAME}, "ports": [{"port": 8465}]}});
        story.apply(&Manifest(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "letters-tls"}, "stringData": keys}))).await?;
        story.apply(&Manifest(service)).await?;
        story.apply(&Manifest(pod)).await?;
        pods::ready(story, NAME).await?;
        Ok(Self { pods: story.api(), host, signed })
    }

    /// A Secret with which one sends through it; `scheme`: `smtps` or `smtp`.
    pub fn secret(&self, name: &str, scheme: &str, password: &str, authority: bool) -> Manifest {
        let port = if scheme == "smtps" { 8465 } else { 8587 };
        let password = password.replace('%', "%25").replace('@', "%40");
        let mut data = json!({
            "url": format!("{scheme}://me%40example.com:{password}@{}:{port}", self.host),
            "from": "fastDeploy <deploy@example.com>",
        });
        if authority {
            data["ca.crt"] = self.signed.authority.as_str().into();
        }
        Manifest(
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}),
        )
    }

    /// The password that it takes.
    pub const fn password(&self) -> &'static str {
        PASSWORD
    }

    /// What has come, once it is so many.
    pub async fn come(&self, enough: usize) -> Result<Vec<Value>> {
        pods::said(&self.pods, NAME, enough).await
    }
}
