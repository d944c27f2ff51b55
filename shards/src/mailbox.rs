//! What other threads than data cores send to a data core.
//!
//! Owns: one bounded queue per core and its sending side, which is the core's [`CorePort`].
//! Never: is used by data cores; they have the mesh.
//! Invariants: letters of one sender arrive in order; a send may wait for room, a receive never waits.
//! Source: architecture.md section 1.

use std::sync::Arc;

use broker::{CoreMessage, CorePort};
use crossbeam_channel::{Receiver, Sender};

use crate::disk::files::FileDone;
use crate::waker::Waker;

/// Letters that may wait for one core. The control core and the file helper wait beyond it.
const LETTERS_MAX: usize = 1024;

/// One letter.
#[derive(Debug)]
pub(crate) enum Letter {
    /// From the control core or main.
    Control(CoreMessage),
    /// From the file helper.
    File(Box<FileDone>),
    /// From main, after every core reported that it stopped: leave the loop.
    Leave,
}

/// The receiving side, owned by the core.
#[derive(Debug)]
pub(crate) struct Mailbox {
    letters: Receiver<Letter>,
}

impl Mailbox {
    /// The next letter, if there is one.
    pub(crate) fn try_receive(&self) -> Option<Letter> {
        self.letters.try_recv().ok()
    }

    /// Whether a letter waits.
    pub(crate) fn has_mail(&self) -> bool {
        !self.letters.is_empty()
    }
}

/// The sending side.
#[derive(Clone, Debug)]
pub(crate) struct MailSlot {
    letters: Sender<Letter>,
    waker: Arc<Waker>,
}

impl MailSlot {
    /// Hands a letter over and wakes the core. A core that ended takes no letters; that is not an error.
    pub(crate) fn send(&self, letter: Letter) {
        if self.letters.send(letter).is_ok() {
            self.waker.wake();
        }
    }
}

impl CorePort for MailSlot {
    fn deliver(&self, message: CoreMessage) {
        self.send(Letter::Control(message));
    }
}

/// A mailbox and its slot.
pub(crate) fn mailbox(waker: Arc<Waker>) -> (MailSlot, Mailbox) {
    let (sender, receiver) = crossbeam_channel::bounded(LETTERS_MAX);
    (
        MailSlot {
            letters: sender,
            waker,
        },
        Mailbox { letters: receiver },
    )
}
