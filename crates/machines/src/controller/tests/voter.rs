//! One voter of three, fed by hand: what it sends, what it answers, and what it must not do before
//! its disk is done.

use super::setup;
use crate::controller::{Controller, ControllerTimer, NoReport};
use crate::disk::{Disk, FlushId, FlushTarget, QuorumState};
use crate::machine::{Cx, Effect, Input, Machine, Outbox};
use crate::rng::NodeRng;
use acklab_vocab::api::*;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::*;
use acklab_vocab::metadata_log::{MetadataEntry, MetadataRecord};
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::TraceEvent;
use std::sync::Arc;

type Effects = Vec<Effect<ControllerTimer, NoReport>>;

const SELF: ControllerId = ControllerId(1);
const SECOND: ControllerId = ControllerId(2);
const THIRD: ControllerId = ControllerId(3);

/// Controller 1.
struct Voter {
    now: SimTime,
    rng: NodeRng,
    disk: Disk,
    outbox: Outbox<ControllerTimer, NoReport>,
    controller: Controller,
    /// What the last step asked for, timers left out.
    effects: Effects,
    facts: Vec<TraceEvent>,
}

fn epoch(epoch: u32) -> ControllerEpoch {
    ControllerEpoch(epoch)
}

fn offset(offset: u64) -> MetadataOffset {
    MetadataOffset(offset)
}

fn entry(at: u64, of: u32) -> Arc<MetadataEntry> {
    let records = vec![MetadataRecord::ProducerIds { next: ProducerId(at) }];
    Arc::new(MetadataEntry { offset: offset(at), epoch: epoch(of), records })
}

/// A disk with a log of these epochs, all of it flushed.
fn disk(epochs: &[u32], quorum_state: QuorumState) -> Disk {
    let mut disk = Disk::default();
    disk.quorum_state = quorum_state;
    for (at, of) in epochs.iter().enumerate() {
        disk.metadata_log.append(entry(at as u64, *of));
    }
    disk.mark_flushed(FlushTarget::MetadataLog, disk.extent(FlushTarget::MetadataLog));
    disk
}

/// What a voter writes that follows `leader`.
fn following(of: u32, leader: ControllerId) -> QuorumState {
    QuorumState { epoch: epoch(of), voted_for: None, leader: Some(leader) }
}

impl Voter {
    fn boot(version: &str, mut disk: Disk) -> Voter {
        let (now, mut rng, mut outbox) = (SimTime::ZERO, NodeRng::for_test(1), Outbox::default());
        let mut cx = Cx::new(now, NodeId(1), &mut rng, &mut disk, &mut outbox);
        let controller = Controller::boot(&mut cx, setup(1, 3, version, &[]));
        let (effects, facts) = (Vec::new(), Vec::new());
        let mut voter = Voter { now, rng, disk, outbox, controller, effects, facts };
        voter.take();
        voter
    }

    fn take(&mut self) {
        let is_timer = |effect: &Effect<ControllerTimer, NoReport>| {
            matches!(effect, Effect::SetTimer(..) | Effect::CancelTimer(_))
        };
        self.effects = std::mem::take(&mut self.outbox.effects);
        self.effects.retain(|effect| !is_timer(effect));
        self.facts.extend(self.outbox.facts.drain(..).map(|(_, fact)| fact));
    }

    fn step(&mut self, input: Input<ControllerTimer, super::super::ControllerCall>) -> Effects {
        let Voter { now, rng, disk, outbox, controller, .. } = self;
        controller.handle(&mut Cx::new(*now, NodeId(1), rng, disk, outbox), input);
        self.take();
        self.effects.clone()
    }

    fn timer_after_ms(&mut self, millis: u64, timer: ControllerTimer) -> Effects {
        self.now += SimDuration::from_millis(millis);
        self.step(Input::Timer(timer))
    }

    fn ask(&mut self, connection: u32, correlation: u32, request: Request) -> Effects {
        let (connection, correlation) = (ConnectionId(connection), CorrelationId(correlation));
        let request = Box::new(request);
        self.step(Input::Request { connection, correlation, from: NodeId(9), request })
    }

    fn answer(&mut self, connection: u32, correlation: u32, response: Response) -> Effects {
        let (connection, correlation) = (ConnectionId(connection), CorrelationId(correlation));
        self.step(Input::Response { connection, correlation, response: Box::new(response) })
    }

    fn flushed(&mut self, id: u64) -> Effects {
        let extent = self.disk.extent(FlushTarget::MetadataLog);
        self.disk.mark_flushed(FlushTarget::MetadataLog, extent);
        self.step(Input::Flushed(FlushId(id)))
    }

