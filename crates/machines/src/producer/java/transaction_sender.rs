//! The sender's thread and its transactional requests:
//! `Sender.maybeSendAndPollTransactionalRequest`.
//!
//! Kafka's sender is one thread. While a transactional request is on its way it sends no batches;
//! while it waits for a coordinator's connection it only reads answers; and before it sends such a
//! request again it *sleeps*, and nothing is read or sent until it wakes. So a transaction costs
//! latency where a coordinator is slow, and even the first InitProducerId, which is put back once
//! to find the coordinator, comes `retry.backoff.ms` late.

use super::JavaProducer;
use super::transaction_requests::TransactionRequest;
use super::transactions::{NextRequest, Transactions};
use crate::client::Loss;
use crate::producer::ProducerCx;
use acklab_vocab::api::{CoordinatorKey, Endpoint, Listener, Response};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::BrokerId;
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::TraceEvent;

/// Where the sender's thread is held up, with the request that it has taken from the queue.
#[derive(Clone, Debug, Default)]
pub(super) enum Hold {
    /// Nowhere.
    #[default]
    None,
    /// Until the connection to the broker can take the request, or is given up (`awaitNodeReady`).
    Node { request: TransactionRequest, broker: BrokerId, until: SimTime },
    /// Asleep before a request is sent again.
    Asleep { request: TransactionRequest, broker: BrokerId, until: SimTime },
    /// Asleep because no broker could be asked; then the request goes back to the queue.
    Idle { request: TransactionRequest, until: SimTime },
}

/// Whether the sender's turn goes on with batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It does.
    Batches,
    /// It ends here. Whether anything was done, so that another turn follows at once.
    Over(bool),
}

impl Hold {
    /// When the thread goes on by itself.
    pub const fn until(&self) -> SimTime {
        match self {
            Hold::None => SimTime::NEVER,
            Hold::Node { until, .. } | Hold::Asleep { until, .. } | Hold::Idle { until, .. } => {
                *until
            }
        }
    }

    /// The thread neither reads nor sends.
    pub fn is_asleep(&self, now: SimTime) -> bool {
        match self {
            Hold::None | Hold::Node { .. } => false,
            Hold::Asleep { until, .. } | Hold::Idle { until, .. } => *until > now,
        }
    }
}

impl JavaProducer {
    pub(super) fn transactions(&self) -> Option<&Transactions> {
        self.transaction_manager.as_ref()?.transactions.as_ref()
    }

    pub(super) fn transactions_mut(&mut self) -> Option<&mut Transactions> {
        self.transaction_manager.as_mut()?.transactions.as_mut()
    }

    /// A transactional request is on its way, or about to be.
    pub(super) fn is_held(&self) -> bool {
        !matches!(self.hold, Hold::None)
            || self.transactions().is_some_and(|it| it.in_flight.is_some())
    }

    /// The part of a turn that is about transactions.
    pub(super) fn run_transactional(&mut self, cx: &mut ProducerCx<'_>) -> Turn {
        if !matches!(self.hold, Hold::None) {
            return Turn::Over(self.resume_hold(cx));
        }
        let has_incomplete = self.accumulator.incomplete > 0;
        let id = self.transaction_manager.as_ref().and_then(|manager| manager.id());
        let Some(transactions) = self.transactions() else { return Turn::Batches };
        let error = transactions.last_error();
        if let Some(error) = error.filter(|_| transactions.has_fatal_error()) {
            return Turn::Over(self.abort_batches(cx, error));
        }
        if transactions.in_flight.is_some() {
            return Turn::Over(false);
        }
        if transactions.drops_unsent_batches() {
            self.abort_undrained_batches(cx, error.unwrap_or(ErrorCode::TransactionAborted));
        }
        let has_incomplete = has_incomplete && self.accumulator.incomplete > 0;
        let Some(transactions) = self.transactions_mut() else { return Turn::Batches };
        match transactions.next_request(id, has_incomplete) {
            NextRequest::Nothing => Turn::Batches,
            NextRequest::Settled => Turn::Over(true),
            NextRequest::Send(request) => Turn::Over(self.dispatch(cx, request)),
        }
    }

