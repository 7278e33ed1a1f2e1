//! How a broker follows the metadata log: an observer of the quorum.
//!
//! Mirrors `KafkaRaftClient` as an observer (KIP-595) and `MetadataLoader`: fetches from the
//! quorum's leader, asks another voter when it does not know or cannot reach it, keeps what it
//! fetched on its disk, and publishes what is committed. Everything that one response commits is
//! published at once, as `MetadataBatchLoader` does. Left out: snapshots; the whole log is kept. On
//! a node that is also a voter, Kafka's two roles share one log; here the broker's copy is in
//! memory only.

use super::{Broker, BrokerCx, BrokerTimer, Owner};
use crate::disk::{Disk, MetadataLogFile};
use acklab_vocab::api::{
    Endpoint, KnownController, QuorumFetchRequest, QuorumFetchResponse, Request, Response,
};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{
    ConnectionId, ControllerEpoch, ControllerId, CorrelationId, MetadataOffset,
};
use acklab_vocab::time::SimDuration;
use acklab_vocab::trace::TraceEvent;

/// `KafkaRaftClient.MAX_FETCH_WAIT_MS`
const MAX_FETCH_WAIT: SimDuration = SimDuration::from_millis(500);
/// `controller.quorum.request.timeout.ms` at its default.
const REQUEST_TIMEOUT: SimDuration = SimDuration::from_millis(2_000);
/// `controller.quorum.retry.backoff.ms` at its default.
const RETRY_BACKOFF: SimDuration = SimDuration::from_millis(20);

/// The observer.
#[derive(Debug)]
pub(super) struct MetadataFetch {
    voters: Vec<(ControllerId, Endpoint)>,
    /// The newest epoch, and its leader if known.
    known: KnownController,
    /// The last attempt to reach the leader failed: ask another voter.
    avoid_leader: bool,
    /// Which voter to ask next, when the leader is not known.
    next_voter: usize,
    link: Link,
    next_correlation: u32,
    /// The log, where the disk's belongs to the controller of the same node.
    own_log: Option<MetadataLogFile>,
    high_watermark: MetadataOffset,
    applied: MetadataOffset,
    /// The replicas have been given the first image.
    published: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Closed,
    Connecting(ConnectionId, ControllerId),
    Ready(ConnectionId, ControllerId, CorrelationId),
}

impl MetadataFetch {
    /// An observer that knows no leader yet.
    pub fn new(cx: &mut BrokerCx<'_>, voters: Vec<(ControllerId, Endpoint)>) -> Self {
        assert!(!voters.is_empty(), "a quorum has a voter");
        let node = cx.node();
        let is_combined = voters.iter().any(|(_, endpoint)| endpoint.node == node);
        let next_voter = cx.rng().below(voters.len() as u64) as usize;
        MetadataFetch {
            voters,
            known: KnownController { leader: None, epoch: ControllerEpoch(0) },
            avoid_leader: false,
            next_voter,
            link: Link::Closed,
            next_correlation: 0,
            own_log: is_combined.then(MetadataLogFile::default),
            high_watermark: MetadataOffset(0),
            applied: MetadataOffset(0),
            published: false,
        }
    }

    /// The active controller, if it is known, and where it listens.
    pub fn controller(&self) -> Option<(ControllerId, Endpoint)> {
        let leader = self.known.leader?;
        self.voters.iter().copied().find(|&(voter, _)| voter == leader)
    }

    /// Offset after the last entry applied.
    pub fn applied(&self) -> MetadataOffset {
        self.applied
    }

    /// Everything that it knows to be committed has been applied and published.
    pub fn is_caught_up(&self) -> bool {
        self.published && self.applied == self.high_watermark
    }

    /// The replicas know the cluster.
    pub fn is_published(&self) -> bool {
        self.published
    }

    fn log<'a>(&'a self, disk: &'a Disk) -> &'a MetadataLogFile {
        self.own_log.as_ref().unwrap_or(&disk.metadata_log)
    }

