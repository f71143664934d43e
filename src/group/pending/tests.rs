use std::sync::Arc;

use jiff::Timestamp;
use proptest::collection::vec;
use proptest::prelude::proptest;

use super::{Pending, PendingLimits};
use crate::model::group::{Keyed, MeasurementGroup, Span};
use crate::model::receipt::{Outcome, Settlement};
use crate::model::samples::{Heard, group};

const LIMITS: PendingLimits = PendingLimits { groups_max: 3, measurements_max: 5 };

fn keyed(heard: &Arc<Heard>, position: u64, device: &str) -> Keyed {
    let at = Timestamp::UNIX_EPOCH;
    let mut group = group(heard, position, (device, None), (at, Span::Single(at)), "65");
    Keyed { contribution: group.contributions.remove(0), key: group.key }
}

fn complete(groups: Vec<MeasurementGroup>) {
    groups.into_iter().flat_map(|group| group.contributions).for_each(|one| one.receipt.complete(Outcome::Stored));
}

#[test]
fn gr_3_groups_leave_in_the_order_in_which_they_first_appeared() {
    let heard = Arc::new(Heard::default());
    let mut pending = Pending::new(LIMITS);
    for (device, position) in ["b", "a", "b"].into_iter().zip(1..) {
        pending.add(keyed(&heard, position, device));
    }
    let groups = pending.take();
    let described: Vec<(&str, usize)> =
        groups.iter().map(|group| (group.key.device_id.as_str(), group.contributions.len())).collect();
    assert_eq!(described, [("b", 2), ("a", 1)]);
    complete(groups);
}

proptest! {
    #[test]
    fn no_receipt_is_lost_and_no_bound_exceeded(devices in vec(0_u8..4, 0..60)) {
        let heard = Arc::new(Heard::default());
        let mut pending = Pending::new(LIMITS);
        let mut taken = Vec::new();
        for (device, position) in devices.iter().zip(1..) {
            if pending.room() == 0 {
                taken.push(pending.take());
            }
            pending.add(keyed(&heard, position, &device.to_string()));
        }
        taken.push(pending.take());
        for groups in taken {
            assert!(groups.len() <= LIMITS.groups_max);
            assert!(groups.iter().map(|group| group.contributions.len()).sum::<usize>() <= LIMITS.measurements_max);
            complete(groups);
        }
        let all = (1..).map(|position| (position, Settlement::Settled(Outcome::Stored)));
        assert_eq!(heard.settlements(), all.take(devices.len()).collect::<Vec<_>>());
    }
}
