//! The machine under the cluster, for stories in which something is killed from outside. Only the
//! cluster of `make up` has its node here; on others these stories say so and are not told.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use nix::{
    sys::signal::{Signal, kill},
    time::{ClockId, clock_gettime},
    unistd::Pid,
};

/// The node, which is this machine.
pub struct Node {
    component: PathBuf,
}

impl Node {
    /// It, if the cluster runs on this machine and we may kill there.
    pub fn here(story: &str) -> Option<Self> {
        let component = std::env::var_os("FASTDEPLOY_COMPONENT").map(PathBuf::from);
        let node = component.filter(|path| path.exists() && nix::unistd::geteuid().is_root());
        if node.is_none() {
            eprintln!("story {story}: not told, the cluster's node is not this machine (make up, make env)");
        }
        node.map(|component| Self { component })
    }

    /// Kills what runs in a pod, as a crash would.
    pub fn kill_pod(&self, pod: &Pod, program: &str) -> Result<()> {
        self.signal_pod(pod, program, Signal::SIGKILL)
    }

    /// Sends a signal to what runs in a pod.
    pub fn signal_pod(&self, pod: &Pod, program: &str, signal: Signal) -> Result<()> {
        let uid = pod.uid().context("a pod without a uid")?;
        let processes = processes_of(&uid, program);
        ensure!(
            !processes.is_empty(),
            "expected a process {program} of pod {} on this machine",
            pod.name_any()
        );
        for pid in processes {
            kill(pid, signal)?;
        }
        Ok(())
    }

    /// When a program in a pod began, by the kernel, in seconds since 1970; none while it does not run.
    pub fn began(&self, pod: &Pod, program: &str) -> Result<Option<f64>> {
        let Some(pid) = processes_of(&pod.uid().unwrap_or_default(), program).into_iter().next() else {
            return Ok(None);
        };
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let after_name = stat.rsplit(") ").next().unwrap_or_default();
        // Field 22 of the line, counted from 1; the name was the second. In hundredths of a second since boot.
        let ticks: f64 = after_name.split(' ').nth(19).context("a line without starttime")?.parse()?;
        let up = Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME)?).as_secs_f64();
        Ok(Some(now()? - up + ticks / 100.0))
    }

    /// How long a program in a pod was ready to run and had no CPU, in seconds: the thread that waited longest.
    pub fn waited_for_cpu(&self, pod: &Pod, program: &str) -> Result<f64> {
        let mut longest = 0.0_f64;
        for pid in processes_of(&pod.uid().unwrap_or_default(), program) {
            for thread in fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
                // On the CPU, waiting for it (both in nanoseconds), time slices.
                let text = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
                let waited = text.split(' ').nth(1).and_then(|word| word.parse::<f64>().ok());
                longest = longest.max(waited.unwrap_or(0.0) / 1e9);
            }
        }
        Ok(longest)
    }

    /// A program whose command line has this word runs in the pod.
    pub fn is_at_work(&self, pod: &Pod, word: &str) -> bool {
        let in_pod = processes_of(&pod.uid().unwrap_or_default(), "");
        in_pod.iter().any(|pid| {
            fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|words| words.contains(word))
        })
    }

    /// A file as a program in a pod sees it, kept open: it can be read to its end when the pod is gone.
    pub fn open_in_pod(&self, pod: &Pod, program: &str, path: &str) -> Result<fs::File> {
        let uid = pod.uid().context("a pod without a uid")?;
        let pid = processes_of(&uid, program).into_iter().next();
        let pid = pid.with_context(|| format!("expected a process {program} of pod {}", pod.name_any()))?;
        let path = format!("/proc/{pid}/root{path}");
        fs::File::open(&path).with_context(|| format!("expected to open {path}"))
    }

    /// Kills a program of the cluster, such as the kubelet, and starts it again after what is to be
    /// done without it, however that ended: all other stories need it.
    pub async fn without<T>(&self, name: &str, meanwhile: impl Future<Output = Result<T>>) -> Result<T> {
        self.component("kill", name).await?;
        let done = meanwhile.await;
        self.component("start", name).await?;
        done
    }

    async fn component(&self, what: &str, name: &str) -> Result<()> {
        let done = tokio::process::Command::new(&self.component).args([what, name]).output().await?;
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        ensure!(done.status.success(), "{} {what} {name}: {said}", self.component.display());
        Ok(())
    }
}

/// The machine's time, in seconds since 1970.
pub fn now() -> Result<f64> {
    Ok(Duration::from(clock_gettime(ClockId::CLOCK_REALTIME)?).as_secs_f64())
}

/// Processes in the control groups of a pod whose first word ends with the name of the program.
fn processes_of(pod_uid: &str, program: &str) -> Vec<Pid> {
    let in_pod = |process: &Path| {
        let groups = fs::read_to_string(process.join("cgroup")).unwrap_or_default();
        groups.contains(pod_uid) || groups.contains(&pod_uid.replace('-', "_"))
    };
    let is_program = |process: &Path| {
        let words = fs::read_to_string(process.join("cmdline")).unwrap_or_default();
        words.split('\0').next().is_some_and(|word| word.ends_with(program))
    };
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|process| in_pod(process) && is_program(process))
        .filter_map(|process| process.file_name()?.to_str()?.parse().ok().map(Pid::from_raw))
        .collect()
}
