//! The history equals a map from time to value for each series, whatever happens to it.

use super::*;
use crate::model::{ClientId, Keep};
use crate::sinks::history::value::Column;
use proptest::prelude::*;
use std::collections::BTreeMap;

const METRICS: [&str; 4] = ["a", "b", "c", "d"];
const TAGS: [&[(&str, &str)]; 3] = [&[], &[("site", "x")], &[("area", "1"), ("site", "x")]];

#[derive(Debug, Clone)]
struct TableSpec {
    tags: usize,
    keep: Keep,
    times: Vec<i64>,
    /// Metric, values (one for each row, all of the kind of the first), absent rows.
    columns: Vec<(usize, Vec<Value>, u8)>,
}

#[derive(Debug, Clone)]
enum Step {
    Write(Vec<TableSpec>),
    Flush,
    Maintain(u8),
    /// The process dies and comes back; the follower reads on from where it is told to.
    Crash,
    Query(Ask),
}

#[derive(Debug, Clone)]
struct Ask {
    metric: usize,
    tags: usize,
    from: i64,
    length: i64,
    width: Option<i64>,
}

fn time() -> impl Strategy<Value = i64> {
    let hour = prop_oneof![4 => 0..3i64, 1 => 24..27i64, 1 => Just(-1i64)];
    (hour, 0..12i64).prop_map(|(hour, step)| hour * HOUR + step * 300 * SECOND)
}

fn values(rows: usize) -> impl Strategy<Value = Vec<Value>> {
    // Quarters add up exactly, in any order.
    prop_oneof![
        4 => prop::collection::vec((-40..40i32).prop_map(|q| Value::Float(f64::from(q) / 4.0)), rows),
        3 => prop::collection::vec((-9..9i64).prop_map(Value::Int), rows),
        2 => prop::collection::vec(any::<bool>().prop_map(Value::Bool), rows),
        2 => prop::collection::vec("[ab]{0,2}".prop_map(|t| Value::Text(t.into())), rows),
    ]
}

fn table() -> impl Strategy<Value = TableSpec> {
    let keep = prop_oneof![
        4 => Just(Keep::Everywhere),
        2 => Just(Keep::LiveOnly),
        1 => Just(Keep::StoresOnly),
    ];
    (0..TAGS.len(), keep, prop::collection::vec(time(), 1..6)).prop_flat_map(
        |(tags, keep, times)| {
            let columns =
                prop::collection::vec((0..METRICS.len(), values(times.len()), any::<u8>()), 1..4);
            columns.prop_map(move |mut columns| {
                columns.sort_by_key(|column| column.0);
                columns.dedup_by_key(|column| column.0);
                // Most columns are whole.
                columns.iter_mut().for_each(|column| column.2 &= column.2 << 2 & column.2 >> 3);
                TableSpec { tags, keep, times: times.clone(), columns }
            })
        },
    )
}

fn ask() -> impl Strategy<Value = Ask> {
    let width = prop_oneof![Just(450 * SECOND), Just(HOUR), Just(7 * HOUR), Just(1000 * HOUR)];
    (0..METRICS.len(), 0..TAGS.len(), time(), 0..30 * HOUR, prop::option::of(width))
        .prop_map(|(metric, tags, from, length, width)| Ask { metric, tags, from, length, width })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop::collection::vec(table(), 1..4).prop_map(Step::Write),
        2 => Just(Step::Flush),
        4 => (1..30u8).prop_map(Step::Maintain),
        1 => Just(Step::Crash),
        2 => ask().prop_map(Step::Query),
    ]
}

fn batch(tables: &[TableSpec]) -> Batch {
    let mut builder = BatchBuilder::new();
    for table in tables {
        builder.table("dev", &mut TAGS[table.tags].to_vec(), table.times.clone()).unwrap();
        builder.keep(table.keep);
        for (metric, values, absent) in &table.columns {
            let (metric, absent) = (METRICS[*metric], &[*absent][..]);
            match &values[0] {
                Value::Float(_) => {
                    let values = values.iter().map(|v| v.as_number().unwrap());
                    builder.floats(metric, "", values, absent).unwrap();
                }
                Value::Int(_) => {
                    let values = values.iter().map(|v| v.as_number().unwrap() as i64);
                    builder.ints(metric, "", values, absent).unwrap();
                }
                Value::Bool(_) => {
                    let values = values.iter().map(|v| v.as_number().unwrap() == 1.0);
                    builder.bools(metric, "", values, absent).unwrap();
                }
                Value::Text(_) => {
                    let texts: Vec<_> = values.iter().map(Value::to_text).collect();
                    builder.texts(metric, "", texts.iter().map(|t| &**t), absent).unwrap();
                }
            }
        }
    }
    builder.finish()
}

