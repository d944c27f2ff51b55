//! Random members, crashes and disk faults against what must always hold.
//!
//! Checked (reliability.md 3.3, S21): one owner per generation and partition; acknowledged commits survive a
//! restart; acknowledged offsets never go back; every command is answered; the group settles when faults end.

use model::prng::Prng;

use super::*;

const PARTITIONS: u32 = 4;

/// What a client does next.
#[derive(Clone, Debug)]
enum Stage {
    /// Joins.
    Idle,
    /// Waits for the answer to a join.
    Joining(u64),
    /// Syncs.
    Joined(Box<Joined>),
    /// Waits for the answer to a sync.
    Syncing(u64, Generation),
    /// Consumes.
    Active(Generation),
}

/// One consumer.
#[derive(Clone, Debug)]
struct Client {
    instance: Option<String>,
    member: String,
    stage: Stage,
    /// Owned partition to the next offset it would commit.
    positions: BTreeMap<u32, u64>,
}

impl Client {
    fn forget(&mut self) {
        self.member.clear();
        self.rejoin();
    }

    fn rejoin(&mut self) {
        self.stage = Stage::Idle;
        self.positions.clear();
    }

    fn key(&self, generation: Generation) -> MemberKey {
        MemberKey {
            instance: self.instance.clone(),
            ..key(&self.member, generation)
        }
    }

    fn after(&mut self, error: GroupError) {
        match error {
            GroupError::UnknownMember | GroupError::FencedInstance => self.forget(),
            _ => self.rejoin(),
        }
    }
}

/// A commit that was sent.
struct Sent {
    /// Member whose connection it is on; answers of one connection come in order.
    member: String,
    ticket: u64,
    partition: u32,
    offset: u64,
}

/// A commit that the network holds back while its client goes on with a rejoin.
struct Delayed {
    key: MemberKey,
    partition: u32,
    offset: u64,
}

