//! Positions that the leader must be asked about: first ones and impossible ones by
//! `auto.offset.reset` (ListOffsets), and those under a new leader (OffsetsForLeaderEpoch,
//! KIP-320).
//!
//! Mirrors `OffsetFetcher`, `OffsetFetcherUtils` and `OffsetsForLeaderEpochUtils`.

use super::subscription::{FetchPosition, FetchState, Subscription, Validation, validate};
use super::{FetchPurpose, Fetching};
use crate::client::NetworkClient;
use crate::client::metadata::Metadata;
use crate::machine::Cx;
use acklab_vocab::api::{
    EpochEndOffset, ListOffsetsRequest, ListOffsetsTimestamp, OffsetsForLeaderEpochRequest,
    PartitionListOffsetsResponse, Request, Response,
};
use acklab_vocab::config::AutoOffsetReset;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{BrokerId, LeaderEpoch, TopicPartition};
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::TraceEvent;

/// Subscriptions to ask a broker about, ascending by broker.
type ByLeader = Vec<(BrokerId, Vec<usize>)>;

impl Fetching {
    /// Asks the leaders about every position that awaits a validation or a reset and is not being
    /// asked about (`validatePositionsIfNeeded`, `resetPositionsIfNeeded`).
    pub fn ask_about_positions<T, R, P: From<FetchPurpose>>(
        &mut self,
        cx: &mut Cx<'_, T, R>,
        client: &mut NetworkClient<P>,
    ) {
        if !self.unsettled {
            return;
        }
        self.stop_without_policy(cx);
        let to_validate =
            self.by_leader(client, FetchState::AwaitValidation, cx.now(), |_, subscription| {
                subscription.position?.current_leader.leader
            });
        for (broker, indices) in to_validate {
            if client.ready(cx, broker) {
                self.ask_for_epochs(cx, client, broker, &indices);
            }
        }
        let to_reset =
            self.by_leader(client, FetchState::AwaitReset, cx.now(), |metadata, subscription| {
                metadata.partition(subscription.partition)?.leader
            });
        for (broker, indices) in to_reset {
            if client.ready(cx, broker) {
                self.ask_for_offsets(cx, client, broker, &indices);
            }
        }
        self.settle(cx.now());
    }

    /// A position is needed and there is no policy to set it: `NoOffsetForPartitionException`.
    fn stop_without_policy<T, R>(&mut self, cx: &mut Cx<'_, T, R>) {
        if self.config.auto_offset_reset != AutoOffsetReset::None {
            return;
        }
        for index in 0..self.subscriptions.len() {
            if self.subscriptions[index].state == FetchState::AwaitReset {
                self.stop(cx, index, ErrorCode::OffsetOutOfRange);
            }
        }
    }

    /// Who is to be asked now about partitions in `state`. Where no leader is known, metadata is
    /// asked for.
    fn by_leader<P>(
        &self,
        client: &mut NetworkClient<P>,
        state: FetchState,
        now: SimTime,
        leader_of: fn(&Metadata, &Subscription) -> Option<BrokerId>,
    ) -> ByLeader {
        let mut by_leader = ByLeader::new();
        for (index, subscription) in self.subscriptions.iter().enumerate() {
            if !subscription.may_ask(state, now) {
                continue;
            }
            let Some(leader) = leader_of(client.metadata(), subscription) else {
                client.request_update();
                continue;
            };
            match by_leader.binary_search_by_key(&leader, |entry| entry.0) {
                Ok(place) => by_leader[place].1.push(index),
                Err(place) => by_leader.insert(place, (leader, vec![index])),
            }
        }
        by_leader
    }

    /// Notes whether anything still awaits an answer, and when it may be asked about again.
    fn settle(&mut self, now: SimTime) {
        self.unsettled = false;
        self.ask_again_at = SimTime::NEVER;
        for subscription in &self.subscriptions {
            match subscription.state {
                FetchState::AwaitReset | FetchState::AwaitValidation => {
                    self.unsettled = true;
                    if subscription.next_retry > now {
                        self.ask_again_at = self.ask_again_at.min(subscription.next_retry);
                    }
                }
                FetchState::Initializing
                | FetchState::Fetching
                | FetchState::AwaitUpdate
                | FetchState::Stopped(_) => {}
            }
        }
    }

    fn ask_for_offsets<T, R, P: From<FetchPurpose>>(
        &mut self,
        cx: &mut Cx<'_, T, R>,
        client: &mut NetworkClient<P>,
        broker: BrokerId,
        indices: &[usize],
    ) {
        let Some(timestamp) = reset_timestamp(self.config.auto_offset_reset, cx.now()) else {
            return;
        };
        let retry_at = cx.now() + client.request_timeout();
        let mut asked = Vec::with_capacity(indices.len());
        let mut partitions = Vec::with_capacity(indices.len());
        for &index in indices {
            let subscription = &mut self.subscriptions[index];
            subscription.next_retry = retry_at;
            let partition = subscription.partition;
            let epoch = self.current_epoch(client, partition);
            asked.push(partition);
            partitions.push((partition, epoch, timestamp));
        }
        let request = ListOffsetsRequest { isolation: self.config.isolation, partitions };
        client.send(
            cx,
            broker,
            Request::ListOffsets(request),
            FetchPurpose::ListOffsets(asked).into(),
        );
    }

