//! How much one caller may ask of a listener.

use std::time::Duration;

use axum_server::{Address, Server};

/// Largest body of a claim, in bytes.
pub const MAX_BODY: usize = 16 * 1024;
/// Largest head of a request, in bytes: a projected token has about 1 kB.
const MAX_HEAD: usize = 16 * 1024;
/// Most header lines of a request.
const MAX_HEADERS: usize = 50;
/// For the head of a request, also the next one on an open connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// From the head of a request to its answer.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How many claims are looked at at once; others wait. Each one costs the Kubernetes API a few requests.
pub const CLAIMS_AT_ONCE: usize = 64;
/// For open requests, when the process is told to stop.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);

/// For the last spans, when the process ends.
pub const LAST_TRACES: Duration = Duration::from_secs(2);

/// A server with these limits, HTTP/1.1 only, without upgrades.
pub fn apply<A: Address, Acceptor>(server: Server<A, Acceptor>) -> Server<A, Acceptor> {
    with_upgrades(server.http1_only())
}

/// A server with these limits whose connections may become WebSockets.
pub fn with_upgrades<A: Address, Acceptor>(server: Server<A, Acceptor>) -> Server<A, Acceptor> {
    let mut server = server.first_request_timeout(HEAD_TIMEOUT + REQUEST_TIMEOUT);
    server
        .http_builder()
        .http1()
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .header_read_timeout(HEAD_TIMEOUT);
    server
}
