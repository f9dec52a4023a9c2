//! What a group costs on its way to the disk: encode, checksum, one write, one sync.
//!
//! Guards the hot path of the spool: no allocation per record beyond the group's buffer, no system
//! call per record. 9.2 KB is a gateway's compressed batch of 10,000 samples, 300 B a device's of 100.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::sync::Arc;
use std::time::Duration;
use tidegate::model::{Batch, Position, SessionId, Timestamp};
use tidegate::spool::{Decode, Durability, Kind, Options, Protocol, Record, Spool, Writer, open};

/// Batches that arrive within one commit.
const GROUP: u64 = 64;

fn record(payload: &[u8]) -> Record<'_> {
    Record {
        kind: Kind::Batch,
        received_at: Timestamp(0),
        protocol: Protocol::Ws,
        client: "gateway-17.site-north",
        session: SessionId(1),
        seq: 1,
        anchor: 0,
        samples: 100,
        payload,
    }
}

fn start(dir: &std::path::Path, durability: Durability) -> (Writer, Spool) {
    let decode: Decode = Arc::new(|_| Ok(Batch::default()));
    let options = Options { durability, ..Options::new(dir) };
    let (writer, spool, _) = open(&options, decode, &mut |_, _| {}).expect("the spool opens");
    (writer, spool)
}

fn commits(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("spool/commit");
    group.measurement_time(Duration::from_secs(4)).sample_size(20);
    for bytes in [300usize, 9200] {
        for (name, durability) in [("group", Durability::Group), ("os", Durability::Os)] {
            let dir = tempfile::tempdir().expect("a directory");
            let (mut writer, spool) = start(dir.path(), durability);
            let follower = spool.follow("bench", Position(0));
            let payload = vec![7; bytes];
            let batch = Arc::new(Batch::default());
            group.throughput(Throughput::Bytes(GROUP * bytes as u64));
            group.bench_function(BenchmarkId::new(name, bytes), |bencher| {
                bencher.iter(|| {
                    for _ in 0..GROUP {
                        let appended = writer.append(&record(&payload), Some(Arc::clone(&batch)));
                        appended.expect("there is room");
                    }
                    writer.commit(&mut Vec::new).expect("the disk is sound");
                    // Keeps the spool from filling up.
                    follower.commit(spool.next());
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, commits);
criterion_main!(benches);
