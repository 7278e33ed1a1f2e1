use super::*;

fn instant(at: i64, same: u32) -> Instant {
    let tally = Tally { futures: 10, same, same_cause: same, missing: 0 };
    Instant { at: SimTime::from_millis(at), steps: Vec::new(), tally }
}

#[test]
fn certainty_is_what_no_later_instant_contradicts() {
    let since = |shares: &[(i64, u32)]| {
        let instants: Vec<Instant> = shares.iter().map(|&(at, same)| instant(at, same)).collect();
        let found = certainty(&instants, 10);
        found.map(|of| (of.since.0 / 1_000_000, of.not_at.map(|at| at.0 / 1_000_000)))
    };
    assert_eq!(since(&[(0, 2), (1, 9), (2, 10), (3, 10)]), Some((2, Some(1))));
    assert_eq!(since(&[(0, 10), (1, 9), (2, 10)]), Some((2, Some(1))));
    assert_eq!(since(&[(0, 10), (1, 10)]), Some((0, None)));
    assert_eq!(since(&[(0, 2)]), None);
}

#[test]
fn few_futures_prove_little() {
    assert_eq!([1, 3, 30, 50, 300, 1_000].map(at_least_percent), [0, 0, 90, 94, 99, 99]);
}

#[test]
fn futures_of_neighbouring_seeds_have_seeds_of_their_own() {
    let mut seeds: Vec<u64> =
        (0..20).flat_map(|seed| (0..50).map(move |number| future_seed(seed, number))).collect();
    seeds.sort_unstable();
    seeds.dedup();
    assert_eq!(seeds.len(), 1_000);
}
