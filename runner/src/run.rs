//! The straight line: claim, lay out, Ansible, verdict.

use std::{
    io::PipeReader,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use jiff::Timestamp;
use protocol::{bundle::Bundle, event::Kind, verdict::RunResult};

use crate::{
    callback,
    claim::{self, Claim, Granted},
    classify, clock, command,
    config::{self, Config},
    control::{Action, Ask, Control},
    deliver::{self, Bell, Delivery},
    failure::{self, Stop},
    files, layout,
    lines::{self, Lines},
    mask::{self, Masker},
    memory,
    outcome::Outcome,
    output::Output,
    paths::Paths,
    process::{self, Ansible, EventsPipe, Exit},
    spool::Spool,
    ssh,
    tracker::Tracker,
    variables, watch,
};

/// Everything that the main thread hears of.
pub enum Input {
    /// The claim has an answer.
    Claimed(Result<Granted, Stop>),
    /// Somebody or something wants the run to end.
    Ask(Ask),
    /// A line of the callback.
    Callback(Vec<u8>),
    /// Lines of output.
    Output(Vec<Vec<u8>>),
    /// One of the two pipes has ended.
    Closed,
    /// Ansible has ended.
    Exited(Exit),
    /// The delivery of reports has ended.
    Delivered,
}

/// Inputs that wait at most: beyond that, Ansible waits for us.
const QUEUE: usize = 64;
/// The longest line of the callback: a plan of a hundred thousand tasks.
const CALLBACK_LINE: usize = 32 << 20;
/// How long pipes may stay silently open after everything was killed.
const DRAIN: Duration = Duration::from_secs(5);
/// How long the pod stays after its end, to deliver what is left.
const DELIVER: Duration = Duration::from_mins(10);

/// Runs and leaves the verdict behind.
pub fn run(paths: &Paths) -> RunResult {
    let (tell, inputs) = sync_channel(QUEUE);
    watch::signals(tell.clone());
    process::adopt_orphans();

    let instance = uuid::Uuid::new_v4().to_string();
    let masker = Masker::new(&mask::mounted(&paths.secrets()));
    for name in &masker.too_short {
        eprintln!(
            "fastdeploy: the value of {name} has fewer than 4 characters and cannot be hidden in the output"
        );
    }
    let mut delivery = None;
    let outcome =
        straight_line(paths, &instance, &masker, tell, &inputs, &mut delivery).unwrap_or_else(|mut stop| {
            stop.message = masker.mask(&stop.message).into_owned();
            eprintln!("fastdeploy: {stop}");
            Outcome::stopped(&stop)
        });
    outcome.write(&paths.termination_log(), &instance);
    if let Some(delivery) = delivery {
        wait_for(&delivery, &inputs);
    }
    outcome.result
}

fn straight_line(
    paths: &Paths,
    instance: &str,
    masker: &Masker,
    tell: SyncSender<Input>,
    inputs: &Receiver<Input>,
    delivering: &mut Option<JoinHandle<()>>,
) -> Result<Outcome, Stop> {
    let config = config::from_env(std::env::vars_os().filter_map(|(name, value)| {
        // What is no text cannot be for us, and Ansible's Python would stumble over it.
        Some((name.into_string().ok()?, value.into_string().ok()?))
    }))?;
    let bundle = config::bundle(paths)?;
    let deadline = watch::Deadline::default();
    watch::time_and_cancel(paths.cancel(), Arc::clone(&deadline), tell.clone());

    let granted = claimed(&config, instance, paths, tell.clone(), inputs)?;
    let allowed = Duration::from_secs(bundle.timeout_seconds).min(granted.remaining);
    *deadline.lock().expect("no thread panics with it") = Some(clock::boottime() + allowed);

    let spool = paths.spool();
    let bell = Bell::default();
    let agent = claim::agent(&config)?;
    let url = deliver::url(&config.api_url, &config.run_uid, config.attempt);
    let delivery =
        Delivery { agent, url, token: granted.token, instance: instance.to_owned(), spool: spool.clone() };
    let mut spool =
        Spool::create(&spool, bell.clone()).map_err(|error| Stop::io("make the spool", &spool, &error))?;
    *delivering = Some(delivery.start(bell, tell.clone()));
    let outcome = prepare(&config, &bundle, paths)
        .and_then(|prepared| deploy(&bundle, paths, masker, prepared, &mut spool, tell, inputs))
        .unwrap_or_else(|mut stop| {
            stop.message = masker.mask(&stop.message).into_owned();
            eprintln!("fastdeploy: {stop}");
            Outcome::stopped(&stop)
        });
    append(&mut spool, Kind::Finished { verdict: Box::new(outcome.verdict(instance)) });
    Ok(outcome)
}

/// The verdict stands; what is left is to deliver it. A pod that is asked to end does so at once.
fn wait_for(delivery: &JoinHandle<()>, inputs: &Receiver<Input>) {
    let until = clock::boottime() + DELIVER;
    while !delivery.is_finished() {
        let left = until.saturating_sub(clock::boottime());
        match inputs.recv_timeout(left.min(Duration::from_secs(1))) {
            Ok(Input::Delivered) => return,
            Ok(Input::Ask(Ask::Terminated)) | Err(RecvTimeoutError::Disconnected) => break,
            Ok(_) | Err(RecvTimeoutError::Timeout) if left.is_zero() => break,
            Ok(_) | Err(RecvTimeoutError::Timeout) => {}
        }
    }
    if delivery.is_finished() {
        return;
    }
    eprintln!("fastdeploy: the last reports of this run were not delivered; its result stands in the pod");
}

/// Waits for the claim; a stop is honoured meanwhile.
fn claimed(
    config: &Config,
    instance: &str,
    paths: &Paths,
    tell: SyncSender<Input>,
    inputs: &Receiver<Input>,
) -> Result<Granted, Stop> {
    let claim = Claim::new(config, instance, paths.token())?;
    thread::spawn(move || tell.send(Input::Claimed(claim.wait())));
    loop {
        match inputs.recv().expect("we hold a sender") {
            Input::Claimed(answer) => return answer,
            Input::Ask(ask) => {
                return Err(match meant(ask, paths) {
                    Ask::AfterStep | Ask::Now => {
                        Stop::because(failure::CANCELLED, "stopped before it began, as asked")
                    }
                    Ask::Terminated | Ask::Deadline => {
                        Stop::because(failure::RUNNER_LOST, "the pod was asked to stop before the run began")
                    }
                });
            }
            _ => {}
        }
    }
}

/// A pod that is stopped because somebody cancelled its run is a cancelled run.
fn meant(ask: Ask, paths: &Paths) -> Ask {
    match ask {
        Ask::Terminated if watch::cancel(&paths.cancel()).is_some() => Ask::Now,
        ask => ask,
    }
}

/// What is needed to start Ansible.
struct Prepared {
    arguments: Vec<String>,
    environment: std::collections::BTreeMap<String, String>,
    events: EventsPipe,
}

fn prepare(config: &Config, bundle: &Bundle, paths: &Paths) -> Result<Prepared, Stop> {
    for directory in [
        paths.memory("tmp"),
        paths.memory("cp"),
        paths.work("callback"),
        paths.work("home"),
        paths.work("tmp"),
    ] {
        files::make_private_dir(&directory)?;
    }
    layout::source(bundle, paths)?;
    let inventory = layout::inventory(bundle, paths)?;
    let variables = variables::write(bundle, paths)?;
    let ssh = ssh::prepare(&bundle.credentials, paths)?;
    files::write_public(&paths.work("callback/fastdeploy.py"), callback::PLUGIN.as_bytes())?;
    let events = EventsPipe::new()
        .map_err(|error| Stop::because(failure::RUNNER_LOST, format!("failed to make a pipe: {error}")))?;
    Ok(Prepared {
        arguments: command::arguments(bundle, &inventory, &variables),
        environment: command::environment(&config.environment, ssh, bundle, paths, events.fd()),
        events,
    })
}

/// Runs Ansible to its end.
fn deploy(
    bundle: &Bundle,
    paths: &Paths,
    masker: &Masker,
    prepared: Prepared,
    spool: &mut Spool,
    tell: SyncSender<Input>,
    inputs: &Receiver<Input>,
) -> Result<Outcome, Stop> {
    let oom_before = memory::oom_kills();
    let started_at = Timestamp::now();
    let ansible =
        process::start(&prepared.arguments, &prepared.environment, &paths.source(), prepared.events)
            .map_err(|error| {
                Stop::because(
                    failure::ANSIBLE_FAILED,
                    format!("failed to start ansible-playbook: is it in the image? {error}"),
                )
            })?;
    let pid = ansible.pid;
    listen(ansible, masker, &tell);
    process::reap(pid, tell);

    let mut run = Run {
        masker,
        spool,
        tracker: Tracker::default(),
        output: Output::new(masker),
        control: Control::default(),
    };
    let mut exit = None;
    let mut open_pipes = 2;
    let mut last_heard = clock::boottime();
    while exit.is_none() || open_pipes > 0 {
        let input = match inputs.recv_timeout(Duration::from_millis(100)) {
            Ok(input) => Some(input),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        let now = clock::boottime();
        if input.is_some() {
            last_heard = now;
        } else if exit.is_some() && now.saturating_sub(last_heard) >= DRAIN {
            eprintln!("fastdeploy: something holds Ansible's output open, its end may be missing");
            break;
        }
        let mut action = None;
        match input {
            Some(Input::Callback(line)) => run.callback(&line),
            Some(Input::Output(lines)) => run.lines(lines),
            Some(Input::Closed) => open_pipes -= 1,
            Some(Input::Ask(ask)) if exit.is_none() => action = run.control.ask(meant(ask, paths), now),
            Some(Input::Exited(how)) => {
                exit = Some((how, Timestamp::now()));
                // Whatever Ansible left behind ends with it, and lets go of our pipes.
                process::kill_all();
            }
            // Delivered: nothing more is taken, and the run goes on all the same.
            Some(Input::Ask(_) | Input::Claimed(_) | Input::Delivered) | None => {}
        }
        if exit.is_none() {
            act(action.or_else(|| run.control.tick(now)), pid, paths);
        }
    }
    run.flush();

    let (exit, finished_at) = exit.unwrap_or((Exit::Signal(0), Timestamp::now()));
    let (result, failure) = classify::classify(&classify::Ended {
        exit,
        cause: run.control.cause(),
        seen: &run.tracker.seen,
        error: run.output.tail.error(),
        last_lines: run.output.tail.last(),
        out_of_memory: memory::oom_kills() > oom_before,
        tagged: !(bundle.options.tags.is_empty() && bundle.options.skip_tags.is_empty()),
        timeout_seconds: bundle.timeout_seconds,
    });
    let cut_off = run.control.cause().is_some() || run.tracker.seen.stopped;
    let told = run.tracker.finish(cut_off, result == RunResult::Succeeded, finished_at);
    for kind in told {
        append(run.spool, kind);
    }
    Ok(Outcome {
        result,
        failure,
        exit_code: match exit {
            Exit::Code(code) => Some(code),
            Exit::Signal(_) => None,
        },
        hosts: run.tracker.hosts(),
        started_at: Some(started_at),
        finished_at: Some(finished_at),
        steps: run.tracker.steps(),
        outputs: std::mem::take(&mut run.tracker.seen.outputs),
    })
}

/// What the main thread holds while Ansible runs.
struct Run<'a> {
    masker: &'a Masker,
    spool: &'a mut Spool,
    tracker: Tracker,
    output: Output<'a>,
    control: Control,
}

impl Run<'_> {
    fn callback(&mut self, line: &[u8]) {
        match callback::parse(line, self.masker) {
            Ok(callback::Line::CallbackError { hook, message }) => {
                eprintln!("fastdeploy: the callback plugin stumbled in {hook}: {message}");
            }
            Ok(line) => {
                for kind in self.tracker.apply(line, Timestamp::now()) {
                    append(self.spool, kind);
                }
            }
            Err(error) => {
                eprintln!("fastdeploy: failed to understand a line of the callback plugin: {error}");
            }
        }
    }

    fn lines(&mut self, lines: Vec<Vec<u8>>) {
        if let Some(kind) = self.output.take(lines) {
            self.show(kind);
        }
    }

    fn flush(&mut self) {
        if let Some(kind) = self.output.flush() {
            self.show(kind);
        }
    }

    /// Spooled first, then into the container's log.
    fn show(&mut self, kind: Kind) {
        append(self.spool, kind.clone());
        if let Kind::Output { text, .. } = kind {
            crate::output::log(&text);
        }
    }
}

