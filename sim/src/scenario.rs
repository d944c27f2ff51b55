//! Runs a workload against a world, with crashes, and judges it.
//!
//! Owns: producers, the moments of crashes, the final reading.
//! Never: ends while something acknowledged was not read back.
//! Invariants: bounded in virtual time and in steps; a run that does not finish is a failure with its seed.
//! Source: reliability.md 3.2 (two phases: safety, then liveness).

use std::time::Duration;

use crate::client::{Producer, Reader, Writes};
use crate::committer::Committer;
use crate::oracle;
use crate::world::World;

/// Topic of every run.
const TOPIC: &str = "ticks";

/// Virtual time after which a run that has not ended is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(20);

/// What a run does.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Everything that is random comes from it.
    pub seed: u64,
    /// Cores of the broker.
    pub cores: u16,
    /// Producers.
    pub producers: u32,
    /// Groups whose offsets are committed.
    pub groups: u32,
    /// Crashes.
    pub crashes: u32,
    /// Mean virtual time between crashes.
    pub between: Duration,
    /// Whether the disk keeps its word.
    pub disk: Honesty,
}

/// Whether a disk keeps what it reported durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Honesty {
    /// It does.
    Honest,
    /// A crash takes its newest writes back: what the checks are for.
    Lying,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Hash of everything that happened.
    pub trace: u64,
    /// Records acknowledged.
    pub acknowledged: u64,
    /// Offset commits acknowledged.
    pub commits: u64,
    /// Durable writes of the broker.
    pub writes: u64,
}

impl Scenario {
    /// A run of two cores with three producers.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            seed,
            cores: 2,
            producers: 3,
            groups: 3,
            crashes: 4,
            between: Duration::from_millis(30),
            disk: Honesty::Honest,
        }
    }

    /// Runs it.
    ///
    /// # Errors
    /// One sentence with the seed: what was lost, or that the run is stuck.
    pub fn run(&self) -> Result<Outcome, String> {
        let mut world = World::new(self.seed, self.cores);
        let partitions = create_topic(&mut world);
        if self.disk == Honesty::Lying {
            world.disk_mut().lie();
        }
        let names = 0..self.producers;
        let mut clients = Clients {
            producers: names
                .map(|name| Producer::new(name, TOPIC, partitions))
                .collect(),
            committers: (0..self.groups)
                .map(|number| Committer::new(number, TOPIC, partitions))
                .collect(),
        };
        for _ in 0..self.crashes {
            let spread = u64::try_from(self.between.as_nanos())
                .unwrap_or(u64::MAX)
                .saturating_mul(2);
            let pause = Duration::from_nanos(world.prng().below(spread));
            let until = world.now().instant.after(pause);
            while world.now().instant < until {
                clients.work(&mut world, Writes::More);
                advance(&mut world, 20);
                clients.verdict().map_err(|what| self.failed(&what))?;
            }
            world.crash().map_err(|what| self.failed(&what))?;
        }
        self.settle(&mut world, &mut clients)?;
        self.judge(&mut world, partitions, &clients.producers)?;
        self.judge_commits(&mut world, &mut clients.committers)?;
        Ok(Outcome {
            trace: world.trace(),
            acknowledged: clients
                .producers
                .iter()
                .map(|producer| producer.acknowledged().len() as u64)
                .sum(),
            commits: clients.committers.iter().map(Committer::acknowledged).sum(),
            writes: world.disk_mut().writes(),
        })
    }

    fn settle(&self, world: &mut World, clients: &mut Clients) -> Result<(), String> {
        let limit = world.now().instant.after(STUCK_AFTER);
        while !clients.producers.iter().all(Producer::is_idle) {
            clients.work(world, Writes::Nothing);
            advance(world, 20);
            clients.verdict().map_err(|what| self.failed(&what))?;
            if world.now().instant > limit {
                return Err(self.failed("producers are not answered"));
            }
        }
        Ok(())
    }

    fn judge(
        &self,
        world: &mut World,
        partitions: i32,
        producers: &[Producer],
    ) -> Result<(), String> {
        let limit = world.now().instant.after(STUCK_AFTER);
        for partition in 0..partitions {
            let mut reader = Reader::new(TOPIC, partition);
            while !reader.is_done() {
                reader.work(world);
                advance(world, 20);
                if let Some(finding) = reader.finding() {
                    return Err(self.failed(finding));
                }
                if world.now().instant > limit {
                    return Err(
                        self.failed(&format!("partition {partition} cannot be read to its end"))
                    );
                }
            }
            oracle::check(partition, reader.records(), producers)
                .map_err(|what| self.failed(&what))?;
        }
        Ok(())
    }

    fn judge_commits(&self, world: &mut World, committers: &mut [Committer]) -> Result<(), String> {
        let limit = world.now().instant.after(STUCK_AFTER);
        while !committers.iter().all(Committer::is_done) {
            committers
                .iter_mut()
                .for_each(|committer| committer.fetch(world));
            advance(world, 20);
            if world.now().instant > limit {
                return Err(self.failed("committed offsets are not answered"));
            }
        }
        match committers.iter().find_map(Committer::finding) {
            Some(finding) => Err(self.failed(finding)),
            None => Ok(()),
        }
    }

    fn failed(&self, what: &str) -> String {
        format!("seed {:#x}: {what}", self.seed)
    }
}

/// Everybody who works against one world.
#[derive(Debug)]
struct Clients {
    producers: Vec<Producer>,
    committers: Vec<Committer>,
}

impl Clients {
    fn work(&mut self, world: &mut World, writes: Writes) {
        self.producers
            .iter_mut()
            .for_each(|producer| producer.work(world, writes));
        if writes == Writes::More {
            self.committers
                .iter_mut()
                .for_each(|committer| committer.commit(world));
        }
    }

    fn verdict(&self) -> Result<(), String> {
        let producers = self.producers.iter().filter_map(Producer::finding);
        let committers = self.committers.iter().filter_map(Committer::finding);
        match producers.chain(committers).next() {
            Some(finding) => Err(finding.to_owned()),
            None => Ok(()),
        }
    }
}

/// Lets up to `steps` things happen; at least a little time passes.
fn advance(world: &mut World, steps: u32) {
    let until = world.now().instant.after(Duration::from_millis(1));
    for _ in 0..steps {
        if !world.step(until) {
            return;
        }
    }
}

fn create_topic(world: &mut World) -> i32 {
    use kafka_wire::create_topics_request::{CreatableTopic, CreateTopicsRequest};
    use kafka_wire_core::{ApiVersion, StrBytes};
    const VERSION: ApiVersion = ApiVersion::new(5);
    const PARTITIONS: i32 = 4;

    let mut topic = CreatableTopic::default();
    topic.name = StrBytes::from(TOPIC);
    topic.num_partitions = PARTITIONS;
    topic.replication_factor = 1;
    let mut request = CreateTopicsRequest::default();
    request.topics = vec![topic];
    request.timeout_ms = 10_000;
    let connection = world.connect();
    world.send(connection, crate::client::frame(&request, VERSION, 1));
    let limit = world.now().instant.after(STUCK_AFTER);
    loop {
        advance(world, 20);
        let inbox = world.inbox(connection);
        let answer =
            inbox.and_then(|inbox| crate::client::response::<CreateTopicsRequest>(inbox, VERSION));
        if let Some((_, answer)) = answer {
            let code = answer.topics.first().map_or(-1, |topic| topic.error_code);
            assert_eq!(code, 0, "the topic is created");
            return PARTITIONS;
        }
        assert!(world.now().instant < limit, "creating a topic is answered");
    }
}
