//! Markers on their way from a coordinator to the leaders of a transaction's partitions.
//!
//! Mirrors `TransactionMarkerChannelManager` and `TransactionMarkerRequestCompletionHandler`: a
//! queue per broker, one WriteTxnMarkers in flight to each, itself included. What is refused or
//! lost goes to whoever leads by then. When every marker is written, the end of the transaction
//! goes into the log, and only then may the next one begin.
//!
//! Simplified: where the same broker refuses and nothing new is known, Kafka asks again at once,
//! round trip after round trip; here after [`RETRY_BACKOFF`]. As in Kafka, what waits for a leader
//! to be known, or for the log to take the end, is looked at again when anything else happens, or
//! after `request.timeout.ms`.

use super::{AfterWrite, Place, StateWrite};
use crate::broker::inter_broker_channel::{InterBrokerPurpose, REQUEST_TIMEOUT};
use crate::broker::{Broker, BrokerCx, BrokerTimer};
use acklab_vocab::api::{WritableTxnMarker, WriteTxnMarkersRequest, WriteTxnMarkersResponse};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{BrokerId, ProducerEpoch, ProducerId, TopicPartition, TransactionalId};
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::transaction::{TransactionMetadata, TransactionRecord, TransactionResult};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// How long a refused marker waits before the same broker is asked again.
const RETRY_BACKOFF: SimDuration = SimDuration::from_millis(10);

/// The ends of transactions that are on their way.
#[derive(Debug, Default)]
pub(super) struct Markers {
    by_broker: BTreeMap<BrokerId, Vec<PendingMarker>>,
    /// Their partitions have no leader that is alive.
    unknown: Vec<PendingMarker>,
    /// Refused, and to be sent again at that instant.
    refused: VecDeque<(SimTime, PendingMarker)>,
    /// What goes into the log when all markers of an id are written.
    completions: BTreeMap<TransactionalId, Completion>,
    /// Ends that the log did not take.
    unwritten: Vec<(Place, Arc<TransactionRecord>)>,
}

#[derive(Debug)]
struct Completion {
    place: Place,
    value: TransactionMetadata,
}

/// One transaction's end, for the partitions of one broker (`TxnMarkerEntry`).
#[derive(Clone, Debug, PartialEq, Eq)]
struct PendingMarker {
    place: Place,
    producer_id: ProducerId,
    producer_epoch: ProducerEpoch,
    result: TransactionResult,
    version_2: bool,
    partitions: Vec<TopicPartition>,
}

/// Markers in flight.
#[derive(Debug)]
pub(in crate::broker) struct MarkerSend {
    to: BrokerId,
    markers: Vec<PendingMarker>,
}

impl Markers {
    /// The broker no longer coordinates by `partition` (`removeMarkersForTxnTopicPartition`).
    pub fn forget(&mut self, partition: TopicPartition) {
        let stays = |place: &Place| place.partition != partition;
        for queue in self.by_broker.values_mut() {
            queue.retain(|marker| stays(&marker.place));
        }
        self.unknown.retain(|marker| stays(&marker.place));
        self.refused.retain(|(_, marker)| stays(&marker.place));
        self.completions.retain(|_, completion| stays(&completion.place));
        self.unwritten.retain(|(place, _)| stays(place));
    }

    fn cancel(&mut self, place: Place) {
        if self.completions.get(&place.id).is_some_and(|it| it.place == place) {
            self.completions.remove(&place.id);
        }
    }

    fn has_waiting(&self) -> bool {
        !self.unknown.is_empty() || !self.unwritten.is_empty()
    }
}

impl super::TransactionCoordinator {
    /// Markers wait to be sent to `broker`.
    pub fn has_markers_for(&self, broker: BrokerId) -> bool {
        self.markers.by_broker.get(&broker).is_some_and(|queue| !queue.is_empty())
    }

