//! Incremental fetch sessions (KIP-227): what is named, what is answered, and that a leader which
//! looks only at what has changed knows as much as one that looks at everything.

use super::rig::*;
use crate::broker::high_watermark::FollowerState;
use crate::broker::{BrokerTimer, PartitionView, RoleView};
use crate::machine::{Effect, Input};
use crate::rng::NodeRng;
use acklab_vocab::api::*;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::*;
use acklab_vocab::metadata_log::{MetadataRecord, PartitionState};
use acklab_vocab::time::SimTime;
use smallvec::smallvec;
use std::collections::BTreeMap;

const PARTITIONS: u16 = 5;

fn tp(partition: u16) -> TopicPartition {
    TopicPartition::new(0, partition)
}

/// Broker 1 leads a partition, with everybody in sync.
fn led(partition: u16, epoch: u32) -> MetadataRecord {
    MetadataRecord::PartitionChange(PartitionState {
        partition: tp(partition),
        replicas: brokers(&[1, 2, 3]),
        isr: brokers(&[1, 2, 3]),
        eligible: BrokerList::new(),
        leader: Some(BrokerId(1)),
        leader_epoch: LeaderEpoch(epoch),
        partition_epoch: PartitionEpoch(epoch),
        recovering: false,
    })
}

fn leader() -> Rig {
    let mut rig = Rig::running(config(), topic());
    rig.metadata((0..PARTITIONS).map(|partition| led(partition, 1)).collect());
    rig
}

fn produce(rig: &mut Rig, partition: u16) -> Effects {
    let (acks, timeout) = (Acks::Leader, ms(30_000));
    let entry = PartitionProduce { partition: tp(partition), batch: batch(0, 1) };
    let request = ProduceRequest {
        transactional_id: None,
        transaction_support: TransactionSupport::default(),
        acks,
        timeout,
        partitions: smallvec![entry],
    };
    rig.request(PRODUCER, 1, Request::Produce(request))
}

fn wanted(partition: u16, epoch: u32, offset: u64) -> PartitionFetch {
    PartitionFetch {
        partition: tp(partition),
        current_leader_epoch: Some(LeaderEpoch(epoch)),
        fetch_offset: Offset(offset),
        last_fetched_epoch: None,
        max_bytes: 1 << 20,
    }
}

fn fetch(
    rig: &mut Rig,
    follower: u16,
    correlation: u32,
    forgotten: &[u16],
    partitions: Vec<PartitionFetch>,
) -> Effects {
    let forgotten = forgotten.iter().map(|&partition| tp(partition)).collect();
    let request = FetchRequest {
        replica: Some(FetchingReplica {
            broker: BrokerId(follower),
            broker_epoch: broker_epoch(follower),
        }),
        max_wait: ms(500),
        min_bytes: 1,
        max_bytes: 10 << 20,
        isolation: Isolation::LogEnd,
        session: FetchSessionUpdate::Incremental { forgotten },
        partitions,
    };
    rig.request(follower_connection(follower), correlation, Request::Fetch(request))
}

/// The partitions and high watermarks that a response to `follower` has, and how many batches.
fn told(effects: &Effects, follower: u16) -> Option<Vec<(u16, u64, usize)>> {
    effects.iter().find_map(|effect| match effect {
        Effect::Send(to, Frame::Response(_, response)) if *to == follower_connection(follower) => {
            let Response::Fetch(fetched) = &**response else { return None };
            let each = |answer: &PartitionFetchResponse| {
                (answer.partition.partition.0, answer.high_watermark.0, answer.batches.len())
            };
            Some(fetched.partitions.iter().map(each).collect())
        }
        _ => None,
    })
}

#[test]
fn a_session_keeps_what_is_not_named_and_tells_only_what_is_new() {
    let mut rig = leader();
    let all = |epoch| (0..3).map(|partition| wanted(partition, epoch, 0)).collect();
    assert_eq!(told(&fetch(&mut rig, 2, 1, &[], all(1)), 2), None);
    // The first answer tells every high watermark.
    let done = produce(&mut rig, 1);
    assert_eq!(told(&done, 2), Some(vec![(0, 0, 0), (1, 0, 1), (2, 0, 0)]));
    // Of the three, only partition 1 has moved on.
    assert_eq!(told(&fetch(&mut rig, 2, 2, &[], vec![wanted(1, 1, 1)]), 2), None);
    // A fetch waits for every partition of the session.
    let done = produce(&mut rig, 2);
    assert_eq!(told(&done, 2), Some(vec![(2, 0, 1)]));
    // What is forgotten wakes it no more.
    let named = vec![wanted(2, 1, 1)];
    assert_eq!(told(&fetch(&mut rig, 2, 3, &[0], named), 2), None);
    assert_eq!(told(&produce(&mut rig, 0), 2), None);
    // The other follower is as far: the high watermarks move, which is told with the next data.
    let others = vec![wanted(1, 1, 1), wanted(2, 1, 1)];
    assert_eq!(told(&fetch(&mut rig, 3, 1, &[], others), 3), None);
    let done = produce(&mut rig, 2);
    assert_eq!(told(&done, 2), Some(vec![(1, 1, 0), (2, 1, 1)]));
}

