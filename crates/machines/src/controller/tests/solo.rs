//! A quorum of one: what brokers ask, what they are answered and when, and what becomes true.

mod partitions;

use super::{brokers, setup, topic};
use crate::controller::{Controller, ControllerCall, ControllerTimer, NoReport};
use crate::disk::{Disk, FlushId, FlushTarget};
use crate::machine::{Cx, Effect, Input, Machine, Outbox};
use crate::rng::NodeRng;
use acklab_vocab::api::*;
use acklab_vocab::config::TopicConfig;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::*;
use acklab_vocab::metadata_log::{MetadataRecord, PartitionState};
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::{PartitionChangeReason, TraceEvent};
use std::collections::BTreeMap;
use std::sync::Arc;

type Effects = Vec<Effect<ControllerTimer, NoReport>>;

const CLIENT: ConnectionId = ConnectionId(900);
const ORDERS: TopicPartition = TopicPartition::new(0, 0);

/// A controller with its disk, a clock, and a disk that needs 1 ms for a flush.
struct Solo {
    now: SimTime,
    rng: NodeRng,
    disk: Disk,
    outbox: Outbox<ControllerTimer, NoReport>,
    controller: Controller,
    timers: BTreeMap<ControllerTimer, SimTime>,
    flushes: Vec<(SimTime, FlushId)>,
    responses: Vec<Response>,
    facts: Vec<(SimTime, TraceEvent)>,
    correlation: u32,
}

fn at_ms(millis: i64) -> SimTime {
    SimTime::from_millis(millis)
}

impl Solo {
    /// Boots and runs until it is active.
    fn active(version: &str, topics: &[TopicConfig]) -> Solo {
        let mut solo = Solo::boot(version, topics, Disk::default());
        solo.run_until(at_ms(10));
        assert!(solo.controller.is_active());
        solo.facts.clear();
        solo
    }

    fn boot(version: &str, topics: &[TopicConfig], mut disk: Disk) -> Solo {
        let (now, mut rng, mut outbox) = (at_ms(0), NodeRng::for_test(7), Outbox::default());
        let mut cx = Cx::new(now, NodeId(1), &mut rng, &mut disk, &mut outbox);
        let controller = Controller::boot(&mut cx, setup(1, 1, version, topics));
        let mut solo = Solo {
            now,
            rng,
            disk,
            outbox,
            controller,
            timers: BTreeMap::new(),
            flushes: Vec::new(),
            responses: Vec::new(),
            facts: Vec::new(),
            correlation: 0,
        };
        solo.take_effects();
        solo
    }

    fn step(&mut self, input: Input<ControllerTimer, ControllerCall>) -> Effects {
        let Solo { now, rng, disk, outbox, controller, .. } = self;
        controller.handle(&mut Cx::new(*now, NodeId(1), rng, disk, outbox), input);
        self.take_effects()
    }

    fn take_effects(&mut self) -> Effects {
        let now = self.now;
        self.facts.extend(self.outbox.facts.drain(..).map(|(_, fact)| (now, fact)));
        let effects = std::mem::take(&mut self.outbox.effects);
        for effect in &effects {
            match effect {
                Effect::SetTimer(timer, at) => _ = self.timers.insert(*timer, *at),
                Effect::CancelTimer(timer) => _ = self.timers.remove(timer),
                Effect::Flush(id, FlushTarget::MetadataLog) => {
                    self.flushes.push((now + SimDuration::from_millis(1), *id));
                }
                Effect::Send(_, Frame::Response(_, response)) => {
                    self.responses.push((**response).clone());
                }
                other => panic!("a quorum of one does not ask for {other:?}"),
            }
        }
        effects
    }

    fn run_until(&mut self, end: SimTime) {
        loop {
            let timer = self.timers.iter().map(|(&timer, &at)| (at, timer)).min();
            let flush = self.flushes.first().copied();
            match (timer, flush) {
                (timer, Some((at, id)))
                    if at <= end && timer.is_none_or(|(other, _)| at <= other) =>
                {
                    self.now = at;
                    self.flushes.remove(0);
                    let extent = self.disk.extent(FlushTarget::MetadataLog);
                    self.disk.mark_flushed(FlushTarget::MetadataLog, extent);
                    self.step(Input::Flushed(id));
                }
                (Some((at, timer)), _) if at <= end => {
                    self.now = self.now.max(at);
                    self.timers.remove(&timer);
                    self.step(Input::Timer(timer));
                }
                _ => break,
            }
        }
        self.now = end;
    }

