//! A control core of one thread without consensus, for tests with the real shard.
//!
//! Owns: the image, applied in the order of proposals.
//! Never: stores anything.
//! Invariants: a proposal is answered after every core applied it.
//! Source: broker/src/ports.rs.

use std::sync::Arc;
use std::thread::JoinHandle;

use broker::metadata::{Image, MetadataCommand, MetadataResult, StateMachine};
use broker::{ControlPort, CoreMessage, CorePort, Proposal};
use crossbeam_channel::{Receiver, Sender};
use model::ids::{MetaIndex, ShardId};

use crate::rig::PATIENCE;

enum Event {
    Attach(Vec<Arc<dyn CorePort>>),
    Propose(Proposal),
    Stop,
}

#[derive(Clone)]
pub(crate) struct Solo {
    events: Sender<Event>,
    applied: Sender<MetaIndex>,
}

impl ControlPort for Solo {
    fn propose(&self, proposal: Proposal) -> Result<(), Box<Proposal>> {
        self.events.send(Event::Propose(proposal)).unwrap();
        Ok(())
    }

    fn applied(&self, _shard: ShardId, index: MetaIndex) {
        self.applied.send(index).unwrap();
    }
}

impl Solo {
    /// Starts with an image in which the commands were applied.
    pub(crate) fn start(commands: &[MetadataCommand]) -> (Self, Arc<Image>, JoinHandle<()>) {
        let mut image = Image::default();
        for command in commands {
            image = apply(&image, command).0;
        }
        let (events, received) = crossbeam_channel::unbounded();
        let (applied, confirmed) = crossbeam_channel::unbounded();
        let first = Arc::new(image.clone());
        let thread = std::thread::Builder::new()
            .name("solo".to_owned())
            .spawn(move || run(image, &received, &confirmed))
            .unwrap();
        (Self { events, applied }, first, thread)
    }

    pub(crate) fn attach(&self, cores: Vec<Arc<dyn CorePort>>) {
        self.events.send(Event::Attach(cores)).unwrap();
    }

    pub(crate) fn stop(&self) {
        self.events.send(Event::Stop).unwrap();
    }
}

type Step = (Image, MetadataResult, Vec<broker::metadata::Change>);

fn apply(image: &Image, command: &MetadataCommand) -> Step {
    StateMachine::apply(image, MetaIndex::new(image.index().get() + 1), command)
}

fn run(mut image: Image, events: &Receiver<Event>, confirmed: &Receiver<MetaIndex>) {
    let mut cores: Vec<Arc<dyn CorePort>> = Vec::new();
    for event in events {
        match event {
            Event::Attach(attached) => cores = attached,
            Event::Stop => return,
            Event::Propose(proposal) => {
                let (next, result, changes) = apply(&image, &proposal.command);
                image = next;
                let (index, changes) = (image.index(), Arc::new(changes));
                for core in &cores {
                    let (image, changes) = (Arc::new(image.clone()), Arc::clone(&changes));
                    core.deliver(CoreMessage::Delta {
                        index,
                        image,
                        changes,
                    });
                }
                for _ in &cores {
                    assert_eq!(confirmed.recv_timeout(PATIENCE), Ok(index));
                }
                cores[usize::from(proposal.shard.get())].deliver(CoreMessage::Proposed {
                    id: proposal.id,
                    result: Ok(result),
                });
            }
        }
    }
}
