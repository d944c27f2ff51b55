//! Serving the data cores.
//!
//! Owns: proposals under way, deltas, answers that wait for the cores.
//! Never: answers before every core applied what the answer rests on.
//! Invariants: deltas in index order, each once, to every core; before the cores are attached they are kept.
//! Source: reliability.md 1.11, architecture.md section 1.

use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, poll_fn};
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use api::error::MetadataError;
use broker::metadata::MetadataResult;
use broker::metadata::codec::encode_command;
use broker::{CoreMessage, CorePort, Proposal};
use glommio::io::{PollState, PollableFd};
use glommio::timer::Timer;
use model::fatal::{Fatal, Reason};
use model::ids::{MetaIndex, ShardId};

use crate::mailbox::{MAIL_MAX, Mail, Mailbox};
use crate::voter::{Progress, Voter};

/// Proposals that are not answered yet; more are refused.
const PROPOSALS_MAX: usize = 4_096;

/// Who waits for a proposal.
#[derive(Clone, Copy, Debug)]
struct Asker {
    shard: ShardId,
    id: u64,
    term: u64,
}

/// An outcome that waits until every core applied `after`.
#[derive(Debug)]
struct Answer {
    after: MetaIndex,
    shard: ShardId,
    id: u64,
    result: Result<MetadataResult, MetadataError>,
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    Serve,
    Stop,
}

pub(crate) struct Service {
    voter: Voter,
    mailbox: Mailbox,
    /// By shard; empty until attached.
    cores: Vec<Arc<dyn CorePort>>,
    /// Deltas from before the cores were attached.
    kept: Vec<CoreMessage>,
    /// By log index.
    askers: BTreeMap<u64, Asker>,
    answers: VecDeque<Answer>,
    /// Index of the last delta.
    delivered: MetaIndex,
}

impl Service {
    pub(crate) fn new(voter: Voter, mailbox: Mailbox) -> Self {
        let delivered = MetaIndex::new(0);
        Self {
            voter,
            mailbox,
            cores: Vec::new(),
            kept: Vec::new(),
            askers: BTreeMap::new(),
            answers: VecDeque::new(),
            delivered,
        }
    }

    /// Serves until told to stop.
    pub(crate) async fn serve(mut self) -> Result<(), Fatal> {
        let event = self
            .mailbox
            .event()
            .map_err(|error| broken(error.to_string()))?;
        let event = PollableFd::new(event).map_err(|error| broken(error.to_string()))?;
        loop {
            if self.mailbox.is_empty() {
                self.wait(&event).await?;
            }
            self.mailbox.reset();
            let course = self.take_mail();
            let progress = self.voter.drive().await?;
            self.publish(progress);
            self.release_answers();
            if course == Course::Stop {
                return Ok(());
            }
        }
    }

    /// Until there is news, or something that found no room is tried again.
    async fn wait(&self, event: &PollableFd<OwnedFd>) -> Result<(), Fatal> {
        let Some(retry) = self.voter.next_retry() else {
            let news = event.readable().await;
            return news.map_err(|error| broken(error.to_string()));
        };
        let mut due = pin!(Timer::new(retry.left()));
        let mut state = PollState::default();
        let either = poll_fn(|context| match event.poll_readable(context, &mut state) {
            Poll::Ready(news) => Poll::Ready(news),
            Poll::Pending => due.as_mut().poll(context).map(|_| Ok(())),
        });
        either.await.map_err(|error| broken(error.to_string()))
    }

    fn take_mail(&mut self) -> Course {
        for _ in 0..MAIL_MAX {
            match self.mailbox.take() {
                Some(Mail::Propose(proposal)) => self.propose(proposal),
                Some(Mail::Attach(cores)) => self.attach(cores),
                Some(Mail::Stop) => return Course::Stop,
                None => return Course::Serve,
            }
        }
        Course::Serve
    }

    fn propose(&mut self, proposal: Proposal) {
        let Proposal { shard, id, command } = proposal;
        if self.voter.is_stuck() {
            return self.refuse(shard, id, MetadataError::NoRoom);
        }
        if self.askers.len() + self.answers.len() >= PROPOSALS_MAX {
            let why = "too many metadata changes wait".to_owned();
            return self.refuse(shard, id, MetadataError::LimitReached(why));
        }
        let position = encode_command(&command)
            .map_err(|error| error.to_string())
            .and_then(|data| self.voter.propose(data).map_err(|error| error.to_string()));
        match position {
            Ok(position) => {
                let asker = Asker {
                    shard,
                    id,
                    term: position.term,
                };
                let old = self.askers.insert(position.index, asker);
                assert!(old.is_none(), "one proposal per log index");
            }
            Err(why) => self.refuse(shard, id, MetadataError::LimitReached(why)),
        }
    }

    fn refuse(&mut self, shard: ShardId, id: u64, why: MetadataError) {
        let result = Err(why);
        self.answers.push_back(Answer {
            after: self.delivered,
            shard,
            id,
            result,
        });
    }

    /// Deltas from before come first; nothing can come in between, this is the only thread that delivers.
    fn attach(&mut self, cores: Vec<Arc<dyn CorePort>>) {
        assert!(self.cores.is_empty(), "cores are attached once");
        assert!(
            cores.len() == self.mailbox.shards(),
            "every core of this process is attached"
        );
        self.cores = cores;
        for delta in std::mem::take(&mut self.kept) {
            self.deliver(&delta);
        }
    }

    fn publish(&mut self, progress: Progress) {
        if !progress.changes.is_empty() {
            let image = Arc::clone(self.voter.image());
            self.delivered = image.index();
            let changes = Arc::new(progress.changes);
            let delta = CoreMessage::Delta {
                index: self.delivered,
                image,
                changes,
            };
            match self.cores.is_empty() {
                true => self.kept.push(delta),
                false => self.deliver(&delta),
            }
        }
        for (position, result) in progress.results {
            // Entries of an earlier process have no asker here.
            let Some(asker) = self.askers.remove(&position.index) else {
                continue;
            };
            // The outcome of an entry that another leader put there is not this proposal's.
            let is_ours = asker.term == position.term;
            let result = if is_ours {
                Ok(result)
            } else {
                Err(MetadataError::TimedOut)
            };
            let Asker { shard, id, .. } = asker;
            self.answers.push_back(Answer {
                after: self.delivered,
                shard,
                id,
                result,
            });
        }
    }

    fn deliver(&self, delta: &CoreMessage) {
        for core in &self.cores {
            core.deliver(delta.clone());
        }
    }

    /// An answer without a change of its own also waits: it may say that something exists, and the client
    /// that hears it must find it on every core.
    fn release_answers(&mut self) {
        if self.cores.is_empty() {
            return;
        }
        let applied = self.mailbox.applied_by_all();
        while let Some(answer) = self.answers.pop_front_if(|answer| answer.after <= applied) {
            let Answer {
                shard, id, result, ..
            } = answer;
            let core = self.cores.get(usize::from(shard.get()));
            assert!(core.is_some(), "shard {shard} is attached");
            if let Some(core) = core {
                core.deliver(CoreMessage::Proposed { id, result });
            }
        }
    }
}

fn broken(detail: String) -> Fatal {
    Fatal::new(Reason::RingFailed, detail)
}
