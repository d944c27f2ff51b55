//! Composition of the broker: what is started in which order, and stopped in which.
//!
//! Owns: [`ServeConfig`], [`serve`], the exit code.
//! Never: holds logic of a component, reads a configuration file or the environment.
//! Invariants: clients are told "ready" only when every core serves; the clean marker is written only
//! after an orderly stop of every core.
//! Source: architecture.md sections 1 and 3, features.md 3.2.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use broker::metadata::Image;
use broker::{BrokerConfig, Shard, ShardConfig};
use control::{ControlConfig, ControlError, ControlHandle};
use kafka::KafkaConfig;
use model::fatal::Fatal;
use model::ids::ShardId;
use shards::disk::ballast::{self, Ballast};
use shards::disk::{DirectoryLock, LockError};
use shards::{CoreConfig, ListenError, Listeners, Running, StartConfig, StartError};
use storage::exec::Recovered;
use storage::{StallLimits, Store, StoreConfig};

pub(crate) mod directory;
mod identity;
mod ready;
mod recovery;
mod share;
mod signals;

use directory::Directory;
use ready::ReadyFile;
use signals::StopSignals;

/// How long the data cores may take for an orderly stop; the whole stays below ten seconds.
const STOP_MAX: Duration = Duration::from_secs(8);

/// Everything `serve` needs to know; validated by whoever fills it in.
#[derive(Clone, Debug)]
pub(crate) struct ServeConfig {
    /// Directory that holds all data.
    pub(crate) data_dir: PathBuf,
    /// Address of the Kafka listener; port zero lets the system choose.
    pub(crate) kafka_listen: SocketAddr,
    /// Host and port that clients are told; the listen address if `None`.
    pub(crate) kafka_advertise: Option<(String, u16)>,
    /// Rack of this broker.
    pub(crate) rack: Option<String>,
    /// Data cores; zero takes what the directory was formatted with, or as many as the machine has.
    pub(crate) cores: u16,
    /// Pin core n to CPU n.
    pub(crate) pin_cores: bool,
    /// File that tells whoever started the broker where it serves.
    pub(crate) ready_file: Option<PathBuf>,
    /// How long a core polls after its last work before it sleeps.
    pub(crate) busy_poll: Duration,
    /// Settings of the core; the cluster id is filled in from the data directory.
    pub(crate) broker: BrokerConfig,
    /// Bounds of a Kafka connection.
    pub(crate) kafka: KafkaConfig,
    /// Bytes of one journal file, multiple of 4096.
    pub(crate) journal_bytes: u64,
    /// Bytes per core of records that wait in memory for their segment; a share of the machine's memory if `None`.
    pub(crate) tail_bytes_max: Option<usize>,
    /// Bytes per core of the read cache.
    pub(crate) cache_bytes_max: usize,
    /// How long a write may be on its way before the disk counts as failed.
    pub(crate) stall_fence: Duration,
    /// Bytes of the ballast file at most; none if zero.
    pub(crate) ballast_bytes_max: u64,
    /// Bytes per core of requests being received and answered.
    pub(crate) request_bytes_max: usize,
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("rapidmq-data"),
            kafka_listen: SocketAddr::from(([127, 0, 0, 1], 9092)),
            kafka_advertise: None,
            rack: None,
            cores: 0,
            pin_cores: false,
            ready_file: None,
            busy_poll: Duration::ZERO,
            broker: BrokerConfig::default(),
            kafka: KafkaConfig::default(),
            journal_bytes: 64 << 20,
            tail_bytes_max: None,
            cache_bytes_max: 64 << 20,
            stall_fence: StallLimits::default().fence,
            ballast_bytes_max: 0,
            request_bytes_max: 256 << 20,
        }
    }
}

