//! The two addresses by which a script of the first fastDeploy reports: `steps_url` and
//! `deployment_finish_url`. They answer on the pod's own loopback only, to this run's token only.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::SyncSender,
    },
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{run::Input, script::Report};

/// Bytes of a request's head, and of its body.
const HEAD: u64 = 16 * 1024;
const BODY: u64 = 1 << 20;
/// Connections at once.
const CONNECTIONS: usize = 16;
const PATIENCE: Duration = Duration::from_secs(30);

/// Where it answers.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// Takes steps, with POST.
    pub steps: String,
    /// Takes the end, with PUT.
    pub finish: String,
}

struct Desk {
    token: String,
    uid: String,
    finished: AtomicBool,
    open: AtomicUsize,
    tell: SyncSender<Input>,
}

/// Answers from now on.
pub fn start(token: String, uid: String, tell: SyncSender<Input>) -> io::Result<Addresses> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let at = format!("http://{}", listener.local_addr()?);
    let desk =
        Arc::new(Desk { token, uid, finished: AtomicBool::new(false), open: AtomicUsize::new(0), tell });
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let desk = Arc::clone(&desk);
            if desk.open.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS {
                desk.open.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            thread::spawn(move || {
                let _ = desk.serve(&stream);
                desk.open.fetch_sub(1, Ordering::Relaxed);
            });
        }
    });
    Ok(Addresses { steps: format!("{at}/steps/"), finish: format!("{at}/deployments/finish/") })
}

/// A request, as far as it matters.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    method: String,
    path: String,
    token: Option<String>,
    length: u64,
    expects: bool,
}

impl Desk {
    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut reader = BufReader::new(stream);
        let head = match head(&mut (&mut reader).take(HEAD))? {
            Ok(head) => head,
            Err((status, said)) => return answer(stream, status, &json!({"detail": said})),
        };
        if head.length > BODY {
            return answer(stream, 413, &json!({"detail": "the body is larger than 1 MiB"}));
        }
        if head.expects {
            (&*stream).write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let mut body = Vec::new();
        reader.take(head.length).read_to_end(&mut body)?;
        let (status, said) = self.decide(&head, &body);
        answer(stream, status, &json!({"detail": said}))
    }

    fn decide(&self, head: &Head, body: &[u8]) -> (u16, String) {
        let right = head.token.as_ref().is_some_and(|token| same(token.as_bytes(), self.token.as_bytes()));
        match head.token {
            None => return (401, "Not authenticated".to_owned()),
            Some(_) if !right => return (401, "Could not validate credentials".to_owned()),
            Some(_) => {}
        }
        match (head.method.as_str(), head.path.trim_end_matches('/')) {
            ("POST", "/steps") => self.step(body),
            ("PUT", "/deployments/finish") => {
                self.finished.store(true, Ordering::Release);
                (200, format!("Deployment {} finished", self.uid))
            }
            (_, "/steps" | "/deployments/finish") => (405, "Method Not Allowed".to_owned()),
            _ => (404, "Not Found".to_owned()),
        }
    }

    fn step(&self, body: &[u8]) -> (u16, String) {
        let report = serde_json::from_slice::<Value>(body).ok().and_then(|value| Report::read(&value));
        let Some(report) = report else {
            let said = "a step is an object with name and state (running, success or failure)";
            return (422, said.to_owned());
        };
        if self.finished.load(Ordering::Acquire) {
            return (400, "the deployment is finished: it takes no more steps".to_owned());
        }
        match self.tell.send(Input::Script(report)) {
            Ok(()) => (200, "step processed".to_owned()),
            Err(_) => (400, "the deployment has ended".to_owned()),
        }
    }
}

/// Takes as long for every wrong token.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

type Refusal = (u16, String);

fn head(reader: &mut impl BufRead) -> io::Result<Result<Head, Refusal>> {
    let mut text = Vec::new();
    loop {
        let before = text.len();
        if reader.read_until(b'\n', &mut text)? == 0 {
            return Ok(Err((
                400,
                "the request ends in its head, or its head is longer than 16 kB".to_owned(),
            )));
        }
        if matches!(&text[before..], b"\r\n" | b"\n") {
            return Ok(parse(&String::from_utf8_lossy(&text)));
        }
    }
}

fn parse(text: &str) -> Result<Head, Refusal> {
    let mut lines = text.lines();
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(path)) = (first.next(), first.next()) else {
        return Err((400, "this is no HTTP request".to_owned()));
    };
    let mut head = Head {
        method: method.to_owned(),
        path: path.split('?').next().unwrap_or_default().to_owned(),
        token: None,
        length: 0,
        expects: false,
    };
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        match name.trim().to_ascii_lowercase().as_str() {
            "authorization" => {
                head.token = value
                    .split_once(' ')
                    .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
                    .map(|(_, token)| token.trim().to_owned());
            }
            "content-length" => {
                head.length =
                    value.parse().map_err(|_| (400, "Content-Length is not a number".to_owned()))?;
            }
            "transfer-encoding" => return Err((411, "send the body with Content-Length".to_owned())),
            "expect" => head.expects = value.eq_ignore_ascii_case("100-continue"),
            _ => {}
        }
    }
    Ok(head)
}

fn answer(mut stream: &TcpStream, status: u16, body: &Value) -> io::Result<()> {
    let word = match status {
        200 => "OK",
        401 => "Unauthorized",
        404 => "Not Found",
        405 => "Method Not Allowed",
        411 => "Length Required",
        413 => "Content Too Large",
        422 => "Unprocessable Content",
        _ => "Bad Request",
    };
    let body = body.to_string();
    write!(
        stream,
        "HTTP/1.1 {status} {word}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use proptest::prelude::*;

    use super::*;

    fn ask(address: &str, request: &str) -> String {
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        answer
    }

    #[test]
    fn steps_are_taken_with_the_token_until_the_end() {
        let (tell, told) = sync_channel(8);
        let addresses = start("t0ken".to_owned(), "6b1e".to_owned(), tell).expect("it starts");
        let address = addresses.steps.trim_start_matches("http://").trim_end_matches("/steps/");
        let post = |token: &str, body: &str| {
            let length = body.len();
            ask(
                address,
                &format!(
                    "POST /steps/ HTTP/1.1\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n{body}"
                ),
            )
        };
        let step = r#"{"name": "one", "state": "success", "started": "2026-01-01T00:00:00Z", "finished": null, "message": "m"}"#;
        assert!(post("wrong", step).starts_with("HTTP/1.1 401"));
        assert!(post("t0ken", "[1]").starts_with("HTTP/1.1 422"));
        assert!(post("t0ken", step).contains("step processed"));
        let Ok(Input::Script(report)) = told.recv() else { panic!("a report") };
        assert_eq!((report.name.as_str(), report.message.as_str()), ("one", "m"));
        assert!(ask(address, "GET /steps/ HTTP/1.1\r\nAuthorization: Bearer t0ken\r\n\r\n").contains("405"));
        assert!(ask(address, "GET / HTTP/1.1\r\n\r\n").contains("401"));
        let finish = "PUT /deployments/finish/ HTTP/1.1\r\nauthorization: bearer t0ken\r\n\r\n";
        assert!(ask(address, finish).contains("Deployment 6b1e finished"));
        assert!(post("t0ken", step).starts_with("HTTP/1.1 400"));
    }

    proptest! {
        #[test]
        fn garbage_is_refused_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = head(&mut &bytes[..]);
            let _ = parse(&String::from_utf8_lossy(&bytes));
        }
    }
}
