//! From messages to requests and back (`DefaultEventHandler`): refresh metadata if they are old, find partitions, one request
//! to each leader after the other, and again what has failed.
//!
//! Every error is taken for one that another attempt may cure. A message without a key may be sent to another partition by
//! that attempt.

use super::channels::Socket;
use super::metadata::Refresh;
use super::{Message, ScalaProducer};
use crate::producer::ProducerCx;
use acklab_vocab::api::{
    Acks, PartitionProduce, ProduceRequest, ProduceResponse, Request, Response, TransactionSupport,
};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{
    BrokerId, ConnectionId, CorrelationId, Offset, PartitionIndex, TopicId, TopicPartition,
};
use acklab_vocab::record::{BATCH_OVERHEAD_BYTES, ProducerBatch, Record};
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::{RetryReason, SendOutcome, TraceEvent};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Messages that are being handled.
#[derive(Clone, Debug)]
pub(super) struct Handling {
    /// Those that have not been sent successfully, where no request holds them.
    pub outstanding: Vec<Message>,
    /// Attempts left, this one included.
    pub remaining: u32,
    pub step: Step,
}

/// What the thread is doing.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// An attempt begins.
    Begin,
    /// It waits for metadata.
    Refreshing(Refresh),
    /// It looks for partitions. `asked`: it has asked for those of topics that it does not know.
    Collate { asked: bool },
    /// It sends, one request after the other.
    Sending(Sending),
    /// It sleeps before another attempt.
    BackingOff { until: SimTime },
    /// The attempt was in vain: what has failed is tried again if attempts are left.
    Again,
}

/// The requests of an attempt.
#[derive(Clone, Debug)]
pub(super) struct Sending {
    left: VecDeque<BrokerRequest>,
    current: Option<(BrokerRequest, Waits)>,
    failed: Vec<Message>,
}

/// What goes to one broker.
#[derive(Clone, Debug)]
struct BrokerRequest {
    /// `None` for partitions without a leader.
    broker: Option<BrokerId>,
    partitions: Vec<(TopicPartition, Vec<Message>)>,
}

/// What the thread waits for with a request in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits {
    /// The connection.
    Connection(SimTime),
    /// Room in the socket: however long it takes.
    Room,
    /// The answer.
    Answer(CorrelationId, SimTime),
}

impl Handling {
    pub fn new(messages: Vec<Message>, retries: u32) -> Self {
        let remaining = retries.saturating_add(1);
        Handling { outstanding: messages, remaining, step: Step::Begin }
    }

    /// When the thread stops waiting.
    pub fn deadline(&self) -> SimTime {
        match &self.step {
            Step::Refreshing(refresh) => refresh.deadline,
            Step::BackingOff { until } => *until,
            Step::Sending(Sending { current: Some((_, waits)), .. }) => match waits {
                Waits::Connection(deadline) | Waits::Answer(_, deadline) => *deadline,
                Waits::Room => SimTime::NEVER,
            },
            Step::Begin | Step::Collate { .. } | Step::Sending(_) | Step::Again => SimTime::NEVER,
        }
    }

    /// The requests that are sent or wait to be, for people.
    pub fn requests(&self) -> Vec<(TopicPartition, Option<BrokerId>, bool, Vec<Message>)> {
        let Step::Sending(sending) = &self.step else { return Vec::new() };
        let current = sending
            .current
            .iter()
            .map(|(request, waits)| (request, matches!(waits, Waits::Answer(..))));
        let waiting = sending.left.iter().map(|request| (request, false));
        let mut shown = Vec::new();
        for (request, in_flight) in current.chain(waiting) {
            for (partition, messages) in &request.partitions {
                shown.push((*partition, request.broker, in_flight, messages.clone()));
            }
        }
        shown
    }
}