    fn run_ms(&mut self, millis: u64) {
        self.run_until(self.now + SimDuration::from_millis(millis));
    }

    fn request(&mut self, request: Request) -> Effects {
        self.correlation += 1;
        let correlation = CorrelationId(self.correlation);
        let (connection, from, request) = (CLIENT, NodeId(9), Box::new(request));
        self.step(Input::Request { connection, correlation, from, request })
    }

    /// The one answer to a request, after the commit that it may wait for.
    fn ask(&mut self, request: Request) -> Response {
        self.responses.clear();
        self.request(request);
        self.run_ms(30);
        assert_eq!(self.responses.len(), 1, "one answer: {:?}", self.responses);
        self.responses.remove(0)
    }

    fn register(&mut self, broker: u16, incarnation: u32) -> BrokerRegistrationResponse {
        self.register_after(broker, incarnation, None)
    }

    fn register_after(
        &mut self,
        broker: u16,
        incarnation: u32,
        previous_broker_epoch: Option<BrokerEpoch>,
    ) -> BrokerRegistrationResponse {
        let request = BrokerRegistrationRequest {
            broker: BrokerId(broker),
            incarnation: Incarnation(incarnation),
            node: NodeId(100 + broker),
            previous_broker_epoch,
        };
        match self.ask(Request::BrokerRegistration(request)) {
            Response::BrokerRegistration(response) => response,
            other => panic!("{other:?}"),
        }
    }

    fn heartbeat_request(&self, broker: u16, want_shut_down: bool) -> BrokerHeartbeatRequest {
        let known = self.controller.cluster.broker(BrokerId(broker));
        BrokerHeartbeatRequest {
            broker: BrokerId(broker),
            broker_epoch: known.map_or(BrokerEpoch(0), |known| known.broker_epoch),
            current_metadata_offset: self.disk.metadata_log.end_offset(),
            want_fence: false,
            want_shut_down,
        }
    }

    fn heartbeat(&mut self, request: BrokerHeartbeatRequest) -> BrokerHeartbeatResponse {
        match self.ask(Request::BrokerHeartbeat(request)) {
            Response::BrokerHeartbeat(response) => response,
            other => panic!("{other:?}"),
        }
    }

    fn beat(&mut self, broker: u16) -> BrokerHeartbeatResponse {
        self.heartbeat(self.heartbeat_request(broker, false))
    }

    /// Registers and unfences brokers, and creates topic 0 with one partition on them, in this
    /// order.
    fn with_topic(version: &str, topic: TopicConfig, replicas: &[u16]) -> Solo {
        let mut solo = Solo::active(version, &[topic]);
        for &broker in replicas {
            assert_eq!(solo.register(broker, 0).error, ErrorCode::None);
            assert!(!solo.beat(broker).is_fenced);
        }
        let assignments = vec![brokers(replicas)];
        solo.step(Input::Call(ControllerCall::CreateTopic { topic: TopicId(0), assignments }));
        solo.run_ms(30);
        assert!(solo.controller.is_settled());
        solo.facts.clear();
        solo
    }

    fn orders(&self) -> &PartitionState {
        self.controller.partition(ORDERS).expect("the topic exists")
    }

    /// Leader, ISR, ELR, leader epoch, partition epoch.
    fn summary(&self) -> (Option<u16>, Vec<u16>, Vec<u16>, u32, u32) {
        let state = self.orders();
        let ids = |list: &BrokerList| list.iter().map(|id| id.0).collect();
        let leader = state.leader.map(|leader| leader.0);
        let (leader_epoch, partition_epoch) = (state.leader_epoch.0, state.partition_epoch.0);
        (leader, ids(&state.isr), ids(&state.eligible), leader_epoch, partition_epoch)
    }

    /// Lets a broker fall silent while the others send heartbeats, until it is fenced.
    fn silence(&mut self, silent: u16, others: &[u16]) {
        let is_fenced =
            |solo: &Solo| solo.controller.cluster.broker(BrokerId(silent)).unwrap().fenced;
        for _ in 0..12 {
            for &other in others {
                self.beat(other);
            }
            self.run_ms(1_000);
        }
        assert!(is_fenced(self));
    }

    fn reasons(&self) -> Vec<PartitionChangeReason> {
        let reason = |fact: &(SimTime, TraceEvent)| match fact.1 {
            TraceEvent::PartitionChanged { reason, .. } => Some(reason),
            _ => None,
        };
        self.facts.iter().filter_map(reason).collect()
    }
}

