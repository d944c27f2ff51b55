//! The voter of this process: Raft, its directory and the image.
//!
//! Owns: the order of writing, handing over and applying.
//! Never: answers or delivers; `service` does.
//! Invariants: nothing is applied before its writes are durable; a failed write ends everything; what finds no room
//! waits, and nothing is proposed meanwhile.
//! Source: reliability.md 1.12, 2.7.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use broker::metadata::codec::{decode_command, decode_image, encode_image};
use broker::metadata::{Change, Image, MetadataCommand, MetadataResult, StateMachine};
use bytes::Bytes;
use glommio::timer::Timer;
use model::fatal::{Fatal, Reason};
use model::ids::MetaIndex;
use raft_host::hard_state::Identity;
use raft_host::restore::Note;
use raft_host::{
    Entry, HostConfig, Position, ProposeError, RaftHost, Ready, Restored, Write, bootstrap, restore,
};

use crate::directory::{Carried, RaftDirectory};
use crate::settings::{ControlConfig, ControlError};
use crate::waiting::{Retry, Stuck};

/// Ticks are not used by a sole voter; these are the proportions for when there are more.
const ELECTION_TICKS: usize = 10;
const HEARTBEAT_TICKS: usize = 2;

/// A write that takes longer is worth a warning.
const STALL_WARNING: Duration = Duration::from_secs(2);

/// What committed since it was last asked for.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// What changed, in order.
    pub(crate) changes: Vec<Change>,
    /// What each command gave, by where it stood.
    pub(crate) results: Vec<(Position, MetadataResult)>,
}

#[derive(Debug)]
pub(crate) struct Voter {
    host: RaftHost,
    /// Away while a write is under way on the helper thread.
    directory: Option<RaftDirectory>,
    image: Arc<Image>,
    stall_fence: Duration,
    /// Entries that find no room.
    stuck: Option<Stuck<Ready>>,
    /// A snapshot that finds no room; entries go on without it.
    stuck_snapshot: Option<Stuck<()>>,
}

impl Voter {
    /// Opens the directory, judges what is in it, loads the snapshot. Blocks.
    pub(crate) fn open(config: &ControlConfig) -> Result<Self, ControlError> {
        let identity = identity(config);
        let first = bootstrap(&identity, &[identity.node]);
        let mut directory = RaftDirectory::open(&config.data_dir, &first)?;
        let restored = restore(&directory.load()?, &identity)?;
        if let Carried::UpTo { cause, .. } = directory.exec_all(&restored.writes)? {
            return Err(cause);
        }
        log_restored(&restored);
        let image = match &restored.snapshot {
            Some(snapshot) => load_image(&snapshot.data, snapshot.index)?,
            None => Image::default(),
        };
        let host_config = HostConfig {
            identity,
            election_ticks: ELECTION_TICKS,
            heartbeat_ticks: HEARTBEAT_TICKS,
            seed: config.seed,
            snapshot_entries: config.snapshot_entries,
        };
        let host = RaftHost::new(host_config, &restored)
            .map_err(|error| ControlError::Config(error.to_string()))?;
        Ok(Self {
            host,
            directory: Some(directory),
            image: Arc::new(image),
            stall_fence: config.stall_fence,
            stuck: None,
            stuck_snapshot: None,
        })
    }

    pub(crate) fn image(&self) -> &Arc<Image> {
        &self.image
    }

    pub(crate) fn is_leader(&self) -> bool {
        self.host.is_ready_leader()
    }

    pub(crate) fn campaign(&mut self) {
        self.host.campaign();
    }

    pub(crate) fn propose(&mut self, data: Bytes) -> Result<Position, ProposeError> {
        self.host.propose(data)
    }

    /// Whether entries wait for room; nothing can be proposed meanwhile.
    pub(crate) fn is_stuck(&self) -> bool {
        self.stuck.is_some()
    }

    /// What found no room last.
    pub(crate) fn stuck_cause(&mut self) -> Option<ControlError> {
        self.stuck.take().map(|stuck| stuck.cause)
    }

    /// When [`Self::drive`] will try again what found no room.
    pub(crate) fn next_retry(&self) -> Option<Retry> {
        let entries = self.stuck.as_ref().map(|stuck| stuck.retry);
        let snapshot = self.stuck_snapshot.as_ref().map(|stuck| stuck.retry);
        entries.into_iter().chain(snapshot).min()
    }

    /// Does everything that is to be done: writes, applies, takes a snapshot if one is due.
    pub(crate) async fn drive(&mut self) -> Result<Progress, Fatal> {
        let mut progress = Progress::default();
        if let Some(stuck) = self.stuck.take() {
            match stuck.retry.is_due() {
                true => {
                    self.carry_out(stuck.writes, stuck.then, &mut progress)
                        .await?
                }
                false => self.stuck = Some(stuck),
            }
        }
        if let Some(stuck) = self.stuck_snapshot.take_if(|stuck| stuck.retry.is_due()) {
            self.write_snapshot(stuck.writes).await?;
        }
        while self.stuck.is_none()
            && let Some(mut ready) = self.host.poll_ready()
        {
            let addressed = ready.messages.len() + ready.messages_after.len();
            assert!(addressed == 0, "a sole voter sends no messages");
            let writes = std::mem::take(&mut ready.writes);
            self.carry_out(writes, ready, &mut progress).await?;
        }
        Ok(progress)
    }