fn act(action: Option<Action>, ansible: nix::unistd::Pid, paths: &Paths) {
    match action {
        Some(Action::WriteStopFile) => {
            if let Err(stop) = files::write_public(&paths.work("stop"), b"") {
                eprintln!("fastdeploy: {stop}");
            }
        }
        Some(Action::Interrupt) => process::interrupt(ansible),
        Some(Action::Kill) => process::kill_all(),
        None => {}
    }
}

fn append(spool: &mut Spool, kind: Kind) {
    if let Err(error) = spool.append(kind, Timestamp::now()) {
        eprintln!("fastdeploy: failed to write to the spool, nothing more is written: {error}");
    }
}

/// Reads both pipes, each on its own thread.
fn listen(ansible: Ansible, masker: &Masker, tell: &SyncSender<Input>) {
    let Ansible { events, output, .. } = ansible;
    // A value that begins before the cut has to be there whole when it is looked for.
    let keep = lines::LINE_LIMIT + masker.longest() + 1;
    read_lines(events, CALLBACK_LINE, tell.clone(), |lines, tell| {
        lines.into_iter().try_for_each(|line| tell.send(Input::Callback(line)).ok())
    });
    read_lines(output, keep, tell.clone(), |lines, tell| tell.send(Input::Output(lines)).ok());
}

fn read_lines(
    pipe: PipeReader,
    keep: usize,
    tell: SyncSender<Input>,
    pass: impl Fn(Vec<Vec<u8>>, &SyncSender<Input>) -> Option<()> + Send + 'static,
) {
    thread::spawn(move || {
        let mut lines = Lines::new(pipe, keep);
        loop {
            let mut read = Vec::new();
            let more = lines.read(|line| read.push(line)).unwrap_or(false);
            if (!read.is_empty() && pass(read, &tell).is_none()) || !more {
                break;
            }
        }
        let _ = tell.send(Input::Closed);
    });
}