#[test]
fn a_quorum_of_one_elects_itself_and_is_active_when_its_first_entry_is_on_disk() {
    let mut solo = Solo::boot("3.9", &[], Disk::default());
    let elected =
        TraceEvent::ControllerElected { controller: ControllerId(1), epoch: ControllerEpoch(1) };
    assert_eq!(solo.facts, [(at_ms(0), elected)]);
    assert_eq!(solo.disk.quorum_state.leader, Some(ControllerId(1)));
    assert!(!solo.controller.is_active());
    solo.run_until(at_ms(1));
    assert!(solo.controller.is_active());
    assert_eq!(solo.controller.view().high_watermark, MetadataOffset(1));
}

#[test]
fn an_answer_waits_for_linger_and_flush() {
    let mut solo = Solo::active("3.9", &[]);
    let request = BrokerRegistrationRequest {
        broker: BrokerId(1),
        incarnation: Incarnation(0),
        node: NodeId(101),
        previous_broker_epoch: None,
    };
    let linger = ControllerTimer::AppendLinger;
    let effects = solo.request(Request::BrokerRegistration(request));
    assert_eq!(effects, [Effect::SetTimer(linger, at_ms(35))]);

    solo.now = at_ms(35);
    let effects = solo.step(Input::Timer(linger));
    let flush = FlushId(1);
    assert_eq!(effects, [Effect::Flush(flush, FlushTarget::MetadataLog)]);

    let extent = solo.disk.extent(FlushTarget::MetadataLog);
    solo.disk.mark_flushed(FlushTarget::MetadataLog, extent);
    let effects = solo.step(Input::Flushed(flush));
    let response = Response::BrokerRegistration(BrokerRegistrationResponse {
        error: ErrorCode::None,
        broker_epoch: BrokerEpoch(1),
        controller: KnownController { leader: Some(ControllerId(1)), epoch: ControllerEpoch(1) },
    });
    let answer = Frame::Response(CorrelationId(1), Box::new(response));
    assert_eq!(effects, [Effect::Send(CLIENT, answer)]);
    let registered = TraceEvent::BrokerRegistered {
        broker: BrokerId(1),
        broker_epoch: BrokerEpoch(1),
        incarnation: Incarnation(0),
    };
    assert_eq!(solo.facts, [(at_ms(35), registered)]);
}

#[test]
fn a_broker_is_unfenced_when_it_has_applied_its_own_registration() {
    let mut solo = Solo::active("3.9", &[]);
    let BrokerRegistrationResponse { broker_epoch, .. } = solo.register(1, 0);
    let mut request = solo.heartbeat_request(1, false);
    request.current_metadata_offset = MetadataOffset(broker_epoch.0);
    let behind = solo.heartbeat(request.clone());
    assert_eq!((behind.is_caught_up, behind.is_fenced), (false, true));
    request.current_metadata_offset.0 += 1;
    let caught_up = solo.heartbeat(request.clone());
    assert_eq!((caught_up.is_caught_up, caught_up.is_fenced), (true, false));
    assert_eq!(solo.controller.unfenced_brokers().collect::<Vec<_>>(), [BrokerId(1)]);

    request.broker_epoch = BrokerEpoch(77);
    assert_eq!(solo.heartbeat(request.clone()).error, ErrorCode::StaleBrokerEpoch);
    request.broker = BrokerId(9);
    assert_eq!(solo.heartbeat(request).error, ErrorCode::StaleBrokerEpoch);
}

#[test]
fn a_quick_restart_is_refused_until_the_old_session_ends() {
    for version in ["3.9", "4.0"] {
        let mut solo = Solo::with_topic(version, topic(1, false), &[1, 2]);
        let start = solo.now;
        solo.beat(1);
        while solo.register(1, 1).error == ErrorCode::DuplicateBrokerRegistration {
            solo.beat(2);
            solo.run_ms(440);
        }
        let refused_for = solo.now.since(start).as_millis();
        assert!((9_000..10_300).contains(&refused_for), "{version}: {refused_for} ms");
        assert_eq!(solo.summary().0, Some(2), "{version}");
    }
}