impl ScalaProducer {
    /// Goes on with the messages that are being handled, until the thread has to wait. Gives them back when it is through
    /// with them: those that could not be sent.
    pub(super) fn handle_messages(
        &mut self,
        cx: &mut ProducerCx<'_>,
        handling: &mut Handling,
    ) -> Option<Vec<Message>> {
        loop {
            handling.step = match std::mem::replace(&mut handling.step, Step::Begin) {
                Step::Begin => match self.begin_attempt(cx, handling) {
                    Some(step) => step,
                    None => return Some(std::mem::take(&mut handling.outstanding)),
                },
                Step::Collate { asked } => self.collate(cx, handling, asked),
                Step::Sending(sending) => match self.send_requests(cx, sending, handling) {
                    Ok(step) => step,
                    Err(waiting) => {
                        handling.step = Step::Sending(waiting);
                        return None;
                    }
                },
                Step::BackingOff { until } if cx.now() >= until => {
                    let mut topics: Vec<TopicId> =
                        handling.outstanding.iter().map(|message| message.topic).collect();
                    topics.sort_unstable();
                    topics.dedup();
                    self.refresh(cx, topics, Step::Again)
                }
                Step::Again => {
                    self.send_partitions.clear();
                    handling.remaining -= 1;
                    Step::Begin
                }
                waiting @ (Step::Refreshing(_) | Step::BackingOff { .. }) => {
                    handling.step = waiting;
                    return None;
                }
            };
        }
    }

    /// The beginning of an attempt; `None` if there is nothing left to send, or no attempt.
    fn begin_attempt(&mut self, cx: &mut ProducerCx<'_>, handling: &Handling) -> Option<Step> {
        if handling.remaining == 0 || handling.outstanding.is_empty() {
            return None;
        }
        for message in &handling.outstanding {
            if !self.topics_to_refresh.contains(&message.topic) {
                self.topics_to_refresh.push(message.topic);
            }
        }
        let interval = self.config.metadata_refresh_interval;
        let is_old = |last: SimTime| cx.now().since(last) > interval;
        if interval == SimDuration::MAX || !self.last_refresh.is_none_or(is_old) {
            return Some(Step::Collate { asked: false });
        }
        self.send_partitions.clear();
        self.last_refresh = Some(cx.now());
        let topics = std::mem::take(&mut self.topics_to_refresh);
        Some(self.refresh(cx, topics, Step::Collate { asked: false }))
    }

    /// Finds the partition of every message (`partitionAndCollate`). If one has none, none is sent.
    fn collate(&mut self, cx: &mut ProducerCx<'_>, handling: &mut Handling, asked: bool) -> Step {
        let mut requests: BTreeMap<Option<BrokerId>, Vec<(TopicPartition, Vec<Message>)>> =
            BTreeMap::new();
        for position in 0..handling.outstanding.len() {
            let message = handling.outstanding[position].clone();
            if self.topic_info(message.topic).is_none() && !asked {
                return self.refresh(cx, vec![message.topic], Step::Collate { asked: true });
            }
            let (partition, leader) = match self.partition(cx, &message) {
                Ok(found) => found,
                Err(error) => {
                    handling.outstanding.iter_mut().for_each(|message| message.error = error);
                    return self.back_off(cx);
                }
            };
            let of_broker = requests.entry(leader).or_default();
            match of_broker.iter_mut().find(|(other, _)| *other == partition) {
                Some((_, messages)) => messages.push(message),
                None => of_broker.push((partition, vec![message])),
            }
        }
        handling.outstanding.clear();
        let requests = requests.into_iter();
        let left = requests.map(|(broker, partitions)| BrokerRequest { broker, partitions });
        Step::Sending(Sending { left: left.collect(), current: None, failed: Vec::new() })
    }

