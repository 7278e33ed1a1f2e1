//! Asking a transaction's coordinator whether a write belongs to it (KIP-890).
//!
//! Mirrors `AddPartitionsToTxnManager` and `Partition.maybeStartTransactionVerification`. A
//! producer of `transaction.version` 2 does not add its partitions; the same request does it for
//! it. Simplified: one transaction per request, where Kafka puts those that wait for the same
//! coordinator together.

use super::inter_broker_channel::InterBrokerPurpose;
use super::log::VerificationGuard;
use super::{Broker, BrokerCx};
use acklab_vocab::api::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, CoordinatorKey, TransactionSupport,
};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{BrokerId, ProducerEpoch, ProducerId, TopicPartition, TransactionalId};
use acklab_vocab::record::ProducerStamp;
use acklab_vocab::time::SimTime;
use smallvec::SmallVec;
use std::collections::{BTreeMap, VecDeque};

/// Who waits for a verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum VerificationWaiter {
    /// A produce request, by its number among those held.
    Produce(u64),
    /// A TxnOffsetCommit, by its number among those held.
    OffsetCommit(u64),
}

/// What a write wants to be verified.
#[derive(Clone, Debug)]
pub(super) struct VerificationRequest {
    /// Whose transaction.
    pub transactional_id: TransactionalId,
    /// The producer id.
    pub producer_id: ProducerId,
    /// Its epoch.
    pub producer_epoch: ProducerEpoch,
    /// The partitions, each once.
    pub partitions: Vec<TopicPartition>,
    /// What the producer knows of KIP-890.
    pub support: TransactionSupport,
    /// Who waits.
    pub waiter: VerificationWaiter,
}

/// Partitions that may not be written to, and why.
pub(super) type VerificationErrors = SmallVec<[(TopicPartition, ErrorCode); 1]>;

/// The verifications under way.
#[derive(Debug, Default)]
pub(super) struct TransactionVerifier {
    /// By coordinator, in the order of arrival; one per transactional id.
    queues: BTreeMap<BrokerId, VecDeque<VerificationRequest>>,
}

impl TransactionVerifier {
    /// Something waits to be sent to `broker`.
    pub fn has_request_for(&self, broker: BrokerId) -> bool {
        self.queues.get(&broker).is_some_and(|queue| !queue.is_empty())
    }

    /// The next request to `broker`.
    pub fn take_request_for(
        &mut self,
        broker: BrokerId,
    ) -> Option<(AddPartitionsToTxnRequest, VerificationRequest)> {
        let request = self.queues.get_mut(&broker)?.pop_front()?;
        let add = AddPartitionsToTxnRequest {
            transactional_id: request.transactional_id,
            producer_id: request.producer_id,
            producer_epoch: request.producer_epoch,
            partitions: request.partitions.clone(),
            verify_only: request.support != TransactionSupport::AddPartition,
        };
        Some((add, request))
    }
}

fn all_failed(request: &VerificationRequest, error: ErrorCode) -> VerificationErrors {
    request.partitions.iter().map(|&partition| (partition, error)).collect()
}

/// Puts a request behind those that wait. There is one of each transactional id: of two, the newer
/// stays, unless its epoch is older; the other is returned, with what to answer
/// (`AddPartitionsToTxnManager.addTxnData`).
fn enqueue(
    queue: &mut VecDeque<VerificationRequest>,
    request: VerificationRequest,
) -> Option<(VerificationRequest, ErrorCode)> {
    let same = |other: &VerificationRequest| other.transactional_id == request.transactional_id;
    let Some(at) = queue.iter().position(same) else {
        queue.push_back(request);
        return None;
    };
    let waiting = queue[at].producer_epoch;
    if waiting > request.producer_epoch {
        return Some((request, ErrorCode::InvalidProducerEpoch));
    }
    // The producer is sending again: another error that makes it do so, unless it is fenced.
    let is_fenced = waiting < request.producer_epoch;
    let error =
        if is_fenced { ErrorCode::InvalidProducerEpoch } else { ErrorCode::NetworkException };
    Some((std::mem::replace(&mut queue[at], request), error))
}

/// What the writer learns of a coordinator's refusal (`AddPartitionsToTxnHandler`): producers
/// expect INVALID_PRODUCER_EPOCH where they are fenced, and older ones do not know
/// TRANSACTION_ABORTABLE.
fn refusal(error: ErrorCode, support: TransactionSupport) -> ErrorCode {
    match error {
        ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
        ErrorCode::TransactionAbortable if support == TransactionSupport::DefaultError => {
            ErrorCode::InvalidTxnState
        }
        other => other,
    }
}

