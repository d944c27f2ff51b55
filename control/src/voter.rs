//! The voter of this process: Raft, its directory and the image.
//!
//! Owns: the order of writing, handing over and applying.
//! Never: answers or delivers; `service` does.
//! Invariants: nothing is applied before its writes are durable; a failed write ends everything.
//! Source: reliability.md 1.12.

use std::sync::Arc;

use broker::metadata::codec::{decode_command, decode_image, encode_image};
use broker::metadata::{Change, Image, MetadataCommand, MetadataResult, StateMachine};
use bytes::Bytes;
use model::fatal::{Fatal, Reason};
use model::ids::MetaIndex;
use raft_host::hard_state::Identity;
use raft_host::restore::Note;
use raft_host::{
    Entry, HostConfig, Position, ProposeError, RaftHost, Ready, Restored, Write, bootstrap, restore,
};

use crate::directory::RaftDirectory;
use crate::settings::{ControlConfig, ControlError};

/// Ticks are not used by a sole voter; these are the proportions for when there are more.
const ELECTION_TICKS: usize = 10;
const HEARTBEAT_TICKS: usize = 2;

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
}

impl Voter {
    /// Opens the directory, judges what is in it, loads the snapshot. Blocks.
    pub(crate) fn open(config: &ControlConfig) -> Result<Self, ControlError> {
        let identity = identity(config);
        let first = bootstrap(&identity, &[identity.node]);
        let mut directory = RaftDirectory::open(&config.data_dir, &first)?;
        let restored = restore(&directory.load()?, &identity)?;
        directory.exec_all(&restored.writes)?;
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

    /// Does everything that is to be done: writes, applies, takes a snapshot if one is due.
    pub(crate) async fn drive(&mut self) -> Result<Progress, Fatal> {
        let mut progress = Progress::default();
        while let Some(ready) = self.host.poll_ready() {
            self.carry_out(ready, &mut progress).await?;
            if self.host.is_snapshot_due() {
                self.take_snapshot().await?;
            }
        }
        Ok(progress)
    }

    async fn carry_out(&mut self, ready: Ready, progress: &mut Progress) -> Result<(), Fatal> {
        let addressed = ready.messages.len() + ready.messages_after.len();
        assert!(addressed == 0, "a sole voter sends no messages");
        self.write(ready.writes).await?;
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

    async fn take_snapshot(&mut self) -> Result<(), Fatal> {
        let write = self.host.plan_snapshot(encode_image(&self.image));
        self.write(vec![write]).await?;
        let removals = self.host.handle_snapshot_written();
        tracing::info!(
            index = self.image.index().get(),
            files_removed = removals.len(),
            "metadata snapshot written"
        );
        self.write(removals).await
    }

    /// Writes on the helper thread, so that the executor stays free.
    async fn write(&mut self, writes: Vec<Write>) -> Result<(), Fatal> {
        if writes.is_empty() {
            return Ok(());
        }
        assert!(self.directory.is_some(), "one write at a time");
        let Some(mut directory) = self.directory.take() else {
            return Ok(());
        };
        let work = glommio::executor().spawn_blocking(move || {
            let outcome = directory.exec_all(&writes);
            (directory, outcome)
        });
        let (directory, outcome) = work.await;
        self.directory = Some(directory);
        outcome.map_err(|error| fatal(error.to_string()))
    }
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