    /// The partition of a message, and its leader (`getPartition`): the application's choice, its key's, or one drawn and
    /// kept until the metadata are next refreshed.
    fn partition(
        &mut self,
        cx: &mut ProducerCx<'_>,
        message: &Message,
    ) -> Result<(TopicPartition, Option<BrokerId>), ErrorCode> {
        let topic = message.topic;
        let info = self.topic_info(topic).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        let leaders = info.leaders.clone();
        let kept = self.send_partitions.iter().find(|(other, _)| *other == topic);
        let index = match (message.partition, &message.key, kept) {
            (Some(partition), ..) => usize::from(partition.0),
            (None, Some(key), _) => (string_hash(key) % leaders.len() as u32) as usize,
            (None, None, Some((_, kept))) => usize::from(kept.0),
            (None, None, None) => {
                let led: Vec<usize> =
                    (0..leaders.len()).filter(|&index| leaders[index].is_some()).collect();
                if led.is_empty() {
                    return Err(ErrorCode::LeaderNotAvailable);
                }
                let drawn = led[cx.rng().below(led.len() as u64) as usize];
                self.send_partitions.push((topic, PartitionIndex(drawn as u16)));
                drawn
            }
        };
        let leader = *leaders.get(index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        Ok((TopicPartition { topic, partition: PartitionIndex(index as u16) }, leader))
    }

    fn back_off(&self, cx: &ProducerCx<'_>) -> Step {
        Step::BackingOff { until: cx.now() + self.config.retry_backoff }
    }

    /// Sends the requests of an attempt, each after the answer to the one before. Gives them back if the thread has to wait.
    fn send_requests(
        &mut self,
        cx: &mut ProducerCx<'_>,
        mut sending: Sending,
        handling: &mut Handling,
    ) -> Result<Step, Sending> {
        loop {
            if let Some((request, waits)) = sending.current.take() {
                if !is_over(cx.now(), waits) {
                    sending.current = Some((request, waits));
                    return Err(sending);
                }
                // It has given up: no connection, or no answer, in time.
                if let Some(broker) = request.broker {
                    self.channels.disconnect(cx, broker);
                }
                let reason = RetryReason::RequestTimeout;
                self.fail(cx, request, (ErrorCode::Timeout, reason), handling, &mut sending);
                continue;
            }
            let Some(request) = sending.left.pop_front() else { break };
            self.send(cx, request, handling, &mut sending);
        }
        handling.outstanding = sending.failed;
        match handling.outstanding.is_empty() {
            true => Ok(Step::Begin),
            false => Ok(self.back_off(cx)),
        }
    }

    /// Sends a request, or begins to connect (`SyncProducer.send`).
    fn send(
        &mut self,
        cx: &mut ProducerCx<'_>,
        request: BrokerRequest,
        handling: &Handling,
        sending: &mut Sending,
    ) {
        let Some(broker) = request.broker else {
            let error = ErrorCode::LeaderNotAvailable;
            return self.fail(cx, request, (error, RetryReason::Error(error)), handling, sending);
        };
        let Some(channel) = self.channels.get(broker) else {
            let reason = RetryReason::Disconnected;
            return self.fail(
                cx,
                request,
                (ErrorCode::NetworkException, reason),
                handling,
                sending,
            );
        };
        let deadline = cx.now() + self.config.request_timeout;
        match channel.socket {
            Socket::Closed => {
                let connection = cx.connect(channel.endpoint);
                self.channels.set(broker, Socket::Connecting(connection));
                sending.current = Some((request, Waits::Connection(deadline)));
            }
            Socket::Connecting(_) => sending.current = Some((request, Waits::Connection(deadline))),
            Socket::Open { write_blocked: true, .. } => {
                sending.current = Some((request, Waits::Room));
            }
            Socket::Open { connection, write_blocked: false } => {
                self.write(cx, (broker, connection), request, sending);
            }
            Socket::ClosedByBroker if self.config.acks == Acks::None => {
                self.channels.set(broker, Socket::Reset);
                let request = self.state_sent(cx, broker, request);
                self.succeed(cx, request.partitions, |_| None);
            }
            Socket::ClosedByBroker | Socket::Reset => {
                self.channels.disconnect(cx, broker);
                let reason = RetryReason::Disconnected;
                let request = self.state_sent(cx, broker, request);
                self.fail(cx, request, (ErrorCode::NetworkException, reason), handling, sending);
            }
        }
    }

    fn write(
        &mut self,
        cx: &mut ProducerCx<'_>,
        (broker, connection): (BrokerId, ConnectionId),
        request: BrokerRequest,
        sending: &mut Sending,
    ) {
        let request = self.state_sent(cx, broker, request);
        let partitions = request.partitions.iter().map(|(partition, messages)| {
            let bytes: u32 = messages.iter().map(|message| message.record.size).sum();
            let batch = ProducerBatch {
                records: records(messages),
                stamp: None,
                transactional: false,
                size: BATCH_OVERHEAD_BYTES + bytes,
                max_timestamp: messages.iter().map(|it| it.created_at).max().unwrap_or(cx.now()),
            };
            PartitionProduce { partition: *partition, batch }
        });
        let produce = Request::Produce(ProduceRequest {
            transactional_id: None,
            transaction_support: TransactionSupport::default(),
            acks: self.config.acks,
            timeout: self.config.request_timeout,
            partitions: partitions.collect(),
        });
        let correlation = self.channels.request(cx, connection, produce);
        if self.config.acks == Acks::None {
            return self.succeed(cx, request.partitions, |_| None);
        }
        let deadline = cx.now() + self.config.request_timeout;
        sending.current = Some((request, Waits::Answer(correlation, deadline)));
    }

    /// States the batches of a request that is written to a socket, and counts the attempt.
    fn state_sent(
        &mut self,
        cx: &mut ProducerCx<'_>,
        broker: BrokerId,
        mut request: BrokerRequest,
    ) -> BrokerRequest {
        for (partition, messages) in &mut request.partitions {
            let retry = messages.first().map_or(0, |message| message.sends);
            let records = records(messages);
            let partition = *partition;
            cx.trace(|| TraceEvent::BatchSent { partition, broker, retry, records });
            messages.iter_mut().for_each(|message| message.sends += 1);
        }
        request
    }

    fn succeed(
        &mut self,
        cx: &mut ProducerCx<'_>,
        partitions: Vec<(TopicPartition, Vec<Message>)>,
        offset: impl Fn(TopicPartition) -> Option<Offset>,
    ) {
        for (partition, messages) in partitions {
            let outcome = SendOutcome::Acked(offset(partition));
            self.complete(cx, Some(partition), outcome, &messages);
        }
    }

    fn fail(
        &mut self,
        cx: &mut ProducerCx<'_>,
        request: BrokerRequest,
        (error, reason): (ErrorCode, RetryReason),
        handling: &Handling,
        sending: &mut Sending,
    ) {
        for (partition, messages) in request.partitions {
            self.fail_partition(cx, (partition, messages), (error, reason), handling, sending);
        }
    }

    fn fail_partition(
        &mut self,
        cx: &mut ProducerCx<'_>,
        (partition, mut messages): (TopicPartition, Vec<Message>),
        (error, reason): (ErrorCode, RetryReason),
        handling: &Handling,
        sending: &mut Sending,
    ) {
        if handling.remaining > 1 {
            let records = records(&messages);
            cx.trace(|| TraceEvent::BatchRetried { partition, reason, records });
        }
        for message in &mut messages {
            message.error = error;
            message.failed_at = Some(partition);
        }
        sending.failed.append(&mut messages);
    }

    // ---- what reaches the thread -----------------------------------------------------------------------------------

    /// A connection is open: the request in hand is written.
    pub(super) fn on_connected(
        &mut self,
        cx: &mut ProducerCx<'_>,
        handling: &mut Handling,
        connection: ConnectionId,
    ) {
        match &mut handling.step {
            Step::Refreshing(refresh) if refresh.connection() == Some(connection) => {
                self.send_question(cx, refresh);
            }
            Step::Sending(_) => {
                if let Some(channel) = self.channels.of(connection) {
                    let broker = channel.broker;
                    channel.socket = Socket::Open { connection, write_blocked: false };
                    self.take_up(cx, handling, broker);
                }
            }
            _ => {}
        }
    }

    /// Goes on with the request in hand, if it is for this broker and has not been written.
    pub(super) fn take_up(
        &mut self,
        cx: &mut ProducerCx<'_>,
        handling: &mut Handling,
        broker: BrokerId,
    ) {
        let Step::Sending(mut sending) = std::mem::replace(&mut handling.step, Step::Begin) else {
            unreachable!("only while requests are sent");
        };
        match sending.current.take() {
            Some((request, Waits::Connection(_) | Waits::Room))
                if request.broker == Some(broker) =>
            {
                self.send(cx, request, handling, &mut sending);
            }
            current => sending.current = current,
        }
        handling.step = Step::Sending(sending);
    }

    pub(super) fn on_response(
        &mut self,
        cx: &mut ProducerCx<'_>,
        handling: &mut Handling,
        correlation: CorrelationId,
        response: &Response,
    ) {
        handling.step = match std::mem::replace(&mut handling.step, Step::Begin) {
            Step::Refreshing(refresh) => match response {
                Response::Metadata(answer) => self.learn(cx, refresh, answer),
                other => unreachable!("answered a question for metadata with {other:?}"),
            },
            Step::Sending(mut sending) => {
                match (sending.current.take(), response) {
                    (Some((request, Waits::Answer(own, _))), Response::Produce(answer))
                        if own == correlation =>
                    {
                        self.on_answer(cx, request, answer, handling, &mut sending);
                    }
                    (current, _) => sending.current = current,
                }
                Step::Sending(sending)
            }
            step => step,
        };
    }

    fn on_answer(
        &mut self,
        cx: &mut ProducerCx<'_>,
        request: BrokerRequest,
        answer: &ProduceResponse,
        handling: &Handling,
        sending: &mut Sending,
    ) {
        for (partition, messages) in request.partitions {
            let own = answer.partitions.iter().find(|own| own.partition == partition);
            let error = own.map_or(ErrorCode::UnknownServerError, |own| own.error);
            if error.is_none() {
                let offset = own.and_then(|own| own.base_offset);
                self.succeed(cx, vec![(partition, messages)], |_| offset);
            } else {
                let failure = (error, RetryReason::Error(error));
                self.fail_partition(cx, (partition, messages), failure, handling, sending);
            }
        }
    }

    /// A connection has ended that the thread waits for, or waits on.
    pub(super) fn on_closed(
        &mut self,
        cx: &mut ProducerCx<'_>,
        handling: &mut Handling,
        broker: Option<BrokerId>,
        connection: ConnectionId,
    ) {
        handling.step = match std::mem::replace(&mut handling.step, Step::Begin) {
            Step::Refreshing(refresh) if refresh.connection() == Some(connection) => {
                self.ask_next(cx, refresh)
            }
            Step::Sending(mut sending) => {
                match sending.current.take() {
                    Some((request, _)) if broker.is_some() && request.broker == broker => {
                        if let Some(broker) = broker {
                            self.channels.disconnect(cx, broker);
                        }
                        let failure = (ErrorCode::NetworkException, RetryReason::Disconnected);
                        self.fail(cx, request, failure, handling, &mut sending);
                    }
                    current => sending.current = current,
                }
                Step::Sending(sending)
            }
            step => step,
        };
    }

    /// The thread has waited for metadata long enough.
    pub(super) fn give_up_refresh(&mut self, cx: &mut ProducerCx<'_>, handling: &mut Handling) {
        if let Step::Refreshing(refresh) = &handling.step
            && cx.now() >= refresh.deadline
            && let Step::Refreshing(refresh) = std::mem::replace(&mut handling.step, Step::Begin)
        {
            handling.step = self.ask_next(cx, refresh);
        }
    }
}

/// Whether the thread has waited long enough.
fn is_over(now: SimTime, waits: Waits) -> bool {
    match waits {
        Waits::Connection(deadline) | Waits::Answer(_, deadline) => now >= deadline,
        Waits::Room => false,
    }
}

fn records(messages: &[Message]) -> Arc<[Record]> {
    messages.iter().map(|message| message.record).collect()
}

/// `Utils.abs(key.hashCode)` of a Java string: ASCII here.
pub(super) fn string_hash(key: &[u8]) -> u32 {
    let hash =
        key.iter().fold(0_i32, |hash, &byte| hash.wrapping_mul(31).wrapping_add(i32::from(byte)));
    if hash == i32::MIN { 0 } else { hash.unsigned_abs() }
}
