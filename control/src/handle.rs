//! Starting and stopping the control core.
//!
//! Owns: its thread and executor.
//! Never: ends the process; calls what it was given for that.
//! Invariants: [`start`] returns when the broker is registered and the offsets topic exists, or the thread is
//! gone.
//! Source: runtime.md section 4, architecture.md section 1.

use std::sync::Arc;
use std::thread::JoinHandle;

use broker::CorePort;
use broker::metadata::Image;
use crossbeam_channel::Sender;
use glommio::{LocalExecutor, LocalExecutorBuilder, Placement};
use model::fatal::{Fatal, Reason};
use model::ids::MetaIndex;

use crate::boot::boot;
use crate::mailbox::{Mail, Mailbox, Port, mailbox};
use crate::service::Service;
use crate::settings::{ControlConfig, ControlError, FatalFn};
use crate::voter::Voter;

/// Bytes of I/O memory of the executor, which pins them three times: its files go through a helper thread, so
/// that the least it takes is plenty, and the usual memlock limit of 8 MiB suffices.
const IO_MEMORY_BYTES: usize = 64 * 1024;

/// Entries of its rings: it polls one descriptor and waits for one helper.
const RING_DEPTH: usize = 32;

/// The running control core. Dropping it stops it as [`ControlHandle::shutdown`] does.
#[derive(Debug)]
pub struct ControlHandle {
    port: Port,
    thread: Option<JoinHandle<()>>,
}

/// Starts the control core and waits until this broker is registered.
///
/// Gives the handle, and the image with its index that the data cores are to be born with.
///
/// # Errors
/// See [`ControlError`]; the thread is gone then.
pub fn start(
    config: ControlConfig,
) -> Result<(ControlHandle, Arc<Image>, MetaIndex), ControlError> {
    let (port, mailbox) =
        mailbox(config.shards).map_err(|error| system("event descriptor", error.to_string()))?;
    let (started, start) = crossbeam_channel::bounded(1);
    let thread = std::thread::Builder::new()
        .name("control".to_owned())
        .spawn(move || run(&config, mailbox, &started))
        .map_err(|error| system("control thread", error.to_string()))?;
    match start.recv().unwrap_or(Err(ControlError::Ended)) {
        Ok(image) => {
            let index = image.index();
            Ok((
                ControlHandle {
                    port,
                    thread: Some(thread),
                },
                image,
                index,
            ))
        }
        Err(error) => {
            // It ends by itself; a panic in it was already told to `on_fatal`.
            drop(thread.join());
            Err(error)
        }
    }
}

impl ControlHandle {
    /// How data cores reach the control core; may be used at once.
    #[must_use]
    pub fn port(&self) -> Port {
        self.port.clone()
    }

    /// Begins delivery to the data cores, in shard order; first comes what changed since [`start`].
    pub fn attach(&self, cores: Vec<Arc<dyn CorePort>>) {
        self.port.send(Mail::Attach(cores));
    }

    /// Stops the control core and waits for its thread. The data cores should have stopped before.
    pub fn shutdown(self) {
        drop(self);
    }
}

impl Drop for ControlHandle {
    fn drop(&mut self) {
        self.port.send(Mail::Stop);
        if let Some(thread) = self.thread.take() {
            // A panic in it was already told to `on_fatal`.
            drop(thread.join());
        }
    }
}

type Started = Sender<Result<Arc<Image>, ControlError>>;

/// The thread.
fn run(config: &ControlConfig, mailbox: Mailbox, started: &Started) {
    let _guard = PanicGuard(Arc::clone(&config.on_fatal));
    let outcome = executor().and_then(|executor| {
        let voter = Voter::open(config)?;
        executor.run(live(config, voter, mailbox, started));
        Ok(())
    });
    match outcome {
        Ok(()) => {}
        Err(error) => drop(started.send(Err(error))),
    }
}

async fn live(config: &ControlConfig, mut voter: Voter, mailbox: Mailbox, started: &Started) {
    if let Err(error) = boot(&mut voter, config).await {
        drop(started.send(Err(error)));
        return;
    }
    drop(started.send(Ok(Arc::clone(voter.image()))));
    if let Err(fatal) = Service::new(voter, mailbox).serve().await {
        tracing::error!(reason = ?fatal.reason, detail = fatal.detail, "the control core cannot go on");
        (config.on_fatal)(&fatal);
    }
}

fn executor() -> Result<LocalExecutor, ControlError> {
    LocalExecutorBuilder::new(Placement::Unbound)
        .name("control")
        .io_memory(IO_MEMORY_BYTES)
        .ring_depth(RING_DEPTH)
        .make()
        .map_err(|error| system("io_uring executor of the control core", error.to_string()))
}

fn system(what: &'static str, detail: String) -> ControlError {
    ControlError::System { what, detail }
}

/// Ends the process if the thread panics where panics unwind (tests, debug builds).
struct PanicGuard(FatalFn);

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            (self.0)(&Fatal::new(
                Reason::InvariantBroken,
                "the control core panicked",
            ));
        }
    }
}
