//! The Scala producer of Kafka 0.8 (`kafka.producer.Producer`).
//!
//! By default `send()` sends: the application's thread is inside until every attempt has ended, and then either returns or
//! raises `FailedToSendMessageException`. With `producer.type=async` it only queues; `ProducerSendThread` takes up to
//! `batch.num.messages` from the queue and handles them. It logs a batch that it could not send and drops it: the application
//! is never told. Either thread handles one batch at a time, and within it one request at a time (`handler`).
//!
//! Here each record is a call of `send()` of its own, and keys are strings. In the trace a record of an asynchronous
//! producer counts as acked when the broker has acked it, although the application is not told of that either.
//!
//! Left out: compression, other partitioners, and the write that fails while it waits for room in the socket with
//! `request.required.acks=0` (it counts as sent). The order of the requests of one attempt is that of the brokers' numbers,
//! where Scala's is that of a hash map.

mod channels;
mod handler;
mod metadata;
#[cfg(test)]
mod tests;

use super::{
    BatchView, Identity, NewRecord, ProducerCall, ProducerCx, ProducerInput, ProducerReport,
    ProducerSetup, ProducerTimer, ProducerView, QueueView, complete,
};
use crate::client::ConnectionState;
use crate::machine::Input;
use acklab_vocab::api::Endpoint;
use acklab_vocab::config::ScalaProducerConfig;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{BrokerId, PartitionIndex, TopicId, TopicPartition};
use acklab_vocab::record::Record;
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::{ClientException, SendOutcome, TraceEvent};
use channels::{Channels, Socket};
use handler::{Handling, Step};
use metadata::TopicInfo;
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::sync::Arc;

/// A message on its way (`KeyedMessage`).
#[derive(Clone, Debug)]
struct Message {
    topic: TopicId,
    record: Record,
    key: Option<SmallVec<[u8; 16]>>,
    partition: Option<PartitionIndex>,
    created_at: SimTime,
    /// How often it has been written to a socket.
    sends: u32,
    /// Why the last attempt failed, and for which partition.
    error: ErrorCode,
    failed_at: Option<TopicPartition>,
}

/// The Scala producer.
#[derive(Clone, Debug)]
pub struct ScalaProducer {
    identity: Identity,
    config: ScalaProducerConfig,
    bootstrap: Vec<(BrokerId, Endpoint)>,
    channels: Channels,
    /// `topicPartitionInfos`
    topics: Vec<TopicInfo>,
    /// `sendPartitionPerTopicCache`
    send_partitions: Vec<(TopicId, PartitionIndex)>,
    topics_to_refresh: Vec<TopicId>,
    last_refresh: Option<SimTime>,
    /// Calls of `send()` that have not returned: the application's thread is inside the first.
    calls: VecDeque<Message>,
    /// When the first of them began.
    call_began: SimTime,
    /// `queue`, of an asynchronous producer.
    queue: VecDeque<Message>,
    /// What its thread has taken from the queue and not yet handled.
    collected: Vec<Message>,
    /// When its thread last handled something, or found nothing to handle.
    last_send: SimTime,
    handling: Option<Handling>,
    /// `close()` has been called.
    closing: bool,
    closed: bool,
    armed: SimTime,
}

