//! A plan: what a pass decided, as data.

use std::time::Duration;

use jiff::Timestamp;

use crate::world::Write;

/// What a pass decided.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// In this order; it may be cut off after any of them.
    pub writes: Vec<Write>,
    /// Look again after this long, even if nothing happens.
    pub look_again: Option<Duration>,
}

impl Plan {
    /// Look again after at most this long.
    pub fn look_again_in(&mut self, after: Duration) {
        self.look_again = Some(self.look_again.map_or(after, |before| before.min(after)));
    }

    /// Look again at that time, a little late rather than a little early.
    pub fn look_again_at(&mut self, at: Timestamp, now: Timestamp) {
        let wait = Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO);
        self.look_again_in(wait + Duration::from_millis(100));
    }
}
