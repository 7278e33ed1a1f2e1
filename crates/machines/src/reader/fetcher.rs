//! Fetching: one FETCH in flight per broker, answers buffered until the application polls.
//!
//! Mirrors `AbstractFetch` (requests, answers) and `FetchCollector` (what `poll` returns, errors).
//!
//! Left out: cutting a poll in the middle of a batch at `max.poll.records`; the rest would be
//! returned at the same instant. Where Kafka 3.x fetches again at once after a leader's refusal,
//! round trip after round trip, the partition waits for the metadata that the refusal has asked
//! for, as later versions do; that spares refused requests and changes no fate.

use super::subscription::{FetchState, Subscription};
use super::{Purpose, Reader, ReaderCx};
use crate::client::Loss;
use acklab_vocab::api::{
    FetchRequest, FetchResponse, PartitionFetch, PartitionFetchResponse, Request, Response,
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
    /// Subscriptions whose position names it as leader, in the order in which to fetch them. One
    /// that returned something moves to the end (`SubscriptionState.movePartitionToEnd`).
    partitions: Vec<usize>,
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
    subscription: usize,
    broker: BrokerId,
    fetch_offset: Offset,
    answer: PartitionFetchResponse,
    /// How many of its batches have been returned.
    returned: usize,
}

impl Fetcher {
    /// The position of subscription number `index` names a leader: it is fetched from there.
    pub(super) fn enlist(&mut self, index: usize, subscription: &Subscription) {
        let leader = subscription.position.and_then(|position| position.current_leader.leader);
        for source in &mut self.sources {
            if Some(source.broker) != leader {
                source.partitions.retain(|&other| other != index);
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
        if !source.partitions.contains(&index) {
            source.partitions.push(index);
        }
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

    fn move_to_end(&mut self, index: usize) {
        if let Some(place) = self.partitions.iter().position(|&other| other == index) {
            self.partitions[place..].rotate_left(1);
        }
    }
}

impl Reader {
    /// Sends a FETCH to every broker that has something to fetch and none in flight
    /// (`AbstractFetch.prepareFetchRequests`).
    pub(super) fn send_fetches(&mut self, cx: &mut ReaderCx<'_>) {
        let drained_only = self.config.client.rules.has(ProtocolRule::FetchAwaitsEmptyBuffer);
        for place in 0..self.fetcher.sources.len() {
            let source = &self.fetcher.sources[place];
            let waits = source.pending || (drained_only && source.buffered > 0);
            let fetchable = |&index: &usize| is_fetchable(&self.subscriptions[index]);
            if waits || !source.partitions.iter().any(fetchable) {
                continue;
            }
            let broker = source.broker;
            if !self.client.ready(cx, broker) {
                continue;
            }
            let request = self.fetch_request(place);
            self.client.send(cx, broker, Request::Fetch(request), Purpose::Fetch);
        }
    }

    fn fetch_request(&mut self, place: usize) -> FetchRequest {
        let config = &self.config;
        let fenced = config.client.rules.has(ProtocolRule::FenceByLeaderEpoch);
        let source = &mut self.fetcher.sources[place];
        source.pending = true;
        source.asked.clear();
        let mut partitions = Vec::with_capacity(source.partitions.len());
        for &index in &source.partitions {
            let subscription = &self.subscriptions[index];
            let position = subscription.valid_position().filter(|_| !subscription.buffered);
            let Some(position) = position else { continue };
            let current_leader_epoch = position.current_leader.leader_epoch.filter(|_| fenced);
            source.asked.push((subscription.partition, position.offset));
            partitions.push(PartitionFetch {
                partition: subscription.partition,
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
            partitions,
        }
    }

    /// A FETCH is over: its answers wait for the application's next poll. A lost one is only sent
    /// again, when there is a connection.
    pub(super) fn on_fetched(&mut self, broker: BrokerId, result: Result<Box<Response>, Loss>) {
        self.fetcher.source(broker).pending = false;
        let Ok(response) = result else { return };
        match *response {
            Response::Fetch(response) => self.buffer(broker, response),
            other => unreachable!("answered a fetch with {other:?}"),
        }
    }

    fn buffer(&mut self, broker: BrokerId, response: FetchResponse) {
        let asked = std::mem::take(&mut self.fetcher.source(broker).asked);
        let mut rest = asked.iter();
        for answer in response.partitions {
            // Answers come in the order of the request, with gaps.
            let fetch_offset = rest.find(|(partition, _)| *partition == answer.partition);
            let fetch_offset = fetch_offset.expect("an answer to what was asked").1;
            let subscription = self.find(answer.partition).expect("only assigned partitions");
            self.follow_named_leader(subscription, &answer);
            self.subscriptions[subscription].buffered = true;
            self.fetcher.source(broker).buffered += 1;
            self.fetcher.buffer.push_back(CompletedFetch {
                subscription,
                broker,
                fetch_offset,
                answer,
                returned: 0,
            });
        }
        self.fetcher.source(broker).asked = asked;
    }

    /// A refusal that names the new leader makes the position move there at once (KIP-951).
    fn follow_named_leader(&mut self, index: usize, answer: &PartitionFetchResponse) {
        let refused =
            matches!(answer.error, ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch);
        let Some(leader) = answer.current_leader.filter(|_| refused) else { return };
        let listens = self.config.client.rules.has(ProtocolRule::LeaderInErrorResponse);
        if listens && self.client.update_leadership(answer.partition, leader) {
            self.follow_leader(index);
        }
    }

    /// The application polls: returns up to `max.poll.records` of what is buffered
    /// (`FetchCollector.collectFetch`). False if there was nothing.
    pub(super) fn collect(&mut self, cx: &mut ReaderCx<'_>) -> bool {
        let mut remaining = u64::from(self.config.max_poll_records);
        let mut found_something = false;
        while remaining > 0 {
            let Some(mut fetch) = self.fetcher.buffer.pop_front() else { break };
            found_something = true;
            if self.return_records(cx, &mut fetch, &mut remaining) {
                self.subscriptions[fetch.subscription].buffered = false;
                self.fetcher.source(fetch.broker).buffered -= 1;
            } else {
                self.fetcher.buffer.push_front(fetch);
            }
        }
        found_something
    }

    /// Returns records of one answer; true if it is used up.
    fn return_records(
        &mut self,
        cx: &mut ReaderCx<'_>,
        fetch: &mut CompletedFetch,
        remaining: &mut u64,
    ) -> bool {
        let subscription = &mut self.subscriptions[fetch.subscription];
        let Some(position) = subscription.valid_position() else { return true };
        let is_stale = fetch.returned == 0 && position.offset != fetch.fetch_offset;
        if fetch.answer.error != ErrorCode::None {
            self.on_fetch_error(cx, fetch, is_stale);
            return true;
        }
        if is_stale {
            return true;
        }
        subscription.high_watermark = Some(fetch.answer.high_watermark);
        while let Some(batch) = fetch.answer.batches.get(fetch.returned) {
            if *remaining == 0 {
                return false;
            }
            let position = subscription.position.expect("a valid position");
            let (partition, from) = (subscription.partition, position.offset);
            *remaining = remaining.saturating_sub(batch.next_offset().distance_from(from));
            subscription.advance(batch.next_offset(), batch.leader_epoch);
            cx.trace(|| {
                let batch = Arc::clone(batch);
                TraceEvent::RecordsRead { partition, from, batch }
            });
            fetch.returned += 1;
        }
        if fetch.returned > 0 {
            self.fetcher.source(fetch.broker).move_to_end(fetch.subscription);
        }
        true
    }

    /// `FetchCollector.handleInitializeErrors`
    fn on_fetch_error(&mut self, cx: &mut ReaderCx<'_>, fetch: &CompletedFetch, is_stale: bool) {
        let index = fetch.subscription;
        let subscription = &mut self.subscriptions[index];
        match fetch.answer.error {
            ErrorCode::NotLeaderOrFollower
            | ErrorCode::FencedLeaderEpoch
            | ErrorCode::LeaderNotAvailable
            | ErrorCode::KafkaStorageError
            | ErrorCode::OffsetNotAvailable
            | ErrorCode::UnknownTopicOrPartition => {
                self.client.request_update();
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
        self.fetcher.source(fetch.broker).move_to_end(index);
    }
}

fn is_fetchable(subscription: &Subscription) -> bool {
    subscription.valid_position().is_some() && !subscription.buffered
}