impl ScalaProducer {
    pub(super) fn boot(
        cx: &mut ProducerCx<'_>,
        config: &ScalaProducerConfig,
        setup: &ProducerSetup,
    ) -> Self {
        ScalaProducer {
            identity: Identity::of(setup),
            config: config.clone(),
            bootstrap: setup.bootstrap.clone(),
            channels: Channels::default(),
            topics: Vec::new(),
            send_partitions: Vec::new(),
            topics_to_refresh: Vec::new(),
            last_refresh: None,
            calls: VecDeque::new(),
            call_began: cx.now(),
            queue: VecDeque::new(),
            collected: Vec::new(),
            last_send: cx.now(),
            handling: None,
            closing: false,
            closed: false,
            armed: SimTime::NEVER,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.handling.is_none()
            && self.calls.is_empty()
            && self.queue.is_empty()
            && self.collected.is_empty()
    }

    pub(super) fn handle(&mut self, cx: &mut ProducerCx<'_>, input: ProducerInput) {
        match input {
            Input::Call(ProducerCall::Send { topic, records }) => self.on_send(cx, topic, records),
            // It has no transactions, and a scenario gives it none.
            Input::Call(ProducerCall::Transaction(_)) => {}
            Input::Call(ProducerCall::Close) => self.closing = true,
            Input::Timer(ProducerTimer::Wake) => self.armed = SimTime::NEVER,
            Input::Connected(connection) => {
                self.with_handling(cx, |producer, cx, handling| {
                    producer.on_connected(cx, handling, connection);
                });
            }
            Input::Response { correlation, response, .. } => {
                self.with_handling(cx, |producer, cx, handling| {
                    producer.on_response(cx, handling, correlation, &response);
                });
            }
            Input::Closed(connection, reason) => {
                let broker = self.channels.of(connection).map(|channel| channel.broker);
                self.channels.on_closed(connection, reason);
                self.with_handling(cx, |producer, cx, handling| {
                    producer.on_closed(cx, handling, broker, connection);
                });
            }
            Input::WriteBlocked(connection) => {
                if let Some(channel) = self.channels.of(connection) {
                    channel.socket = Socket::Open { connection, write_blocked: true };
                }
            }
            Input::WriteResumed(connection) => {
                if let Some(channel) = self.channels.of(connection) {
                    let broker = channel.broker;
                    channel.socket = Socket::Open { connection, write_blocked: false };
                    self.with_handling(cx, |producer, cx, handling| {
                        if matches!(handling.step, Step::Sending(_)) {
                            producer.take_up(cx, handling, broker);
                        }
                    });
                }
            }
            Input::Request { .. } | Input::Flushed(_) => {
                unreachable!("a producer serves nobody and writes to no disk")
            }
        }
        self.run(cx);
    }

    fn with_handling(
        &mut self,
        cx: &mut ProducerCx<'_>,
        act: impl FnOnce(&mut Self, &mut ProducerCx<'_>, &mut Handling),
    ) {
        if let Some(mut handling) = self.handling.take() {
            act(self, cx, &mut handling);
            self.handling = Some(handling);
        }
    }

    fn on_send(&mut self, cx: &mut ProducerCx<'_>, topic: TopicId, records: Vec<NewRecord>) {
        self.identity.trace_handed_over(cx, &records);
        if self.calls.is_empty() {
            self.call_began = cx.now();
        }
        for new in records {
            self.calls.push_back(Message {
                topic,
                record: self.identity.record(&new),
                key: new.key,
                partition: new.partition,
                created_at: cx.now(),
                sends: 0,
                error: ErrorCode::None,
                failed_at: None,
            });
        }
    }

    /// Lets both threads go on until they wait.
    fn run(&mut self, cx: &mut ProducerCx<'_>) {
        loop {
            if let Some(mut handling) = self.handling.take() {
                self.give_up_refresh(cx, &mut handling);
                let Some(failed) = self.handle_messages(cx, &mut handling) else {
                    self.handling = Some(handling);
                    break;
                };
                self.handled(cx, &failed);
            }
            let next = match self.config.asynchronous {
                true => self.next_batch(cx),
                false => self.calls.pop_front().map(|message| vec![message]),
            };
            match next {
                Some(messages) => {
                    self.handling = Some(Handling::new(messages, self.config.retries));
                }
                None => break,
            }
        }
        self.admit_calls(cx);
        self.close_if_done(cx);
        self.arm(cx);
    }

    /// A batch has been handled; `failed` is what could not be sent, all attempts included.
    fn handled(&mut self, cx: &mut ProducerCx<'_>, failed: &[Message]) {
        self.last_send = cx.now();
        if failed.is_empty() {
            return;
        }
        let reached_application = !self.config.asynchronous;
        let exception = ClientException::FailedToSendMessageException;
        cx.trace(|| TraceEvent::ExceptionRaised { exception, reached_application });
        let same = |one: &Message, other: &Message| {
            (one.failed_at, one.error, one.topic) == (other.failed_at, other.error, other.topic)
        };
        for run in failed.chunk_by(same) {
            self.complete(cx, run[0].failed_at, SendOutcome::Failed(run[0].error), run);
        }
    }

    /// Tells the trace what became of messages, and the application if its thread is inside `send()`.
    fn complete(
        &self,
        cx: &mut ProducerCx<'_>,
        partition: Option<TopicPartition>,
        outcome: SendOutcome,
        messages: &[Message],
    ) {
        let records: Arc<[Record]> = messages.iter().map(|message| message.record).collect();
        if self.config.asynchronous {
            cx.trace(|| TraceEvent::RecordsCompleted { partition, outcome, records });
        } else if let Some(first) = messages.first() {
            complete(cx, first.topic, partition, outcome, records);
        }
    }

    // ---- the asynchronous producer ---------------------------------------------------------------------------------

    /// What `ProducerSendThread` handles next: a full batch, or what has been collected when `queue.buffering.max.ms` is
    /// over and the queue is empty.
    fn next_batch(&mut self, cx: &mut ProducerCx<'_>) -> Option<Vec<Message>> {
        loop {
            self.fill_queue(cx.now());
            if let Some(message) = self.queue.pop_front() {
                self.collected.push(message);
                if self.collected.len() >= self.config.batch_num_messages as usize {
                    return Some(std::mem::take(&mut self.collected));
                }
                continue;
            }
            let over = cx.now() >= self.last_send + self.config.queue_max || self.closing;
            if !self.collected.is_empty() {
                return over.then(|| std::mem::take(&mut self.collected));
            }
            self.poll_in_vain(cx.now());
            return None;
        }
    }

    /// The thread has found the queue empty every `queue.buffering.max.ms`, and begun to wait anew.
    fn poll_in_vain(&mut self, now: SimTime) {
        let wait = self.config.queue_max.0;
        let polls = now.since(self.last_send).0.checked_div(wait);
        self.last_send = match polls {
            Some(polls) => self.last_send + SimDuration(polls * wait),
            None => now,
        };
    }

    /// Calls of `send()` put their messages into the queue while there is room.
    fn fill_queue(&mut self, now: SimTime) {
        while self.queue.len() < self.config.queue_max_messages as usize {
            let Some(message) = self.calls.pop_front() else { return };
            self.queue.push_back(message);
            self.call_began = now;
        }
    }

    /// Those calls that have waited for room too long raise `QueueFullException`.
    fn admit_calls(&mut self, cx: &mut ProducerCx<'_>) {
        if !self.config.asynchronous {
            return;
        }
        self.fill_queue(cx.now());
        let Some(timeout) = self.config.queue_enqueue_timeout else { return };
        while cx.now() >= self.call_began + timeout {
            let Some(Message { topic, record, .. }) = self.calls.pop_front() else { return };
            self.call_began = cx.now();
            let (exception, reached_application) = (ClientException::QueueFullException, true);
            cx.trace(|| TraceEvent::ExceptionRaised { exception, reached_application });
            let outcome = SendOutcome::Failed(ErrorCode::QueueFull);
            complete(cx, topic, None, outcome, Arc::new([record]));
        }
    }

    fn close_if_done(&mut self, cx: &mut ProducerCx<'_>) {
        if self.closing && !self.closed && self.is_idle() {
            self.closed = true;
            self.channels.close(cx);
            cx.report(ProducerReport::Closed);
        }
    }

    fn arm(&mut self, cx: &mut ProducerCx<'_>) {
        let mut due = match &self.handling {
            Some(handling) => handling.deadline(),
            None if self.collected.is_empty() => SimTime::NEVER,
            None => self.last_send + self.config.queue_max,
        };
        if let (true, false, Some(timeout)) =
            (self.config.asynchronous, self.calls.is_empty(), self.config.queue_enqueue_timeout)
        {
            due = due.min(self.call_began + timeout);
        }
        if due != self.armed {
            self.armed = due;
            match due {
                SimTime::NEVER => cx.cancel_timer(ProducerTimer::Wake),
                due => cx.set_timer(ProducerTimer::Wake, due),
            }
        }
    }

    pub(super) fn view(&self) -> ProducerView {
        let mut queues: Vec<QueueView> = Vec::new();
        let requests = self.handling.iter().flat_map(Handling::requests);
        for (partition, leader, in_flight, messages) in requests {
            let batch = BatchView {
                first: messages.first().map_or(0, |message| message.record.id.sequence),
                count: messages.len() as u32,
                sends: messages.first().map_or(0, |message| message.sends),
            };
            let (queued, in_flight) =
                if in_flight { (Vec::new(), vec![batch]) } else { (vec![batch], Vec::new()) };
            queues.push(QueueView {
                partition,
                leader,
                leader_epoch: None,
                queued,
                in_flight,
                muted: false,
            });
        }
        queues.sort_by_key(|queue| queue.partition);
        ProducerView {
            producer_id: None,
            transaction: None,
            queues,
            blocked: self.calls.len() + self.queue.len() + self.collected.len(),
            blocked_since: (!self.calls.is_empty()).then_some(self.call_began),
            buffer_available: u64::from(self.config.queue_max_messages)
                .saturating_sub(self.queue.len() as u64),
            connections: self.connections().collect(),
        }
    }

    fn connections(&self) -> impl Iterator<Item = (BrokerId, ConnectionState, usize)> {
        let deadline = self.handling.as_ref().map_or(SimTime::NEVER, Handling::deadline);
        let in_flight = self.handling.iter().flat_map(Handling::requests);
        let busy: Vec<Option<BrokerId>> =
            in_flight.filter(|(_, _, in_flight, _)| *in_flight).map(|(_, to, ..)| to).collect();
        self.channels.all().map(move |channel| {
            let state = match channel.socket {
                Socket::Closed | Socket::ClosedByBroker | Socket::Reset => {
                    ConnectionState::Disconnected
                }
                Socket::Connecting(connection) => {
                    ConnectionState::Connecting { connection, gives_up_at: deadline }
                }
                Socket::Open { connection, write_blocked } => {
                    ConnectionState::Ready { connection, write_blocked }
                }
            };
            (channel.broker, state, usize::from(busy.contains(&Some(channel.broker))))
        })
    }
}