impl Broker {
    /// Begins to verify a write to a partition that this broker leads; no guard if the transaction
    /// has written there already.
    ///
    /// # Errors
    /// Those of [`Broker::led`].
    pub(super) fn begin_verification(
        &mut self,
        now: SimTime,
        partition: TopicPartition,
        stamp: &ProducerStamp,
        support: TransactionSupport,
    ) -> Result<Option<VerificationGuard>, ErrorCode> {
        let slot = self.led(partition, None)?;
        let version_2 = support == TransactionSupport::AddPartition;
        Ok(self.replicas[slot].log.begin_verification(now, stamp, version_2))
    }

    /// Asks the coordinator. The waiter is called back, perhaps at once.
    pub(super) fn verify_transaction(
        &mut self,
        cx: &mut BrokerCx<'_>,
        request: VerificationRequest,
    ) {
        let key = CoordinatorKey::Transaction(request.transactional_id);
        let image = &self.shared.image;
        let leader = self
            .coordinators
            .partition_of(image, key)
            .and_then(|partition| image.partition(partition)?.leader)
            .filter(|&leader| image.broker(leader).is_some_and(|known| !known.fenced));
        let Some(leader) = leader else {
            let errors = all_failed(&request, ErrorCode::CoordinatorNotAvailable);
            self.finish_verification(cx, request.waiter, errors);
            return;
        };
        let queue = self.transaction_verifier.queues.entry(leader).or_default();
        if let Some((overtaken, error)) = enqueue(queue, request) {
            let errors = all_failed(&overtaken, error);
            self.finish_verification(cx, overtaken.waiter, errors);
        }
        self.advance_inter_broker(cx, InterBrokerPurpose::Verification, leader);
    }

    pub(super) fn on_verification_answered(
        &mut self,
        cx: &mut BrokerCx<'_>,
        sent: VerificationRequest,
        answer: &AddPartitionsToTxnResponse,
    ) {
        let support = sent.support;
        let refused = answer.partitions.iter().filter(|(_, error)| !error.is_none());
        let errors =
            refused.map(|&(partition, error)| (partition, refusal(error, support))).collect();
        self.finish_verification(cx, sent.waiter, errors);
    }

    /// The connection to a coordinator is lost: neither what was sent nor what waited is verified.
    pub(super) fn on_verification_lost(
        &mut self,
        cx: &mut BrokerCx<'_>,
        to: BrokerId,
        sent: Option<VerificationRequest>,
    ) {
        let queue = self.transaction_verifier.queues.get_mut(&to).map(std::mem::take);
        for send in sent.into_iter().chain(queue.into_iter().flatten()) {
            let errors = all_failed(&send, ErrorCode::NetworkException);
            self.finish_verification(cx, send.waiter, errors);
        }
    }

    fn finish_verification(
        &mut self,
        cx: &mut BrokerCx<'_>,
        waiter: VerificationWaiter,
        errors: VerificationErrors,
    ) {
        match waiter {
            VerificationWaiter::Produce(held) => self.on_produce_verified(cx, held, &errors),
            VerificationWaiter::OffsetCommit(held) => {
                self.on_offset_commit_verified(cx, held, &errors);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(id: u16, epoch: u16, waiter: u64) -> VerificationRequest {
        VerificationRequest {
            transactional_id: TransactionalId(id),
            producer_id: ProducerId(7),
            producer_epoch: ProducerEpoch(epoch),
            partitions: vec![TopicPartition::new(0, 0)],
            support: TransactionSupport::DefaultError,
            waiter: VerificationWaiter::Produce(waiter),
        }
    }

    #[test]
    fn of_one_transactional_id_the_newest_question_waits() {
        let mut queue = VecDeque::new();
        let mut put = |id, epoch, number| {
            let overtaken = enqueue(&mut queue, request(id, epoch, number));
            overtaken.map(|(request, error)| (request.waiter, error))
        };
        let waiter = VerificationWaiter::Produce;
        assert_eq!(put(0, 1, 1), None);
        assert_eq!(put(1, 0, 2), None);
        assert_eq!(put(0, 1, 3), Some((waiter(1), ErrorCode::NetworkException)));
        assert_eq!(put(0, 0, 4), Some((waiter(4), ErrorCode::InvalidProducerEpoch)));
        assert_eq!(put(0, 2, 5), Some((waiter(3), ErrorCode::InvalidProducerEpoch)));
        let left: Vec<_> = queue.iter().map(|request| request.waiter).collect();
        assert_eq!(left, [waiter(5), waiter(2)]);
    }

    #[test]
    fn a_writer_is_told_what_it_understands() {
        use TransactionSupport::{AddPartition, DefaultError, GenericError};
        let abortable = ErrorCode::TransactionAbortable;
        let cases = [
            (abortable, DefaultError, ErrorCode::InvalidTxnState),
            (abortable, GenericError, abortable),
            (ErrorCode::ProducerFenced, AddPartition, ErrorCode::InvalidProducerEpoch),
            (ErrorCode::NotCoordinator, DefaultError, ErrorCode::NotCoordinator),
        ];
        for (error, support, expected) in cases {
            assert_eq!(refusal(error, support), expected, "{error} {support:?}");
        }
    }
}
