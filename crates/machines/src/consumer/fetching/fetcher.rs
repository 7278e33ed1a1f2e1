//! Fetching: one FETCH in flight per broker, answers buffered until the application polls.
//!
//! Mirrors `AbstractFetch` (requests, answers) and `FetchCollector` (what `poll` returns, errors).
//!
//! Where Kafka 3.x fetches again at once after a leader's refusal, round trip after round trip, the
//! partition waits for the metadata that the refusal has asked for, as later versions do; that
//! spares refused requests and changes no fate.

use super::subscription::{FetchState, Subscription};
use super::{FetchPurpose, Fetching};
use crate::client::aborted::AbortedTransactions;
use crate::client::{Loss, NetworkClient};
use crate::consumer::PolledRecords;
use crate::machine::Cx;
use acklab_vocab::api::{
    FetchRequest, FetchResponse, FetchSessionUpdate, PartitionFetch, PartitionFetchResponse,
    Request, Response,
};
use acklab_vocab::config::AutoOffsetReset;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{BrokerId, Offset, TopicPartition};
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::trace::TraceEvent;
use std::collections::VecDeque;
use std::sync::Arc;

/// What is being fetched, and what has been and was not returned yet.
#[derive(Debug, Default)]
pub(super) struct Fetcher {
    /// Ascending by broker; grows only.
    sources: Vec<Source>,
    /// Answers in the order of their arrival (`FetchBuffer`).
    buffer: VecDeque<CompletedFetch>,
}

/// A broker to fetch from.
#[derive(Debug)]
struct Source {
    broker: BrokerId,
    /// Partitions whose position names it as leader, in the order in which to fetch them. One that
    /// returned something moves to the end (`SubscriptionState.movePartitionToEnd`).
    partitions: Vec<TopicPartition>,
    /// A FETCH is in flight (`nodesWithPendingFetchRequests`).
    pending: bool,
    /// What that FETCH asks for, in its order.
    asked: Vec<(TopicPartition, Offset)>,
    /// How many of its answers are in the buffer.
    buffered: usize,
}

/// One partition's answer in the buffer.
#[derive(Debug)]
struct CompletedFetch {
    partition: TopicPartition,
    broker: BrokerId,
    /// The position for which the rest of it counts (`nextFetchOffset`).
    next: Offset,
    answer: PartitionFetchResponse,
    /// How many of its batches have been gone through.
    batches_done: usize,
    /// Part of the next batch has been returned.
    in_batch: bool,
    /// Something of it has been returned.
    returned: bool,
    aborted: AbortedTransactions,
}

/// Where one `poll()` stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollLimit {
    /// After exactly `max.poll.records`.
    Records,
    /// After the batch that reaches `max.poll.records`: for an application that polls again at
    /// once.
    WholeBatches,
}

/// What one `poll()` found in the buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// There was something in it.
    pub found: bool,
    /// Records were returned, or positions have moved past some that are not shown.
    pub advanced: bool,
}

impl Fetcher {
    /// The position names a leader: it is fetched from there.
    pub(super) fn enlist(&mut self, subscription: &Subscription) {
        let partition = subscription.partition;
        let leader = subscription.position.and_then(|position| position.current_leader.leader);
        for source in &mut self.sources {
            if Some(source.broker) != leader {
                source.partitions.retain(|&other| other != partition);
            }
        }
        let Some(leader) = leader else { return };
        let source = match self.find(leader) {
            Ok(place) => &mut self.sources[place],
            Err(place) => {
                self.sources.insert(place, Source::new(leader));
                &mut self.sources[place]
            }
        };
        if !source.partitions.contains(&partition) {
            source.partitions.push(partition);
        }
    }

