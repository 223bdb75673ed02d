//! Runs `git`: with nothing of our own environment, never asking anybody, never for longer than said.

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{Error, remote::Desk};

/// Bytes that are read of each stream at most: a repository with hundreds of thousands of refs.
const LIMIT: u64 = 64 << 20;

pub(crate) struct Answer {
    pub success: bool,
    pub stdout: String,
    pub stderr: String,
}

impl Answer {
    /// The last thing that it called an error, else its last line.
    pub fn reason(&self) -> String {
        let lines = || self.stderr.lines().map(str::trim).filter(|line| !line.is_empty());
        let known = |line: &&str| {
            let bare = ["fatal: Could not read from remote repository.", "and the repository exists."];
            !bare.contains(line) && !line.starts_with("Please make sure you have the correct access rights")
        };
        let fatal =
            lines().filter(known).rfind(|line| line.starts_with("fatal: ") || line.starts_with("ERROR: "));
        let line = fatal.or_else(|| lines().rfind(known)).unwrap_or("git failed without a word");
        let line = line.trim_start_matches("fatal: ").trim_start_matches("ERROR: ");
        line.chars().take(300).collect()
    }
}

pub(crate) fn git(desk: &Desk, folder: &Path, within: Duration, arguments: &[&str]) -> Result<Answer, Error> {
    git_unless(None, desk, folder, within, arguments)
}

/// The same; but as soon as these words stand in what it complains of, it is stopped, and has failed.
pub(crate) fn git_unless(
    words: Option<&'static str>,
    desk: &Desk,
    folder: &Path,
    within: Duration,
    arguments: &[&str],
) -> Result<Answer, Error> {
    let unavailable =
        |error: std::io::Error| Error::Unavailable(format!("git could not be started: {error}"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut command = Command::new("git");
    command
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("PATH", path)
        .env("LC_ALL", "C")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_ASKPASS", "true")
        .env("GIT_LFS_SKIP_SMUDGE", "1")
        // Neither local files nor programs: a URL is what a user wrote.
        .env("GIT_ALLOW_PROTOCOL", "http:https:ssh")
        .envs(desk.environment().iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    #[cfg(test)]
    command.env("GIT_ALLOW_PROTOCOL", "file");
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command.spawn().map_err(unavailable)?;
    let said = Arc::new(AtomicBool::new(false));
    let read = |stream: Option<Box<dyn Read + Send>>, words: Option<&'static str>| {
        let said = said.clone();
        thread::spawn(move || stream.map(|stream| listen(stream, words, &said)).unwrap_or_default())
    };
    let stdout = read(child.stdout.take().map(|s| Box::new(s) as _), None);
    let stderr = read(child.stderr.take().map(|s| Box::new(s) as _), words);
    let until = Instant::now() + within;
    let status = loop {
        match child.try_wait().map_err(unavailable)? {
            Some(status) => break Some(status),
            None if said.load(Ordering::Relaxed) || Instant::now() >= until => break None,
            None => thread::sleep(Duration::from_millis(5)),
        }
    };
    if status.is_none() {
        // ssh and curl helpers are its children: the whole group goes.
        let group = nix::unistd::Pid::from_raw(child.id().cast_signed());
        let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
        let _ = child.wait();
        if !said.load(Ordering::Relaxed) {
            return Err(Error::Unavailable(format!("no answer within {} seconds", within.as_secs())));
        }
    }
    let (stdout, stderr) = (stdout.join().unwrap_or_default(), stderr.join().unwrap_or_default());
    let success = status.is_some_and(|status| status.success()) && !said.load(Ordering::Relaxed);
    Ok(Answer { success, stdout, stderr })
}

/// All that a stream has; `said` once these words stand in one of its lines.
fn listen(stream: impl Read, words: Option<&str>, said: &AtomicBool) -> String {
    let mut stream = BufReader::new(stream.take(LIMIT));
    let mut bytes = Vec::new();
    loop {
        let before = bytes.len();
        if stream.read_until(b'\n', &mut bytes).unwrap_or_default() == 0 {
            return String::from_utf8_lossy(&bytes).into_owned();
        }
        if words.is_some_and(|words| String::from_utf8_lossy(&bytes[before..]).contains(words)) {
            said.store(true, Ordering::Relaxed);
        }
    }
}