    /// Writes, then hands over and applies; without room it waits instead.
    async fn carry_out(
        &mut self,
        writes: Vec<Write>,
        ready: Ready,
        progress: &mut Progress,
    ) -> Result<(), Fatal> {
        if let Some(left) = self.write(writes).await? {
            tracing::error!(
                cause = %left.cause,
                "no room for the metadata log: changes of metadata are refused until there is"
            );
            self.stuck = Some(left.before(ready));
            return Ok(());
        }
        self.host.handle_persisted();
        if let Some(snapshot) = ready.install {
            let image = load_image(&snapshot.data, snapshot.index);
            self.image = Arc::new(image.map_err(|error| fatal(error.to_string()))?);
        }
        for entry in ready.committed {
            let index = entry.index;
            self.apply(entry, progress)?;
            self.host.handle_applied(index);
        }
        if self.host.is_snapshot_due() {
            let write = self.host.plan_snapshot(encode_image(&self.image));
            self.write_snapshot(vec![write]).await?;
        }
        Ok(())
    }

    fn apply(&mut self, entry: Entry, progress: &mut Progress) -> Result<(), Fatal> {
        let index = MetaIndex::new(entry.index);
        let Some(command) = decode_entry(&entry)? else {
            self.image = Arc::new(self.image.at(index));
            return Ok(());
        };
        let (image, result, changes) = StateMachine::apply(&self.image, index, &command);
        self.image = Arc::new(image);
        progress.changes.extend(changes);
        progress.results.push((
            Position {
                index: entry.index,
                term: entry.term,
            },
            result,
        ));
        Ok(())
    }

    /// Without room it waits: the log goes on, as long as there is room for that.
    async fn write_snapshot(&mut self, writes: Vec<Write>) -> Result<(), Fatal> {
        if let Some(left) = self.write(writes).await? {
            tracing::warn!(cause = %left.cause, "no room for a snapshot of the metadata: tried again later");
            self.stuck_snapshot = Some(left);
            return Ok(());
        }
        let removals = self.host.handle_snapshot_written();
        tracing::info!(
            index = self.image.index().get(),
            files_removed = removals.len(),
            "metadata snapshot written"
        );
        match self.write(removals).await? {
            Some(left) => Err(fatal(left.cause.to_string())),
            None => Ok(()),
        }
    }

    /// Waits for a write. One that does not come back is as bad as one that fails: nobody knows what the device holds.
    async fn in_time<T>(&self, work: impl Future<Output = T>) -> Result<T, Fatal> {
        let mut work = pin!(work);
        let warning = STALL_WARNING.min(self.stall_fence);
        if let Some(done) = within(warning, work.as_mut()).await {
            return Ok(done);
        }
        tracing::warn!(
            "the disk stalls: a write of the metadata log does not come back; check the device"
        );
        let rest = self.stall_fence.saturating_sub(warning);
        let Some(done) = within(rest, work.as_mut()).await else {
            let waited = self.stall_fence;
            let what = format!(
                "a write of the metadata log has not come back for {waited:?}; the device stalls"
            );
            return Err(fatal(what));
        };
        tracing::info!("the disk goes on");
        Ok(done)
    }

    /// Writes on the helper thread, so that the executor stays free; gives back what found no room.
    async fn write(&mut self, mut writes: Vec<Write>) -> Result<Option<Stuck<()>>, Fatal> {
        if writes.is_empty() {
            return Ok(None);
        }
        assert!(self.directory.is_some(), "one write at a time");
        let Some(mut directory) = self.directory.take() else {
            return Ok(None);
        };
        let work = glommio::executor().spawn_blocking(move || {
            let outcome = directory.exec_all(&writes);
            (directory, writes, outcome)
        });
        let (directory, outcome);
        (directory, writes, outcome) = self.in_time(work).await?;
        self.directory = Some(directory);
        match outcome.map_err(|error| fatal(error.to_string()))? {
            Carried::All => Ok(None),
            Carried::UpTo { done, cause } => {
                writes.drain(..done);
                Ok(Some(Stuck::new(writes, cause)))
            }
        }
    }
}

/// What `work` gives, unless it takes longer.
async fn within<T>(time: Duration, mut work: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    let mut timer = pin!(Timer::new(time));
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => timer.as_mut().poll(context).map(|_| None),
    })
    .await
}

/// Raft ids start at one and broker ids at zero.
fn identity(config: &ControlConfig) -> Identity {
    Identity {
        node: u64::from(config.broker.broker.get()) + 1,
        cluster: config.broker.cluster_id.clone(),
    }
}

/// The image of a snapshot of entry `index`.
pub(crate) fn load_image(data: &[u8], index: u64) -> Result<Image, ControlError> {
    let image = decode_image(data).map_err(ControlError::Image)?;
    match image.index().get() == index {
        true => Ok(image),
        false => {
            let found = image.index().get();
            let what = format!("metadata snapshot {index} holds an image of entry {found}");
            Err(ControlError::Config(what))
        }
    }
}

/// `None` for the entry of a new term and for a record of a newer release that may be skipped.
pub(crate) fn decode_entry(entry: &Entry) -> Result<Option<MetadataCommand>, Fatal> {
    if entry.data.is_empty() {
        return Ok(None);
    }
    decode_command(&entry.data)
        .map_err(|error| fatal(format!("metadata entry {}: {error}", entry.index)))
}

fn fatal(detail: String) -> Fatal {
    Fatal::new(Reason::RaftStorageFailed, detail)
}

fn log_restored(restored: &Restored) {
    for note in &restored.notes {
        match note {
            Note::TornGroup { file, position } => {
                tracing::warn!(
                    file,
                    position,
                    "cut a metadata entry that was never acknowledged"
                );
            }
            Note::DamagedSnapshot { file, cause } => {
                tracing::error!(file, %cause, "metadata snapshot is damaged; an older one is used");
            }
        }
    }
    tracing::info!(
        snapshot = restored
            .snapshot
            .as_ref()
            .map_or(0, |snapshot| snapshot.index),
        entries = restored.entries.len(),
        term = restored.hard_state.term,
        commit = restored.hard_state.commit,
        "metadata log read"
    );
}
