//! A real OpenSSH server for one test, on a port of its own, for the user who runs the tests.

use std::{
    fs,
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

pub struct Sshd {
    child: Child,
    folder: tempfile::TempDir,
    pub port: u16,
}

impl Sshd {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, kind) in [("host", "rsa"), ("host-ed25519", "ed25519"), ("user", "ed25519")] {
            let file = folder.path().join(name);
            let made = Command::new("ssh-keygen").args(["-q", "-N", "", "-t", kind, "-f"]).arg(file).status();
            assert!(made.expect("ssh-keygen").success());
        }
        // Its own, where root starts it; others need none.
        let _ = fs::create_dir_all("/run/sshd");
        // Free a moment ago: whoever takes it in between makes sshd end, and the next one is tried.
        for _ in 0..20 {
            let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
            if let Some(child) = listening(folder.path(), port) {
                return Self { child, folder, port };
            }
        }
        panic!("no sshd: {}", fs::read_to_string(folder.path().join("log")).unwrap_or_default());
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What opens it.
    pub fn private_key(&self) -> String {
        fs::read_to_string(self.at("user")).expect("a key")
    }

    /// A line of `known_hosts` for this port.
    pub fn known_hosts(&self, port: u16) -> String {
        let key = fs::read_to_string(self.at("host-ed25519.pub")).expect("a key");
        format!("[127.0.0.1]:{port} {key}")
    }

    /// As `ssh-keygen -l` says it.
    pub fn fingerprint(&self) -> String {
        let said = Command::new("ssh-keygen").arg("-lf").arg(self.at("host-ed25519.pub")).output();
        let said = String::from_utf8(said.expect("ssh-keygen").stdout).expect("text");
        said.split_whitespace().nth(1).expect("a fingerprint").to_owned()
    }

    /// A way to it that lets each connection drop whose number, from 0, is among these. How many there were
    /// is told, too.
    pub fn dropping(&self, which: &'static [usize]) -> (u16, Arc<AtomicUsize>) {
        let (listener, to) = (TcpListener::bind("127.0.0.1:0").expect("a port"), self.port);
        let port = listener.local_addr().expect("an address").port();
        let count = Arc::new(AtomicUsize::new(0));
        let counting = Arc::clone(&count);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if !which.contains(&counting.fetch_add(1, Ordering::SeqCst)) {
                    let there = TcpStream::connect(("127.0.0.1", to)).expect("it listens");
                    carry(&stream, &there);
                    carry(&there, &stream);
                }
            }
        });
        (port, count)
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

fn listening(folder: &Path, port: u16) -> Option<Child> {
    let file = |name: &str| folder.join(name).display().to_string();
    let mut child = Command::new("/usr/sbin/sshd")
        .args(["-D", "-f", "/dev/null", "-E", &file("log"), "-p", &port.to_string()])
        .args([
            "-o",
            "ListenAddress=127.0.0.1",
            "-o",
            "PidFile=none",
            "-o",
            "UsePAM=no",
            "-o",
            "StrictModes=no",
        ])
        .args([
            "-o",
            &format!("HostKey={}", file("host")),
            "-o",
            &format!("HostKey={}", file("host-ed25519")),
        ])
        .args(["-o", &format!("AuthorizedKeysFile={}", file("user.pub"))])
        .stdin(Stdio::null())
        .spawn()
        .expect("/usr/sbin/sshd: apt-get install openssh-server");
    let began = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(began.elapsed() < Duration::from_secs(20), "sshd does not listen");
        if child.try_wait().expect("our child").is_some() {
            return None;
        }
        thread::sleep(Duration::from_millis(5));
    }
    Some(child)
}

fn carry(from: &TcpStream, to: &TcpStream) {
    let (mut from, mut to) = (from.try_clone().expect("a stream"), to.try_clone().expect("a stream"));
    thread::spawn(move || {
        let mut buffer = [0; 16_384];
        let _: io::Result<()> = (|| {
            loop {
                match from.read(&mut buffer)? {
                    0 => return Ok(()),
                    n => to.write_all(&buffer[..n])?,
                }
            }
        })();
        let _ = to.shutdown(Shutdown::Write);
    });
}