    fn ask_for_epochs<T, R, P: From<FetchPurpose>>(
        &mut self,
        cx: &mut Cx<'_, T, R>,
        client: &mut NetworkClient<P>,
        broker: BrokerId,
        indices: &[usize],
    ) {
        let retry_at = cx.now() + client.request_timeout();
        let mut asked = Vec::with_capacity(indices.len());
        let mut partitions = Vec::with_capacity(indices.len());
        for &index in indices {
            let subscription = &mut self.subscriptions[index];
            subscription.next_retry = retry_at;
            let partition = subscription.partition;
            let position = subscription.position.expect("a position to validate");
            let epoch = position.offset_epoch.expect("validated only with an epoch");
            asked.push((partition, position));
            partitions.push((partition, position.current_leader.leader_epoch, epoch));
        }
        let request = OffsetsForLeaderEpochRequest { replica: None, partitions };
        let purpose = FetchPurpose::OffsetsForLeaderEpoch(asked).into();
        client.send(cx, broker, Request::OffsetsForLeaderEpoch(request), purpose);
    }

    /// The leader epoch to send along, where requests carry one.
    fn current_epoch<P>(
        &self,
        client: &NetworkClient<P>,
        partition: TopicPartition,
    ) -> Option<LeaderEpoch> {
        let fenced = self.config.client.rules.has(ProtocolRule::FenceByLeaderEpoch);
        let known = client.metadata().partition(partition).filter(|_| fenced)?;
        known.leader_epoch
    }

    pub(super) fn on_offsets_listed<T, R, P>(
        &mut self,
        cx: &mut Cx<'_, T, R>,
        client: &mut NetworkClient<P>,
        asked: &[TopicPartition],
        response: Option<&Response>,
    ) {
        match response {
            Some(Response::ListOffsets(response)) => {
                for answer in &response.partitions {
                    self.on_offset_listed(cx, client, answer);
                }
            }
            Some(other) => unreachable!("answered a ListOffsets with {other:?}"),
            None => {
                for &partition in asked {
                    self.ask_later(client, cx.now(), partition);
                }
            }
        }
    }

    fn on_offset_listed<T, R, P>(
        &mut self,
        cx: &mut Cx<'_, T, R>,
        client: &mut NetworkClient<P>,
        answer: &PartitionListOffsetsResponse,
    ) {
        let partition = answer.partition;
        if answer.error != ErrorCode::None {
            self.ask_later(client, cx.now(), partition);
            return;
        }
        let Some(index) = self.find(partition) else { return };
        let current_leader = client.metadata().partition(partition).unwrap_or_default();
        let is_newer = |known| answer.leader_epoch > known;
        if current_leader.leader.is_none() || current_leader.leader_epoch.is_some_and(is_newer) {
            client.request_update();
        }
        let subscription = &mut self.subscriptions[index];
        if subscription.state != FetchState::AwaitReset {
            return;
        }
        let from = subscription.position.map(|position| position.offset);
        let to = answer.offset;
        subscription.seek(FetchPosition { offset: to, offset_epoch: None, current_leader });
        self.fetcher.enlist(subscription);
        cx.trace(|| TraceEvent::PositionReset { partition, from, to, truncated: false });
    }

    pub(super) fn on_epoch_offsets<T, R, P>(
        &mut self,
        cx: &mut Cx<'_, T, R>,
        client: &mut NetworkClient<P>,
        asked: &[(TopicPartition, FetchPosition)],
        response: Option<&Response>,
    ) {
        let answers = match response {
            Some(Response::OffsetsForLeaderEpoch(response)) => &response.partitions[..],
            Some(other) => unreachable!("answered an OffsetsForLeaderEpoch with {other:?}"),
            None => &[],
        };
        for &(partition, position) in asked {
            let answer = answers.iter().find(|answer| answer.0 == partition);
            match answer {
                Some(&(_, ErrorCode::None, end)) => {
                    self.on_validated(cx, partition, position, end);
                }
                Some(_) | None => self.ask_later(client, cx.now(), partition),
            }
        }
    }

    /// `SubscriptionState.maybeCompleteValidation`
    fn on_validated<T, R>(
        &mut self,
        cx: &mut Cx<'_, T, R>,
        partition: TopicPartition,
        asked: FetchPosition,
        end: Option<EpochEndOffset>,
    ) {
        let Some(index) = self.find(partition) else { return };
        let subscription = &mut self.subscriptions[index];
        let is_awaited = subscription.state == FetchState::AwaitValidation;
        if !is_awaited || subscription.position != Some(asked) {
            return;
        }
        match validate(asked, end, self.config.auto_offset_reset) {
            Validation::Valid => subscription.seek(asked),
            Validation::Truncated(position) => {
                subscription.seek(position);
                let (from, to) = (Some(asked.offset), position.offset);
                cx.trace(|| TraceEvent::PositionReset { partition, from, to, truncated: true });
            }
            Validation::Reset => {
                subscription.reset();
                self.unsettled = true;
            }
            Validation::Stop => self.stop(cx, index, ErrorCode::OffsetOutOfRange),
        }
    }

    /// The leader did not answer about a partition: fresh metadata, and another try after
    /// `retry.backoff.ms` (`SubscriptionState.requestFailed`).
    fn ask_later<P>(
        &mut self,
        client: &mut NetworkClient<P>,
        now: SimTime,
        partition: TopicPartition,
    ) {
        client.request_update();
        if let Some(index) = self.find(partition) {
            let retry_at = now + self.config.client.retry_backoff;
            self.subscriptions[index].next_retry = retry_at;
            self.unsettled = true;
        }
    }
}

/// What to ask for by the reset policy; nothing without one.
fn reset_timestamp(policy: AutoOffsetReset, now: SimTime) -> Option<ListOffsetsTimestamp> {
    match policy {
        AutoOffsetReset::Earliest => Some(ListOffsetsTimestamp::Earliest),
        AutoOffsetReset::Latest => Some(ListOffsetsTimestamp::Latest),
        AutoOffsetReset::ByDuration(age) => Some(ListOffsetsTimestamp::At(now - age)),
        AutoOffsetReset::None => None,
    }
}
