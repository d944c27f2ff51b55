//! Starting and ending the data cores.
//!
//! Owns: the threads of the cores, of the file helper and of the watcher.
//! Never: decides which machine a core runs; whoever starts the cores says how it is born.
//! Invariants: [`start`] returns when every core is ready to serve, or none is left running.
//! Source: architecture.md section 1, reliability.md 2.5.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use api::SessionFactory;
use broker::metadata::Image;
use broker::{ControlPort, CorePort};
use crossbeam_channel::{Receiver, Sender};
use model::fatal::Fatal;
use model::ids::ShardId;
use model::time::Now;
use storage::StallLimits;

use crate::clock::Clock;
use crate::disk::DirectDisk;
use crate::disk::files::FileThread;
use crate::mailbox::{Letter, MailSlot, Mailbox, mailbox};
use crate::mesh::Mesh;
use crate::net::listener::Listeners;
use crate::net::{Net, NetConfig};
use crate::pump::{Machine, Parts, Pump};
use crate::ring::Ring;
use crate::router::Router;
use crate::waker::Waker;
use crate::watch::{Beat, Watcher};

/// What a machine is born from, on its own core's thread.
#[derive(Clone, Copy, Debug)]
pub struct Birth<'a> {
    /// The core.
    pub shard: ShardId,
    /// How many there are.
    pub shards: u16,
    /// The data directory of the whole process.
    pub data_dir: &'a Path,
    /// The time.
    pub now: Now,
}

/// Makes a core's machine on the core's thread: recovery happens here.
pub type BirthFn<M> = Box<dyn FnOnce(Birth<'_>) -> Result<M, StartError> + Send>;

/// Called when the process must end, on the thread that found out. Should not return for long.
pub type FatalFn = Arc<dyn Fn(&Fatal) + Send + Sync>;

/// One core.
pub struct CoreConfig<M> {
    /// Makes its machine.
    pub birth: BirthFn<M>,
    /// How it reaches the control core.
    pub control: Box<dyn ControlPort>,
    /// CPU to pin it to; `None` leaves it to the scheduler.
    pub cpu: Option<usize>,
}

/// All cores.
pub struct StartConfig<M> {
    /// One per listening socket, in shard order.
    pub cores: Vec<CoreConfig<M>>,
    /// Bound sockets.
    pub listeners: Listeners,
    /// The locked data directory.
    pub data_dir: PathBuf,
    /// Makes the sessions of new connections.
    pub factory: SessionFactory,
    /// Metadata known now; the router starts from it.
    pub image: Arc<Image>,
    /// How long a core polls before it parks; zero parks at once.
    pub busy_poll: Duration,
    /// Bytes of requests in memory at a time, per core.
    pub request_bytes_max: usize,
    /// How long a core may stand still.
    pub stall: StallLimits,
    /// What ends the process.
    pub on_fatal: FatalFn,
}

/// Why the cores did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The number of cores does not fit.
    #[error(
        "{cores} cores for {sockets} listening sockets; both must be equal, at least 1 and below 65536"
    )]
    Cores {
        /// Asked for.
        cores: usize,
        /// Bound.
        sockets: usize,
    },
    /// A system resource is missing.
    #[error("{what}: {source}")]
    System {
        /// What was wanted.
        what: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The core's data could not be recovered.
    #[error("core {shard}: recovery failed: {detail}")]
    Recovery {
        /// Which core.
        shard: ShardId,
        /// Why.
        detail: String,
    },
    /// A core ended while starting.
    #[error("core {0} ended while it started")]
    Ended(ShardId),
}

/// What a core tells main.
#[derive(Clone, Debug)]
pub enum Report {
    /// Its orderly stop is complete.
    Stopped(ShardId),
    /// The process must end; `on_fatal` was called.
    Fatal(ShardId, Fatal),
}

/// The running cores.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    slots: Vec<MailSlot>,
    threads: Vec<JoinHandle<()>>,
    files: JoinHandle<()>,
    watcher: Watcher,
    reports: Receiver<Report>,
}

impl Running {
    /// The address clients connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How the control core reaches the data cores, in shard order.
    #[must_use]
    pub fn core_ports(&self) -> Vec<Arc<dyn CorePort>> {
        self.slots
            .iter()
            .map(|slot| Arc::new(slot.clone()) as Arc<dyn CorePort>)
            .collect()
    }

    /// What the cores tell main.
    #[must_use]
    pub fn reports(&self) -> &Receiver<Report> {
        &self.reports
    }

    /// Asks every core for an orderly stop.
    pub fn begin_stop(&self) {
        for slot in &self.slots {
            slot.deliver(broker::CoreMessage::Shutdown);
        }
    }

