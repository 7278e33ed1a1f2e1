//! TxnOffsetCommit: a transaction's offsets come to the group's coordinator.
//!
//! Mirrors the way of `KafkaApis.handleTxnOffsetCommitRequest` through
//! `GroupCoordinator.handleTxnCommitOffsets` and
//! `CoordinatorRuntime.scheduleTransactionalWriteOperation`: like a produce, the first offsets of a
//! transaction are verified with its coordinator (KIP-890); whether the member may commit them, and
//! what becomes of them, is the group coordinator's.

use super::log::VerificationGuard;
use super::transaction_verification::{
    VerificationErrors, VerificationRequest, VerificationWaiter,
};
use super::{Broker, BrokerCx, Requester};
use acklab_vocab::api::{CoordinatorKey, TxnOffsetCommitRequest};
use acklab_vocab::ids::BaseSequence;
use acklab_vocab::record::ProducerStamp;
use acklab_vocab::rules::ProtocolRule;
use std::collections::BTreeMap;

/// Requests whose transaction is being verified.
#[derive(Debug, Default)]
pub(super) struct HeldOffsetCommits {
    last: u64,
    held: BTreeMap<u64, HeldOffsetCommit>,
}

#[derive(Debug)]
struct HeldOffsetCommit {
    requester: Requester,
    request: TxnOffsetCommitRequest,
    guard: VerificationGuard,
}

impl HeldOffsetCommits {
    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

impl Broker {
    pub(super) fn on_txn_offset_commit(
        &mut self,
        cx: &mut BrokerCx<'_>,
        requester: Requester,
        request: TxnOffsetCommitRequest,
    ) {
        let partition = match self.coordinated_by(CoordinatorKey::Group(request.group)) {
            Ok(partition) => partition,
            Err(error) => {
                self.refuse_transactional_commit(cx, requester, &request, error);
                return;
            }
        };
        if !self.shared.has(ProtocolRule::VerifyTransactionalWrites) {
            self.commit_transactional_offsets(cx, requester, &request, None);
            return;
        }
        let stamp = ProducerStamp {
            id: request.producer_id,
            epoch: request.producer_epoch,
            base_sequence: BaseSequence(0),
        };
        let support = request.transaction_support;
        match self.begin_verification(cx.now(), partition, &stamp, support) {
            Err(error) => self.refuse_transactional_commit(cx, requester, &request, error),
            Ok(None) => self.commit_transactional_offsets(cx, requester, &request, None),
            Ok(Some(guard)) => {
                self.held_offset_commits.last += 1;
                let number = self.held_offset_commits.last;
                let question = VerificationRequest {
                    transactional_id: request.transactional_id,
                    producer_id: request.producer_id,
                    producer_epoch: request.producer_epoch,
                    partitions: vec![partition],
                    support,
                    waiter: VerificationWaiter::OffsetCommit(number),
                };
                let held = HeldOffsetCommit { requester, request, guard };
                self.held_offset_commits.held.insert(number, held);
                self.verify_transaction(cx, question);
            }
        }
    }

    /// The transaction's coordinator has answered, or cannot be asked.
    pub(super) fn on_offset_commit_verified(
        &mut self,
        cx: &mut BrokerCx<'_>,
        number: u64,
        errors: &VerificationErrors,
    ) {
        let Some(held) = self.held_offset_commits.held.remove(&number) else { return };
        let HeldOffsetCommit { requester, request, guard } = held;
        match errors.first() {
            Some(&(_, error)) => self.refuse_transactional_commit(cx, requester, &request, error),
            None => self.commit_transactional_offsets(cx, requester, &request, Some(guard)),
        }
    }
}
