//! The threads that handle requests, as far as they can be held up: by a partition's lock that is
//! held while ZooKeeper is waited for.
//!
//! Mirrors `KafkaRequestHandlerPool` (`num.io.threads`) and the scope of
//! `Partition.leaderIsrUpdateLock` and `ReplicaManager.replicaStateChangeLock`. A request that
//! needs such a lock holds its thread; when all threads are held, no request at all is handled,
//! whatever it is about. Simplified: a request of several partitions waits before its first one,
//! not at the one that is locked; what timers do (a coordinator's expiry, a fetch that has waited
//! long enough) does not wait.

use crate::broker::{Broker, BrokerCx, Requester};
use acklab_vocab::api::{CoordinatorKey, FetchRequest, FetchSessionUpdate, Request};
use acklab_vocab::ids::{ConnectionId, TopicPartition};
use acklab_vocab::rules::ProtocolRule;
use std::collections::VecDeque;

/// The threads, and the queue before them.
#[derive(Debug)]
pub(in crate::broker) struct RequestThreads {
    /// `num.io.threads`
    count: usize,
    /// Requests that hold a thread, in order of arrival.
    waiting: VecDeque<HeldRequest>,
    /// Requests for which there is no thread, in order of arrival.
    queue: VecDeque<HeldRequest>,
}

#[derive(Debug)]
struct HeldRequest {
    requester: Requester,
    request: Request,
    /// Its connection is gone: there is nobody to answer.
    is_orphan: bool,
}

impl RequestThreads {
    /// So many threads, all free.
    pub(super) fn new(count: u16) -> Self {
        RequestThreads {
            count: usize::from(count.max(1)),
            waiting: VecDeque::new(),
            queue: VecDeque::new(),
        }
    }

    /// Nothing waits.
    pub(super) fn are_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many requests hold a thread.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many wait for a thread.
    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// A connection is gone. What it asked for is still done.
    pub(in crate::broker) fn forget(&mut self, connection: ConnectionId) {
        let held = self.waiting.iter_mut().chain(&mut self.queue);
        for it in held.filter(|it| it.requester.connection == connection) {
            it.is_orphan = true;
        }
    }
}

/// It changes replicas, or what is known of the cluster, under one lock for all of them.
fn changes_replica_state(request: &Request) -> bool {
    matches!(
        request,
        Request::LeaderAndIsr(_) | Request::UpdateMetadata(_) | Request::StopReplica(_)
    )
}

impl Broker {
    /// A request has been read: it is handled, unless it has to wait.
    pub(in crate::broker) fn on_request_by_threads(
        &mut self,
        cx: &mut BrokerCx<'_>,
        requester: Requester,
        request: Request,
    ) {
        let is_orphan = false;
        self.take_thread(cx, HeldRequest { requester, request, is_orphan });
    }

    fn take_thread(&mut self, cx: &mut BrokerCx<'_>, held: HeldRequest) {
        let threads = &self.membership.zookeeper().threads;
        if threads.waiting.len() >= threads.count {
            self.membership.zookeeper().threads.queue.push_back(held);
        } else if self.waits_for_lock(&held, usize::MAX) {
            self.membership.zookeeper().threads.waiting.push_back(held);
        } else {
            self.handle_held(cx, held);
        }
    }

    fn handle_held(&mut self, cx: &mut BrokerCx<'_>, held: HeldRequest) {
        let HeldRequest { requester, request, is_orphan } = held;
        // A fetch would be remembered for a connection that is gone.
        if !(is_orphan && matches!(request, Request::Fetch(_))) {
            self.handle_request(cx, requester, request);
        }
    }

    /// A lock has been given back: those who waited for it go on, in order, then those for whom
    /// there was no thread.
    pub(super) fn resume_threads(&mut self, cx: &mut BrokerCx<'_>) {
        while let Some(at) = self.first_to_go_on() {
            if let Some(held) = self.membership.zookeeper().threads.waiting.remove(at) {
                self.handle_held(cx, held);
            }
        }
        loop {
            let threads = &mut self.membership.zookeeper().threads;
            if threads.waiting.len() >= threads.count {
                return;
            }
            let Some(held) = threads.queue.pop_front() else { return };
            self.take_thread(cx, held);
        }
    }

