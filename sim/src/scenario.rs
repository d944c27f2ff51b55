//! Runs a workload against a world, with crashes, and judges it.
//!
//! Owns: producers, the moments of crashes, the final reading.
//! Never: ends while something acknowledged was not read back.
//! Invariants: bounded in virtual time and in steps; a run that does not finish is a failure with its seed.
//! Source: reliability.md 3.2 (two phases: safety, then liveness).

use std::time::Duration;

use crate::client::{Producer, Reader, Writes};
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
        let mut producers: Vec<Producer> = names
            .map(|name| Producer::new(name, TOPIC, partitions))
            .collect();
        for _ in 0..self.crashes {
            let spread = u64::try_from(self.between.as_nanos())
                .unwrap_or(u64::MAX)
                .saturating_mul(2);
            let until = world
                .now()
                .instant
                .after(Duration::from_nanos(world.prng().below(spread)));
            while world.now().instant < until {
                producers
                    .iter_mut()
                    .for_each(|producer| producer.work(&mut world, Writes::More));
                advance(&mut world, 20);
            }
            world.crash();
        }
        self.settle(&mut world, &mut producers)?;
        self.judge(&mut world, partitions, &producers)?;
        let acknowledged = producers
            .iter()
            .map(|producer| producer.acknowledged().len() as u64)
            .sum();
        Ok(Outcome {
            trace: world.trace(),
            acknowledged,
            writes: world.disk_mut().writes(),
        })
    }

    fn settle(&self, world: &mut World, producers: &mut [Producer]) -> Result<(), String> {
        let limit = world.now().instant.after(STUCK_AFTER);
        while !producers.iter().all(Producer::is_idle) {
            producers
                .iter_mut()
                .for_each(|producer| producer.work(world, Writes::Nothing));
            advance(world, 20);
            if world.now().instant > limit {
                return Err(self.failed("producers are not answered"));
            }
        }
        match producers
            .iter()
            .flat_map(|producer| producer.refused())
            .next()
        {
            Some(code) => Err(self.failed(&format!("a producer was refused with error {code}"))),
            None => Ok(()),
        }
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

    fn failed(&self, what: &str) -> String {
        format!("seed {:#x}: {what}", self.seed)
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
