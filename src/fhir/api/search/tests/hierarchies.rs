//! Test: what is below and above a place is what going along `partOf` by hand finds, rings and unknown wholes included.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::Bench;

/// Of each place the number of its whole, which need not be there.
type Wholes = Vec<Option<usize>>;

/// All that one meets from a place, itself included, by steps from one to others.
fn reached(from: usize, next: impl Fn(usize) -> Vec<usize>) -> BTreeSet<usize> {
    let mut met = BTreeSet::from([from]);
    loop {
        let more: Vec<usize> = met.iter().flat_map(|place| next(*place)).filter(|it| !met.contains(it)).collect();
        if more.is_empty() {
            return met;
        }
        met.extend(more);
    }
}

async fn check(wholes: Wholes, starts: Vec<usize>) {
    let bench = Bench::new().await;
    for (id, whole) in wholes.iter().enumerate() {
        let part_of = whole.map(|it| format!(r#","partOf":{{"reference":"Location/{it}"}}"#)).unwrap_or_default();
        bench.put(&format!(r#"{{"resourceType":"Location","id":"{id}"{part_of}}}"#)).await;
    }
    let places = wholes.len() + 3;
    for id in 0..places {
        let at = format!(r#""location":{{"reference":"Location/{id}"}}"#);
        bench.put(&format!(r#"{{"resourceType":"Procedure","id":"{id}","status":"completed",{at}}}"#)).await;
    }
    for start in starts {
        let above = reached(start, |place| wholes.get(place).copied().flatten().into_iter().collect());
        let below = reached(start, |place| (0..wholes.len()).filter(|part| wholes[*part] == Some(place)).collect());
        for (modifier, expected) in [("above", above), ("below", below)] {
            let search = format!("Procedure?location:{modifier}={start}&_count=1000");
            let found = Bench::ids(&bench.bundle(&search).await, "match");
            let found: BTreeSet<usize> = found.iter().map(|id| id.parse().unwrap()).collect();
            assert_eq!(found, expected.into_iter().filter(|it| *it < places).collect(), "{search} {wholes:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_hierarchy_is_what_one_meets_on_the_way(
        wholes in prop::collection::vec(prop::option::weighted(0.8, 0_usize..14), 1..14),
        starts in prop::collection::vec(0_usize..16, 6),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check(wholes, starts));
    }
}
