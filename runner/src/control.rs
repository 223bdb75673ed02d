//! How a run is stopped: what was asked, and what to do about it now. Pure: the time is passed in.

use std::time::Duration;

/// Between the interrupt and the kill.
pub const GRACE: Duration = Duration::from_secs(10);

/// Somebody or something wants the run to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// The cancel annotation: before the next task.
    AfterStep,
    /// The cancel annotation: at once.
    Now,
    /// The deadline has passed.
    Deadline,
    /// The pod is being stopped.
    Terminated,
}

/// Why a run was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Somebody asked for it.
    Cancelled,
    /// It took too long.
    Timeout,
    /// The pod was stopped.
    Terminated,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Let the plugin end the run before the next task.
    WriteStopFile,
    /// SIGINT to Ansible.
    Interrupt,
    /// SIGKILL to everything.
    Kill,
}

/// What was asked so far.
#[derive(Debug, Default)]
pub struct Control {
    cause: Option<Cause>,
    kill_at: Option<Duration>,
    after_step: bool,
    killed: bool,
}

impl Control {
    /// Takes a wish in. The first cause stays; a stop only becomes harder.
    pub fn ask(&mut self, ask: Ask, now: Duration) -> Option<Action> {
        let cause = match ask {
            Ask::AfterStep | Ask::Now => Cause::Cancelled,
            Ask::Deadline => Cause::Timeout,
            Ask::Terminated => Cause::Terminated,
        };
        self.cause.get_or_insert(cause);
        if ask == Ask::AfterStep {
            let first = !self.after_step && self.kill_at.is_none();
            self.after_step = true;
            return first.then_some(Action::WriteStopFile);
        }
        if self.kill_at.is_some() {
            return None;
        }
        self.kill_at = Some(now + GRACE);
        Some(Action::Interrupt)
    }

    /// A step of a script has ended: where one is to stop after a step, it is interrupted now.
    pub fn step_ended(&mut self, now: Duration) -> Option<Action> {
        (self.after_step && self.kill_at.is_none()).then(|| self.ask(Ask::Now, now)).flatten()
    }

    /// Time goes by.
    pub fn tick(&mut self, now: Duration) -> Option<Action> {
        let due = !self.killed && self.kill_at.is_some_and(|at| at <= now);
        self.killed |= due;
        due.then_some(Action::Kill)
    }

    /// Why the run was stopped, if it was.
    pub fn cause(&self) -> Option<Cause> {
        self.cause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_stop_only_becomes_harder() {
        let mut control = Control::default();
        assert_eq!(control.tick(at(0)), None);
        assert_eq!(control.ask(Ask::AfterStep, at(1)), Some(Action::WriteStopFile));
        assert_eq!(control.ask(Ask::AfterStep, at(2)), None);
        assert_eq!(control.ask(Ask::Now, at(3)), Some(Action::Interrupt));
        assert_eq!(control.ask(Ask::Now, at(4)), None);
        assert_eq!(control.ask(Ask::AfterStep, at(4)), None);
        assert_eq!(control.tick(at(12)), None);
        assert_eq!(control.tick(at(13)), Some(Action::Kill));
        assert_eq!(control.tick(at(14)), None);
    }

    #[test]
    fn the_first_cause_stays() {
        let mut control = Control::default();
        control.ask(Ask::AfterStep, at(1));
        assert_eq!(control.ask(Ask::Terminated, at(2)), Some(Action::Interrupt));
        assert_eq!(control.cause(), Some(Cause::Cancelled));
        let mut control = Control::default();
        control.ask(Ask::Deadline, at(1));
        control.ask(Ask::Now, at(2));
        assert_eq!(control.cause(), Some(Cause::Timeout));
    }
}
