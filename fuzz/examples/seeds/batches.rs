//! Batches and compressed bytes.

use model::batch::codec::compress;
use model::batch::{BatchBuilder, BatchProducer, Compression, Marker, NewRecord, Outcome};
use model::ids::{BatchSequence, ProducerEpoch, ProducerId};

use crate::{Seed, chosen};

fn name(codec: Compression) -> String {
    format!("{codec:?}").to_lowercase()
}

fn three_records(builder: BatchBuilder) -> Vec<u8> {
    let mut builder = builder;
    let headers: [(&[u8], Option<&[u8]>); 2] = [(b"trace", Some(b"1")), (b"empty", None)];
    let value = b"value ".repeat(8);
    let records = [
        NewRecord {
            headers: &headers,
            ..NewRecord::keyed(1_000, b"key", &value)
        },
        NewRecord::value(1_007, b"second"),
        NewRecord::tombstone(1_003, b"key"),
    ];
    for record in &records {
        builder.push(record).expect("three records fit");
    }
    builder.build().to_vec()
}

pub(crate) fn whole() -> Vec<Seed> {
    let producer = BatchProducer {
        id: ProducerId::new(4),
        epoch: ProducerEpoch::new(1),
        base_sequence: Some(BatchSequence::new(9)),
    };
    let mut seeds: Vec<Seed> = Compression::ALL
        .into_iter()
        .map(|codec| {
            let builder = BatchBuilder::new(1_000)
                .compression(codec)
                .producer(producer);
            (format!("three-{}", name(codec)), three_records(builder))
        })
        .collect();
    let plain = three_records(BatchBuilder::new(1_000));
    let marker = Marker {
        outcome: Outcome::Aborted,
        coordinator_epoch: 2,
    }
    .build(ProducerId::new(4), ProducerEpoch::new(1), 5)
    .to_vec();
    seeds.push((
        "empty".to_owned(),
        BatchBuilder::new(0).reaching(4).build().to_vec(),
    ));
    seeds.push(("marker".to_owned(), marker.clone()));
    seeds.push(("joined".to_owned(), [plain.clone(), marker, plain].concat()));
    seeds
}

pub(crate) fn compressed() -> Vec<Seed> {
    let plain = b"some text that repeats, some text that repeats".repeat(3);
    let mut seeds = Vec::new();
    for (choice, codec) in (0_u8..).zip(Compression::ALL) {
        let mut packed = Vec::new();
        compress(codec, &plain, &mut packed).expect("text can be compressed");
        seeds.push((name(codec), chosen(choice, &packed)));
    }
    let framed = &seeds[2].1;
    // Behind choice, stream header and block length lies a raw block.
    seeds.push(("snappy-raw".to_owned(), chosen(2, &framed[21..])));
    seeds
}