#[test]
fn from_4_0_a_fenced_broker_that_sends_heartbeats_has_a_session_too() {
    for (version, expected) in
        [("3.9", ErrorCode::None), ("4.0", ErrorCode::DuplicateBrokerRegistration)]
    {
        let mut solo = Solo::active(version, &[]);
        solo.register(1, 0);
        let mut request = solo.heartbeat_request(1, false);
        request.want_fence = true;
        assert!(solo.heartbeat(request).is_fenced);
        assert_eq!(solo.register(1, 1).error, expected, "{version}");
    }
}

#[test]
fn a_new_life_that_comes_before_the_sweep_ends_the_memberships_of_the_old_one() {
    let mut solo = Solo::with_topic("4.0", topic(1, false), &[1, 2]);
    solo.beat(1);
    for _ in 0..9 {
        solo.beat(2);
        solo.run_ms(971);
    }
    assert_eq!(solo.controller.unfenced_brokers().count(), 2);
    assert_eq!(solo.register(1, 1).error, ErrorCode::None);
    assert_eq!(solo.summary(), (Some(2), vec![2], vec![], 1, 1));
    assert_eq!(solo.reasons(), [PartitionChangeReason::BrokerRegistered]);
    assert_eq!(solo.controller.unfenced_brokers().collect::<Vec<_>>(), [BrokerId(2)]);
}

#[test]
fn a_lost_answer_to_a_registration_is_given_again() {
    let mut solo = Solo::active("3.9", &[]);
    let first = solo.register(1, 0);
    assert_eq!(solo.register(1, 0), first);
}

#[test]
fn a_silent_broker_is_fenced_at_the_end_of_its_session_or_by_the_next_sweep() {
    // Exactly 9 s after the last heartbeat, then linger and flush; or up to 1125 ms later.
    for (version, latest) in [("3.9", 9_027), ("4.0", 9_026 + 1_125)] {
        let mut solo = Solo::with_topic(version, topic(1, false), &[1, 2]);
        let last_contact = solo.now;
        solo.request(Request::BrokerHeartbeat(solo.heartbeat_request(1, false)));
        solo.facts.clear();
        for _ in 0..11 {
            solo.beat(2);
            solo.run_ms(1_000);
        }
        let fenced = TraceEvent::BrokerFenced { broker: BrokerId(1) };
        let (at, _) = *solo.facts.iter().find(|(_, fact)| *fact == fenced).expect("fenced");
        let after = at.since(last_contact).as_millis();
        assert!((9_026..=latest).contains(&after), "{version}: {after} ms");
        assert_eq!(solo.summary(), (Some(2), vec![2], vec![], 1, 1), "{version}");
        assert_eq!(solo.reasons(), [PartitionChangeReason::BrokerFenced]);
    }
}

#[test]
fn the_last_in_sync_replica_stays_and_only_it_may_lead_again() {
    let mut solo = Solo::with_topic("3.9", topic(1, false), &[1, 2]);
    solo.silence(1, &[2]);
    solo.silence(2, &[1]);
    assert_eq!(solo.summary(), (None, vec![2], vec![], 2, 2));
    assert_eq!(solo.controller.unfenced_brokers().collect::<Vec<_>>(), [BrokerId(1)]);
    solo.beat(2);
    assert_eq!(solo.summary(), (Some(2), vec![2], vec![], 3, 3));
}

#[test]
fn an_unclean_leader_is_elected_at_once_where_the_topic_allows_it() {
    let mut solo = Solo::with_topic("3.9", topic(1, true), &[1, 2]);
    solo.silence(1, &[2]);
    solo.beat(1);
    solo.facts.clear();
    solo.silence(2, &[1]);
    assert_eq!(solo.summary(), (Some(1), vec![1], vec![], 2, 2));
    assert!(solo.orders().recovering);
    assert_eq!(solo.reasons(), [PartitionChangeReason::UncleanElection]);
    // It has recovered when it reports an ISR of its own.
    let request = alter(&solo, 1, (2, 2), &[1]);
    assert_eq!(solo.ask(Request::AlterPartition(request)), accepted(&solo, Some(1), 2, &[1], 3));
    assert!(!solo.orders().recovering);
}

#[test]
fn with_elr_the_isr_may_be_empty_and_an_eligible_replica_is_elected_cleanly() {
    let mut solo = Solo::with_topic("4.1", topic(2, false), &[1, 2]);
    solo.silence(1, &[2]);
    assert_eq!(solo.summary(), (Some(2), vec![2], vec![1], 1, 1));
    solo.silence(2, &[]);
    assert_eq!(solo.summary(), (None, vec![], vec![1, 2], 2, 2));
    solo.beat(1);
    assert_eq!(solo.summary(), (Some(1), vec![1], vec![2], 3, 3));
    assert!(!solo.orders().recovering);
}