    fn log_mut<'a>(&'a mut self, disk: &'a mut Disk) -> &'a mut MetadataLogFile {
        self.own_log.as_mut().unwrap_or(&mut disk.metadata_log)
    }

    /// Whom to ask: the leader, or the next voter in turn.
    fn target(&mut self) -> (ControllerId, Endpoint) {
        if let Some(leader) = self.controller().filter(|_| !self.avoid_leader) {
            return leader;
        }
        let count = self.voters.len();
        let mut voter = self.voters[self.next_voter % count];
        self.next_voter = (self.next_voter + 1) % count;
        if count > 1 && self.avoid_leader && Some(voter.0) == self.known.leader {
            voter = self.voters[self.next_voter];
            self.next_voter = (self.next_voter + 1) % count;
        }
        voter
    }

    /// Takes over what another node knows, if that is newer. Returns whether the leader is another
    /// one now.
    fn learn(&mut self, controller: KnownController) -> bool {
        let is_newer = controller.epoch > self.known.epoch
            || (controller.epoch == self.known.epoch && self.known.leader.is_none());
        if !is_newer {
            return false;
        }
        let is_another = controller.leader.is_some() && controller.leader != self.known.leader;
        self.known = controller;
        self.avoid_leader = false;
        is_another
    }

    fn request(&self, cx: &mut BrokerCx<'_>) -> QuorumFetchRequest {
        let node = cx.node();
        let log = self.log(cx.disk());
        QuorumFetchRequest {
            node,
            voter: None,
            epoch: self.known.epoch,
            fetch_offset: log.end_offset(),
            last_fetched_epoch: log.entries().last().map_or(ControllerEpoch(0), |e| e.epoch),
            max_wait: MAX_FETCH_WAIT,
        }
    }

    /// Takes entries over that continue the log.
    fn append(&mut self, disk: &mut Disk, response: QuorumFetchResponse) {
        let log = self.log_mut(disk);
        for entry in response.entries {
            if entry.offset == log.end_offset() {
                log.append(entry);
            }
        }
        let end = log.end_offset();
        self.high_watermark = self.high_watermark.max(response.high_watermark.min(end));
    }
}

impl Broker {
    pub(super) fn start_metadata_fetch(&mut self, cx: &mut BrokerCx<'_>) {
        let (controller, endpoint) = self.membership.metadata_fetch().target();
        let connection = self.connect(cx, endpoint, Owner::MetadataFetch);
        self.membership.metadata_fetch().link = Link::Connecting(connection, controller);
        cx.set_timer_after(BrokerTimer::MetadataFetch, REQUEST_TIMEOUT);
    }

    pub(super) fn on_metadata_connected(
        &mut self,
        cx: &mut BrokerCx<'_>,
        connection: ConnectionId,
    ) {
        if let Link::Connecting(awaited, controller) = self.membership.metadata_fetch().link
            && awaited == connection
        {
            self.send_metadata_fetch(cx, connection, controller);
        }
    }

    fn send_metadata_fetch(
        &mut self,
        cx: &mut BrokerCx<'_>,
        connection: ConnectionId,
        controller: ControllerId,
    ) {
        let fetch = self.membership.metadata_fetch();
        let correlation = CorrelationId(fetch.next_correlation);
        fetch.next_correlation += 1;
        fetch.link = Link::Ready(connection, controller, correlation);
        let request = fetch.request(cx);
        cx.request(connection, correlation, Request::QuorumFetch(request));
        cx.set_timer_after(BrokerTimer::MetadataFetch, REQUEST_TIMEOUT);
    }

