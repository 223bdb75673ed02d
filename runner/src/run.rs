//! The straight line: claim, lay out, Ansible, verdict.

use std::{
    collections::BTreeMap,
    io::{PipeReader, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use jiff::Timestamp;
use nix::unistd::Pid;
use protocol::{
    bundle::Bundle,
    event::Kind,
    verdict::{Failure, RunResult, Verdict},
};

use crate::{
    callback,
    claim::{self, Claim, Granted},
    classify, clock, command,
    config::{self, Config},
    control::{Action, Ask, Control},
    deliver::{Bell, Delivery, Place},
    failure::{self, Stop},
    files, health, hostkey, layout,
    lines::{self, Lines},
    loopback,
    mask::{self, Masker, Secret},
    memory,
    outcome::Outcome,
    output::Output,
    paths::Paths,
    process::{self, Ansible, EventsPipe, Exit, SecretsPipe},
    ready::{self, Laid},
    script,
    spool::Spool,
    tracker::Tracker,
    variables, watch,
};

/// Everything that the main thread hears of.
pub enum Input {
    /// The claim has an answer.
    Claimed(Result<Granted, Stop>),
    /// Everything is laid out.
    Source(Result<Box<Laid>, Stop>),
    /// Somebody or something wants the run to end.
    Ask(Ask),
    /// A line of the callback.
    Callback(Vec<u8>),
    /// Lines of output, joined by `\n`: many short ones are one allocation while they wait.
    Output(Vec<u8>),
    /// What a script says of a step.
    Script(script::Report),
    /// One of the two pipes has ended.
    Closed,
    /// Ansible has ended.
    Exited(Exit),
    /// The delivery of reports has ended.
    Delivered,
}

/// Inputs that wait at most: beyond that, Ansible waits for us.
const QUEUE: usize = 32;
/// The longest line of the callback: a plan of a hundred thousand tasks.
const CALLBACK_LINE: usize = 32 << 20;
/// The longest value of ansible-vault, as JSON, that is understood.
const SECRET_LINE: usize = 1 << 20;
/// How long pipes may stay silently open after everything was killed.
const DRAIN: Duration = Duration::from_secs(5);
/// How long the pod stays after its end, to deliver what is left.
const DELIVER: Duration = Duration::from_mins(10);

/// Runs and leaves the verdict behind.
pub fn run(paths: &Paths) -> RunResult {
    let (tell, inputs) = sync_channel(QUEUE);
    watch::signals(tell.clone(), Ask::Terminated);
    process::adopt_orphans();

    let instance = uuid::Uuid::new_v4().to_string();
    let mut delivery = None;
    let outcome = straight_line(paths, &instance, tell, &inputs, &mut delivery).unwrap_or_else(|stop| {
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

    let bell = Bell::default();
    let agent = claim::agent(&config)?;
    let place = Place::of(&config.api_url, &config.run_uid, config.attempt);
    let at = paths.spool();
    let mut spool =
        Spool::create(&at, bell.clone()).map_err(|error| Stop::io("make the spool", &at, &error))?;
    let masker = Arc::new(masker(paths, &granted.token));
    let delivery = Delivery { agent, place, token: granted.token, instance: instance.to_owned(), spool: at };
    *delivering = Some(delivery.start(bell, tell.clone()));
    let outcome = carry_out(&config, &bundle, paths, &masker, &mut spool, tell, inputs);
    append(&mut spool, Kind::Finished { verdict: Box::new(outcome.verdict(instance)) });
    Ok(outcome)
}

/// The same without a cluster: nobody is asked for permission, and nothing is delivered; the events stay in the spool.
/// A signal is somebody's wish that it ends.
pub fn local(paths: &Paths, service: &str, environment: BTreeMap<String, String>) -> Verdict {
    let (tell, inputs) = sync_channel(QUEUE);
    watch::signals(tell.clone(), Ask::Now);
    process::adopt_orphans();
    let instance = uuid::Uuid::new_v4().to_string();
    let config = Config::without_cluster(&instance, service, environment);
    let outcome = straight_line_here(&config, &instance, paths, tell, &inputs).unwrap_or_else(|stop| {
        eprintln!("fastdeploy: {stop}");
        Outcome::stopped(&stop)
    });
    outcome.verdict(&instance)
}

fn straight_line_here(
    config: &Config,
    instance: &str,
    paths: &Paths,
    tell: SyncSender<Input>,
    inputs: &Receiver<Input>,
) -> Result<Outcome, Stop> {
    let bundle = config::bundle(paths)?;
    let until = clock::boottime() + Duration::from_secs(bundle.timeout_seconds);
    watch::time_and_cancel(paths.cancel(), Arc::new(Mutex::new(Some(until))), tell.clone());
    let at = paths.spool();
    let mut spool =
        Spool::create(&at, Bell::default()).map_err(|error| Stop::io("make the spool", &at, &error))?;
    let masker = Arc::new(masker(paths, ""));
    let outcome = carry_out(config, &bundle, paths, &masker, &mut spool, tell, inputs);
    append(&mut spool, Kind::Finished { verdict: Box::new(outcome.verdict(instance)) });
    Ok(outcome)
}

/// What is permitted: from the source to the end of Ansible.
fn carry_out(
    config: &Config,
    bundle: &Bundle,
    paths: &Paths,
    masker: &Arc<Masker>,
    spool: &mut Spool,
    tell: SyncSender<Input>,
    inputs: &Receiver<Input>,
) -> Outcome {
    source(config, bundle, paths, tell.clone(), inputs)
        .and_then(|laid| prepare(config, bundle, *laid, paths, &tell))
        .and_then(|prepared| deploy(bundle, paths, masker, prepared, spool, tell, inputs))
        .unwrap_or_else(|mut stop| {
            stop.message = masker.mask(&stop.message).into_owned();
            eprintln!("fastdeploy: {stop}");
            Outcome::stopped(&stop)
        })
}

/// Knows what is mounted, and what speaks for this run.
fn masker(paths: &Paths, deployment_token: &str) -> Masker {
    let mut secrets = mask::mounted(&paths.secrets());
    secrets.extend(config::hidden(std::env::var_os(protocol::pod::ENV_HIDE)));
    let own = std::fs::read(paths.token()).ok().into_iter().chain([deployment_token.as_bytes().to_vec()]);
    let own = own.filter(|token| token.len() >= mask::SHORTEST);
    secrets.extend(own.map(|value| Secret { name: "the run's own token".to_owned(), value }));
    Masker::new(&secrets)
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
    wait_until(paths, inputs, |input| match input {
        Input::Claimed(answer) => Some(answer),
        _ => None,
    })
}

/// Lays the source out, which may mean to fetch it; a stop is honoured meanwhile.
fn source(
    config: &Config,
    bundle: &Bundle,
    paths: &Paths,
    tell: SyncSender<Input>,
    inputs: &Receiver<Input>,
) -> Result<Box<Laid>, Stop> {
    files::make_private_dir(&paths.memory(""))?;
    let (config, bundle, of) = (config.clone(), bundle.clone(), paths.clone());
    thread::spawn(move || tell.send(Input::Source(ready::make(&config, &bundle, &of).map(Box::new))));
    let laid = wait_until(paths, inputs, |input| match input {
        Input::Source(answer) => Some(answer),
        _ => None,
    });
    if laid.is_err() {
        process::kill_all();
    }
    laid
}

/// Waits for one thing; a stop is honoured meanwhile.
fn wait_until<T>(
    paths: &Paths,
    inputs: &Receiver<Input>,
    awaited: impl Fn(Input) -> Option<Result<T, Stop>>,
) -> Result<T, Stop> {
    loop {
        match inputs.recv().expect("we hold a sender") {
            Input::Ask(ask) => {
                return Err(match meant(ask, paths) {
                    Ask::AfterStep | Ask::Now => {
                        Stop::because(failure::CANCELLED, "stopped before it began, as asked")
                    }
                    Ask::Deadline => Stop::because(
                        failure::TIMEOUT,
                        "fetching the source took longer than the whole run may take",
                    ),
                    Ask::Terminated => {
                        Stop::because(failure::RUNNER_LOST, "the pod was asked to stop before the run began")
                    }
                });
            }
            input => {
                if let Some(answer) = awaited(input) {
                    return answer;
                }
            }
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

/// What is needed to start.
struct Prepared {
    root: PathBuf,
    notes: Vec<String>,
    what: What,
    /// It ends with the run.
    _agent: Option<std::process::Child>,
}

/// What is started.
enum What {
    Ansible {
        arguments: Vec<String>,
        environment: BTreeMap<String, String>,
        events: EventsPipe,
        secrets: SecretsPipe,
    },
    Script(script::Prepared),
}

impl What {
    const fn environment(&self) -> &BTreeMap<String, String> {
        match self {
            Self::Ansible { environment, .. } | Self::Script(script::Prepared { environment, .. }) => {
                environment
            }
        }
    }
}

fn prepare(
    config: &Config,
    bundle: &Bundle,
    laid: Laid,
    paths: &Paths,
    tell: &SyncSender<Input>,
) -> Result<Prepared, Stop> {
    let Laid { root, mut given, notes } = laid;
    let agent = given.ssh.process.take();
    let inventory = layout::inventory(bundle, &root, paths)?;
    let variables = variables::write(bundle, paths)?;
    let pipe = |error| Stop::because(failure::RUNNER_LOST, format!("failed to make a pipe: {error}"));
    let what = if bundle.script.is_some() {
        // For this run and its own loopback only; the token of the claim stays with us.
        let token = uuid::Uuid::new_v4().simple().to_string();
        let addresses = loopback::start(token.clone(), config.run_uid.clone(), tell.clone()).map_err(pipe)?;
        let (pod, files) = ((&config.environment, &given), (inventory.as_path(), variables.as_slice()));
        What::Script(script::prepare(
            bundle,
            &root,
            pod,
            files,
            &addresses,
            (&config.run_uid, &token),
            paths,
        )?)
    } else {
        files::write_public(&paths.work("callback/fastdeploy.py"), callback::PLUGIN.as_bytes())?;
        let (events, secrets) = (EventsPipe::new().map_err(pipe)?, SecretsPipe::new().map_err(pipe)?);
        What::Ansible {
            arguments: command::arguments(bundle, &inventory, &variables, paths),
            environment: command::environment(
                &config.environment,
                &given,
                bundle,
                paths,
                (events.fd(), secrets.fd()),
            ),
            events,
            secrets,
        }
    };
    Ok(Prepared { root, notes, what, _agent: agent })
}

/// Starts it and listens to it; how many pipes it has.
fn start(
    what: What,
    root: &Path,
    masker: &Arc<Masker>,
    tell: &SyncSender<Input>,
) -> Result<(Pid, u32), Stop> {
    match what {
        What::Ansible { arguments, environment, events, secrets } => {
            let ansible =
                process::start(&arguments, &environment, root, events, secrets).map_err(|error| {
                    Stop::because(
                        failure::ANSIBLE_FAILED,
                        format!("failed to start ansible-playbook: is it in the image? {error}"),
                    )
                })?;
            let pid = ansible.pid;
            listen(ansible, masker, tell);
            Ok((pid, 2))
        }
        What::Script(script::Prepared { program, arguments, environment }) => {
            let (pid, output) = process::start_plain(&program, &arguments, &environment, root)
                .map_err(|error| script::not_started(&program, &error))?;
            listen_to_output(output, tell);
            Ok((pid, 1))
        }
    }
}

/// Runs Ansible to its end.
fn deploy(
    bundle: &Bundle,
    paths: &Paths,
    masker: &Arc<Masker>,
    prepared: Prepared,
    spool: &mut Spool,
    tell: SyncSender<Input>,
    inputs: &Receiver<Input>,
) -> Result<Outcome, Stop> {
    let before = bundle.health_check.clone().map(|check| {
        thread::spawn(move || health::ask(&check, Duration::from_secs(check.timeout_seconds)).is_ok())
    });
    let oom_before = memory::oom_kills();
    let started_at = Timestamp::now();
    let Prepared { root, notes, what, _agent } = prepared;
    let environment = what.environment().clone();
    let (pid, mut open_pipes) = start(what, &root, masker, &tell)?;
    process::reap(pid, tell);

    let mut run = Run {
        masker,
        spool,
        tracker: Tracker::default(),
        output: Output::new(masker),
        control: Control::default(),
        script: None,
    };
    for name in &masker.too_short {
        let text =
            format!("[fastDeploy] the value of {name} has fewer than 4 characters and cannot be hidden");
        let said = run.output.say(&text);
        run.show(said);
    }
    if !notes.is_empty() {
        run.lines(notes.join("\n").as_bytes());
    }
    if let Some(script) = &bundle.script {
        run.begin_script(script, &bundle.steps);
    }
    let mut exit = None;
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
            Some(Input::Output(lines)) => {
                let steps = run.script_lines(&lines);
                run.lines(&lines);
                action = steps.then(|| run.control.step_ended(now)).flatten();
            }
            Some(Input::Script(report)) => {
                run.report(report);
                action = run.control.step_ended(now);
            }
            Some(Input::Closed) => open_pipes -= 1,
            Some(Input::Ask(ask)) if exit.is_none() => action = run.control.ask(meant(ask, paths), now),
            Some(Input::Exited(how)) => {
                exit = Some((how, Timestamp::now()));
                // Whatever Ansible left behind ends with it, and lets go of our pipes.
                process::kill_all();
            }
            // Delivered: nothing more is taken, and the run goes on all the same.
            Some(Input::Ask(_) | Input::Claimed(_) | Input::Source(_) | Input::Delivered) | None => {}
        }
        if exit.is_none() {
            act(action.or_else(|| run.control.tick(now)), pid, paths);
        }
    }
    run.flush();

    let (exit, finished_at) = exit.unwrap_or((Exit::Signal(0), Timestamp::now()));
    let ended = classify::Ended {
        exit,
        cause: run.control.cause(),
        seen: &run.tracker.seen,
        error: run.output.tail.error(),
        last_lines: run.output.tail.last(),
        out_of_memory: memory::oom_kills() > oom_before,
        check: bundle.options.check,
        tagged: !(bundle.options.tags.is_empty() && bundle.options.skip_tags.is_empty()),
        timeout_seconds: bundle.timeout_seconds,
    };
    let (mut result, mut failure) =
        if bundle.script.is_some() { classify::script(&ended) } else { classify::classify(&ended) };
    if let Some(failure) = failure.as_mut().filter(|failure| failure.reason == failure::HOST_KEY_CHANGED) {
        let said = run.tracker.seen.first_failure.as_ref().map_or("", |first| first.message.as_str());
        failure.host_key = hostkey::shown(said, &bundle.credentials, &crate::ssh::known(paths), &environment);
    }
    let cut_off = run.control.cause().is_some() || run.tracker.seen.stopped;
    let told = run.tracker.finish(cut_off, result == RunResult::Succeeded, finished_at);
    for kind in told {
        append(run.spool, kind);
    }
    let health = bundle.health_check.as_ref().filter(|_| !bundle.options.check).map(health::wait);
    if let (RunResult::Succeeded, Some(Err(said))) = (result, &health) {
        let was_up = before.and_then(|before| before.join().ok()) == Some(true);
        let message = if was_up { format!("{said}; it was up before") } else { said.clone() };
        result = RunResult::Failed;
        failure = Some(Failure {
            reason: failure::HEALTH_CHECK_FAILED.to_owned(),
            step: None,
            host: None,
            message,
            host_key: None,
        });
    }
    Ok(Outcome {
        result,
        failure,
        exit_code: match exit {
            Exit::Code(code) => Some(code),
            Exit::Signal(_) => None,
        },
        hosts: if bundle.script.is_some() { script::hosts(result) } else { run.tracker.hosts() },
        started_at: Some(started_at),
        finished_at: Some(finished_at),
        site_up: health.map(|answer| answer.is_ok()),
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
    /// Where a script is run.
    script: Option<script::Steps>,
}

impl Run<'_> {
    fn begin_script(&mut self, script: &str, steps: &[protocol::bundle::NamedStep]) {
        let (steps, lines) = script::Steps::new(script, steps, now_ms());
        self.tracker.script = true;
        self.script = Some(steps);
        self.script_told(&lines);
    }

    /// Whether a step was among them.
    fn script_lines(&mut self, lines: &[u8]) -> bool {
        if self.script.is_none() {
            return false;
        }
        let reports: Vec<_> = lines.split(|&byte| byte == b'\n').filter_map(script::Report::parse).collect();
        let any = !reports.is_empty();
        for report in reports {
            self.report(report);
        }
        any
    }

    fn report(&mut self, mut report: script::Report) {
        // The name becomes a part of the key.
        report.name = self.masker.mask(&report.name).into_owned();
        let Some(steps) = &mut self.script else { return };
        let lines = steps.take(report, now_ms());
        let outputs = self.masker.mask_value(&serde_json::Value::Object(steps.outputs.clone()));
        if let serde_json::Value::Object(outputs) = outputs {
            self.tracker.seen.outputs = outputs.into_iter().collect();
        }
        self.script_told(&lines);
    }

    fn script_told(&mut self, lines: &[serde_json::Value]) {
        for line in lines {
            self.callback(line.to_string().as_bytes());
        }
    }

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

    fn lines(&mut self, lines: &[u8]) {
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

fn act(action: Option<Action>, ansible: Pid, paths: &Paths) {
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
fn listen(ansible: Ansible, masker: &Arc<Masker>, tell: &SyncSender<Input>) {
    let Ansible { events, output, secrets, .. } = ansible;
    let learning = Arc::clone(masker);
    thread::spawn(move || learn(&secrets, &learning));
    read_lines(events, CALLBACK_LINE, tell.clone(), |lines, tell| {
        lines.into_iter().try_for_each(|line| tell.send(Input::Callback(line)).ok())
    });
    listen_to_output(output, tell);
}

fn listen_to_output(output: PipeReader, tell: &SyncSender<Input>) {
    // A value that begins before the cut has to be there whole when it is looked for.
    let keep = lines::LINE_LIMIT + mask::LONGEST_FORM + 1;
    read_lines(output, keep, tell.clone(), |lines, tell| tell.send(Input::Output(lines.join(&b'\n'))).ok());
}

/// Values that come out of ansible-vault: whoever tells one waits until it is known here.
fn learn(secrets: &UnixStream, masker: &Masker) {
    let mut lines = Lines::new(secrets, SECRET_LINE);
    loop {
        let mut told = Vec::new();
        let more = lines.read(|line| told.push(line)).unwrap_or(false);
        for line in told {
            if let Ok(value) = serde_json::from_slice::<String>(&line) {
                masker.learn(value.into_bytes());
            }
            let mut answer = secrets;
            if answer.write_all(b"k").is_err() {
                return;
            }
        }
        if !more {
            return;
        }
    }
}

fn now_ms() -> u64 {
    u64::try_from(clock::boottime().as_millis()).unwrap_or(u64::MAX)
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
