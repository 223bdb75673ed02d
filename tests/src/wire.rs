//! A wire between a program and the Kubernetes API that is slow, breaks, and goes dead without a word. What goes over
//! it is encrypted, so it is disturbed as the world does it: piece by piece, knowing nothing of what is said.

use std::{
    fs,
    io::Write,
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use kube::config::Kubeconfig;
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream, lookup_host},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// The wire. Dropped: torn.
pub struct Wire {
    faults: Arc<Faults>,
    kubeconfig: PathBuf,
    task: JoinHandle<()>,
}

struct Faults {
    /// Each piece waits for up to so many milliseconds.
    slow: AtomicU64,
    /// One of so many pieces of an answer does not arrive: the connection is cut instead. 0: none.
    rarely: AtomicU64,
    /// So many more are cut.
    cuts: AtomicU64,
    /// Counts up: all connections from before are dead.
    dead: watch::Sender<u64>,
    dice: Mutex<StdRng>,
}

impl Wire {
    /// Lays one to the API of `KUBECONFIG`, in good order at first. `seed`: of what happens by chance on it.
    pub async fn lay(seed: u64) -> Result<Self> {
        let mut config = Kubeconfig::read().context("no cluster: eval \"$(make -s env)\"")?;
        let cluster = config.clusters.iter_mut().find_map(|named| named.cluster.as_mut());
        let cluster = cluster.context("KUBECONFIG names no cluster")?;
        let url: http::Uri = cluster.server.clone().unwrap_or_default().parse()?;
        let host = url.host().context("the cluster's server has no host")?.to_owned();
        let port = url.port_u16().unwrap_or(443);
        let there = lookup_host((host.trim_matches(['[', ']']), port)).await?.next();
        let there = there.with_context(|| format!("{host} has no address"))?;

        let listener = TcpListener::bind("127.0.0.1:0").await?;
        cluster.server = Some(format!("https://127.0.0.1:{}", listener.local_addr()?.port()));
        cluster.tls_server_name.get_or_insert(host);
        let kubeconfig = std::env::temp_dir().join(format!("fastdeploy-wire-{}", uuid::Uuid::new_v4()));
        let mut file = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&kubeconfig)?;
        file.write_all(serde_yaml::to_string(&config)?.as_bytes())?;

        let faults = Arc::new(Faults {
            slow: AtomicU64::new(0),
            rarely: AtomicU64::new(0),
            cuts: AtomicU64::new(0),
            dead: watch::channel(0).0,
            dice: Mutex::new(StdRng::seed_from_u64(seed)),
        });
        let task = tokio::spawn(listen(listener, there, Arc::clone(&faults)));
        Ok(Self { faults, kubeconfig, task })
    }

    /// The value of `KUBECONFIG` for whoever is to use it.
    pub fn kubeconfig(&self) -> String {
        self.kubeconfig.display().to_string()
    }

    /// From now on each piece takes up to so long, and one of so many answers is lost, so often in all.
    pub fn disturb(&self, slow: Duration, rarely: u64, cuts: u64) {
        self.faults.slow.store(u64::try_from(slow.as_millis()).unwrap_or(u64::MAX), Relaxed);
        self.faults.cuts.store(cuts, Relaxed);
        self.faults.rarely.store(rarely, Relaxed);
    }

    /// How many answers are still to be lost.
    pub fn cuts_left(&self) -> u64 {
        self.faults.cuts.load(Relaxed)
    }

    /// All connections that are open go dead: nothing arrives any more, and nobody is told. New ones are as before.
    pub fn go_dead(&self) {
        self.faults.dead.send_modify(|times| *times += 1);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
        let _ = fs::remove_file(&self.kubeconfig);
    }
}

impl Faults {
    async fn delay(&self) {
        let most = self.slow.load(Relaxed);
        if most > 0 {
            tokio::time::sleep(Duration::from_millis(self.roll(most))).await;
        }
    }

    fn cuts_this(&self) -> bool {
        let rarely = self.rarely.load(Relaxed);
        rarely > 0
            && self.roll(rarely) == 0
            && self.cuts.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    fn roll(&self, below: u64) -> u64 {
        self.dice.lock().unwrap_or_else(PoisonError::into_inner).random_range(0..below)
    }
}

async fn listen(listener: TcpListener, there: SocketAddr, faults: Arc<Faults>) {
    let mut open = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        open.spawn(carry(near, there, Arc::clone(&faults)));
        while open.try_join_next().is_some() {}
    }
}

async fn carry(mut near: TcpStream, there: SocketAddr, faults: Arc<Faults>) {
    let mut dead = faults.dead.subscribe();
    let Ok(mut far) = TcpStream::connect(there).await else { return };
    // Borrowed: a dead wire keeps both ends open.
    let ((mut near_in, mut near_out), (mut far_in, mut far_out)) = (near.split(), far.split());
    tokio::select! {
        () = pump(&mut near_in, &mut far_out, &faults, false) => {}
        () = pump(&mut far_in, &mut near_out, &faults, true) => {}
        _ = dead.changed() => std::future::pending().await,
    }
}

/// Until either end closes, or the answer is lost.
async fn pump(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    faults: &Faults,
    answers: bool,
) {
    let mut piece = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        faults.delay().await;
        if (answers && faults.cuts_this()) || to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}
