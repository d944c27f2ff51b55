//! How other threads reach the control core.
//!
//! Owns: the bounded mailbox, the table of what each core applied, the event descriptor that wakes.
//! Never: blocks a sender.
//! Invariants: a report of progress is never lost: it is a number that only grows, not a message.
//! Source: architecture.md section 1.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use broker::{ControlPort, CorePort, Proposal};
use crossbeam_channel::{Receiver, Sender, TrySendError};
use model::ids::{MetaIndex, ShardId};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{Errno, retry_on_intr};

/// Proposals and requests that may wait for the control core.
pub(crate) const MAIL_MAX: usize = 1_024;

/// What can be asked of the control core.
pub(crate) enum Mail {
    /// A data core wants metadata changed.
    Propose(Proposal),
    /// The data cores run; deltas go to them from now on.
    Attach(Vec<Arc<dyn CorePort>>),
    /// Stop.
    Stop,
}

/// What both ends share.
#[derive(Debug)]
struct Shared {
    /// Index each core has applied, by shard.
    applied: Vec<AtomicU64>,
    is_signalled: AtomicBool,
    event: OwnedFd,
}

/// The senders' end; cheap to clone.
#[derive(Clone, Debug)]
pub struct Port {
    sender: Sender<Mail>,
    shared: Arc<Shared>,
}

/// The control core's end.
#[derive(Debug)]
pub(crate) struct Mailbox {
    receiver: Receiver<Mail>,
    shared: Arc<Shared>,
}

/// Makes both ends.
///
/// # Errors
/// No event descriptor can be had.
pub(crate) fn mailbox(shards: u16) -> io::Result<(Port, Mailbox)> {
    let (sender, receiver) = crossbeam_channel::bounded(MAIL_MAX);
    let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let applied = (0..shards).map(|_| AtomicU64::new(0)).collect();
    let shared = Arc::new(Shared {
        applied,
        is_signalled: AtomicBool::new(false),
        event,
    });
    Ok((
        Port {
            sender,
            shared: Arc::clone(&shared),
        },
        Mailbox { receiver, shared },
    ))
}

impl Port {
    /// Sends something that must arrive; waits for room. For main only.
    pub(crate) fn send(&self, mail: Mail) {
        // An error means that the control core is gone; then there is nobody to tell.
        drop(self.sender.send(mail));
        self.wake();
    }

    fn wake(&self) {
        if !self.shared.is_signalled.swap(true, Ordering::SeqCst) {
            let one = 1_u64.to_ne_bytes();
            let outcome = retry_on_intr(|| rustix::io::write(&self.shared.event, &one));
            // A full counter is readable as well.
            assert!(
                matches!(outcome, Ok(8) | Err(Errno::AGAIN)),
                "the event descriptor works"
            );
        }
    }
}

impl ControlPort for Port {
    fn propose(&self, proposal: Proposal) -> Result<(), Box<Proposal>> {
        match self.sender.try_send(Mail::Propose(proposal)) {
            Ok(()) => {
                self.wake();
                Ok(())
            }
            Err(TrySendError::Full(mail) | TrySendError::Disconnected(mail)) => match mail {
                Mail::Propose(proposal) => Err(Box::new(proposal)),
                Mail::Attach(_) | Mail::Stop => Ok(()),
            },
        }
    }

    fn applied(&self, shard: ShardId, index: MetaIndex) {
        let slot = self.shared.applied.get(usize::from(shard.get()));
        assert!(slot.is_some(), "shard {shard} is not one of this process");
        if let Some(slot) = slot {
            slot.fetch_max(index.get(), Ordering::SeqCst);
            self.wake();
        }
    }
}

impl Mailbox {
    /// The next piece of mail.
    pub(crate) fn take(&self) -> Option<Mail> {
        self.receiver.try_recv().ok()
    }

    /// Cores that report what they applied.
    pub(crate) fn shards(&self) -> usize {
        self.shared.applied.len()
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.receiver.is_empty()
    }

    /// A descriptor that is readable when there may be news.
    ///
    /// # Errors
    /// It cannot be duplicated.
    pub(crate) fn event(&self) -> io::Result<OwnedFd> {
        self.shared.event.try_clone()
    }

    /// To be called when the descriptor was readable, before looking: news from now on signal again.
    pub(crate) fn reset(&self) {
        let mut count = [0; 8];
        let outcome = retry_on_intr(|| rustix::io::read(&self.shared.event, &mut count));
        // There is nothing to read if nothing was signalled.
        assert!(
            matches!(outcome, Ok(8) | Err(Errno::AGAIN)),
            "the event descriptor works"
        );
        self.shared.is_signalled.store(false, Ordering::SeqCst);
    }

    /// The index that every core has applied.
    pub(crate) fn applied_by_all(&self) -> MetaIndex {
        let all = self
            .shared
            .applied
            .iter()
            .map(|slot| slot.load(Ordering::SeqCst));
        MetaIndex::new(all.min().unwrap_or(u64::MAX))
    }
}