/// What the history ought to hold: by set of tags and metric, in the order in which groups appeared.
#[derive(Default)]
struct Naive {
    groups: Vec<usize>,
    series: BTreeMap<(usize, usize), BTreeMap<i64, Value>>,
    samples: u64,
    /// Samples that are not for stores.
    skipped: u64,
}

impl Naive {
    fn write(&mut self, tables: &[TableSpec]) {
        for table in tables {
            if table.keep == Keep::LiveOnly {
                let rows = 0..table.times.len();
                let absent = table.columns.iter().map(|column| column.2);
                let present =
                    absent.flat_map(|bits| rows.clone().filter(move |row| bits >> row & 1 == 0));
                self.skipped += present.count() as u64;
                continue;
            }
            if !self.groups.contains(&table.tags) {
                self.groups.push(table.tags);
            }
            for (metric, values, absent) in &table.columns {
                let series = self.series.entry((table.tags, *metric)).or_default();
                for (row, value) in values.iter().enumerate() {
                    if absent >> row & 1 == 0 {
                        series.insert(table.times[row], value.clone());
                        self.samples += 1;
                    }
                }
            }
        }
    }

    fn samples(&self, ask: &Ask) -> Option<Vec<(i64, Value)>> {
        let wanted = TAGS[ask.tags];
        let groups = self.groups.iter().filter(|&&group| {
            wanted.iter().all(|tag| TAGS[group].contains(tag))
                && self.series.contains_key(&(group, ask.metric))
        });
        let mut found: Option<Vec<(i64, Value)>> = None;
        for &group in groups {
            let range = ask.from..ask.from + ask.length;
            let series = self.series[&(group, ask.metric)].range(range);
            found
                .get_or_insert_default()
                .extend(series.map(|(&time, value)| (time, value.clone())));
        }
        let mut found = found?;
        found.sort_by_key(|&(time, _)| time);
        Some(found)
    }

    fn answer(&self, ask: &Ask) -> Option<Data> {
        let samples = self.samples(ask)?;
        let column = |values: &mut dyn Iterator<Item = Value>| -> Values {
            let mut column = Column::default();
            values.for_each(|value| column.push(value));
            column.into()
        };
        let Some(width_ns) = ask.width else {
            let times = samples.iter().map(|&(time, _)| time).collect();
            let values = column(&mut samples.into_iter().map(|(_, value)| value));
            return Some(Data::Raw { times, values });
        };
        let mut buckets: BTreeMap<i64, Vec<Value>> = BTreeMap::new();
        for (time, value) in samples {
            buckets.entry(time.div_euclid(width_ns) * width_ns).or_default().push(value);
        }
        let numbers: Option<Vec<Vec<f64>>> =
            buckets.values().map(|bucket| bucket.iter().map(Value::as_number).collect()).collect();
        let fold = |start: f64, f: fn(f64, f64) -> f64| {
            let numbers = numbers.iter().flatten();
            numbers.map(|bucket| bucket.iter().copied().fold(start, f)).collect()
        };
        Some(Data::Buckets(Buckets {
            width_ns,
            start: buckets.keys().copied().collect(),
            count: buckets.values().map(|bucket| bucket.len() as u64).collect(),
            numbers: numbers.is_some().then(|| BucketNumbers {
                min: fold(f64::INFINITY, f64::min),
                max: fold(f64::NEG_INFINITY, f64::max),
                sum: fold(0.0, |a, b| a + b),
            }),
            last: column(&mut buckets.values().map(|bucket| bucket[bucket.len() - 1].clone())),
        }))
    }
}

/// Who sent a batch.
fn client(index: usize) -> ClientId {
    format!("client-{}", index % 3).into()
}

