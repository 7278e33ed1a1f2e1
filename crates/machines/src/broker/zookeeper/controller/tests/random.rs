//! Whatever happens to brokers, leaders and the connection: the controller comes to rest with the
//! right leaders, no epoch has two of them, and everybody who lives knows.

use super::bench::*;
use acklab_vocab::api::Request;
use acklab_vocab::ids::{BrokerId, LeaderEpoch, TopicPartition};
use acklab_vocab::metadata_log::PartitionState;
use acklab_vocab::zookeeper::paths;
use proptest::prelude::*;
use std::collections::BTreeMap;

const PARTITIONS: u16 = 3;

#[derive(Clone, Copy, Debug)]
enum Event {
    /// ZooKeeper answers so many requests.
    Answer(u8),
    /// Broker 2 or 3 registers, or is gone.
    Register(u16),
    Bury(u16),
    /// The leader of a partition takes a follower out of the ISR, if it can.
    Shrink(u16),
    /// The connection breaks after so many requests that were done.
    Lose(u8),
    Expire,
    /// Another controller is elected, who does nothing, and goes.
    Usurp,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (1..12_u8).prop_map(Event::Answer),
        3 => (2..=3_u16).prop_map(Event::Register),
        3 => (2..=3_u16).prop_map(Event::Bury),
        2 => (0..PARTITIONS).prop_map(Event::Shrink),
        1 => (0..4_u8).prop_map(Event::Lose),
        1 => Just(Event::Expire),
        1 => Just(Event::Usurp),
    ]
}

/// What has been seen of each partition.
#[derive(Default)]
struct History {
    /// The newest leader epoch.
    newest: BTreeMap<TopicPartition, LeaderEpoch>,
    leaders: BTreeMap<(TopicPartition, LeaderEpoch), Option<BrokerId>>,
    /// What each broker was told last.
    told: BTreeMap<(u16, TopicPartition), (LeaderEpoch, Option<BrokerId>)>,
}

impl History {
    fn see(&mut self, state: &PartitionState) {
        let key = (state.partition, state.leader_epoch);
        let leader = self.leaders.entry(key).or_insert(state.leader);
        assert_eq!(*leader, state.leader, "two leaders in one epoch: {state:?}");
    }

    fn look(&mut self, bench: &mut Bench) {
        for partition in 0..PARTITIONS {
            let (state, ..) = bench.stored(partition);
            self.see(&state);
            let newest = self.newest.entry(state.partition).or_default();
            assert!(*newest <= state.leader_epoch, "an epoch goes back: {state:?}");
            *newest = state.leader_epoch;
        }
        for (to, request) in std::mem::take(&mut bench.told) {
            let Request::LeaderAndIsr(request) = request else { continue };
            for state in request.partitions {
                self.see(&state);
                self.told.insert((to, state.partition), (state.leader_epoch, state.leader));
            }
        }
    }
}

fn is_live(bench: &Bench, broker: BrokerId) -> bool {
    bench.tree.get(&paths::broker(broker)).is_some()
}

fn shrink(bench: &mut Bench, partition: u16) {
    let (state, epoch, _) = bench.stored(partition);
    let follower = state.isr.iter().copied().find(|member| Some(*member) != state.leader);
    if let (Some(leader), Some(follower)) = (state.leader, follower)
        && is_live(bench, leader)
    {
        let mut shrunk = state;
        shrunk.isr.retain(|member| *member != follower);
        bench.write_state(shrunk, epoch);
    }
}

fn happen(bench: &mut Bench, event: Event) {
    match event {
        Event::Answer(requests) => {
            for _ in 0..requests {
                if !bench.asked.is_empty() {
                    bench.answer();
                }
            }
        }
        Event::Register(broker) => bench.register(broker, 1),
        Event::Bury(broker) => bench.bury(broker),
        Event::Shrink(partition) => shrink(bench, partition),
        Event::Lose(done) => {
            bench.lose_zookeeper(usize::from(done));
            bench.regain_zookeeper();
        }
        Event::Expire => bench.expire_session(),
        Event::Usurp => {
            if bench.tree.get(&paths::controller_epoch()).is_some() {
                bench.usurp(2);
                bench.tree.delete(&paths::controller());
                bench.deliver_watches();
            }
        }
    }
}

fn check(version: &str, events: &[Event]) {
    let states: Vec<_> =
        (0..PARTITIONS).map(|it| state(it, Some(1 + it), &[1, 2, 3], (0, 0))).collect();
    let mut bench = Bench::in_office(version, &states);
    let mut history = History::default();
    for event in events {
        happen(&mut bench, *event);
        history.look(&mut bench);
    }
    bench.answer_all();
    if !bench.broker.is_controller() {
        // Nobody tells it of a controller that came and went before it could set its watch again.
        bench.usurp(2);
        bench.deliver_watches();
        bench.answer_all();
        bench.tree.delete(&paths::controller());
        bench.deliver_watches();
        bench.answer_all();
    }
    history.look(&mut bench);
    assert!(bench.broker.is_controller());
    for partition in 0..PARTITIONS {
        let (state, ..) = bench.stored(partition);
        let in_sync = state.isr.iter().any(|member| is_live(&bench, *member));
        let led = state.leader.is_some_and(|leader| is_live(&bench, leader));
        assert_eq!(led, in_sync, "{state:?}");
        assert!(state.leader.is_none_or(|leader| state.isr.contains(&leader)), "{state:?}");
        for broker in 1..=3 {
            if is_live(&bench, BrokerId(broker)) {
                let last = history.told.get(&(broker, state.partition));
                let current = (state.leader_epoch, state.leader);
                let initial = current == (LeaderEpoch(0), Some(BrokerId(1 + partition)));
                assert!(initial || last == Some(&current), "{broker}: {last:?} {current:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(128)
    })]

    #[test]
    fn the_controller_comes_to_rest(
        modern in any::<bool>(),
        events in prop::collection::vec(event(), 0..40),
    ) {
        check(if modern { "3.9" } else { "2.2" }, &events);
    }
}