    /// Other partitions are read now: forgets those that are not
    /// (`clearBufferedDataForUnassignedPartitions`).
    pub(super) fn assigned(&mut self, subscriptions: &[Subscription]) {
        let is_read = |partition: TopicPartition| {
            subscriptions.binary_search_by_key(&partition, |entry| entry.partition).is_ok()
        };
        for source in &mut self.sources {
            source.partitions.retain(|&partition| is_read(partition));
            source.partitions.sort_unstable();
        }
        let sources = &mut self.sources;
        self.buffer.retain(|fetch| {
            let keep = is_read(fetch.partition);
            if !keep && let Some(source) = sources.iter_mut().find(|it| it.broker == fetch.broker) {
                source.buffered -= 1;
            }
            keep
        });
    }

    /// How many records are buffered of a partition, for people.
    pub(super) fn buffered_records(&self, partition: TopicPartition) -> u64 {
        let of_partition = self.buffer.iter().filter(|fetch| fetch.partition == partition);
        let batches = of_partition.flat_map(|fetch| &fetch.answer.batches[fetch.batches_done..]);
        batches.map(|batch| batch.records().len() as u64).sum()
    }

    fn find(&self, broker: BrokerId) -> Result<usize, usize> {
        self.sources.binary_search_by_key(&broker, |source| source.broker)
    }

    fn source(&mut self, broker: BrokerId) -> &mut Source {
        let place = self.find(broker).expect("fetched from a broker that was never a source");
        &mut self.sources[place]
    }
}

impl Source {
    fn new(broker: BrokerId) -> Self {
        Source { broker, partitions: Vec::new(), pending: false, asked: Vec::new(), buffered: 0 }
    }

    fn move_to_end(&mut self, partition: TopicPartition) {
        if let Some(place) = self.partitions.iter().position(|&other| other == partition) {
            self.partitions[place..].rotate_left(1);
        }
    }
}

impl Fetching {
    /// How many records of a partition are fetched and not yet returned.
    #[must_use]
    pub fn buffered_records(&self, partition: TopicPartition) -> u64 {
        self.fetcher.buffered_records(partition)
    }

    /// Whether something waits for the application's next poll.
    #[must_use]
    pub fn has_buffered(&self) -> bool {
        !self.fetcher.buffer.is_empty()
    }

    /// Sends a FETCH to every broker that has something to fetch and none in flight
    /// (`AbstractFetch.prepareFetchRequests`).
    pub fn send_fetches<T, R, P: From<FetchPurpose>>(
        &mut self,
        cx: &mut Cx<'_, T, R>,
        client: &mut NetworkClient<P>,
    ) {
        if self.pending_revocation {
            return;
        }
        let drained_only = self.config.client.rules.has(ProtocolRule::FetchAwaitsEmptyBuffer);
        for place in 0..self.fetcher.sources.len() {
            let source = &self.fetcher.sources[place];
            let waits = source.pending || (drained_only && source.buffered > 0);
            let fetchable = |&partition: &TopicPartition| self.is_fetchable(partition);
            if waits || !source.partitions.iter().any(fetchable) {
                continue;
            }
            let broker = source.broker;
            if !client.ready(cx, broker) {
                continue;
            }
            let request = self.fetch_request(place);
            client.send(cx, broker, Request::Fetch(request), FetchPurpose::Fetch.into());
        }
    }

    fn is_fetchable(&self, partition: TopicPartition) -> bool {
        self.find(partition).is_some_and(|index| {
            let subscription = &self.subscriptions[index];
            subscription.valid_position().is_some() && !subscription.buffered
        })
    }