struct World {
    folder: TempDir,
    opened: Option<Opened>,
    spool: Vec<Vec<TableSpec>>,
    naive: Naive,
    now: Timestamp,
}

impl World {
    fn new() -> World {
        let folder = folder();
        let opened = Some(open(small(&folder)).unwrap());
        World { folder, opened, spool: Vec::new(), naive: Naive::default(), now: LATE }
    }

    fn opened(&mut self) -> &mut Opened {
        self.opened.as_mut().unwrap()
    }

    fn step(&mut self, step: &Step) {
        self.now = self.now.saturating_add(Duration::from_secs(200));
        let now = self.now;
        match step {
            Step::Write(tables) => {
                self.naive.write(tables);
                self.spool.push(tables.clone());
                self.write(self.spool.len() - 1);
            }
            Step::Flush => {
                let flushed = self.opened().writer.flush(now).unwrap();
                assert_eq!(flushed, after(self.spool.len()));
            }
            Step::Maintain(times) => {
                self.opened().writer.look_at = Timestamp(i64::MIN);
                for _ in 0..*times {
                    self.opened().writer.maintain(now).unwrap();
                }
            }
            Step::Crash => {
                self.opened = None;
                self.opened = Some(open(small(&self.folder)).unwrap());
                let from = self.opened().writer.position().0 as usize;
                (from..self.spool.len()).for_each(|index| self.write(index));
            }
            Step::Query(ask) => self.check(ask),
        }
        let stats = self.opened().reader.stats().unwrap();
        assert_eq!(stats.stored_total + stats.head_samples, self.naive.samples);
        let counts = self.opened().reader.counts();
        assert_eq!(counts.skipped, self.naive.skipped);
        assert_eq!(stats.applied, after(self.spool.len()));
        // What the file says of clients is what it says of the log.
        let (position, lines) = self.opened().reader.outcomes().unwrap();
        let mut expected = BTreeMap::new();
        for (index, tables) in self.spool[..position.0 as usize].iter().enumerate() {
            let (mut naive, batch) = (Naive::default(), batch(tables));
            naive.write(tables);
            let (stored, skipped) = expected.entry(Some(client(index))).or_insert((0, 0));
            *stored += naive.samples;
            *skipped += batch.samples() as u64 - naive.samples;
        }
        let found =
            lines.into_iter().map(|it| (it.client, (it.outcome.stored, it.outcome.skipped)));
        let found: BTreeMap<_, _> = found.collect();
        assert_eq!(found, expected);
    }

    /// Writes a batch of the log, as the follower does.
    fn write(&mut self, index: usize) {
        let batch = batch(&self.spool[index]);
        let Opened { writer, .. } = self.opened();
        writer.write(&batch, after(index + 1)).unwrap();
        writer.credit(&client(index), 1);
    }

    fn check(&mut self, ask: &Ask) {
        let shape = match ask.width {
            Some(width_ns) => Shape::Buckets { width_ns, max: 10_000 },
            None => Shape::Raw { max: 10_000 },
        };
        let (metric, tags) = (METRICS[ask.metric], TAGS[ask.tags]);
        let query =
            Query { device: "dev", metric, tags, from: ask.from, to: ask.from + ask.length, shape };
        let expected = self.naive.answer(ask);
        match self.opened().reader.query(&query) {
            Ok(answer) => {
                assert_eq!(Some(answer.data), expected, "{ask:?}");
                assert_eq!(answer.damaged_chunks, 0);
            }
            Err(QueryError::UnknownSeries) => {
                assert!(expected.is_none_or(|_| self.naive.samples(ask).unwrap().is_empty()));
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn check_all(&mut self) {
        for metric in 0..METRICS.len() {
            for tags in 0..TAGS.len() {
                for width in [None, Some(HOUR), Some(1000 * HOUR)] {
                    self.check(&Ask { metric, tags, from: -50 * HOUR, length: 100 * HOUR, width });
                }
            }
        }
        for ((group, metric), series) in &self.naive.series {
            let reader = &self.opened.as_ref().unwrap().reader;
            if let Some((&time, value)) = series.last_key_value() {
                let listed = reader.series(|_| true, |name| name == METRICS[*metric]);
                let tags: Vec<_> =
                    TAGS[*group].iter().map(|&(k, v)| (k.into(), v.into())).collect();
                let listed = listed.iter().find(|series| series.tags == tags).unwrap();
                assert_eq!((listed.last, &listed.value), (time, value));
                assert_eq!(listed.first, *series.keys().next().unwrap());
            }
        }
    }
}

fn small(folder: &TempDir) -> Options {
    Options { head_samples_max: 150, ..options(folder) }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 400, ..ProptestConfig::default() })]
    #[test]
    fn a_history_equals_a_map_through_flushes_compactions_and_crashes(
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        world.check_all();
        world.step(&Step::Flush);
        let now = world.now;
        settle(&mut world.opened().writer, now);
        world.check_all();
        world.step(&Step::Crash);
        world.check_all();
    }
}

