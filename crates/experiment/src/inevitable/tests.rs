use super::*;
use acklab_vocab::ids::ProducerIndex;

/// An answer with so many of ten futures at each second, certain since the last.
fn answer(shares: &[u32]) -> Answer {
    let tally = |same| Tally { futures: 10, same, same_cause: same, missing: 0 };
    let instants = shares.iter().enumerate().map(|(at, &same)| Instant {
        at: SimTime::from_millis(at as i64 * 1_000),
        steps: Vec::new(),
        tally: tally(same),
    });
    let instants: Vec<Instant> = instants.collect();
    let since = instants.last().unwrap().at;
    Answer {
        question: Question {
            record: RecordId { producer: ProducerIndex(0), sequence: 0 },
            kind: AnomalyKind::Lost,
            group: None,
        },
        cause: Cause::ALL[0],
        instants,
        certain: Certainty { since, not_at: None, fresh: tally(10) },
        steps_left_out: 0,
        runs: 0,
    }
}

#[test]
fn a_fall_of_the_share_is_told_unless_luck_explains_it() {
    let setback = |shares: &[u32]| {
        let answer = answer(shares);
        let seconds = |instant: &Instant| instant.at.0 / 1_000_000_000;
        answer.setback().map(|(higher, lower)| (seconds(higher), seconds(lower)))
    };
    assert_eq!(setback(&[0, 3, 7, 10]), None);
    assert_eq!(setback(&[0, 5, 4, 10]), None, "one of ten is luck");
    assert_eq!(setback(&[0, 9, 1, 10]), Some((1, 2)));
    assert_eq!(setback(&[0, 10, 9, 10]), Some((1, 2)), "certain, and then not");
    assert_eq!(setback(&[0, 9, 10, 7, 1, 10]), Some((2, 4)));
}

#[test]
fn what_only_led_to_the_answer_is_not_told() {
    let told = |answer: &Answer| answer.telling().count();
    assert_eq!(told(&answer(&[0, 3, 7, 10])), 2);
    assert_eq!(told(&answer(&[0, 10, 2, 3, 10])), 4);
}

#[test]
fn futures_of_neighbouring_seeds_and_sets_have_seeds_of_their_own() {
    let of = |seed| (0..3).flat_map(move |set| (0..50).map(move |n| future_seed(seed, set, n)));
    let mut seeds: Vec<u64> = (0..20).flat_map(of).collect();
    seeds.sort_unstable();
    seeds.dedup();
    assert_eq!(seeds.len(), 3_000);
}
