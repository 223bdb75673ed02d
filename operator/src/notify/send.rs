//! Sends over HTTP, and says what came of it.

use http::{Request, StatusCode};
use outbound::{Allowed, Client};

use super::Fault;

/// Sends to where it is allowed.
pub struct Sender(Client);

impl Sender {
    /// To these addresses besides those of the internet.
    pub fn new(allowed: Allowed) -> Self {
        Self(Client::new(allowed, &[]))
    }

    /// Where it may send.
    pub const fn allowed(&self) -> &Allowed {
        self.0.allowed()
    }

    /// Sends it once.
    pub async fn send(&self, request: Request<Vec<u8>>) -> Result<(), Fault> {
        match self.0.send(request).await {
            Ok(answer) if answer.status.is_success() => Ok(()),
            Ok(answer) => {
                // The receiver wants no more of it.
                let last = answer.status == StatusCode::GONE;
                Err(Fault { error: format!("the receiver answered {}", answer.status), last })
            }
            Err(error) => Err(Fault { error: error.to_string(), last: false }),
        }
    }
}
