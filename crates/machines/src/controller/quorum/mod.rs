//! The metadata quorum: Raft as Kafka speaks it (`KafkaRaftClient`, `QuorumState`, KIP-595,
//! KIP-996).
//!
//! Followers pull: a voter's fetch offset is its acknowledgement, because it fetches only when
//! everything before is on its disk. A voter writes `quorum-state` before it answers. The entries
//! of an epoch commit by a majority of voters' disks; those of earlier epochs only together with
//! the epoch's own first entry.
//!
//! Left out: snapshots (the log of a run is short), changes of the voter set (KIP-853), and the
//! search of a voter without leader for one by fetching from everybody; the leader's
//! BeginQuorumEpoch, repeated every half fetch timeout, finds it.

mod election;
mod fetch;
pub(super) mod log;
mod role;

pub(super) use fetch::ParkedFetch;
pub(super) use role::Role;

use super::peers::Peers;
use super::timers::LazyTimer;
use super::{ControllerCx, ControllerTimer};
use crate::disk::{FlushId, FlushTarget};
use acklab_vocab::api::{
    BeginQuorumEpochRequest, EndQuorumEpochRequest, Endpoint, KnownController, QuorumFetchRequest,
    Request, Response, VoteRequest,
};
use acklab_vocab::config::ControllerConfig;
use acklab_vocab::ids::{ConnectionId, ControllerEpoch, ControllerId, CorrelationId};
use acklab_vocab::ids::{MetadataOffset, NodeId};
use acklab_vocab::metadata_log::{MetadataEntry, MetadataRecord};
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::TraceEvent;
use role::{
    Candidate, Follower, Leader, Prospective, Resigned, Unattached, VoterState, Votes, majority_end,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How long a leader may keep a follower's fetch waiting (`KafkaRaftClient.MAX_FETCH_WAIT_MS`).
const FETCH_MAX_WAIT: SimDuration = SimDuration::from_millis(500);

/// One voter's part of the quorum.
#[derive(Clone, Debug)]
pub(super) struct Quorum {
    id: ControllerId,
    node: NodeId,
    config: Arc<ControllerConfig>,
    /// The other voters, ascending.
    others: Vec<ControllerId>,
    peers: Peers,
    epoch: ControllerEpoch,
    role: Role,
    /// First offset that this voter does not know to be committed. Only rises within one life.
    high_watermark: MetadataOffset,
    /// The flush that is under way, and the end of the log when it began. One at a time, as on
    /// Kafka's raft thread.
    flush: Option<(FlushId, MetadataOffset)>,
    next_flush: u64,
    election: LazyTimer,
    fetch_timeout: LazyTimer,
    check_quorum: LazyTimer,
    parked: Vec<ParkedFetch>,
    purgatory: LazyTimer,
    /// The high watermark that was last sent on a connection (KIP-1166: the request says it; here
    /// the leader remembers).
    sent_high_watermarks: BTreeMap<ConnectionId, MetadataOffset>,
}

impl Quorum {
    /// Starts where the last life ended (`QuorumState.initialize`).
    pub(super) fn boot(
        cx: &mut ControllerCx<'_>,
        id: ControllerId,
        config: Arc<ControllerConfig>,
        voters: &[(ControllerId, Endpoint)],
    ) -> Self {
        let others: Vec<_> = voters.iter().filter(|(voter, _)| *voter != id).copied().collect();
        let persisted = cx.disk().quorum_state;
        let log_epoch = log::last_epoch(cx.disk().metadata_log.entries());
        let mut quorum = Quorum {
            id,
            node: cx.node(),
            peers: Peers::new(&others, &config),
            others: others.iter().map(|(voter, _)| *voter).collect(),
            config,
            epoch: persisted.epoch.max(log_epoch),
            role: Role::Unattached(Unattached { voted_for: None }),
            high_watermark: MetadataOffset(0),
            flush: None,
            next_flush: 0,
            election: LazyTimer::new(ControllerTimer::Election),
            fetch_timeout: LazyTimer::new(ControllerTimer::FetchTimeout),
            check_quorum: LazyTimer::new(ControllerTimer::CheckQuorum),
            parked: Vec::new(),
            purgatory: LazyTimer::new(ControllerTimer::FetchPurgatory),
            sent_high_watermarks: BTreeMap::new(),
        };
        // What the last life left in the page cache counts only once it is on the disk.
        quorum.flush(cx);
        quorum.role = quorum.first_role(persisted.epoch < log_epoch, &persisted);
        if matches!(quorum.role, Role::Follower(_)) {
            quorum.reset_fetch_timeout(cx);
        } else {
            quorum.reset_election_timeout(cx);
        }
        quorum.persist(cx);
        if quorum.others.is_empty() {
            quorum.become_candidate(cx);
        }
        quorum
    }

    fn first_role(&self, log_is_ahead: bool, persisted: &crate::disk::QuorumState) -> Role {
        if log_is_ahead {
            return Role::Unattached(Unattached { voted_for: None });
        }
        match (persisted.leader, persisted.voted_for) {
            // A former leader starts resigned: it cannot vote in this epoch again, nor write to it.
            (Some(leader), _) if leader == self.id => Role::Resigned(Resigned {
                unacknowledged: self.others.clone(),
                preferred_successors: Vec::new(),
            }),
            (_, Some(candidate)) if candidate == self.id => Role::Candidate(Candidate {
                votes: self.new_votes(),
                retries: 1,
                backing_off: false,
            }),
            (_, Some(candidate)) => Role::Unattached(Unattached { voted_for: Some(candidate) }),
            (Some(leader), None) => Role::Follower(Follower { leader, has_fetched: false }),
            (None, None) => Role::Unattached(Unattached { voted_for: None }),
        }
    }

    pub(super) fn epoch(&self) -> ControllerEpoch {
        self.epoch
    }

    pub(super) fn high_watermark(&self) -> MetadataOffset {
        self.high_watermark
    }

    pub(super) fn role_name(&self) -> &'static str {
        self.role.name()
    }

    pub(super) fn is_leader(&self) -> bool {
        matches!(self.role, Role::Leader(_))
    }

    /// The epoch that this voter leads, once the epoch's own first entry is committed.
    pub(super) fn established_epoch(&self) -> Option<ControllerEpoch> {
        match &self.role {
            Role::Leader(leader) if self.high_watermark > leader.epoch_start => Some(self.epoch),
            Role::Leader(_)
            | Role::Unattached(_)
            | Role::Prospective(_)
            | Role::Candidate(_)
            | Role::Follower(_)
            | Role::Resigned(_) => None,
        }
    }

    /// Who leads, as far as this voter knows.
    pub(super) fn known_controller(&self) -> KnownController {
        KnownController { leader: self.role.leader(self.id), epoch: self.epoch }
    }

    /// Sends what is to be sent to every peer that is ready.
    pub(super) fn poll(&mut self, cx: &mut ControllerCx<'_>) {
        let last_epoch = log::last_epoch(cx.disk().metadata_log.entries());
        let end = cx.disk().metadata_log.end_offset();
        let Quorum { id, node, epoch, role, flush, peers, .. } = self;
        let role = &*role;
        let vote = |votes: &Votes, peer: ControllerId, pre_vote: bool| {
            (!votes.is_lost() && !votes.is_recorded(peer)).then_some(Request::Vote(VoteRequest {
                epoch: *epoch,
                candidate: *id,
                last_epoch,
                last_epoch_end_offset: end,
                pre_vote,
            }))
        };
        peers.poll(cx, |peer| match role {
            Role::Unattached(_) => None,
            Role::Prospective(prospective) => vote(&prospective.votes, peer, true),
            Role::Candidate(candidate) if candidate.backing_off => None,
            Role::Candidate(candidate) => vote(&candidate.votes, peer, false),
            Role::Follower(follower) => (follower.leader == peer && flush.is_none()).then_some(
                Request::QuorumFetch(QuorumFetchRequest {
                    node: *node,
                    voter: Some(*id),
                    epoch: *epoch,
                    fetch_offset: end,
                    last_fetched_epoch: last_epoch,
                    max_wait: FETCH_MAX_WAIT,
                }),
            ),
            Role::Leader(leader) => {
                let due = leader.voters.iter().any(|voter| voter.id == peer && voter.begin_due);
                due.then_some(Request::BeginQuorumEpoch(BeginQuorumEpochRequest {
                    epoch: *epoch,
                    leader: *id,
                }))
            }
            Role::Resigned(resigned) => resigned.unacknowledged.contains(&peer).then(|| {
                Request::EndQuorumEpoch(EndQuorumEpochRequest {
                    epoch: *epoch,
                    leader: *id,
                    preferred_successors: resigned.preferred_successors.clone(),
                })
            }),
        });
    }

    pub(super) fn on_connected(&mut self, cx: &mut ControllerCx<'_>, connection: ConnectionId) {
        self.peers.on_connected(cx, connection);
    }

    pub(super) fn on_closed(&mut self, cx: &mut ControllerCx<'_>, connection: ConnectionId) {
        if !self.peers.on_closed(cx, connection) {
            self.parked.retain(|parked| parked.connection != connection);
            self.sent_high_watermarks.remove(&connection);
        }
    }

    pub(super) fn on_response(
        &mut self,
        cx: &mut ControllerCx<'_>,
        connection: ConnectionId,
        correlation: CorrelationId,
        response: Response,
    ) {
        let Some(from) = self.peers.on_response(cx, connection, correlation) else { return };
        match response {
            Response::Vote(vote) => self.on_vote_response(cx, &vote),
            Response::BeginQuorumEpoch(begin) => self.on_begin_response(cx, &begin),
            Response::EndQuorumEpoch(end) => {
                self.on_end_response(cx, from, end.controller);
            }
            Response::QuorumFetch(fetch) => self.on_fetch_response(cx, from, fetch),
            _ => unreachable!("a voter asks other voters about the quorum only"),
        }
    }

    pub(super) fn on_peer_timeout(&mut self, cx: &mut ControllerCx<'_>, peer: ControllerId) {
        self.peers.on_request_timeout(cx, peer);
    }

    // ---- the log ------------------------------------------------------------------------------

    /// Appends entries of this leader's own, and lets waiting fetches see them before they are
    /// flushed, as Kafka does.
    pub(super) fn append(
        &mut self,
        cx: &mut ControllerCx<'_>,
        entries: impl IntoIterator<Item = Arc<MetadataEntry>>,
    ) {
        assert!(self.is_leader(), "only the leader appends");
        for entry in entries {
            cx.disk().metadata_log.append(entry);
        }
        self.complete_parked_fetches(cx);
        self.flush(cx);
    }

    fn flush(&mut self, cx: &mut ControllerCx<'_>) {
        let end = cx.disk().metadata_log.end_offset();
        if self.flush.is_some() || cx.disk().metadata_log.flushed_end_offset() >= end {
            return;
        }
        let id = FlushId(self.next_flush);
        self.next_flush += 1;
        self.flush = Some((id, end));
        cx.flush(id, FlushTarget::MetadataLog);
    }

    pub(super) fn on_flushed(&mut self, cx: &mut ControllerCx<'_>, id: FlushId) {
        let Some((_, end)) = self.flush.filter(|(own, _)| *own == id) else { return };
        self.flush = None;
        // What was appended after the flush had been asked for, and before it began, is on disk too.
        let end = end.max(cx.disk().metadata_log.flushed_end_offset());
        if let Role::Leader(leader) = &mut self.role {
            leader.flushed = leader.flushed.max(end);
            self.update_leader_high_watermark(cx);
        }
        self.flush(cx);
    }

    /// Raises the high watermark to what a majority has on disk, once that includes an entry of the
    /// leader's own epoch (`LeaderState.maybeUpdateHighWatermark`).
    fn update_leader_high_watermark(&mut self, cx: &mut ControllerCx<'_>) {
        let Role::Leader(leader) = &self.role else { return };
        let mut ends: Vec<_> = leader.voters.iter().map(|voter| voter.end_offset).collect();
        ends.push(Some(leader.flushed));
        let committed = majority_end(&mut ends);
        let Some(committed) = committed.filter(|&end| end > leader.epoch_start) else { return };
        if committed <= self.high_watermark {
            return;
        }
        self.high_watermark = committed;
        if self.config.rules.has(ProtocolRule::MetadataFetchAwaitsHighWatermark) {
            self.complete_parked_fetches(cx);
        }
    }

    // ---- changes of state ---------------------------------------------------------------------

    fn enter(&mut self, cx: &mut ControllerCx<'_>, epoch: ControllerEpoch, role: Role) {
        assert!(epoch >= self.epoch, "an epoch never falls");
        if self.is_leader() {
            let led = self.epoch;
            cx.trace(|| TraceEvent::ControllerResigned { epoch: led });
        }
        let was_leader = self.is_leader();
        self.epoch = epoch;
        self.role = role;
        self.persist(cx);
        self.peers.reset();
        self.fetch_timeout.clear();
        self.check_quorum.clear();
        if was_leader {
            self.fail_parked_fetches(cx);
        }
    }

    fn persist(&mut self, cx: &mut ControllerCx<'_>) {
        cx.disk().quorum_state = self.role.persisted(self.id, self.epoch);
    }

    fn become_unattached(&mut self, cx: &mut ControllerCx<'_>, epoch: ControllerEpoch) {
        // Who was about to stand for election keeps its turn.
        let keeps_timeout = match &self.role {
            Role::Unattached(_) | Role::Prospective(_) => true,
            Role::Candidate(candidate) => !candidate.backing_off,
            Role::Follower(_) | Role::Leader(_) | Role::Resigned(_) => false,
        };
        self.enter(cx, epoch, Role::Unattached(Unattached { voted_for: None }));
        if !keeps_timeout || self.election.due() == SimTime::NEVER {
            self.reset_election_timeout(cx);
        }
    }

    fn become_follower(
        &mut self,
        cx: &mut ControllerCx<'_>,
        epoch: ControllerEpoch,
        leader: ControllerId,
    ) {
        assert_ne!(leader, self.id, "nobody follows itself");
        self.enter(cx, epoch, Role::Follower(Follower { leader, has_fetched: false }));
        self.election.clear();
        self.reset_fetch_timeout(cx);
    }

    fn become_prospective(&mut self, cx: &mut ControllerCx<'_>) {
        let (leader, voted_for) = match &self.role {
            Role::Unattached(unattached) => (None, unattached.voted_for),
            Role::Follower(follower) => (Some(follower.leader), None),
            Role::Prospective(prospective) => (prospective.leader, prospective.voted_for),
            Role::Candidate(_) => (None, Some(self.id)),
            Role::Leader(_) | Role::Resigned(_) => (None, None),
        };
        let votes = self.new_votes();
        let role = Role::Prospective(Prospective { leader, voted_for, votes });
        self.enter(cx, self.epoch, role);
        self.reset_election_timeout(cx);
        self.conclude_election(cx);
    }

    fn become_candidate(&mut self, cx: &mut ControllerCx<'_>) {
        let retries = match &self.role {
            Role::Candidate(candidate) => candidate.retries + 1,
            Role::Unattached(_)
            | Role::Prospective(_)
            | Role::Follower(_)
            | Role::Leader(_)
            | Role::Resigned(_) => 1,
        };
        let votes = self.new_votes();
        let role = Role::Candidate(Candidate { votes, retries, backing_off: false });
        self.enter(cx, ControllerEpoch(self.epoch.0 + 1), role);
        self.reset_election_timeout(cx);
        self.conclude_election(cx);
    }

    fn become_leader(&mut self, cx: &mut ControllerCx<'_>) {
        let epoch_start = cx.disk().metadata_log.end_offset();
        let flushed = cx.disk().metadata_log.flushed_end_offset();
        let voter =
            |&id: &_| VoterState { id, end_offset: None, has_fetched: false, begin_due: true };
        let voters = self.others.iter().map(voter).collect();
        self.enter(cx, self.epoch, Role::Leader(Leader { epoch_start, voters, flushed }));
        self.election.clear();
        self.reset_check_quorum(cx);
        if !self.others.is_empty() {
            cx.set_timer_after(
                ControllerTimer::BeginQuorumEpoch,
                self.config.quorum_fetch_timeout / 2,
            );
        }
        let (controller, epoch) = (self.id, self.epoch);
        cx.trace(|| TraceEvent::ControllerElected { controller, epoch });
        let records = vec![MetadataRecord::LeaderChange { leader: controller }];
        self.append(cx, [Arc::new(MetadataEntry { offset: epoch_start, epoch, records })]);
        self.update_leader_high_watermark(cx);
    }

    fn resign(&mut self, cx: &mut ControllerCx<'_>) {
        let Role::Leader(leader) = &self.role else { return };
        let mut successors: Vec<_> = leader.voters.iter().map(|v| (v.end_offset, v.id)).collect();
        successors.sort_by(|(a, _), (b, _)| b.cmp(a));
        let role = Role::Resigned(Resigned {
            unacknowledged: self.others.clone(),
            preferred_successors: successors.into_iter().map(|(_, id)| id).collect(),
        });
        self.enter(cx, self.epoch, role);
        self.reset_election_timeout(cx);
    }

    fn new_votes(&self) -> Votes {
        Votes::new(self.others.len() + 1, self.id)
    }

    /// Uniform in `[T, 2T)` of `controller.quorum.election.timeout.ms`.
    fn reset_election_timeout(&mut self, cx: &mut ControllerCx<'_>) {
        let timeout = self.config.quorum_election_timeout;
        let timeout = timeout + SimDuration(cx.rng().below(timeout.0));
        let due = cx.now() + timeout;
        self.election.set(cx, due);
    }

    fn reset_fetch_timeout(&mut self, cx: &mut ControllerCx<'_>) {
        let due = cx.now() + self.config.quorum_fetch_timeout;
        self.fetch_timeout.set(cx, due);
    }

    /// A leader resigns 1.5 fetch timeouts after a majority last fetched
    /// (`CHECK_QUORUM_TIMEOUT_FACTOR`).
    fn reset_check_quorum(&mut self, cx: &mut ControllerCx<'_>) {
        if !self.others.is_empty() {
            let due = cx.now() + self.config.quorum_fetch_timeout * 3 / 2;
            self.check_quorum.set(cx, due);
        }
    }
}