    fn fetch_request(&mut self, place: usize) -> FetchRequest {
        let config = &self.config;
        let fenced = config.client.rules.has(ProtocolRule::FenceByLeaderEpoch);
        let source = &mut self.fetcher.sources[place];
        source.pending = true;
        source.asked.clear();
        let mut partitions = Vec::with_capacity(source.partitions.len());
        for &partition in &source.partitions {
            let index = self.subscriptions.binary_search_by_key(&partition, |it| it.partition);
            let Ok(index) = index else { continue };
            let subscription = &self.subscriptions[index];
            let position = subscription.valid_position().filter(|_| !subscription.buffered);
            let Some(position) = position else { continue };
            let current_leader_epoch = position.current_leader.leader_epoch.filter(|_| fenced);
            source.asked.push((partition, position.offset));
            partitions.push(PartitionFetch {
                partition,
                current_leader_epoch,
                fetch_offset: position.offset,
                last_fetched_epoch: None,
                max_bytes: config.max_partition_fetch_bytes,
            });
        }
        FetchRequest {
            replica: None,
            max_wait: config.fetch_max_wait,
            min_bytes: config.fetch_min_bytes,
            max_bytes: config.fetch_max_bytes,
            isolation: config.isolation,
            session: FetchSessionUpdate::Full,
            partitions,
        }
    }

    /// A FETCH is over: its answers wait for the application's next poll. A lost one is only sent
    /// again, when there is a connection.
    pub(super) fn on_fetched<P>(
        &mut self,
        client: &mut NetworkClient<P>,
        broker: BrokerId,
        result: Result<Box<Response>, Loss>,
    ) {
        self.fetcher.source(broker).pending = false;
        let Ok(response) = result else { return };
        match *response {
            Response::Fetch(response) => self.buffer(client, broker, response),
            other => unreachable!("answered a fetch with {other:?}"),
        }
    }

    fn buffer<P>(
        &mut self,
        client: &mut NetworkClient<P>,
        broker: BrokerId,
        response: FetchResponse,
    ) {
        let asked = std::mem::take(&mut self.fetcher.source(broker).asked);
        let mut rest = asked.iter();
        for answer in response.partitions {
            // Answers come in the order of the request, with gaps.
            let fetch_offset = rest.find(|(partition, _)| *partition == answer.partition);
            let next = fetch_offset.expect("an answer to what was asked").1;
            let partition = answer.partition;
            let Some(index) = self.find(partition) else { continue };
            self.follow_named_leader(client, index, &answer);
            let subscription = &mut self.subscriptions[index];
            if subscription.buffered {
                continue; // It was given up and got back meanwhile, and has been fetched again.
            }
            subscription.buffered = true;
            self.fetcher.source(broker).buffered += 1;
            self.fetcher.buffer.push_back(CompletedFetch {
                partition,
                broker,
                next,
                aborted: AbortedTransactions::new(self.config.isolation, &answer.aborted),
                answer,
                batches_done: 0,
                in_batch: false,
                returned: false,
            });
        }
        self.fetcher.source(broker).asked = asked;
    }

    /// A refusal that names the new leader makes the position move there at once (KIP-951).
    fn follow_named_leader<P>(
        &mut self,
        client: &mut NetworkClient<P>,
        index: usize,
        answer: &PartitionFetchResponse,
    ) {
        let refused =
            matches!(answer.error, ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch);
        let Some(leader) = answer.current_leader.filter(|_| refused) else { return };
        let listens = self.config.client.rules.has(ProtocolRule::LeaderInErrorResponse);
        if listens && client.update_leadership(answer.partition, leader) {
            self.follow_leader(client, index);
        }
    }

    /// The application polls: gives it up to `max.poll.records` of what is buffered
    /// (`FetchCollector.collectFetch`).
    pub fn collect<T, R, P>(
        &mut self,
        cx: &mut Cx<'_, T, R>,
        client: &mut NetworkClient<P>,
        limit: PollLimit,
        give: &mut impl FnMut(PolledRecords),
    ) -> Collected {
        let mut collected = Collected::default();
        if self.pending_revocation {
            return collected;
        }
        let mut remaining = u64::from(self.config.max_poll_records);
        while remaining > 0 {
            let Some(mut fetch) = self.fetcher.buffer.pop_front() else { break };
            collected.found = true;
            let before = fetch.next;
            let is_used_up = self.go_through(cx, client, &mut fetch, limit, &mut remaining, give);
            collected.advanced |= fetch.next != before;
            if is_used_up {
                if let Some(index) = self.find(fetch.partition) {
                    self.subscriptions[index].buffered = false;
                }
                let source = self.fetcher.source(fetch.broker);
                source.buffered -= 1;
                if fetch.returned {
                    source.move_to_end(fetch.partition);
                }
            } else {
                self.fetcher.buffer.push_front(fetch);
            }
        }
        collected
    }