    /// A voter that leads a new epoch of a log with one entry of epoch 1, before its own first
    /// entry is on disk.
    fn leader(version: &str) -> Voter {
        let mut voter = Voter::boot(version, disk(&[1], following(1, SECOND)));
        let pre_vote = version != "3.9";
        voter.timer_after_ms(2_000, ControllerTimer::FetchTimeout);
        let asks = voter.effects.iter().filter(|effect| matches!(effect, Effect::Connect(..)));
        // To the second it had a connection under way already, for its fetch.
        assert_eq!(asks.count(), 1);
        // Both connections open; the third grants everything.
        voter.step(Input::Connected(ConnectionId(1)));
        let votes = if pre_vote { 2 } else { 1 };
        for _ in 0..votes {
            let (sent, of) = voter.sent_vote();
            let controller = KnownController { leader: None, epoch: of };
            let vote = VoteResponse { voter: THIRD, granted: true, controller };
            voter.answer(1, sent.0, Response::Vote(vote));
        }
        assert_eq!(voter.controller.view().role, "leader");
        voter
    }

    /// The vote request to the third voter in the last effects.
    fn sent_vote(&self) -> (CorrelationId, ControllerEpoch) {
        let vote = |effect: &Effect<ControllerTimer, NoReport>| match effect {
            Effect::Send(ConnectionId(1), Frame::Request(correlation, request)) => match &**request
            {
                Request::Vote(vote) => Some((*correlation, vote.epoch)),
                _ => None,
            },
            _ => None,
        };
        self.effects.iter().find_map(vote).expect("a vote was asked for")
    }

    fn epoch(&self) -> u32 {
        self.controller.view().quorum.epoch.0
    }
}

fn fetch(voter: Option<ControllerId>, of: u32, from: u64, last: u32) -> Request {
    Request::QuorumFetch(QuorumFetchRequest {
        node: NodeId(voter.map_or(9, |voter| voter.0)),
        voter,
        epoch: epoch(of),
        fetch_offset: offset(from),
        last_fetched_epoch: epoch(last),
        max_wait: SimDuration::from_millis(500),
    })
}

fn fetched(
    controller: (Option<ControllerId>, u32),
    high_watermark: u64,
    entries: &[Arc<MetadataEntry>],
) -> QuorumFetchResponse {
    QuorumFetchResponse {
        error: ErrorCode::None,
        controller: KnownController { leader: controller.0, epoch: epoch(controller.1) },
        high_watermark: offset(high_watermark),
        diverging: None,
        entries: entries.to_vec(),
    }
}

fn response(
    connection: u32,
    correlation: u32,
    response: Response,
) -> Effect<ControllerTimer, NoReport> {
    let frame = Frame::Response(CorrelationId(correlation), Box::new(response));
    Effect::Send(ConnectionId(connection), frame)
}

fn request(
    connection: u32,
    correlation: u32,
    request: Request,
) -> Effect<ControllerTimer, NoReport> {
    let frame = Frame::Request(CorrelationId(correlation), Box::new(request));
    Effect::Send(ConnectionId(connection), frame)
}

fn endpoint(id: ControllerId) -> Endpoint {
    Endpoint { node: NodeId(id.0), listener: Listener::Controller }
}

fn own_fetch(of: u32, from: u64, last: u32) -> Request {
    fetch(Some(SELF), of, from, last)
}

#[test]
fn a_vote_is_on_disk_before_it_is_given_and_is_given_once() {
    let mut voter = Voter::boot("3.9", disk(&[1, 1], following(1, SECOND)));
    let ask = |candidate: ControllerId, of: u32, end: u64| {
        Request::Vote(VoteRequest {
            epoch: epoch(of),
            candidate,
            last_epoch: epoch(1),
            last_epoch_end_offset: offset(end),
            pre_vote: false,
        })
    };
    let vote = |granted, of: u32| {
        let controller = KnownController { leader: None, epoch: epoch(of) };
        Response::Vote(VoteResponse { voter: SELF, granted, controller })
    };
    // The candidate's log is too short; its epoch counts all the same.
    assert_eq!(voter.ask(50, 0, ask(THIRD, 2, 1)), [response(50, 0, vote(false, 2))]);
    assert_eq!(voter.ask(50, 1, ask(THIRD, 3, 2)), [response(50, 1, vote(true, 3))]);
    let voted = QuorumState { epoch: epoch(3), voted_for: Some(THIRD), leader: None };
    assert_eq!(voter.disk.quorum_state, voted);
    assert_eq!(voter.ask(51, 0, ask(SECOND, 3, 2)), [response(51, 0, vote(false, 3))]);
    assert_eq!(voter.ask(50, 2, ask(THIRD, 3, 2)), [response(50, 2, vote(true, 3))]);
    assert_eq!(voter.ask(50, 3, ask(THIRD, 2, 2)), [response(50, 3, vote(false, 3))]);
    // Its next life remembers.
    let mut voter = Voter::boot("3.9", voter.disk);
    assert_eq!(voter.ask(51, 0, ask(SECOND, 3, 2)), [response(51, 0, vote(false, 3))]);
}

