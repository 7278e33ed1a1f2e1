//! Produce requests of transactions, held until the transaction's coordinator has been asked.
//!
//! Mirrors `ReplicaManager.handleProduceAppend` with `maybeRetryOnConcurrentTransactions`
//! (KIP-890). A producer of `transaction.version` 2 may begin a transaction while the markers of
//! its last one are on their way: its write is verified anew, from the beginning, every 20 ms, and
//! only after 100 ms is the producer told.

use super::log::VerificationGuard;
use super::transaction_verification::{
    VerificationErrors, VerificationRequest, VerificationWaiter,
};
use super::{Broker, BrokerCx, BrokerTimer};
use acklab_vocab::api::{ProduceRequest, TransactionSupport};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{ConnectionId, CorrelationId, TopicPartition};
use acklab_vocab::time::{SimDuration, SimTime};
use smallvec::SmallVec;
use std::collections::{BTreeMap, VecDeque};

/// `add.partitions.to.txn.retry.backoff.ms` (4.0)
const RETRY_BACKOFF: SimDuration = SimDuration::from_millis(20);
/// `add.partitions.to.txn.retry.backoff.max.ms` (4.0)
const RETRY_LIMIT: SimDuration = SimDuration::from_millis(100);

/// A request that is to be verified.
#[derive(Debug)]
pub(super) struct VerifyingProduce {
    /// Whom to answer.
    pub connection: ConnectionId,
    /// To be repeated in the response.
    pub correlation: CorrelationId,
    /// What was asked.
    pub request: ProduceRequest,
    /// When it came.
    pub began: SimTime,
}

/// What is known of a request's batches before they are appended.
#[derive(Debug, Default)]
pub(super) struct Verified {
    /// Those that were let in by a verification.
    guards: SmallVec<[(TopicPartition, VerificationGuard); 1]>,
    /// Those that are refused.
    errors: VerificationErrors,
}

impl Verified {
    /// The proof that a partition's batch was let in, if it needed one.
    pub fn guard(&self, partition: TopicPartition) -> Option<VerificationGuard> {
        self.guards.iter().find(|(guarded, _)| *guarded == partition).map(|&(_, guard)| guard)
    }

    /// Why a partition's batch is refused.
    pub fn error(&self, partition: TopicPartition) -> Option<ErrorCode> {
        self.errors.iter().find(|(refused, _)| *refused == partition).map(|&(_, error)| error)
    }
}

/// The produce requests that wait for a transaction's coordinator.
#[derive(Debug, Default)]
pub(super) struct VerifyingProduces {
    last: u64,
    waiting: BTreeMap<u64, (VerifyingProduce, Verified)>,
    /// Those to be verified anew, by the instant at which.
    retries: VecDeque<(SimTime, VerifyingProduce)>,
}

impl VerifyingProduces {
    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.retries.is_empty()
    }
}

impl Broker {
    /// Asks the coordinator of the request's transaction about the partitions to which it has not
    /// written yet.
    pub(super) fn verify_produce(&mut self, cx: &mut BrokerCx<'_>, produce: VerifyingProduce) {
        let support = produce.request.transaction_support;
        let mut verified = Verified::default();
        let mut producer = None;
        for entry in &produce.request.partitions {
            let Some(stamp) = entry.batch.stamp.filter(|_| entry.batch.transactional) else {
                continue;
            };
            producer = Some((stamp.id, stamp.epoch));
            let partition = entry.partition;
            match self.begin_verification(cx.now(), partition, &stamp, support) {
                Ok(Some(guard)) => verified.guards.push((partition, guard)),
                Ok(None) => {}
                Err(error) => verified.errors.push((partition, error)),
            }
        }
        let (Some(transactional_id), Some((producer_id, producer_epoch)), false) =
            (produce.request.transactional_id, producer, verified.guards.is_empty())
        else {
            self.append_verified(cx, &produce, &verified);
            return;
        };
        self.verifying_produces.last += 1;
        let number = self.verifying_produces.last;
        let question = VerificationRequest {
            transactional_id,
            producer_id,
            producer_epoch,
            partitions: verified.guards.iter().map(|&(partition, _)| partition).collect(),
            support,
            waiter: VerificationWaiter::Produce(number),
        };
        self.verifying_produces.waiting.insert(number, (produce, verified));
        self.verify_transaction(cx, question);
    }

    /// The coordinator has answered, or cannot be asked.
    pub(super) fn on_produce_verified(
        &mut self,
        cx: &mut BrokerCx<'_>,
        number: u64,
        errors: &VerificationErrors,
    ) {
        let waiting = self.verifying_produces.waiting.remove(&number);
        let Some((produce, mut verified)) = waiting else { return };
        let support = produce.request.transaction_support;
        let concurrent = errors.iter().any(|it| it.1 == ErrorCode::ConcurrentTransactions);
        let in_time = cx.now() < produce.began + RETRY_LIMIT;
        if concurrent && in_time && support == TransactionSupport::AddPartition {
            let at = cx.now() + RETRY_BACKOFF;
            if self.verifying_produces.retries.is_empty() {
                cx.set_timer(BrokerTimer::VerificationRetry, at);
            }
            self.verifying_produces.retries.push_back((at, produce));
            return;
        }
        let told = |&(partition, error): &(TopicPartition, ErrorCode)| {
            (partition, verification_error(error, support))
        };
        verified.errors.extend(errors.iter().map(told));
        self.append_verified(cx, &produce, &verified);
    }

    pub(super) fn on_verification_retry(&mut self, cx: &mut BrokerCx<'_>) {
        let now = cx.now();
        let retries = &mut self.verifying_produces.retries;
        let later = retries.iter().position(|(at, _)| *at > now).unwrap_or(retries.len());
        let due: Vec<_> = retries.drain(..later).collect();
        if let Some((at, _)) = retries.front() {
            cx.set_timer(BrokerTimer::VerificationRetry, *at);
        }
        for (_, produce) in due {
            self.verify_produce(cx, produce);
        }
    }

    fn append_verified(
        &mut self,
        cx: &mut BrokerCx<'_>,
        produce: &VerifyingProduce,
        verified: &Verified,
    ) {
        let VerifyingProduce { connection, correlation, request, .. } = produce;
        self.append_produce(cx, *connection, *correlation, request, verified);
    }
}

/// What a producer is told when its transaction could not be verified. Errors that an older one
/// would not send again for become one that it does, and that asks for no metadata.
fn verification_error(error: ErrorCode, support: TransactionSupport) -> ErrorCode {
    match error {
        ErrorCode::ConcurrentTransactions if support == TransactionSupport::AddPartition => error,
        ErrorCode::ConcurrentTransactions
        | ErrorCode::NetworkException
        | ErrorCode::CoordinatorLoadInProgress
        | ErrorCode::CoordinatorNotAvailable
        | ErrorCode::NotCoordinator => ErrorCode::NotEnoughReplicas,
        other => other,
    }
}