    fn first_to_go_on(&self) -> Option<usize> {
        let waiting = &self.membership.by_zookeeper()?.threads.waiting;
        (0..waiting.len()).find(|&at| !self.waits_for_lock(&waiting[at], at))
    }

    /// Whether a request waits for a lock that a write to ZooKeeper holds, or that one of the first
    /// `before` requests holds, which wait themselves.
    fn waits_for_lock(&self, held: &HeldRequest, before: usize) -> bool {
        let Some(own) = self.membership.by_zookeeper() else { return false };
        if own.isr_writes.are_idle() {
            return false;
        }
        let mut earlier = own.threads.waiting.iter().take(before);
        if changes_replica_state(&held.request)
            && earlier.any(|it| changes_replica_state(&it.request))
        {
            return true;
        }
        self.needs_held_lock(held.requester.connection, &held.request)
    }

    /// Whether a request needs the lock of a partition whose ISR is being written.
    fn needs_held_lock(&self, connection: ConnectionId, request: &Request) -> bool {
        let is_held = |partition: TopicPartition| {
            self.replicas.slot(partition).is_some_and(|slot| self.is_locked(slot))
        };
        let coordinates = |key: CoordinatorKey| {
            self.coordinators.partition_of(&self.shared.image, key).is_some_and(is_held)
        };
        let group = |group| coordinates(CoordinatorKey::Group(group));
        let transaction = |id| coordinates(CoordinatorKey::Transaction(id));
        let readers_wait = self.shared.has(ProtocolRule::ReadUnderPartitionLock);
        match request {
            Request::Produce(it) => it.partitions.iter().any(|entry| is_held(entry.partition)),
            Request::Fetch(it) => {
                (readers_wait || it.replica.is_some()) && self.fetches_locked(connection, it)
            }
            Request::ListOffsets(it) => {
                readers_wait && it.partitions.iter().any(|&(partition, ..)| is_held(partition))
            }
            Request::OffsetsForLeaderEpoch(it) => {
                it.partitions.iter().any(|&(partition, ..)| is_held(partition))
            }
            Request::LeaderAndIsr(it) => it.partitions.iter().any(|state| is_held(state.partition)),
            Request::WriteTxnMarkers(it) => {
                it.markers.iter().flat_map(|marker| &marker.partitions).any(|&it| is_held(it))
            }
            Request::OffsetCommit(it) => group(it.group),
            Request::TxnOffsetCommit(it) => group(it.group),
            Request::SyncGroup(it) => group(it.group),
            Request::AddPartitionsToTxn(it) => transaction(it.transactional_id),
            Request::AddOffsetsToTxn(it) => transaction(it.transactional_id),
            Request::EndTxn(it) => transaction(it.transactional_id),
            Request::InitProducerId(it) => it.transactional.is_some_and(|(id, _)| transaction(id)),
            _ => false,
        }
    }

    /// Whether a fetch reads a partition whose lock is held: one that it names, or one that its
    /// session has.
    fn fetches_locked(&self, connection: ConnectionId, request: &FetchRequest) -> bool {
        let Some(own) = self.membership.by_zookeeper() else { return false };
        own.isr_writes.slots().any(|slot| {
            let partition = &self.replicas[slot];
            let is_named = request.partitions.iter().any(|it| it.partition == partition.id);
            is_named
                || match &request.session {
                    FetchSessionUpdate::Full => false,
                    FetchSessionUpdate::Incremental { forgotten } => {
                        let mut watchers = partition.fetch_watchers.iter();
                        !forgotten.contains(&partition.id)
                            && watchers.any(|watcher| {
                                let session = self.fetch_sessions.get(watcher.session);
                                session.connection == connection
                            })
                    }
                }
        })
    }
}