#[test]
fn a_follower_fetches_again_only_when_its_log_is_on_disk() {
    let mut voter = Voter::boot("3.9", disk(&[1], following(1, SECOND)));
    assert_eq!(voter.effects, [Effect::Connect(ConnectionId(0), endpoint(SECOND))]);
    let effects = voter.step(Input::Connected(ConnectionId(0)));
    assert_eq!(effects, [request(0, 0, own_fetch(1, 1, 1))]);

    let news = fetched((Some(SECOND), 1), 1, &[entry(1, 1)]);
    let effects = voter.answer(0, 0, Response::QuorumFetch(news));
    assert_eq!(effects, [Effect::Flush(FlushId(0), FlushTarget::MetadataLog)]);
    assert_eq!(voter.flushed(0), [request(0, 1, own_fetch(1, 2, 1))]);
    let view = voter.controller.view();
    assert_eq!((view.log_end, view.high_watermark), (offset(2), offset(1)));
    assert_eq!(voter.facts, [], "a follower states nothing");
}

#[test]
fn a_follower_cuts_what_its_leader_does_not_have() {
    let mut voter = Voter::boot("3.9", disk(&[1, 1, 1], following(2, SECOND)));
    voter.step(Input::Connected(ConnectionId(0)));
    let mut news = fetched((Some(SECOND), 2), 1, &[]);
    news.diverging = Some((epoch(1), offset(2)));
    let effects = voter.answer(0, 0, Response::QuorumFetch(news));
    assert_eq!(effects, [request(0, 1, own_fetch(2, 2, 1))]);
    assert_eq!(voter.controller.view().log_end, offset(2));
}

#[test]
fn what_a_crash_left_in_the_page_cache_is_flushed_before_the_first_fetch() {
    let mut disk = disk(&[1], following(1, SECOND));
    disk.metadata_log.append(entry(1, 1));
    let mut voter = Voter::boot("3.9", disk);
    assert_eq!(voter.effects, [Effect::Flush(FlushId(0), FlushTarget::MetadataLog)]);
    assert_eq!(voter.flushed(0), [Effect::Connect(ConnectionId(0), endpoint(SECOND))]);
}

#[test]
fn entries_of_earlier_epochs_commit_only_with_one_of_the_leaders_own() {
    let mut voter = Voter::leader("3.9");
    let of = voter.epoch();
    voter.flushed(0);
    assert!(!voter.controller.is_active());
    // A majority has the inherited entry, and still it is not committed.
    voter.ask(60, 0, fetch(Some(THIRD), of, 1, 1));
    assert_eq!(voter.controller.view().high_watermark, offset(0));
    voter.ask(60, 1, fetch(Some(THIRD), of, 2, of));
    assert_eq!(voter.controller.view().high_watermark, offset(2));
    assert!(voter.controller.is_active());
}

#[test]
fn the_leaders_own_disk_counts_only_when_it_is_flushed() {
    let mut voter = Voter::leader("3.9");
    let of = voter.epoch();
    voter.ask(60, 0, fetch(Some(THIRD), of, 2, of));
    assert_eq!(voter.controller.view().high_watermark, offset(0));
    voter.flushed(0);
    assert_eq!(voter.controller.view().high_watermark, offset(2));
}

#[test]
fn a_waiting_fetch_learns_of_the_high_watermark_by_kip_1166_or_only_later() {
    for (version, at_once) in [("4.0", false), ("4.1", true)] {
        let mut voter = Voter::leader(version);
        let of = voter.epoch();
        voter.flushed(0);
        let own = voter.disk.metadata_log.entries()[1].clone();
        let answer = |high_watermark, entries: &[Arc<MetadataEntry>]| {
            Response::QuorumFetch(fetched((Some(SELF), of), high_watermark, entries))
        };
        // A broker reads the log and waits for more.
        let effects = voter.ask(70, 0, fetch(None, of, 1, 1));
        assert_eq!(effects, [response(70, 0, answer(0, &[own]))]);
        assert_eq!(voter.ask(70, 1, fetch(None, of, 2, of)), []);
        // A voter makes a majority.
        let effects = voter.ask(60, 0, fetch(Some(THIRD), of, 2, of));
        let told = response(70, 1, answer(2, &[]));
        assert_eq!(effects.contains(&told), at_once, "{version}: {effects:?}");
        let effects = voter.timer_after_ms(500, ControllerTimer::FetchPurgatory);
        let late = response(70, 1, answer(0, &[]));
        assert_eq!(effects.contains(&late), !at_once, "{version}: {effects:?}");
    }
}

