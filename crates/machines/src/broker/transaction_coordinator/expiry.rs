//! What the coordinator does by itself: it aborts transactions that take too long, and forgets ids
//! that are not used.
//!
//! Mirrors `TransactionCoordinator.abortTimedOutTransactions` and
//! `TransactionStateManager.removeExpiredTransactionalIds`. Nothing is left out.

use super::end_transaction::EndWaiter;
use super::metadata::EndRequest;
use super::{Place, TransactionWrite, state_fact};
use crate::broker::coordination::{Acknowledgement, AppendWaiter, CoordinatorAppend, plain_batch};
use crate::broker::inter_broker_channel::REQUEST_TIMEOUT;
use crate::broker::{Broker, BrokerCx, BrokerTimer};
use acklab_vocab::ids::ProducerEpoch;
use acklab_vocab::record::Payload;
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::time::SimDuration;
use acklab_vocab::transaction::{TransactionRecord, TransactionResult, TransactionState};
use std::sync::Arc;

/// `transaction.remove.expired.transaction.cleanup.interval.ms`
pub(super) const EXPIRATION_INTERVAL: SimDuration = SimDuration::from_secs(3_600);

impl Broker {
    pub(in crate::broker) fn on_abort_timed_out_transactions(&mut self, cx: &mut BrokerCx<'_>) {
        let interval = self.shared.config.transactions.abort_timed_out_interval;
        cx.set_timer_after(BrokerTimer::AbortTimedOutTransactions, interval);
        let now = cx.now();
        let mut late = Vec::new();
        for partition in self.transaction_coordinator.partitions.values() {
            let transactions = partition.transactions.iter();
            late.extend(transactions.filter(|(_, it)| it.is_timed_out(now)).map(|(&id, _)| id));
        }
        for id in late {
            let Ok((_, transaction)) = self.transaction(id) else { continue };
            if transaction.pending.is_some() {
                continue;
            }
            let producer_epoch = transaction.prepare_fence();
            let end = EndRequest {
                producer_id: transaction.producer_id,
                producer_epoch,
                result: TransactionResult::Abort,
                from_client: false,
                version_2: self.shared.has(ProtocolRule::TransactionsVersion2),
            };
            self.end_transaction(cx, id, end, EndWaiter::Nobody);
        }
    }

    pub(in crate::broker) fn on_transactional_id_expiration(&mut self, cx: &mut BrokerCx<'_>) {
        cx.set_timer_after(BrokerTimer::TransactionalIdExpiration, EXPIRATION_INTERVAL);
        let (now, limit) = (cx.now(), self.shared.config.transactions.id_expiration);
        let mut expired = Vec::new();
        for (&partition, loaded) in &mut self.transaction_coordinator.partitions {
            for (&id, transaction) in &mut loaded.transactions {
                if transaction.is_expired(now, limit) {
                    transaction.pending = Some(TransactionState::Dead);
                    let place = Place { id, partition, epoch: loaded.epoch };
                    expired.push((place, transaction.producer_epoch));
                }
            }
        }
        for entry in expired {
            self.append_tombstone(cx, entry);
        }
    }

    fn append_tombstone(&mut self, cx: &mut BrokerCx<'_>, expired: (Place, Option<ProducerEpoch>)) {
        let place = expired.0;
        let record = TransactionRecord { transactional_id: place.id, value: None };
        let append = CoordinatorAppend {
            partition: place.partition,
            batch: plain_batch(Payload::Transaction(Arc::new(record))),
            acknowledgement: Acknowledgement::Replicated,
            deadline: cx.now() + REQUEST_TIMEOUT,
        };
        let waiter = AppendWaiter::Transaction(TransactionWrite::Tombstone(place, expired.1));
        self.append_as_coordinator(cx, append, waiter);
    }

    pub(super) fn on_tombstone_written(
        &mut self,
        cx: &mut BrokerCx<'_>,
        place: Place,
        producer_epoch: Option<ProducerEpoch>,
        written: bool,
    ) {
        let Some(transaction) = self.transaction_coordinator.get_mut(place) else { return };
        let unchanged = transaction.pending == Some(TransactionState::Dead)
            && transaction.producer_epoch == producer_epoch;
        transaction.pending = None;
        if !written || !unchanged {
            return;
        }
        transaction.state = TransactionState::Dead;
        let fact = state_fact(place.id, transaction);
        if let Some(loaded) = self.transaction_coordinator.partitions.get_mut(&place.partition) {
            loaded.transactions.remove(&place.id);
        }
        cx.trace(|| fact);
    }
}