    /// Waits until every core reported that it stopped, at most `timeout` in all, then ends the threads.
    /// `true` if all stopped in order; otherwise the threads are left as they are.
    #[must_use]
    pub fn join(self, timeout: Duration) -> bool {
        let alarm = crossbeam_channel::after(timeout);
        let mut stopped = 0;
        while stopped < self.slots.len() {
            crossbeam_channel::select! {
                recv(self.reports) -> report => match report {
                    Ok(Report::Stopped(_)) => stopped += 1,
                    Ok(Report::Fatal(..)) | Err(_) => return false,
                },
                recv(alarm) -> _ => return false,
            }
        }
        self.leave()
    }

    /// Ends the threads; `true` if none of them panicked.
    fn leave(self) -> bool {
        for slot in &self.slots {
            slot.send(Letter::Leave);
        }
        // The file helper ends when nobody can send to it any more.
        drop(self.slots);
        let threads = self.threads.into_iter().chain([self.files]);
        let is_clean = threads
            .map(JoinHandle::join)
            .fold(true, |is_clean, ended| is_clean & ended.is_ok());
        // Last: a core may hang on its way out.
        self.watcher.leave() && is_clean
    }
}

/// What all cores share at their start.
#[derive(Clone)]
struct Shared {
    shards: u16,
    data_dir: Arc<PathBuf>,
    factory: SessionFactory,
    image: Arc<Image>,
    clock: Clock,
    busy_poll: Duration,
    request_bytes_max: usize,
    helper: FileThread,
    on_fatal: FatalFn,
    ready: Sender<Result<(), StartError>>,
    reports: Sender<Report>,
}

/// What one core gets for itself.
struct Own<M> {
    shard: ShardId,
    config: CoreConfig<M>,
    listener: TcpListener,
    mesh: Mesh,
    waker: Arc<Waker>,
    beat: Arc<Beat>,
    slot: MailSlot,
    mailbox: Mailbox,
}

/// Starts the cores and waits until all of them are ready to serve.
///
/// # Errors
/// A core could not be born; the others were ended.
pub fn start<M: Machine + 'static>(config: StartConfig<M>) -> Result<Running, StartError> {
    let cores = config.cores.len();
    let address = config.listeners.address();
    let sockets = config.listeners.into_sockets();
    let shards = u16::try_from(cores)
        .ok()
        .filter(|count| *count > 0 && cores == sockets.len());
    let Some(shards) = shards else {
        return Err(StartError::Cores {
            cores,
            sockets: sockets.len(),
        });
    };
    raise_file_limit();
    let (helper, files) =
        FileThread::start(config.data_dir.clone()).map_err(|source| StartError::System {
            what: "file helper thread",
            source,
        })?;
    let owns = furnish(config.cores, sockets)?;
    let beats = owns.iter().map(|own| Arc::clone(&own.beat)).collect();
    let clock = Clock::new();
    let on_fatal = Arc::clone(&config.on_fatal);
    let watcher = Watcher::start(beats, clock, config.stall, on_fatal).map_err(|source| {
        StartError::System {
            what: "watcher thread",
            source,
        }
    })?;
    let (ready, readiness) = crossbeam_channel::bounded(cores);
    let (reports, reported) = crossbeam_channel::bounded(cores * 2);
    let shared = Shared {
        shards,
        data_dir: Arc::new(config.data_dir),
        factory: config.factory,
        image: config.image,
        clock,
        busy_poll: effective_busy_poll(config.busy_poll, cores),
        request_bytes_max: config.request_bytes_max,
        helper,
        on_fatal: config.on_fatal,
        ready,
        reports,
    };
    let slots = owns.iter().map(|own| own.slot.clone()).collect();
    let mut running = Running {
        address,
        slots,
        threads: Vec::new(),
        files,
        watcher,
        reports: reported,
    };
    match launch(owns, shared, &mut running.threads).and_then(|()| await_ready(&readiness, cores)) {
        Ok(()) => Ok(running),
        Err(error) => {
            running.leave();
            Err(error)
        }
    }
}