    /// Finds the broker for a request and waits for its connection. Returns whether anything was
    /// done.
    fn dispatch(&mut self, cx: &mut ProducerCx<'_>, request: TransactionRequest) -> bool {
        let Some(transactions) = self.transactions_mut() else { return false };
        let target = match transactions.coordinator_key(&request) {
            None => self.client.least_loaded(cx),
            Some(key) => {
                let coordinator = match key {
                    CoordinatorKey::Group(_) => transactions.group_coordinator,
                    CoordinatorKey::Transaction(_) => transactions.coordinator,
                };
                if coordinator.is_none() {
                    transactions.look_up_and_retry(request);
                    return true;
                }
                coordinator
            }
        };
        match target {
            Some(broker) => self.await_node(cx, request, broker),
            None => {
                let until = cx.now() + self.config.client.retry_backoff;
                self.hold = Hold::Idle { request, until };
                false
            }
        }
    }

    fn await_node(
        &mut self,
        cx: &mut ProducerCx<'_>,
        request: TransactionRequest,
        broker: BrokerId,
    ) -> bool {
        let until = cx.now() + self.client.request_timeout();
        self.await_node_until(cx, request, broker, until)
    }

    fn await_node_until(
        &mut self,
        cx: &mut ProducerCx<'_>,
        request: TransactionRequest,
        broker: BrokerId,
        until: SimTime,
    ) -> bool {
        if self.client.ready(cx, broker) {
            if request.is_retry {
                let pause = request.pause(self.config.client.retry_backoff);
                self.hold = Hold::Asleep { request, broker, until: cx.now() + pause };
                return false;
            }
            self.send_transactional(cx, request, broker);
            return true;
        }
        if until > cx.now() && !self.client.has_no_connection(broker) {
            self.hold = Hold::Node { request, broker, until };
            return false;
        }
        self.find_coordinator_and_retry(cx, request)
    }

    /// A broker could not be reached (`maybeFindCoordinatorAndRetry`).
    fn find_coordinator_and_retry(
        &mut self,
        cx: &mut ProducerCx<'_>,
        request: TransactionRequest,
    ) -> bool {
        let Some(transactions) = self.transactions_mut() else { return false };
        if transactions.coordinator_key(&request).is_some() {
            transactions.look_up_and_retry(request);
            return true;
        }
        let until = cx.now() + self.config.client.retry_backoff;
        self.client.request_update();
        self.hold = Hold::Idle { request, until };
        false
    }

    /// Goes on where the thread was held up, if it can.
    fn resume_hold(&mut self, cx: &mut ProducerCx<'_>) -> bool {
        match std::mem::take(&mut self.hold) {
            Hold::None => false,
            Hold::Node { request, broker, until } => {
                self.await_node_until(cx, request, broker, until)
            }
            Hold::Asleep { request, broker, until } if until <= cx.now() => {
                if self.client.is_ready(broker, cx.now()) {
                    self.send_transactional(cx, request, broker);
                } else if let Some(transactions) = self.transactions_mut() {
                    // It was written to a connection that had ended meanwhile.
                    transactions.look_up_and_retry(request);
                }
                true
            }
            Hold::Idle { request, until } if until <= cx.now() => {
                if let Some(transactions) = self.transactions_mut() {
                    transactions.retry(request);
                }
                true
            }
            sleeping @ (Hold::Asleep { .. } | Hold::Idle { .. }) => {
                self.hold = sleeping;
                false
            }
        }
    }

    fn send_transactional(
        &mut self,
        cx: &mut ProducerCx<'_>,
        request: TransactionRequest,
        broker: BrokerId,
    ) {
        let Some(transactions) = self.transactions_mut() else { return };
        let built = transactions.build(&request.kind);
        transactions.in_flight = Some(request);
        self.client.send(cx, broker, built, super::sender::Purpose::Transactional);
    }

    /// A transactional request is over.
    pub(super) fn on_transactional_completion(
        &mut self,
        cx: &mut ProducerCx<'_>,
        result: Result<&Response, Loss>,
    ) {
        let Some(manager) = &mut self.transaction_manager else { return };
        match result {
            Ok(response) => {
                if let Response::FindCoordinator(answer) = response
                    && let Some((broker, node)) = answer.coordinator
                {
                    self.client.know(broker, Endpoint { node, listener: Listener::Broker });
                }
                let assigned = manager.on_transactional_response(response);
                if let Some((producer_id, producer_epoch)) = assigned {
                    cx.trace(|| TraceEvent::ProducerIdAssigned { producer_id, producer_epoch });
                }
            }
            Err(_) => {
                if let Some(transactions) = &mut manager.transactions {
                    transactions.on_lost();
                }
            }
        }
    }
}