    /// Everything that waits to be sent to `broker`, in one request.
    pub fn take_markers_for(
        &mut self,
        broker: BrokerId,
    ) -> Option<(WriteTxnMarkersRequest, MarkerSend)> {
        let markers = self.markers.by_broker.get_mut(&broker).map(std::mem::take)?;
        if markers.is_empty() {
            return None;
        }
        let entry = |marker: &PendingMarker| WritableTxnMarker {
            producer_id: marker.producer_id,
            producer_epoch: marker.producer_epoch,
            coordinator_epoch: marker.place.epoch,
            result: marker.result,
            partitions: marker.partitions.clone(),
            version_2: marker.version_2,
        };
        let request = WriteTxnMarkersRequest { markers: markers.iter().map(entry).collect() };
        Some((request, MarkerSend { to: broker, markers }))
    }
}

impl Broker {
    /// A transaction is decided: sends its markers, then writes `value` (`addTxnMarkersToSend`).
    pub(super) fn send_markers(
        &mut self,
        cx: &mut BrokerCx<'_>,
        place: Place,
        result: TransactionResult,
        value: TransactionMetadata,
    ) {
        let Some(transaction) = self.transaction_coordinator.get_mut(place) else { return };
        let marker = PendingMarker {
            place,
            producer_id: transaction.producer_id,
            producer_epoch: transaction.producer_epoch.unwrap_or_default(),
            result,
            version_2: transaction.version_2,
            partitions: transaction.partitions.clone(),
        };
        let completion = Completion { place, value };
        self.transaction_coordinator.markers.completions.insert(place.id, completion);
        self.place_marker(cx, marker, None);
        self.maybe_write_completion(cx, place);
        self.look_after_waiting(cx);
    }

    /// Puts a marker into the queues of its partitions' leaders (`addTxnMarkersToBrokerQueue`).
    /// `refused_by`: who has just refused it.
    fn place_marker(
        &mut self,
        cx: &mut BrokerCx<'_>,
        marker: PendingMarker,
        refused_by: Option<BrokerId>,
    ) {
        let mut by_leader: BTreeMap<Option<BrokerId>, Vec<TopicPartition>> = BTreeMap::new();
        for &partition in &marker.partitions {
            let image = &self.shared.image;
            let Some(state) = image.partition(partition) else {
                // It is not known to exist: nobody waits for its marker.
                self.remove_partition(marker.place, partition);
                continue;
            };
            let alive = |&leader: &BrokerId| image.broker(leader).is_some_and(|it| !it.fenced);
            by_leader.entry(state.leader.filter(alive)).or_default().push(partition);
        }
        for (leader, partitions) in by_leader {
            let marker = PendingMarker { partitions, ..marker.clone() };
            match leader {
                None => self.transaction_coordinator.markers.unknown.push(marker),
                Some(leader) if refused_by == Some(leader) => {
                    let at = cx.now() + RETRY_BACKOFF;
                    let refused = &mut self.transaction_coordinator.markers.refused;
                    if refused.is_empty() {
                        cx.set_timer(BrokerTimer::MarkerRetry, at);
                    }
                    refused.push_back((at, marker));
                }
                Some(leader) => {
                    let queues = &mut self.transaction_coordinator.markers.by_broker;
                    queues.entry(leader).or_default().push(marker);
                    self.advance_inter_broker(cx, InterBrokerPurpose::Markers, leader);
                }
            }
        }
    }

    fn remove_partition(&mut self, place: Place, partition: TopicPartition) {
        if let Some(transaction) = self.transaction_coordinator.get_mut(place) {
            transaction.partitions.retain(|&other| other != partition);
        }
    }

    /// Writes the end of a transaction if no marker is missing (`maybeWriteTxnCompletion`).
    fn maybe_write_completion(&mut self, cx: &mut BrokerCx<'_>, place: Place) {
        let coordinator = &mut self.transaction_coordinator;
        let is_done = coordinator.get_mut(place).is_some_and(|it| it.partitions.is_empty());
        let waits = coordinator.markers.completions.get(&place.id);
        if !is_done || waits.is_none_or(|completion| completion.place != place) {
            return;
        }
        if let Some(completion) = coordinator.markers.completions.remove(&place.id) {
            let value = Some(completion.value);
            let record = Arc::new(TransactionRecord { transactional_id: place.id, value });
            let then = AfterWrite::Complete;
            self.append_transaction(cx, StateWrite { place, record, then });
        }
    }