#[test]
fn an_unclean_shutdown_ends_eligibility_and_the_last_known_leader_recovers() {
    let mut solo = Solo::with_topic("4.1", topic(1, false), &[1]);
    solo.silence(1, &[]);
    assert_eq!(solo.summary(), (None, vec![], vec![1], 1, 1));
    assert_eq!(solo.register(1, 1).error, ErrorCode::None);
    assert_eq!(solo.summary(), (None, vec![], vec![], 1, 2));
    solo.beat(1);
    assert_eq!(solo.summary(), (Some(1), vec![1], vec![], 2, 3));
    assert!(solo.orders().recovering);
}

/// The builder elects from the ELR as it will be (`maybePopulateTargetElr` before `tryElection`):
/// who led last serves already, and is elected by the registration that takes the other one out.
#[test]
fn the_last_known_leader_is_elected_by_the_change_that_ends_the_last_eligibility() {
    let mut solo = Solo::with_topic("4.1", topic(2, false), &[1, 2]);
    solo.silence(1, &[2]);
    solo.silence(2, &[]);
    assert_eq!(solo.summary(), (None, vec![], vec![1, 2], 2, 2));
    assert_eq!(solo.register(2, 1).error, ErrorCode::None);
    solo.beat(2);
    assert_eq!(solo.summary(), (None, vec![], vec![1], 2, 3), "broker 1 may return");
    solo.facts.clear();
    assert_eq!(solo.register(1, 1).error, ErrorCode::None);
    assert_eq!(solo.summary(), (Some(2), vec![2], vec![], 3, 4));
    assert_eq!(solo.reasons(), [PartitionChangeReason::UncleanElection]);
    assert!(solo.orders().recovering);
}

#[test]
fn a_clean_restart_keeps_eligibility() {
    let mut solo = Solo::with_topic("4.1", topic(1, false), &[1]);
    let epoch = solo.controller.cluster.broker(BrokerId(1)).unwrap().broker_epoch;
    solo.silence(1, &[]);
    assert_eq!(solo.register_after(1, 1, Some(epoch)).error, ErrorCode::None);
    assert_eq!(solo.summary(), (None, vec![], vec![1], 1, 1));
}

#[test]
fn a_controlled_shutdown_moves_leaders_first_and_waits_for_the_others() {
    let mut solo = Solo::with_topic("3.9", topic(1, false), &[1, 2]);
    let mut others = solo.heartbeat_request(2, false);
    solo.heartbeat(others.clone());
    let answer = solo.heartbeat(solo.heartbeat_request(1, true));
    assert_eq!((answer.is_fenced, answer.should_shut_down), (false, false));
    assert_eq!(solo.summary(), (Some(2), vec![2], vec![], 1, 1));
    assert_eq!(solo.reasons(), [PartitionChangeReason::ControlledShutdown]);

    let answer = solo.heartbeat(solo.heartbeat_request(1, true));
    assert!(!answer.should_shut_down, "broker 2 has not applied the change");
    others.current_metadata_offset = solo.disk.metadata_log.end_offset();
    solo.heartbeat(others);
    let answer = solo.heartbeat(solo.heartbeat_request(1, true));
    assert_eq!((answer.is_fenced, answer.should_shut_down), (true, true));
    assert_eq!(solo.register(1, 1).error, ErrorCode::None, "it has said goodbye");
}

#[test]
fn the_preferred_leader_returns_one_interval_after_it_could() {
    let mut solo = Solo::with_topic("3.9", topic(1, false), &[1, 2]);
    solo.silence(1, &[2]);
    solo.beat(1);
    let alter = alter(&solo, 2, (1, 1), &[1, 2]);
    assert_eq!(solo.ask(Request::AlterPartition(alter)), accepted(&solo, Some(2), 1, &[1, 2], 2));
    solo.facts.clear();
    for _ in 0..310 {
        solo.beat(1);
        solo.beat(2);
        solo.run_ms(1_000);
    }
    assert_eq!(solo.summary(), (Some(1), vec![1, 2], vec![], 2, 3));
    assert_eq!(solo.reasons(), [PartitionChangeReason::PreferredElection]);
}

