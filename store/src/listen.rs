//! Who is told what was stored: NOTIFY carries ids only, whoever listens reads.

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use uuid::Uuid;

/// What was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Some objects are other than they were.
    Changes,
    /// A run has reported.
    Run(Uuid),
    /// The connection was away: anything may have been missed.
    Anything,
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
        listener.listen_all(["changes", "runs"]).await?;
        Ok(Self(listener))
    }

    /// The next one.
    pub async fn next(&mut self) -> sqlx::Result<Heard> {
        Ok(match self.0.try_recv().await? {
            None => Heard::Anything,
            Some(told) if told.channel() == "runs" => {
                told.payload().parse().map_or(Heard::Anything, Heard::Run)
            }
            Some(_) => Heard::Changes,
        })
    }
}