    /// The log did not take the end of a transaction: it is tried again later.
    pub(super) fn retry_completion(
        &mut self,
        cx: &mut BrokerCx<'_>,
        place: Place,
        record: Arc<TransactionRecord>,
    ) {
        self.transaction_coordinator.markers.unwritten.push((place, record));
        cx.set_timer_after(BrokerTimer::MarkersWaiting, REQUEST_TIMEOUT);
    }

    /// Something has happened: looks again at what waits (`generateRequests`).
    fn look_after_waiting(&mut self, cx: &mut BrokerCx<'_>) {
        if !self.transaction_coordinator.markers.has_waiting() {
            return;
        }
        for (place, record) in std::mem::take(&mut self.transaction_coordinator.markers.unwritten) {
            let then = AfterWrite::Complete;
            self.append_transaction(cx, StateWrite { place, record, then });
        }
        for marker in std::mem::take(&mut self.transaction_coordinator.markers.unknown) {
            self.place_marker(cx, marker, None);
        }
        if self.transaction_coordinator.markers.has_waiting() {
            cx.set_timer_after(BrokerTimer::MarkersWaiting, REQUEST_TIMEOUT);
        }
    }

    pub(in crate::broker) fn on_markers_waiting(&mut self, cx: &mut BrokerCx<'_>) {
        self.look_after_waiting(cx);
    }

    pub(in crate::broker) fn on_marker_retry(&mut self, cx: &mut BrokerCx<'_>) {
        let now = cx.now();
        while let Some((at, _)) = self.transaction_coordinator.markers.refused.front() {
            if *at > now {
                cx.set_timer(BrokerTimer::MarkerRetry, *at);
                return;
            }
            if let Some((_, marker)) = self.transaction_coordinator.markers.refused.pop_front() {
                self.place_marker(cx, marker, None);
            }
        }
    }

    /// A broker has answered.
    pub(in crate::broker) fn on_markers_written(
        &mut self,
        cx: &mut BrokerCx<'_>,
        sent: MarkerSend,
        answer: &WriteTxnMarkersResponse,
    ) {
        for marker in sent.markers {
            let errors = answer.partitions.iter().filter(|it| it.0 == marker.producer_id);
            let mut refused = Vec::new();
            let mut is_void = self.transaction_place(marker.place.id) != Ok(marker.place);
            for &(_, partition, error) in errors {
                if is_void || !marker.partitions.contains(&partition) {
                    continue;
                }
                match error {
                    ErrorCode::None => self.remove_partition(marker.place, partition),
                    // A newer producer or coordinator: the transaction is not this one's to end.
                    ErrorCode::InvalidProducerEpoch | ErrorCode::TransactionCoordinatorFenced => {
                        is_void = true;
                    }
                    _ => refused.push(partition),
                }
            }
            let place = marker.place;
            if is_void {
                self.transaction_coordinator.markers.cancel(place);
            } else if refused.is_empty() {
                self.maybe_write_completion(cx, place);
            } else {
                let marker = PendingMarker { partitions: refused, ..marker };
                self.place_marker(cx, marker, Some(sent.to));
            }
        }
        self.look_after_waiting(cx);
    }

    /// The connection to a broker is lost: what was sent and what waited goes to whoever leads now.
    pub(in crate::broker) fn on_markers_lost(
        &mut self,
        cx: &mut BrokerCx<'_>,
        to: BrokerId,
        sent: Option<MarkerSend>,
    ) {
        let waiting = self.transaction_coordinator.markers.by_broker.get_mut(&to);
        let waiting = waiting.map(std::mem::take).unwrap_or_default();
        for marker in sent.into_iter().flat_map(|sent| sent.markers).chain(waiting) {
            if self.transaction_place(marker.place.id) == Ok(marker.place) {
                self.place_marker(cx, marker, None);
            } else {
                self.transaction_coordinator.markers.cancel(marker.place);
            }
        }
        self.look_after_waiting(cx);
    }
}
