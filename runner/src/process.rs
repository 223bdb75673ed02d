//! Ansible as a process: started with our pipes, interrupted, and never outlived by
//! what it started.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    io::{self, PipeReader},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{net::UnixStream, process::CommandExt},
    },
    path::Path,
    process::{Command, Stdio},
    sync::mpsc::SyncSender,
    thread,
    time::Duration,
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, FdFlag, fcntl},
    sys::{
        prctl,
        signal::{Signal, kill, killpg},
        wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid},
    },
    unistd::Pid,
};

use crate::run::Input;

/// How long killed processes may take to go.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// How Ansible ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself.
    Code(i32),
    /// By a signal.
    Signal(i32),
}

/// Both ends of the callback's pipe, made before the environment that names it.
pub struct EventsPipe {
    reader: PipeReader,
    writer: OwnedFd,
}

impl EventsPipe {
    /// The writer is inherited by what is started next.
    pub fn new() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        let writer = OwnedFd::from(writer);
        fcntl(&writer, FcntlArg::F_SETFD(FdFlag::empty()))?;
        Ok(Self { reader, writer })
    }

    /// Number of the writer.
    pub fn fd(&self) -> i32 {
        self.writer.as_raw_fd()
    }
}

/// Both ends of the way by which the callback tells what comes out of ansible-vault.
pub struct SecretsPipe {
    ours: UnixStream,
    theirs: OwnedFd,
}

impl SecretsPipe {
    /// Theirs is inherited by what is started next.
    pub fn new() -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        let theirs = OwnedFd::from(theirs);
        fcntl(&theirs, FcntlArg::F_SETFD(FdFlag::empty()))?;
        Ok(Self { ours, theirs })
    }

    /// Number of theirs.
    pub fn fd(&self) -> i32 {
        self.theirs.as_raw_fd()
    }
}

/// A started Ansible.
pub struct Ansible {
    /// Leader of its process group.
    pub pid: Pid,
    /// Lines of the callback.
    pub events: PipeReader,
    /// Standard output and error, merged.
    pub output: PipeReader,
    /// Values that the callback tells, each as a line of JSON; it waits for a byte.
    pub secrets: UnixStream,
}

/// Orphans become our children also where we are not PID 1.
pub fn adopt_orphans() {
    if let Err(error) = prctl::set_child_subreaper(true) {
        eprintln!("fastdeploy: failed to become the reaper of orphans: {error}");
    }
}

/// Starts `ansible-playbook`.
pub fn start(
    arguments: &[String],
    environment: &BTreeMap<String, String>,
    directory: &Path,
    events: EventsPipe,
    secrets: SecretsPipe,
) -> io::Result<Ansible> {
    let (pid, output) = start_plain("ansible-playbook", arguments, environment, directory)?;
    let EventsPipe { reader, writer } = events;
    drop(writer);
    let SecretsPipe { ours, theirs } = secrets;
    drop(theirs);
    Ok(Ansible { pid, events: reader, output, secrets: ours })
}

/// Starts any program; its standard output and error, merged.
pub fn start_plain(
    program: &str,
    arguments: &[String],
    environment: &BTreeMap<String, String>,
    directory: &Path,
) -> io::Result<(Pid, PipeReader)> {
    let (output, writer) = io::pipe()?;
    let child = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(environment)
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0)
        .spawn()?;
    Ok((Pid::from_raw(child.id().cast_signed()), output))
}

/// Reaps every child, Ansible and orphans, and tells how Ansible ended.
pub fn reap(ansible: Pid, tell: SyncSender<Input>) {
    thread::spawn(move || {
        loop {
            // Looked at first: only its own waitpid may take Ansible's status away.
            match waitid(Id::All, WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).map(|status| status.pid()) {
                Ok(Some(pid)) => {
                    let exit = match waitpid(pid, None) {
                        Ok(WaitStatus::Exited(_, code)) => Exit::Code(code),
                        Ok(WaitStatus::Signaled(_, signal, _)) => Exit::Signal(signal as i32),
                        _ => continue,
                    };
                    if pid == ansible && tell.send(Input::Exited(exit)).is_err() {
                        return;
                    }
                }
                Ok(None) | Err(Errno::EINTR) => {}
                Err(_) => return,
            }
        }
    });
}

/// SIGINT to Ansible and what runs in its group.
pub fn interrupt(ansible: Pid) {
    let _ = killpg(ansible, Signal::SIGINT);
}

/// SIGKILL to all that descends from us, until nothing is left.
pub fn kill_all() {
    let until = crate::clock::boottime() + GONE_WITHIN;
    loop {
        let left = descendants(Pid::this().as_raw(), &processes());
        if left.is_empty() || crate::clock::boottime() > until {
            return;
        }
        for pid in left {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// Parents by process, zombies left out.
fn processes() -> HashMap<i32, i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            Some((pid, parent(&fs::read_to_string(entry.path().join("stat")).ok()?)?))
        })
        .collect()
}

/// From `/proc/N/stat`: `pid (any name) state ppid …`.
fn parent(stat: &str) -> Option<i32> {
    let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.next()?.parse().ok()
}

fn descendants(of: i32, parents: &HashMap<i32, i32>) -> Vec<i32> {
    let mut found = HashSet::from([of]);
    loop {
        let before = found.len();
        found.extend(
            parents
                .iter()
                .filter(|(_, parent)| found.contains(*parent))
                .map(|(pid, _)| *pid)
                .collect::<Vec<_>>(),
        );
        if found.len() == before {
            found.remove(&of);
            return found.into_iter().collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_whatever_the_name() {
        assert_eq!(parent("12 (a) b) c) S 7 1 1"), Some(7));
        assert_eq!(parent("12 (gone) Z 7 1 1"), None);
        assert_eq!(parent("garbage"), None);
    }

    #[test]
    fn grandchildren_are_found_and_strangers_are_not() {
        let parents = HashMap::from([(2, 1), (3, 2), (4, 3), (9, 8)]);
        let mut found = descendants(2, &parents);
        found.sort_unstable();
        assert_eq!(found, [3, 4]);
    }
}