/// Why the broker did not start or did not stop in order.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BootError {
    /// The data directory is in use or not usable.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The data directory is not ours, damaged, or for other settings.
    #[error(transparent)]
    Directory(#[from] directory::DirectoryError),
    /// A core's data could not be recovered.
    #[error(transparent)]
    Recovery(#[from] recovery::RecoveryError),
    /// The listener cannot be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The control core did not start.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// A data core did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A system resource is missing.
    #[error("{what}: {source}")]
    System {
        /// What was wanted.
        what: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Not everything was written within the time for a stop; the next start recovers.
    #[error("the stop took too long; the next start recovers from the journal")]
    StopTimedOut,
}

fn system(what: &'static str) -> impl Fn(std::io::Error) -> BootError {
    move |source| BootError::System { what, source }
}

/// Runs the broker until SIGTERM or SIGINT.
///
/// # Errors
/// It could not be started, or the stop was not orderly.
pub(crate) fn serve(config: &ServeConfig) -> Result<(), BootError> {
    let mut signals = StopSignals::catch().map_err(system("signal handlers"))?;
    let lock = DirectoryLock::acquire(&config.data_dir)?;
    let directory = Directory::open_or_format(config)?;
    let running = start(config, &directory)?;
    let ready = match &config.ready_file {
        Some(path) => {
            Some(ReadyFile::write(path, running.cores.address()).map_err(system("ready file"))?)
        }
        None => None,
    };
    signals.wait();
    tracing::info!("stopping");
    drop(ready);
    running.stop()?;
    drop(lock);
    tracing::info!("stopped");
    Ok(())
}

/// Everything that runs.
#[derive(Debug)]
struct Broker {
    control: ControlHandle,
    cores: Running,
}

impl Broker {
    /// Data cores first: they may still propose and apply while they write what they have.
    fn stop(self) -> Result<(), BootError> {
        self.cores.begin_stop();
        let is_orderly = self.cores.join(STOP_MAX);
        self.control.shutdown();
        if is_orderly {
            Ok(())
        } else {
            Err(BootError::StopTimedOut)
        }
    }
}

fn start(config: &ServeConfig, directory: &Directory) -> Result<Broker, BootError> {
    let shards = directory.shards();
    let broker = Arc::new(BrokerConfig {
        cluster_id: directory.cluster_id(),
        ..config.broker.clone()
    });
    let recovered = recovery::recover_all(&config.data_dir, shards)?;
    directory.expect_metadata(&recovered)?;
    recovery::remove_orphans(&config.data_dir, &recovered);
    keep_ballast(config);
    let listeners = Listeners::bind(config.kafka_listen, usize::from(shards))?;
    let bound = listeners.address();
    let (host, port) = match &config.kafka_advertise {
        Some((host, port)) => (host.clone(), *port),
        None => (bound.ip().to_string(), bound.port()),
    };
    let (control, image, _) = control::start(ControlConfig {
        data_dir: config.data_dir.clone(),
        broker: Arc::clone(&broker),
        host,
        port,
        rack: config.rack.clone(),
        shards,
        is_clean: recovered.iter().all(|core| core.is_clean),
        seed: identity::random_seed().map_err(system("random seed"))?,
        snapshot_entries: raft_host::limits::SNAPSHOT_ENTRIES,
        stall_fence: config.stall_fence,
        on_fatal: Arc::new(end_process),
    })?;
    let cores = shards::start(StartConfig {
        cores: cores(config, &broker, &control, &image, recovered)?,
        listeners,
        data_dir: config.data_dir.clone(),
        factory: kafka::session_factory(config.kafka.clone()),
        image,
        busy_poll: config.busy_poll,
        request_bytes_max: config.request_bytes_max,
        stall: stall_limits(config),
        on_fatal: Arc::new(end_process),
    })?;
    control.attach(cores.core_ports());
    tracing::info!(kafka = %bound, cores = shards, data = %config.data_dir.display(), "serving");
    Ok(Broker { control, cores })
}

/// A start does not fail for want of ballast.
fn keep_ballast(config: &ServeConfig) {
    match ballast::keep(&config.data_dir, config.ballast_bytes_max) {
        Ok(Ballast::Kept(_) | Ballast::Unwanted) => {}
        Ok(Ballast::NoRoom { wanted, free }) => {
            tracing::warn!(wanted, free, "not enough room for the ballast file");
        }
        Ok(Ballast::Unsupported) => {
            tracing::info!("no ballast file: the file system cannot reserve room");
        }
        Err(error) => tracing::warn!(%error, "the ballast file could not be made"),
    }
}

fn cores(
    config: &ServeConfig,
    broker: &Arc<BrokerConfig>,
    control: &ControlHandle,
    image: &Arc<Image>,
    recovered: Vec<Recovered>,
) -> Result<Vec<CoreConfig<Shard>>, BootError> {
    let mut cores = Vec::new();
    let count = u16::try_from(recovered.len()).unwrap_or(u16::MAX);
    let share = Share::of(config, count);
    tracing::info!(
        tails = share.tail_bytes,
        files = share.open_files,
        "share of each core"
    );
    for (index, recovered) in recovered.into_iter().enumerate() {
        let seed = identity::random_seed().map_err(system("random seed"))?;
        let store = StoreConfig {
            tail_bytes_max: share.tail_bytes,
            open_files_max: share.open_files,
            ..store_config(config, recovered.shard, seed)
        };
        let (broker, image) = (Arc::clone(broker), Arc::clone(image));
        cores.push(CoreConfig {
            birth: Box::new(move |birth| {
                let store = Store::open(store, recovered, birth.now);
                let shard = ShardConfig {
                    shard: birth.shard,
                    shards: birth.shards,
                    broker,
                    seed,
                };
                Ok(Shard::new(shard, store, image, birth.now))
            }),
            control: Box::new(control.port()),
            cpu: config.pin_cores.then_some(index),
        });
    }
    Ok(cores)
}

/// What each core has of the machine.
struct Share {
    tail_bytes: usize,
    open_files: usize,
}

impl Share {
    fn of(config: &ServeConfig, cores: u16) -> Self {
        let tail_bytes = || share::tail_bytes(share::memory(), cores);
        Self {
            tail_bytes: config.tail_bytes_max.unwrap_or_else(tail_bytes),
            open_files: share::open_files(shards::open_files_limit(), cores),
        }
    }
}

fn store_config(config: &ServeConfig, shard: ShardId, seed: u64) -> StoreConfig {
    StoreConfig {
        shard,
        journal_bytes: config.journal_bytes,
        journal_first_bytes: config
            .journal_bytes
            .min(StoreConfig::default().journal_first_bytes),
        cache_bytes_max: config.cache_bytes_max,
        stall: stall_limits(config),
        seed,
        ..StoreConfig::default()
    }
}

fn stall_limits(config: &ServeConfig) -> StallLimits {
    StallLimits {
        unfit: StallLimits::default().unfit.min(config.stall_fence),
        fence: config.stall_fence,
    }
}

/// Ends the process at once: what is on disk decides at the next start (A10).
fn end_process(fatal: &Fatal) {
    tracing::error!(reason = ?fatal.reason, detail = fatal.detail, "the broker cannot go on");
    // A device that stalls keeps the process until it answers; clients need not wait for that.
    shards::shut_sockets_down();
    std::process::exit(i32::from(fatal.reason.exit_code()));
}