struct World {
    bench: Bench,
    prng: Prng,
    clients: Vec<Client>,
    /// (generation, partition) to the instance or member that owns it.
    owners: BTreeMap<(u32, u32), String>,
    sent: Vec<Sent>,
    delayed: Vec<Delayed>,
    acked: BTreeMap<u32, u64>,
    highest: BTreeMap<u32, u64>,
    /// Commands whose answers a restart took away.
    lost: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let delay = Duration::from_secs(seed % 3);
        let mut bench = Bench::with(|config| config.initial_rebalance_delay = delay);
        // Keeps the group, and so its generations, while it is empty.
        let offsets = vec![element("bills", 0, 1)];
        let ticket = bench.send(Command::CommitOffsets(Commit {
            key: simple(),
            offsets,
        }));
        bench.committed(ticket);
        let client = |index: u64| Client {
            instance: index.is_multiple_of(2).then(|| format!("instance{index}")),
            member: String::new(),
            stage: Stage::Idle,
            positions: BTreeMap::new(),
        };
        Self {
            bench,
            prng: Prng::new(seed),
            clients: (0..2 + seed % 4).map(client).collect(),
            owners: BTreeMap::new(),
            sent: Vec::new(),
            delayed: Vec::new(),
            acked: BTreeMap::new(),
            highest: BTreeMap::new(),
            lost: 0,
        }
    }

    fn pick(&mut self) -> usize {
        usize::try_from(self.prng.below(self.clients.len() as u64)).unwrap()
    }

    fn step(&mut self) {
        let client = self.pick();
        match self.prng.below(100) {
            0..70 => self.act(client),
            70..77 => {
                let millis = self.prng.below(2_000);
                self.bench.advance(millis);
            }
            77 => self.delay(client),
            78..80 => self.clients[client].forget(),
            80..82 => self.leave(client),
            82..84 => {
                if matches!(
                    self.clients[client].stage,
                    Stage::Joining(_) | Stage::Syncing(..)
                ) {
                    self.clients[client].rejoin();
                }
            }
            84..87 => {
                self.bench.release();
                let disks = [
                    Disk::Works,
                    Disk::Works,
                    Disk::Stalls,
                    Disk::Stalls,
                    Disk::Fails,
                ];
                let at = usize::try_from(self.prng.below(disks.len() as u64)).unwrap();
                self.bench.disk = disks[at];
            }
            87..97 => self.bench.release(),
            97..98 => self.bench.reject(),
            98 => self.restart(),
            99 => self.deliver(),
            _ => {}
        }
        self.collect();
    }

    fn act(&mut self, index: usize) {
        let client = &self.clients[index];
        let is_waiting = matches!(client.stage, Stage::Joining(_) | Stage::Syncing(..));
        if is_waiting
            && self
                .sent
                .iter()
                .any(|commit| commit.member == client.member)
        {
            return;
        }
        match self.clients[index].stage.clone() {
            Stage::Idle => self.send_join(index),
            Stage::Joining(ticket) => self.take_join(index, ticket),
            Stage::Joined(joined) => self.send_sync(index, &joined),
            Stage::Syncing(ticket, generation) => self.take_sync(index, ticket, generation),
            Stage::Active(generation) => {
                if self.prng.chance(1, 2) {
                    self.beat(index, generation);
                } else {
                    self.send_commit(index, generation);
                }
            }
        }
    }

    fn send_join(&mut self, index: usize) {
        let client = &self.clients[index];
        let join = match &client.instance {
            Some(instance) => fixed(instance, &client.member),
            None => dynamic(&client.member),
        };
        let user_data = [u8::from(self.prng.chance(1, 5))];
        let join = Join {
            protocols: vec![("range".into(), subscription(&["orders"], &user_data))],
            can_skip_assignment: self.prng.chance(1, 2),
            requires_known_member: self.prng.chance(3, 4),
            ..join
        };
        self.clients[index].stage = Stage::Joining(self.bench.join(join));
    }

    fn take_join(&mut self, index: usize, ticket: u64) {
        let client = &mut self.clients[index];
        match self.bench.take(ticket) {
            None => {}
            Some(Reply::Joined(Ok(joined))) => {
                client.member.clone_from(&joined.member);
                client.stage = Stage::Joined(Box::new(joined));
            }
            Some(Reply::Joined(Err(refused))) if refused.error == GroupError::MemberIdRequired => {
                client.member = refused.member;
                client.stage = Stage::Idle;
            }
            Some(Reply::Joined(Err(refused))) => client.after(refused.error),
            other => panic!("{other:?}"),
        }
    }

    /// The leader deals the partitions out in turn.
    fn send_sync(&mut self, index: usize, joined: &Joined) {
        let mut dealt = BTreeMap::<&str, Vec<u8>>::new();
        if joined.leader == joined.member && !joined.skip_assignment {
            for partition in 0..PARTITIONS {
                let at = usize::try_from(partition).unwrap() % joined.members.len();
                let parts = dealt.entry(&joined.members[at].0).or_default();
                parts.push(u8::try_from(partition).unwrap());
            }
        }
        let own = |(id, parts): (&str, Vec<u8>)| (id.to_owned(), Bytes::from(parts));
        let ticket = self.bench.send(Command::SyncGroup(Sync {
            key: self.clients[index].key(joined.generation),
            protocol_type: Some("consumer".into()),
            protocol: Some("range".into()),
            assignments: dealt.into_iter().map(own).collect(),
        }));
        self.clients[index].stage = Stage::Syncing(ticket, joined.generation);
    }

    fn take_sync(&mut self, index: usize, ticket: u64, generation: Generation) {
        let assignment = match self.bench.take(ticket) {
            None => return,
            Some(Reply::Synced(Ok(synced))) => synced.assignment,
            Some(Reply::Synced(Err(error))) => return self.clients[index].after(error),
            other => panic!("{other:?}"),
        };
        let client = &self.clients[index];
        // If it goes on in the same generation, it would be the client that turns its own offsets back.
        let key = client.key(generation);
        self.delayed.retain(|delayed| delayed.key != key);
        let who = client
            .instance
            .clone()
            .unwrap_or_else(|| client.member.clone());
        let mut positions = BTreeMap::new();
        for partition in assignment.iter().map(|part| u32::from(*part)) {
            let owner = self
                .owners
                .entry((generation.get(), partition))
                .or_insert(who.clone());
            assert_eq!(
                *owner, who,
                "partition {partition} in generation {generation}"
            );
            positions.insert(partition, self.bench.fetch(partition).unwrap_or(0));
        }
        let client = &mut self.clients[index];
        client.positions = positions;
        client.stage = Stage::Active(generation);
    }

    fn beat(&mut self, index: usize, generation: Generation) {
        let key = self.clients[index].key(generation);
        let Err(error) = self.bench.beat_key(key) else {
            return;
        };
        if error == GroupError::RebalanceInProgress && self.prng.chance(1, 2) {
            self.send_commit(index, generation);
        }
        self.clients[index].after(error);
    }

    fn send_commit(&mut self, index: usize, generation: Generation) {
        let key = self.clients[index].key(generation);
        let owned = self.clients[index].positions.len() as u64;
        let at = usize::try_from(self.prng.below(owned)).unwrap();
        let Some((partition, position)) = self.clients[index].positions.iter_mut().nth(at) else {
            return self.beat_once(key);
        };
        *position += 1;
        let (partition, offset) = (*partition, *position);
        let highest = self.highest.entry(partition).or_default();
        *highest = offset.max(*highest);
        let member = key.member.clone();
        let ticket = self.bench.commit(key, &[(partition, offset)]);
        self.sent.push(Sent {
            member,
            ticket,
            partition,
            offset,
        });
    }

    /// The client's next commit stays on the way and the client joins again.
    fn delay(&mut self, index: usize) {
        let client = &mut self.clients[index];
        let Stage::Active(generation) = client.stage else {
            return;
        };
        let key = client.key(generation);
        if let Some((partition, position)) = client.positions.pop_first() {
            let offset = position + 1;
            let highest = self.highest.entry(partition).or_default();
            *highest = offset.max(*highest);
            self.delayed.push(Delayed {
                key,
                partition,
                offset,
            });
            client.rejoin();
        }
    }

    /// Held-back commits arrive.
    fn deliver(&mut self) {
        for delayed in std::mem::take(&mut self.delayed) {
            let Delayed {
                key,
                partition,
                offset,
            } = delayed;
            let ticket = self.bench.commit(key, &[(partition, offset)]);
            let member = String::new();
            self.sent.push(Sent {
                member,
                ticket,
                partition,
                offset,
            });
        }
    }

    fn beat_once(&mut self, key: MemberKey) {
        self.bench.beat_key(key).ok();
    }

    /// Takes the answers to commits, in the order in which they were sent.
    fn collect(&mut self) {
        let sent = std::mem::take(&mut self.sent);
        for commit in sent {
            match self.bench.take(commit.ticket) {
                None => self.sent.push(commit),
                Some(Reply::OffsetsCommitted(results)) => {
                    if results[0].2.is_ok() {
                        let acked = self.acked.entry(commit.partition).or_default();
                        assert!(*acked <= commit.offset, "{} after {acked}", commit.offset);
                        *acked = commit.offset;
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn leave(&mut self, index: usize) {
        let member = self.clients[index].member.clone();
        self.bench.leave(&[(&member, None)]);
        self.clients[index].forget();
    }

    fn restart(&mut self) {
        self.bench.restart();
        self.lost = self.bench.unanswered();
        self.sent.clear();
        for client in &mut self.clients {
            if matches!(client.stage, Stage::Joining(_) | Stage::Syncing(..)) {
                client.rejoin();
            }
        }
        self.check_offsets();
    }

    fn check_offsets(&mut self) {
        let (held, weighed) = self.bench.held();
        assert_eq!(held, weighed, "every change is counted");
        for partition in 0..PARTITIONS {
            let now = self.bench.fetch(partition).unwrap_or(0);
            let acked = self.acked.get(&partition).copied().unwrap_or(0);
            let highest = self.highest.get(&partition).copied().unwrap_or(0);
            assert!(
                acked <= now && now <= highest,
                "{acked} <= {now} <= {highest}"
            );
        }
    }

    /// Without faults everyone gets a part and keeps it.
    fn settle(&mut self) {
        self.bench.disk = Disk::Works;
        self.bench.release();
        for _ in 0..200 {
            for index in 0..self.clients.len() {
                for _ in 0..3 {
                    self.act(index);
                }
            }
            self.bench.advance(1_000);
            self.collect();
        }
        assert_eq!(self.bench.state(), GroupState::Stable);
        let owned = self
            .clients
            .iter()
            .flat_map(|client| client.positions.keys().copied());
        let mut owned: Vec<u32> = owned.collect();
        owned.sort_unstable();
        assert_eq!(
            owned,
            (0..PARTITIONS).collect::<Vec<_>>(),
            "each owned once"
        );
        assert_eq!(
            self.bench.unanswered(),
            self.lost,
            "every command is answered"
        );
        assert!(self.bench.coordinator.effects.writes.is_empty());
        self.check_offsets();
        let before = self.bench.view();
        self.restart();
        assert_eq!(self.bench.view(), before);
    }
}

#[test]
fn random_lives_keep_one_owner_and_every_acknowledged_commit() {
    for seed in 0..50 {
        let mut world = World::new(seed);
        for _ in 0..1_500 {
            world.step();
        }
        world.settle();
        assert!(!world.acked.is_empty(), "seed {seed} did something");
    }
}

#[test]
fn the_same_seed_gives_the_same_life() {
    let life = || {
        let mut world = World::new(77);
        for _ in 0..1_000 {
            world.step();
        }
        (world.bench.log.clone(), world.owners, world.acked)
    };
    assert_eq!(life(), life());
}
