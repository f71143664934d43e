use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use proptest::collection::vec;
use proptest::prelude::{Strategy, proptest};
use proptest::sample::select;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::{Group, GroupSettings, PendingLimits};
use crate::model::group::{BucketLength, Keyed, MeasurementGroup, Period, Span};
use crate::model::receipt::{Outcome, Settlement};
use crate::model::samples::{Heard, group};

fn keyed_of(device: u8) -> Keyed {
    let at = jiff::Timestamp::UNIX_EPOCH;
    let mut group = group(&Arc::new(Heard::default()), 1, (&device.to_string(), None), (at, Span::Single(at)), "65");
    Keyed { contribution: group.contributions.remove(0), key: group.key }
}

const SETTINGS: GroupSettings = GroupSettings {
    limits: PendingLimits { groups_max: 4, measurements_max: 100 },
    linger: Duration::from_millis(200),
};

#[tokio::test(start_paused = true)]
async fn an_idle_inbox_makes_groups_leave_at_once() {
    let (measurements_in, measurements) = mpsc::channel(8);
    let (groups_in, mut groups) = mpsc::channel(1);
    let began = tokio::time::Instant::now();
    TaskTracker::new().spawn(Group::new(SETTINGS).run(measurements, groups_in));
    measurements_in.send(keyed_of(1)).await.unwrap();
    assert_eq!(groups.recv().await.unwrap().len(), 1);
    assert_eq!(began.elapsed(), Duration::ZERO);
    drop(measurements_in);
    assert!(groups.recv().await.is_none());
}

#[tokio::test]
async fn a_busy_next_stage_makes_groups_gather_up_to_the_bound() {
    let (measurements_in, measurements) = mpsc::channel(8);
    let (groups_in, mut groups) = mpsc::channel(1);
    let tasks = TaskTracker::new();
    tasks.spawn(Group::new(SETTINGS).run(measurements, groups_in));
    tasks.spawn(async move {
        for device in 0..20 {
            measurements_in.send(keyed_of(device)).await.unwrap();
        }
    });
    tasks.close();
    let mut sizes = Vec::new();
    while let Some(batch) = groups.recv().await {
        sizes.push(batch.len());
    }
    tasks.wait().await;
    assert_eq!(sizes.iter().sum::<usize>(), 20);
    assert!(sizes.iter().all(|size| *size <= 4), "{sizes:?}");
}

/// A measurement of the property: device, minute, and how long the next one is away, in milliseconds.
type Step = (u8, u16, u64);

#[derive(Clone, Debug)]
struct Load {
    steps: Vec<Step>,
    period: Period,
    settings: GroupSettings,
    inbox_max: usize,
    /// How long the next stage is busy with each batch, in milliseconds.
    busy: u64,
}

fn loads() -> impl Strategy<Value = Load> {
    let minutes = |minutes| Period::Bucket(BucketLength::of_minutes(minutes).unwrap());
    let periods = vec![Period::Single, minutes(15), Period::HOUR, minutes(90), Period::DAY, Period::Correlation];
    let gaps = select(vec![0, 0, 0, 0, 1, 90, 500]);
    let steps = vec((0_u8..3, 0_u16..3_000, gaps), 0..60);
    let limits = (1_usize..5, 1_usize..8, 0_u64..300, 1_usize..8, select(vec![0, 0, 20, 400]));
    (steps, select(periods), limits).prop_map(|(steps, period, (groups, measurements, linger, inbox_max, busy))| {
        let limits = PendingLimits { groups_max: groups, measurements_max: measurements };
        let settings = GroupSettings { limits, linger: Duration::from_millis(linger) };
        Load { steps, period, settings, inbox_max, busy }
    })
}

/// What the stage sends, batch by batch.
async fn batches(load: Load, heard: Arc<Heard>) -> Vec<Vec<MeasurementGroup>> {
    let (measurements_in, measurements) = mpsc::channel(load.inbox_max);
    let (groups_in, mut groups) = mpsc::channel(1);
    let tasks = TaskTracker::new();
    tasks.spawn(Group::new(load.settings).run(measurements, groups_in));
    tasks.spawn(async move {
        for ((device, minute, gap), position) in load.steps.into_iter().zip(1..) {
            let at = Timestamp::from_second(i64::from(minute) * 60).unwrap();
            let sample = (at, load.period.span(at));
            let mut group = group(&heard, position, (&device.to_string(), None), sample, &position.to_string());
            let keyed = Keyed { contribution: group.contributions.remove(0), key: group.key };
            measurements_in.send(keyed).await.unwrap();
            tokio::time::sleep(Duration::from_millis(gap)).await;
        }
    });
    let mut batches = Vec::new();
    while let Some(batch) = groups.recv().await {
        batches.push(batch);
        tokio::time::sleep(Duration::from_millis(load.busy)).await;
    }
    batches
}

/// The positions of each key in order of arrival, by a wall clock of 1,440 minutes a day.
fn expected(load: &Load) -> BTreeMap<String, Vec<u64>> {
    let mut expected: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for ((device, minute, _), position) in load.steps.iter().zip(1..) {
        let part = match load.period {
            Period::Single => minute.to_string(),
            Period::Bucket(length) => {
                format!("{} {}", minute / 1440, minute % 1440 / length.minutes() * length.minutes())
            }
            Period::Correlation => String::new(),
        };
        expected.entry(format!("{device} {part}")).or_default().push(position);
    }
    expected
}

/// The same key from the group's own.
fn key_of(group: &MeasurementGroup) -> String {
    let minute = |at: Timestamp| at.as_second() / 60;
    let part = match group.key.span {
        Span::Single(at) => minute(at).to_string(),
        Span::Bucket { start, .. } => format!("{} {}", minute(start) / 1440, minute(start) % 1440),
        Span::Correlation => String::new(),
    };
    format!("{} {part}", group.key.device_id)
}

proptest! {
    #[test]
    fn gr_1_gr_4_each_measurement_leaves_once_in_order_under_its_key_and_within_the_bounds(load in loads()) {
        let heard = Arc::new(Heard::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let batches = runtime.block_on(batches(load.clone(), Arc::clone(&heard)));
        let mut left: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for batch in batches {
            assert!(batch.len() <= load.settings.limits.groups_max);
            let measurements: usize = batch.iter().map(|group| group.contributions.len()).sum();
            assert!((1..=load.settings.limits.measurements_max).contains(&measurements));
            let keys: std::collections::BTreeSet<String> = batch.iter().map(key_of).collect();
            assert_eq!(keys.len(), batch.len(), "a key is twice in one batch");
            for group in batch {
                let positions = left.entry(key_of(&group)).or_default();
                for contribution in group.contributions {
                    positions.push(contribution.measurement.properties[0].value.parse().unwrap());
                    contribution.receipt.complete(Outcome::Stored);
                }
            }
        }
        assert_eq!(left, expected(&load));
        let settled = (1..).take(load.steps.len()).map(|position| (position, Settlement::Settled(Outcome::Stored)));
        assert_eq!(heard.settlements(), settled.collect::<Vec<_>>());
    }
}