/// A sample as a walk tells it: set of tags, metric, time, value.
type Told = (usize, usize, i64, Value);

impl World {
    /// Walks on until the end or so many pages.
    fn walk(walk: &mut Walk, pages: usize, told: &mut Vec<Told>) -> bool {
        for _ in 0..pages {
            let Some(page) = walk.next_page().unwrap() else { return true };
            assert_eq!((page.damaged_chunks, page.device()), (0, "dev"));
            let tags: Vec<_> = page.tags().collect();
            let tags = TAGS.iter().position(|known| *known == tags).unwrap();
            let metric = METRICS.iter().position(|known| *known == &*page.metric).unwrap();
            told.extend((0..page.len()).map(|at| (tags, metric, page.time(at), page.value(at))));
        }
        false
    }
}

/// In the order of device and tags, which is not that of [`TAGS`], metric and time.
fn key(told: &Told) -> (usize, usize, i64) {
    ([0, 2, 1][told.0], told.1, told.2)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 400, ..ProptestConfig::default() })]
    #[test]
    fn a_walk_tells_each_sample_once_whatever_is_flushed_and_compacted_meanwhile(
        before in prop::collection::vec(step(), 1..25),
        meanwhile in prop::collection::vec(step(), 0..25),
        pages in 1..4usize,
        (from, length) in (-5..20i64, 1..40i64),
        breaks_off_at in 0..60usize,
    ) {
        let (from, to) = (from * HOUR, (from + length) * HOUR);
        let mut world = World::new();
        before.iter().for_each(|step| world.step(step));
        let begin = |world: &mut World| {
            world.opened().reader.walk(|_| true, |_| true, &[], (from, to))
        };
        let durable = world.naive.series.clone();
        let mut walk = begin(&mut world);
        let mut told = Vec::new();
        let mut steps = meanwhile.iter().filter(|step| !matches!(step, Step::Crash));
        let mut may_break_off = true;
        while !World::walk(&mut walk, pages, &mut told) {
            if let Some(step) = steps.next() {
                world.step(step);
            }
            if may_break_off && told.len() > breaks_off_at {
                may_break_off = false;
                // What came last is gone on from, wherever in a page that was.
                told.truncate(breaks_off_at + 1);
                let (tags, metric, time, _) = told[breaks_off_at];
                walk = begin(&mut world);
                walk.after("dev", TAGS[tags], METRICS[metric], time);
            }
        }
        prop_assert!(told.windows(2).all(|pair| key(&pair[0]) < key(&pair[1])), "{:?}", told);
        let range = from..to;
        prop_assert!(told.iter().all(|told| range.contains(&told.2)));
        let found: BTreeMap<_, _> = told.iter().map(|told| ((told.0, told.1, told.2), &told.3)).collect();
        for (&(tags, metric), series) in &durable {
            for (time, value) in series.range(range.clone()) {
                let newest = &world.naive.series[&(tags, metric)][time];
                let found = found.get(&(tags, metric, *time)).copied();
                // Sent again meanwhile, it has either value, or one between.
                let is_same = found.is_some_and(|found| found == value || found == newest);
                prop_assert!(is_same || (found.is_some() && value != newest), "{metric} {time}");
            }
        }
        for (tags, metric, time, _) in &told {
            prop_assert!(world.naive.series[&(*tags, *metric)].contains_key(time));
        }
    }
}