#[test]
fn a_fetch_is_refused_by_epoch_and_by_whom_does_not_lead() {
    let refused = |voter: &mut Voter, of, error| {
        let quorum = voter.controller.view().quorum;
        let mut refusal = fetched((quorum.leader, quorum.epoch.0), 0, &[]);
        refusal.error = error;
        let expected = [response(70, 0, Response::QuorumFetch(refusal))];
        assert_eq!(voter.ask(70, 0, fetch(None, of, 1, 1)), expected);
    };
    let mut follower = Voter::boot("3.9", disk(&[1], following(2, SECOND)));
    refused(&mut follower, 1, ErrorCode::FencedLeaderEpoch);
    refused(&mut follower, 2, ErrorCode::NotLeaderOrFollower);
    refused(&mut follower, 3, ErrorCode::UnknownLeaderEpoch);
}

#[test]
fn a_leader_without_a_majority_resigns_and_names_its_successors() {
    let mut voter = Voter::leader("3.9");
    let of = voter.epoch();
    voter.flushed(0);
    voter.ask(60, 0, fetch(Some(THIRD), of, 1, 1));
    voter.facts.clear();
    voter.timer_after_ms(3_000, ControllerTimer::CheckQuorum);
    assert_eq!(voter.facts, [TraceEvent::ControllerResigned { epoch: epoch(of) }]);
    assert_eq!(voter.controller.view().role, "resigned");
    let end = Request::EndQuorumEpoch(EndQuorumEpochRequest {
        epoch: epoch(of),
        leader: SELF,
        preferred_successors: vec![THIRD, SECOND],
    });
    let sent = |effect: &Effect<ControllerTimer, NoReport>| match effect {
        Effect::Send(_, Frame::Request(_, request)) => Some((**request).clone()),
        _ => None,
    };
    let requests: Vec<_> = voter.effects.iter().filter_map(sent).collect();
    assert_eq!(requests, [end]);
}

#[test]
fn a_former_leader_starts_resigned_and_does_not_write_in_its_old_epoch() {
    let mut voter = Voter::boot("3.9", disk(&[1], following(1, SELF)));
    assert_eq!(voter.controller.view().role, "resigned");
    voter.timer_after_ms(2_000, ControllerTimer::Election);
    assert_eq!((voter.controller.view().role, voter.epoch()), ("candidate", 2));
}

#[test]
fn nobody_but_the_active_controller_serves_brokers() {
    let mut voter = Voter::boot("3.9", disk(&[1], following(1, SECOND)));
    let heartbeat = Request::BrokerHeartbeat(BrokerHeartbeatRequest {
        broker: BrokerId(1),
        broker_epoch: BrokerEpoch(0),
        current_metadata_offset: offset(0),
        want_fence: false,
        want_shut_down: false,
    });
    let refusal = BrokerHeartbeatResponse {
        error: ErrorCode::NotController,
        is_caught_up: false,
        is_fenced: true,
        should_shut_down: false,
        controller: KnownController { leader: Some(SECOND), epoch: epoch(1) },
    };
    let expected = [response(70, 0, Response::BrokerHeartbeat(refusal))];
    assert_eq!(voter.ask(70, 0, heartbeat), expected);
}

#[test]
fn a_deposed_controller_says_so_to_whom_waits_and_forgets_what_was_not_committed() {
    let mut voter = Voter::leader("3.9");
    let of = voter.epoch();
    voter.flushed(0);
    voter.ask(60, 0, fetch(Some(THIRD), of, 2, of));
    assert!(voter.controller.is_active());
    let registration = Request::BrokerRegistration(BrokerRegistrationRequest {
        broker: BrokerId(1),
        incarnation: Incarnation(0),
        node: NodeId(101),
        previous_broker_epoch: None,
    });
    assert_eq!(voter.ask(80, 0, registration), []);
    assert_eq!(voter.controller.view().brokers.len(), 1);
    let begin = BeginQuorumEpochRequest { epoch: epoch(of + 1), leader: THIRD };
    let effects = voter.ask(61, 0, Request::BeginQuorumEpoch(begin));
    let refusal = BrokerRegistrationResponse {
        error: ErrorCode::NotController,
        broker_epoch: BrokerEpoch(0),
        controller: KnownController { leader: Some(THIRD), epoch: epoch(of + 1) },
    };
    let refusal = response(80, 0, Response::BrokerRegistration(refusal));
    assert!(effects.contains(&refusal), "{effects:?}");
    let view = voter.controller.view();
    assert_eq!((view.brokers.len(), view.log_end), (0, offset(2)));
}