#[test]
fn one_with_something_to_tell_goes_behind_the_others() {
    let mut rig = leader();
    let all = (0..3).map(|partition| wanted(partition, 1, 0)).collect();
    fetch(&mut rig, 2, 1, &[], all);
    let done = produce(&mut rig, 0);
    assert_eq!(told(&done, 2), Some(vec![(0, 0, 1), (1, 0, 0), (2, 0, 0)]));
    for partition in [2, 0] {
        produce(&mut rig, partition);
    }
    let done = fetch(&mut rig, 2, 2, &[], vec![wanted(0, 1, 1)]);
    assert_eq!(told(&done, 2), Some(vec![(0, 0, 1), (2, 0, 1)]));
    for partition in [0, 1, 2] {
        produce(&mut rig, partition);
    }
    // Partition 1 was told of least recently.
    let done = fetch(&mut rig, 2, 3, &[], vec![wanted(0, 1, 2), wanted(2, 1, 1)]);
    assert_eq!(told(&done, 2), Some(vec![(1, 0, 1), (0, 0, 1), (2, 0, 1)]));
}

#[test]
fn a_full_request_replaces_the_session() {
    let mut rig = leader();
    let consume = |rig: &mut Rig, correlation, partitions: &[u16]| {
        let request = FetchRequest {
            replica: None,
            max_wait: ms(500),
            min_bytes: 1,
            max_bytes: 10 << 20,
            isolation: Isolation::LogEnd,
            session: FetchSessionUpdate::Full,
            partitions: partitions.iter().map(|&partition| wanted(partition, 1, 0)).collect(),
        };
        rig.request(follower_connection(9), correlation, Request::Fetch(request))
    };
    assert_eq!(told(&consume(&mut rig, 1, &[0, 1]), 9), None);
    assert_eq!(told(&produce(&mut rig, 0), 9), Some(vec![(0, 0, 1), (1, 0, 0)]));
    assert_eq!(told(&consume(&mut rig, 2, &[2, 1]), 9), None);
    assert_eq!(told(&produce(&mut rig, 0), 9), None);
    assert_eq!(told(&produce(&mut rig, 2), 9), Some(vec![(2, 0, 1)]));
}

#[test]
fn a_lost_connection_ends_its_session() {
    let mut rig = leader();
    fetch(&mut rig, 2, 1, &[], vec![wanted(0, 1, 0)]);
    let (connection, reason) = (follower_connection(2), acklab_vocab::trace::CloseReason::Reset);
    rig.call(Input::Closed(connection, reason));
    assert_eq!(told(&produce(&mut rig, 0), 2), None);
    // The next connection has a session of its own: nothing is known of partition 1.
    assert_eq!(told(&fetch(&mut rig, 2, 1, &[], vec![wanted(0, 1, 0)]), 2), Some(vec![(0, 0, 1)]));
    assert_eq!(told(&produce(&mut rig, 1), 2), None);
}

#[test]
fn a_follower_that_is_quiet_is_in_sync_until_its_last_fetch() {
    let mut rig = Rig::running(config(), topic());
    rig.metadata(vec![led(0, 1)]);
    fetch(&mut rig, 2, 1, &[], vec![wanted(0, 1, 0)]);
    fetch(&mut rig, 3, 1, &[], vec![wanted(0, 1, 0)]);
    // Broker 2 goes on until 20 s, then no more.
    for (correlation, second) in (2..).zip(1..=20) {
        rig.now = at_ms(second * 1_000);
        rig.call(Input::Timer(BrokerTimer::FetchPurgatory));
        fetch(&mut rig, 2, correlation, &[], Vec::new());
    }
    produce(&mut rig, 0);
    fetch(&mut rig, 3, 2, &[], vec![wanted(0, 1, 1)]);
    let expire = |rig: &mut Rig, second: i64| {
        rig.now = at_ms(second * 1_000);
        rig.call(Input::Timer(BrokerTimer::IsrExpiration));
        rig.alter_partition.is_some()
    };
    assert!(!expire(&mut rig, 50));
    assert!(expire(&mut rig, 51));
}

/// A follower with a session handler of its own, and what the leader would know if it looked at
/// everything.
#[derive(Default)]
struct Follower {
    /// Epoch and offset of each partition that it follows.
    wanted: BTreeMap<u16, (u32, u64)>,
    session: BTreeMap<u16, (u32, u64)>,
    correlation: u32,
    waits: bool,
    /// As the leader has to have it, by partition.
    known: BTreeMap<u16, FollowerState>,
}

struct Model {
    rig: Rig,
    /// Broker 2 and broker 3.
    followers: [Follower; 2],
    ends: BTreeMap<u16, u64>,
    epochs: BTreeMap<u16, u32>,
}