    pub(super) fn on_metadata_fetch_response(
        &mut self,
        cx: &mut BrokerCx<'_>,
        connection: ConnectionId,
        correlation: CorrelationId,
        response: Response,
    ) {
        let Link::Ready(awaited, controller, sent) = self.membership.metadata_fetch().link else {
            return;
        };
        let Response::QuorumFetch(response) = response else { return };
        if (awaited, sent) != (connection, correlation) {
            return;
        }
        let is_leader = response.controller.leader == Some(controller);
        if !is_leader {
            // Another voter vouches for the leader: worth another attempt.
            self.membership.metadata_fetch().avoid_leader = false;
        }
        self.learn_controller(cx, response.controller);
        match response.error {
            ErrorCode::None => {
                self.membership.metadata_fetch().avoid_leader = false;
                match response.diverging {
                    Some((_, end)) => {
                        // Nothing that was applied can be cut: it was committed.
                        let end = end.max(self.membership.metadata_fetch().applied);
                        let log = self.membership.metadata_fetch().log_mut(cx.disk());
                        if end < log.end_offset() {
                            log.truncate(end);
                        }
                    }
                    None => self.membership.metadata_fetch().append(cx.disk(), response),
                }
                self.send_metadata_fetch(cx, connection, controller);
                self.apply_metadata(cx);
            }
            ErrorCode::FencedLeaderEpoch if is_leader => {
                self.send_metadata_fetch(cx, connection, controller);
            }
            _ => {
                self.close(cx, connection);
                self.membership.metadata_fetch().link = Link::Closed;
                let known = self.membership.metadata_fetch().controller();
                if known.is_some_and(|(leader, _)| leader != controller) {
                    self.start_metadata_fetch(cx);
                } else {
                    cx.set_timer_after(BrokerTimer::MetadataFetch, RETRY_BACKOFF);
                }
            }
        }
    }

    /// The connection was refused, lost or too slow.
    pub(super) fn on_metadata_fetch_failed(&mut self, cx: &mut BrokerCx<'_>) {
        let fetch = self.membership.metadata_fetch();
        if let Link::Connecting(_, controller) | Link::Ready(_, controller, _) = fetch.link {
            fetch.avoid_leader |= fetch.known.leader == Some(controller);
        }
        fetch.link = Link::Closed;
        cx.set_timer_after(BrokerTimer::MetadataFetch, RETRY_BACKOFF);
    }

    pub(super) fn on_metadata_fetch_timer(&mut self, cx: &mut BrokerCx<'_>) {
        match self.membership.metadata_fetch().link {
            Link::Closed => self.start_metadata_fetch(cx),
            Link::Connecting(connection, _) | Link::Ready(connection, ..) => {
                self.close(cx, connection);
                self.on_metadata_fetch_failed(cx);
            }
        }
    }

    /// Somebody has said who leads the quorum.
    pub(super) fn learn_controller(&mut self, cx: &mut BrokerCx<'_>, controller: KnownController) {
        if self.membership.metadata_fetch().learn(controller) {
            self.on_controller_known(cx);
        }
    }

    /// Applies what is committed, and tells the replicas what it changed.
    fn apply_metadata(&mut self, cx: &mut BrokerCx<'_>) {
        let fetch = self.membership.metadata_fetch();
        if fetch.published && fetch.applied == fetch.high_watermark {
            return;
        }
        let own = self.shared.id;
        let was_fenced = self.shared.image.is_fenced(own);
        let mut changed = Vec::new();
        let entries = fetch.own_log.as_ref().unwrap_or(&cx.disk().metadata_log).entries();
        for entry in &entries[fetch.applied.0 as usize..fetch.high_watermark.0 as usize] {
            for record in &entry.records {
                self.shared.image.apply(record, &mut changed);
            }
        }
        fetch.applied = fetch.high_watermark;
        fetch.published = true;
        let fenced = self.shared.image.is_fenced(own);
        if fenced != was_fenced {
            cx.trace(|| TraceEvent::BrokerStateChanged { fenced });
        }
        changed.sort_unstable();
        changed.dedup();
        self.apply_image_changes(cx, &changed);
    }
}