    /// Goes through one answer until it is used up (true) or the limit is reached (false).
    fn go_through<T, R, P>(
        &mut self,
        cx: &mut Cx<'_, T, R>,
        client: &mut NetworkClient<P>,
        fetch: &mut CompletedFetch,
        limit: PollLimit,
        remaining: &mut u64,
        give: &mut impl FnMut(PolledRecords),
    ) -> bool {
        let Some(index) = self.find(fetch.partition) else { return true };
        let subscription = &mut self.subscriptions[index];
        let Some(position) = subscription.valid_position() else { return true };
        let is_stale = position.offset != fetch.next;
        if fetch.answer.error != ErrorCode::None {
            self.on_fetch_error(cx, client, fetch, index, is_stale);
            return true;
        }
        if is_stale {
            return true;
        }
        subscription.high_watermark = Some(fetch.answer.high_watermark);
        while let Some(batch) = fetch.answer.batches.get(fetch.batches_done) {
            if *remaining == 0 {
                return false;
            }
            let (partition, from, end) = (fetch.partition, fetch.next, batch.next_offset());
            if !fetch.in_batch && !fetch.aborted.returns(batch) {
                subscription.advance(end, batch.leader_epoch);
                fetch.next = end;
                fetch.batches_done += 1;
                continue;
            }
            let to = match limit {
                PollLimit::Records => end.min(from.plus(*remaining)),
                PollLimit::WholeBatches => end,
            };
            *remaining = remaining.saturating_sub(to.distance_from(from));
            subscription.advance(to, batch.leader_epoch);
            subscription.hand_out();
            (fetch.next, fetch.returned, fetch.in_batch) = (to, true, to < end);
            let batch = Arc::clone(batch);
            fetch.batches_done += usize::from(to == end);
            cx.trace(|| {
                let batch = Arc::clone(&batch);
                TraceEvent::RecordsRead { partition, from, to, batch }
            });
            give(PolledRecords { partition, from, to, batch });
        }
        true
    }

    /// `FetchCollector.handleInitializeErrors`
    fn on_fetch_error<T, R, P>(
        &mut self,
        cx: &mut Cx<'_, T, R>,
        client: &mut NetworkClient<P>,
        fetch: &CompletedFetch,
        index: usize,
        is_stale: bool,
    ) {
        let subscription = &mut self.subscriptions[index];
        match fetch.answer.error {
            ErrorCode::NotLeaderOrFollower
            | ErrorCode::FencedLeaderEpoch
            | ErrorCode::LeaderNotAvailable
            | ErrorCode::KafkaStorageError
            | ErrorCode::OffsetNotAvailable
            | ErrorCode::UnknownTopicOrPartition => {
                client.request_update();
                subscription.state = FetchState::AwaitUpdate;
            }
            // The broker will hear of the epoch soon; Kafka just fetches again.
            ErrorCode::UnknownLeaderEpoch => {}
            ErrorCode::OffsetOutOfRange if is_stale => {}
            ErrorCode::OffsetOutOfRange => match self.config.auto_offset_reset {
                AutoOffsetReset::None => self.stop(cx, index, ErrorCode::OffsetOutOfRange),
                AutoOffsetReset::Earliest
                | AutoOffsetReset::Latest
                | AutoOffsetReset::ByDuration(_) => {
                    subscription.reset();
                    self.unsettled = true;
                }
            },
            // Kafka's own last branch: an exception to the application.
            other => self.stop(cx, index, other),
        }
        self.fetcher.source(fetch.broker).move_to_end(fetch.partition);
    }
}