impl Model {
    fn new() -> Self {
        let mut rig = leader();
        rig.now = at_ms(1);
        let follower = |broker| Follower {
            wanted: (0..PARTITIONS).map(|partition| (partition, (1, 0))).collect(),
            known: (0..PARTITIONS)
                .map(|partition| {
                    let mut state = FollowerState::unknown(BrokerId(broker));
                    state.reset(at_ms(0), Offset(0), false, true);
                    (partition, state)
                })
                .collect(),
            ..Follower::default()
        };
        let all = |value: u64| (0..PARTITIONS).map(move |partition| (partition, value));
        Model {
            rig,
            followers: [follower(2), follower(3)],
            ends: all(0).collect(),
            epochs: all(1).map(|(partition, epoch)| (partition, epoch as u32)).collect(),
        }
    }

    fn fetch(&mut self, at: usize) {
        let follower = &mut self.followers[at];
        let is_gone = |partition: &&u16| !follower.wanted.contains_key(partition);
        let forgotten: Vec<u16> = follower.session.keys().filter(is_gone).copied().collect();
        let is_new = |entry: &(&u16, &(u32, u64))| follower.session.get(entry.0) != Some(entry.1);
        let entries = follower.wanted.iter().filter(is_new);
        let named = entries.map(|(&partition, &(epoch, offset))| wanted(partition, epoch, offset));
        let named = named.collect();
        follower.session.clone_from(&follower.wanted);
        for (&partition, &(epoch, offset)) in &follower.session {
            if epoch == self.epochs[&partition] {
                let state = follower.known.get_mut(&partition).expect("every partition");
                let end = Offset(self.ends[&partition]);
                let broker_epoch = broker_epoch(at as u16 + 2);
                state.record_fetch(Offset(offset), self.rig.now, end, broker_epoch, true);
            }
        }
        follower.correlation += 1;
        follower.waits = true;
        let correlation = follower.correlation;
        let effects = fetch(&mut self.rig, at as u16 + 2, correlation, &forgotten, named);
        self.receive(&effects);
    }

    fn receive(&mut self, effects: &Effects) {
        for effect in effects {
            let Effect::Send(to, Frame::Response(_, response)) = effect else { continue };
            let Response::Fetch(fetched) = &**response else { continue };
            let at = if *to == follower_connection(2) { 0 } else { 1 };
            let follower = &mut self.followers[at];
            follower.waits = false;
            for answer in &fetched.partitions {
                let partition = answer.partition.partition.0;
                let Some(entry) = follower.wanted.get_mut(&partition) else { continue };
                if answer.error == ErrorCode::FencedLeaderEpoch {
                    entry.0 = self.epochs[&partition];
                } else if let Some(last) = answer.batches.last()
                    && follower.session.get(&partition) == Some(entry)
                {
                    entry.1 = last.next_offset().0;
                }
            }
        }
    }

    fn begin_epoch(&mut self, partition: u16) {
        let epoch = self.epochs[&partition] + 1;
        self.epochs.insert(partition, epoch);
        let (now, end) = (self.rig.now, Offset(self.ends[&partition]));
        for follower in &mut self.followers {
            let state = follower.known.get_mut(&partition).expect("every partition");
            state.reset(now, end, true, true);
        }
        let effects = self.rig.metadata(vec![led(partition, epoch)]);
        self.receive(&effects);
    }

    fn step(&mut self, rng: &mut NodeRng) {
        self.rig.now = SimTime(self.rig.now.0 + rng.below(200_000_000) as i64);
        let partition = rng.below(u64::from(PARTITIONS)) as u16;
        match rng.below(20) {
            0..6 => {
                self.ends.entry(partition).and_modify(|end| *end += 1);
                let effects = produce(&mut self.rig, partition);
                self.receive(&effects);
            }
            6 => self.begin_epoch(partition),
            7 => {
                // It loses a partition, or gets one back.
                let at = rng.below(2) as usize;
                let epoch = self.epochs[&partition];
                let follower = &mut self.followers[at];
                let offset = follower.known[&partition].log_end_offset.unwrap_or_default().0;
                if follower.wanted.remove(&partition).is_none() {
                    follower.wanted.insert(partition, (epoch, offset));
                }
            }
            8 => {
                let effects = self.rig.call(Input::Timer(BrokerTimer::FetchPurgatory));
                self.receive(&effects);
            }
            _ => {
                let at = rng.below(2) as usize;
                if !self.followers[at].waits {
                    self.fetch(at);
                }
            }
        }
    }

    fn check(&self) {
        for view in self.rig.broker.view(&self.rig.disk).partitions {
            let PartitionView { partition, role, log_end_offset, .. } = view;
            let partition = partition.partition.0;
            assert_eq!(log_end_offset.0, self.ends[&partition]);
            let RoleView::Leader { followers, .. } = role else { panic!("it leads") };
            for follower in followers {
                let at = usize::from(follower.broker.0) - 2;
                let known = &self.followers[at].known[&partition];
                let expected = (known.log_end_offset, Some(known.last_caught_up));
                assert_eq!((follower.log_end_offset, follower.last_caught_up), expected);
            }
        }
    }
}

#[test]
fn a_leader_that_looks_only_at_changes_knows_what_one_that_looks_at_everything_does() {
    for seed in 0..20 {
        let (mut model, mut rng) = (Model::new(), NodeRng::for_test(seed));
        for _ in 0..500 {
            model.step(&mut rng);
            model.check();
        }
    }
}