#[test]
fn an_operator_elects_preferred_and_unclean_leaders_at_once() {
    let mut solo = Solo::with_topic("3.9", topic(1, false), &[1, 2]);
    solo.silence(1, &[2]);
    solo.beat(1);
    solo.silence(2, &[1]);
    assert_eq!(solo.summary().0, None);
    let elect = |unclean| ControllerCall::ElectLeaders { partitions: vec![ORDERS], unclean };
    solo.step(Input::Call(elect(false)));
    assert_eq!(solo.summary().0, None);
    solo.step(Input::Call(elect(true)));
    assert_eq!(solo.summary(), (Some(1), vec![1], vec![], 3, 3));
}

#[test]
fn an_active_controller_writes_a_no_op_record_every_interval() {
    // KIP-835: it is what tells a parked metadata fetch of a new high watermark before 4.1.
    let mut solo = Solo::boot("3.9", &[topic(1, false)], Disk::default());
    let interval = Some(SimDuration::from_millis(500));
    Arc::make_mut(&mut solo.controller.config).metadata_max_idle_interval = interval;
    solo.run_until(at_ms(1_600));
    let entries = solo.disk.metadata_log.entries().iter();
    assert_eq!(entries.filter(|entry| entry.records == [MetadataRecord::NoOp]).count(), 3);
}

#[test]
fn producer_ids_come_in_blocks_of_a_thousand() {
    let mut solo = Solo::active("3.9", &[]);
    let broker_epoch = solo.register(1, 0).broker_epoch;
    for first in [0, 1_000] {
        let request = AllocateProducerIdsRequest { broker: BrokerId(1), broker_epoch };
        let Response::AllocateProducerIds(response) =
            solo.ask(Request::AllocateProducerIds(request))
        else {
            panic!("another answer")
        };
        assert_eq!((response.first, response.count), (ProducerId(first), 1_000));
    }
}

#[test]
fn a_new_life_replays_the_log_and_restarts_every_session() {
    let mut solo = Solo::with_topic("3.9", topic(1, false), &[1, 2]);
    solo.run_ms(8_000);
    let state = solo.orders().clone();
    let mut solo = Solo::boot("3.9", &[topic(1, false)], solo.disk);
    assert_eq!(solo.controller.view().role, "leader", "alone it need not wait as resigned");
    solo.run_until(at_ms(8_990));
    assert_eq!(solo.orders(), &state);
    assert_eq!(solo.controller.unfenced_brokers().count(), 2);
    solo.run_until(at_ms(9_100));
    assert_eq!(solo.controller.unfenced_brokers().count(), 0);
}

/// A proposal of `sender` for the one partition, based on a leader and a partition epoch.
fn alter(
    solo: &Solo,
    sender: u16,
    (leader_epoch, partition_epoch): (u32, u32),
    isr: &[u16],
) -> AlterPartitionRequest {
    let epoch = |id: u16| solo.controller.cluster.broker(BrokerId(id)).map(|it| it.broker_epoch);
    AlterPartitionRequest {
        broker: BrokerId(sender),
        broker_epoch: epoch(sender).unwrap(),
        partitions: vec![PartitionAlter {
            partition: ORDERS,
            leader_epoch: LeaderEpoch(leader_epoch),
            partition_epoch: PartitionEpoch(partition_epoch),
            new_isr: isr.iter().map(|&id| (BrokerId(id), epoch(id))).collect(),
        }],
    }
}

fn accepted(
    solo: &Solo,
    leader: Option<u16>,
    leader_epoch: u32,
    isr: &[u16],
    partition_epoch: u32,
) -> Response {
    Response::AlterPartition(AlterPartitionResponse {
        error: ErrorCode::None,
        partitions: vec![PartitionAlterResponse {
            partition: ORDERS,
            error: ErrorCode::None,
            leader: leader.map(BrokerId),
            leader_epoch: LeaderEpoch(leader_epoch),
            isr: brokers(isr),
            partition_epoch: PartitionEpoch(partition_epoch),
        }],
        controller: solo.controller.view().quorum,
    })
}

#[test]
fn a_leader_shrinks_its_isr_and_before_3_6_that_costs_a_leader_epoch() {
    for (version, leader_epoch) in [("3.5", 1), ("3.6", 0)] {
        let mut solo = Solo::with_topic(version, topic(1, false), &[1, 2]);
        let request = alter(&solo, 1, (0, 0), &[1]);
        let answer = solo.ask(Request::AlterPartition(request));
        assert_eq!(answer, accepted(&solo, Some(1), leader_epoch, &[1], 1), "{version}");
        assert_eq!(solo.reasons(), [PartitionChangeReason::AlterPartition]);
    }
}
