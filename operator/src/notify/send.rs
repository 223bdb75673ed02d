//! Sends, and says what came of it.

use http::{Request, StatusCode};
use outbound::{Allowed, Client};

use super::Fault;

/// Sends to where it is allowed.
pub struct Sender(Client);

/// It did not arrive.
#[derive(Debug)]
pub struct Failed(Fault);

impl Failed {
    /// As a fault.
    pub fn into(self) -> Fault {
        self.0
    }
}

impl Sender {
    /// To these addresses besides those of the internet.
    pub fn new(allowed: Allowed) -> Self {
        Self(Client::new(allowed, &[]))
    }

    /// Sends it once.
    pub async fn send(&self, request: Request<Vec<u8>>) -> Result<(), Failed> {
        let error = match self.0.send(request).await {
            Ok(answer) if answer.status.is_success() => return Ok(()),
            Ok(answer) => {
                // The receiver wants no more of it.
                let last = answer.status == StatusCode::GONE;
                return Err(Failed(Fault {
                    error: format!("the receiver answered {}", answer.status),
                    last,
                }));
            }
            Err(error) => error.to_string(),
        };
        Err(Failed(Fault { error, last: false }))
    }
}
