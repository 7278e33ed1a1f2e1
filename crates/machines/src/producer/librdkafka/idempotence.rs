//! The producer id of librdkafka's producer: `rdkafka_idempotence.c`, without transactions.
//!
//! When messages were given up with their fate unknown, the producer lets everything in flight be
//! answered (*drain*), then raises its epoch and starts sequences anew. Errors that leave no safe
//! way are fatal: everything queued fails, and so does every later `produce()`.

use super::{LibrdkafkaProducer, Purpose};
use crate::producer::ProducerCx;
use acklab_vocab::api::{InitProducerIdRequest, InitProducerIdResponse, Request, Response};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{ProducerEpoch, ProducerId, TopicPartition};
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::{SendOutcome, TraceEvent};

/// Where an idempotent producer stands with its id (`rd_kafka_idemp_state_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IdempotenceState {
    /// To be asked for, not before this instant.
    RequestAt(SimTime),
    /// Asked for.
    AwaitsAnswer,
    /// Given.
    Assigned(ProducerId, ProducerEpoch),
    /// Everything in flight is to be answered, then the epoch rises.
    Drains(ProducerId, ProducerEpoch),
}

/// Between attempts to get an id.
const RETRY_INTERVAL: SimDuration = SimDuration::from_millis(500);

impl LibrdkafkaProducer {
    /// Asks any broker that is up for a producer id, if it is time.
    pub(super) fn maybe_request_producer_id(&mut self, cx: &mut ProducerCx<'_>) {
        let IdempotenceState::RequestAt(at) = self.idempotence else { return };
        if !self.config.idempotence || at > cx.now() {
            return;
        }
        let broker = self.client.least_loaded(cx).filter(|&broker| self.client.ready(cx, broker));
        if let Some(broker) = broker {
            let request = Request::InitProducerId(InitProducerIdRequest {
                transactional: None,
                current: None,
            });
            self.client.send(cx, broker, request, Purpose::InitProducerId);
            self.idempotence = IdempotenceState::AwaitsAnswer;
        } else {
            self.idempotence = IdempotenceState::RequestAt(cx.now() + RETRY_INTERVAL);
        }
    }

    pub(super) fn on_init_producer_id(
        &mut self,
        cx: &mut ProducerCx<'_>,
        response: Option<&Response>,
    ) {
        match response {
            Some(&Response::InitProducerId(InitProducerIdResponse {
                error: ErrorCode::None,
                producer_id,
                producer_epoch,
            })) => self.assign(cx, producer_id, producer_epoch),
            Some(Response::InitProducerId(_)) | None => {
                self.idempotence = IdempotenceState::RequestAt(cx.now() + RETRY_INTERVAL);
            }
            Some(other) => unreachable!("answered InitProducerId with {other:?}"),
        }
    }

    fn assign(&mut self, cx: &mut ProducerCx<'_>, id: ProducerId, epoch: ProducerEpoch) {
        self.idempotence = IdempotenceState::Assigned(id, epoch);
        cx.trace(|| TraceEvent::ProducerIdAssigned { producer_id: id, producer_epoch: epoch });
    }

    /// Sequences have a gap: nothing is sent until all is answered, then the epoch rises
    /// (`rd_kafka_idemp_drain_epoch_bump`).
    pub(super) fn drain_for_epoch_bump(&mut self) {
        if let IdempotenceState::Assigned(id, epoch) = self.idempotence {
            self.idempotence = IdempotenceState::Drains(id, epoch);
        }
    }

    /// Raises the epoch if the drain is over (`rd_kafka_idemp_check_drain_done`).
    pub(super) fn check_drain_done(&mut self, cx: &mut ProducerCx<'_>) {
        if let IdempotenceState::Drains(id, epoch) = self.idempotence
            && self.requests_in_flight == 0
        {
            // `rd_kafka_pid_bump`: after the largest Java short comes 0.
            let next = ProducerEpoch((epoch.0 + 1) & 0x7fff);
            self.assign(cx, id, next);
        }
    }

    /// Gives up for good (`rd_kafka_idemp_set_fatal_error`): what is queued fails, what is in
    /// flight is still answered.
    pub(super) fn fail_fatally(&mut self, cx: &mut ProducerCx<'_>, error: ErrorCode) {
        if self.fatal.is_some() {
            return;
        }
        self.fatal = Some(error);
        let queued = self.toppars.all().filter(|toppar| !toppar.queue.is_empty());
        let queued: Vec<TopicPartition> = queued.map(|toppar| toppar.partition).collect();
        for partition in queued {
            let toppar = self.toppars.get(partition);
            let messages: Vec<_> = toppar.queue.drain(..).collect();
            toppar.queue_bytes = 0;
            self.report(cx, partition, &messages, SendOutcome::Failed(error));
            self.update_standing(partition, cx.now());
        }
    }
}