/// Connections and segments need descriptors; the usual soft limit of 1024 is for programs that use
/// `select`.
fn raise_file_limit() {
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = rustix::process::setrlimit(rustix::process::Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// Descriptors that this process may have once the cores are started.
#[must_use]
pub fn open_files_limit() -> u64 {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.maximum.unwrap_or(u64::MAX)
}

/// Gives every core its socket, its end of the mesh and its mailbox.
fn furnish<M>(
    cores: Vec<CoreConfig<M>>,
    sockets: Vec<TcpListener>,
) -> Result<Vec<Own<M>>, StartError> {
    let wakers: Vec<Arc<Waker>> = (0..cores.len())
        .map(|_| Waker::new().map(Arc::new))
        .collect::<Result<_, _>>()
        .map_err(|source| StartError::System {
            what: "event descriptor",
            source,
        })?;
    let meshes = Mesh::between(&wakers);
    let all = cores.into_iter().zip(sockets).zip(meshes).zip(wakers);
    let furnished = (0_u16..)
        .zip(all)
        .map(|(index, (((config, listener), mesh), waker))| {
            let (slot, mailbox) = mailbox(Arc::clone(&waker));
            Own {
                shard: ShardId::new(index),
                config,
                listener,
                mesh,
                waker,
                beat: Arc::new(Beat::new()),
                slot,
                mailbox,
            }
        });
    Ok(furnished.collect())
}

fn launch<M: Machine + 'static>(
    owns: Vec<Own<M>>,
    shared: Shared,
    threads: &mut Vec<JoinHandle<()>>,
) -> Result<(), StartError> {
    for own in owns {
        threads.push(spawn(own, shared.clone())?);
    }
    Ok(())
}

/// Spinning takes the CPU from whoever would end the wait, unless there is one CPU per busy thread: the
/// cores, the control core and the clients' share.
fn effective_busy_poll(asked: Duration, cores: usize) -> Duration {
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if cpus > cores + 1 {
        asked
    } else {
        Duration::ZERO
    }
}

fn await_ready(
    readiness: &Receiver<Result<(), StartError>>,
    cores: usize,
) -> Result<(), StartError> {
    for _ in 0..cores {
        // The channel closes early only if a core's thread died without a word.
        readiness
            .recv()
            .unwrap_or(Err(StartError::Ended(ShardId::new(0))))?;
    }
    Ok(())
}

fn spawn<M: Machine + 'static>(own: Own<M>, shared: Shared) -> Result<JoinHandle<()>, StartError> {
    std::thread::Builder::new()
        .name(format!("rapidmq-core-{}", own.shard))
        .spawn(move || run_core(own, shared))
        .map_err(|source| StartError::System {
            what: "core thread",
            source,
        })
}

fn run_core<M: Machine>(own: Own<M>, shared: Shared) {
    let shard = own.shard;
    let ready = shared.ready.clone();
    let reports = shared.reports.clone();
    let on_fatal = Arc::clone(&shared.on_fatal);
    let mut pump = match give_birth(own, shared) {
        Ok(pump) => pump,
        Err(error) => {
            // Main may have given up already because another core failed.
            drop(ready.send(Err(error)));
            return;
        }
    };
    drop(ready.send(Ok(())));
    drop(ready);
    // The pump lives on while `on_fatal` runs: its ring waits for I/O when it goes, which may never end.
    if let Err(fatal) = pump.run() {
        on_fatal(&fatal);
        drop(reports.send(Report::Fatal(shard, fatal)));
    }
}

fn give_birth<M: Machine>(own: Own<M>, shared: Shared) -> Result<Pump<M>, StartError> {
    let system = |what| move |source| StartError::System { what, source };
    if let Some(cpu) = own.config.cpu {
        pin(cpu);
    }
    let ring = Ring::new().map_err(system("io_uring (is it allowed here?)"))?;
    own.waker
        .publish_ring(ring.share_fd().map_err(system("ring descriptor"))?);
    let birth = Birth {
        shard: own.shard,
        shards: shared.shards,
        data_dir: &shared.data_dir,
        now: shared.clock.now(),
    };
    let machine = (own.config.birth)(birth)?;
    let net = Net::new(NetConfig {
        shard: own.shard,
        shards: shared.shards,
        factory: shared.factory,
        memory_bytes: shared.request_bytes_max,
    });
    Ok(Pump::new(Parts {
        machine,
        ring,
        net,
        disk: DirectDisk::new(shared.helper, own.slot),
        mesh: own.mesh,
        mailbox: own.mailbox,
        waker: own.waker,
        beat: own.beat,
        router: Router::new(own.shard, shared.shards, shared.image),
        control: own.config.control,
        listener: own.listener,
        clock: shared.clock,
        busy_poll: shared.busy_poll,
        reports: shared.reports,
    }))
}

fn pin(cpu: usize) {
    let mut set = rustix::thread::CpuSet::new();
    set.set(cpu);
    if let Err(error) = rustix::thread::sched_setaffinity(None, &set) {
        tracing::warn!(cpu, %error, "core not pinned");
    }
}
