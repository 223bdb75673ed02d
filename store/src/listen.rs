//! Who is told what was stored: NOTIFY carries ids and places only, whoever listens reads.

use std::str::FromStr;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use uuid::Uuid;

use crate::read::NotAPosition;

/// What was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Some objects are other than they were.
    Changes,
    /// A run has reported.
    Run(Reported),
    /// Somebody watches a run.
    Followed(Uuid),
    /// The connection was away: anything may have been missed.
    Anything,
}

/// How far an attempt is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reported {
    /// Of the Deployment.
    pub uid: Uuid,
    /// From 1.
    pub attempt: i32,
    /// The last event.
    pub acked: i64,
    /// The last line of output.
    pub lines: i64,
}

/// As it is told, in this order, with a space between.
impl FromStr for Reported {
    type Err = NotAPosition;

    fn from_str(told: &str) -> Result<Self, NotAPosition> {
        let mut parts = told.splitn(4, ' ');
        let mut next = || parts.next().ok_or(NotAPosition);
        let uid = next()?.parse().map_err(|_| NotAPosition)?;
        let attempt = next()?.parse().map_err(|_| NotAPosition)?;
        let acked = next()?.parse().map_err(|_| NotAPosition)?;
        let lines = next()?.parse().map_err(|_| NotAPosition)?;
        Ok(Self { uid, attempt, acked, lines })
    }
}

/// A connection that listens to one thing.
pub struct Channel(PgListener);

impl Channel {
    /// Listens to that name.
    pub async fn start(pool: &PgPool, name: &str) -> sqlx::Result<Self> {
        let mut listener = PgListener::connect_with(pool).await?;
        listener.listen(name).await?;
        Ok(Self(listener))
    }

    /// There is something new, or may be: the connection was away.
    pub async fn next(&mut self) -> sqlx::Result<()> {
        self.0.try_recv().await.map(drop)
    }
}

/// A connection that listens.
pub struct Listener(PgListener);

impl Listener {
    /// Listens to all there is.
    pub async fn start(pool: &PgPool) -> sqlx::Result<Self> {
        let mut listener = PgListener::connect_with(pool).await?;
        listener.listen_all(["changes", "runs", "followed"]).await?;
        Ok(Self(listener))
    }

    /// The next one.
    pub async fn next(&mut self) -> sqlx::Result<Heard> {
        Ok(match self.0.try_recv().await? {
            None => Heard::Anything,
            Some(told) if told.channel() == "runs" => {
                // A program of another version may say it in other words.
                told.payload().parse().map_or(Heard::Anything, Heard::Run)
            }
            Some(told) if told.channel() == "followed" => {
                told.payload().parse().map_or(Heard::Anything, Heard::Followed)
            }
            Some(_) => Heard::Changes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_of_a_run_is_read_and_nothing_else() {
        let uid = Uuid::from_u128(7);
        let told = Reported { uid, attempt: 2, acked: 40, lines: 0 };
        assert_eq!(format!("{uid} 2 40 0").parse(), Ok(told));
        for other in
            [uid.to_string(), format!("{uid} 2 40"), format!("{uid} 2 40 0 1"), format!("{uid} 2 x 0")]
        {
            assert_eq!(other.parse::<Reported>(), Err(NotAPosition), "{other}");
        }
    }
}
