//! What every consumer does to read, alone or in a group: positions, how they are found and
//! checked, fetching.
//!
//! Mirrors `SubscriptionState` ([`subscription`]), `OffsetFetcher` (`offsets`), `Fetcher` and
//! `FetchCollector` (`fetcher`) over the shared [`NetworkClient`]. The machine that hosts it owns
//! the client, hands over the completions that are tagged with a [`FetchPurpose`], and says when
//! the application polls.
//!
//! Left out: fetching from followers (KIP-392), and the sizes of fetch sessions (KIP-227), which
//! only shorten requests. An exception about a partition stops that partition
//! ([`FetchState::Stopped`]); what the application does about it is up to the host.

mod fetcher;
mod offsets;
pub mod subscription;

pub use fetcher::{Collected, PollLimit};

use crate::client::{Loss, NetworkClient};
use crate::machine::Cx;
use acklab_vocab::api::{OffsetToCommit, Response};
use acklab_vocab::config::ConsumerConfig;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::group::CommittedOffset;
use acklab_vocab::ids::{BrokerId, Offset, TopicPartition};
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::{PositionSource, TraceEvent};
use fetcher::Fetcher;
use std::sync::Arc;
use subscription::{FetchPosition, FetchState, Subscription};

/// What a request of the fetching part was for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchPurpose {
    /// Records; the fetcher knows of which partitions.
    Fetch,
    /// First positions of these partitions.
    ListOffsets(Vec<TopicPartition>),
    /// Whether these positions still are in the leader's log.
    OffsetsForLeaderEpoch(Vec<(TopicPartition, FetchPosition)>),
}

/// The partitions that a consumer reads, its positions, and what it has fetched.
#[derive(Debug)]
pub struct Fetching {
    config: Arc<ConsumerConfig>,
    /// Ascending by partition.
    subscriptions: Vec<Subscription>,
    fetcher: Fetcher,
    /// A partition may await a reset or a validation.
    unsettled: bool,
    /// When one of them may be asked about again.
    ask_again_at: SimTime,
    /// A partition may be [`FetchState::Initializing`].
    initializing: bool,
    /// Why a partition has been stopped since the application was told last.
    failure: Option<ErrorCode>,
    /// Nothing is fetched or returned: all partitions are about to be revoked
    /// (`SubscriptionState.markPendingRevocation`).
    pending_revocation: bool,
    /// Version of the metadata that the positions have followed.
    metadata_version: u64,
}

fn offset_to_commit(subscription: &Subscription, position: &FetchPosition) -> OffsetToCommit {
    OffsetToCommit {
        partition: subscription.partition,
        offset: position.offset,
        leader_epoch: position.offset_epoch,
    }
}

impl Fetching {
    /// Reads nothing yet.
    #[must_use]
    pub fn new(config: Arc<ConsumerConfig>) -> Self {
        Fetching {
            config,
            subscriptions: Vec::new(),
            fetcher: Fetcher::default(),
            unsettled: false,
            ask_again_at: SimTime::NEVER,
            initializing: false,
            failure: None,
            pending_revocation: false,
            metadata_version: 0,
        }
    }

    /// The partitions, ascending.
    #[must_use]
    pub fn subscriptions(&self) -> &[Subscription] {
        &self.subscriptions
    }

    /// Reads exactly `partitions` from now on (`SubscriptionState.assignFromSubscribed`): those
    /// that it read before go on, new ones begin as `state` says. What was fetched of others is
    /// dropped.
    pub fn assign(&mut self, partitions: &[TopicPartition], state: FetchState) {
        let mut before = std::mem::take(&mut self.subscriptions);
        let mut kept = |partition: TopicPartition| {
            let place = before.iter().position(|known| known.partition == partition)?;
            Some(before.swap_remove(place))
        };
        self.subscriptions = partitions
            .iter()
            .map(|&partition| {
                kept(partition).unwrap_or_else(|| Subscription::new(partition, state))
            })
            .collect();
        self.subscriptions.sort_unstable_by_key(|subscription| subscription.partition);
        self.pending_revocation = false;
        self.initializing |= state == FetchState::Initializing;
        self.unsettled = true;
        self.fetcher.assigned(&self.subscriptions);
    }

    /// All partitions are about to be revoked.
    pub const fn mark_pending_revocation(&mut self) {
        self.pending_revocation = true;
    }

    /// These partitions are about to be revoked; the others go on.
    pub fn mark_revoking(&mut self, partitions: &[TopicPartition]) {
        for subscription in &mut self.subscriptions {
            subscription.pending_revocation = partitions.contains(&subscription.partition);
        }
    }

    /// Each partition with the offset of the next record to return, ascending; `None` while none is
    /// known.
    pub fn positions(&self) -> impl Iterator<Item = (TopicPartition, Option<Offset>)> + '_ {
        self.subscriptions.iter().map(|subscription| {
            let position = subscription.known_position();
            (subscription.partition, position.map(|position| position.offset))
        })
    }

    /// Partitions that are not read any more, and why.
    pub fn stopped(&self) -> impl Iterator<Item = (TopicPartition, ErrorCode)> + '_ {
        self.subscriptions.iter().filter_map(|subscription| match subscription.state {
            FetchState::Stopped(error) => Some((subscription.partition, error)),
            FetchState::Initializing
            | FetchState::Fetching
            | FetchState::AwaitReset
            | FetchState::AwaitValidation
            | FetchState::AwaitUpdate => None,
        })
    }

    /// What the application has been given of every partition (`SubscriptionState.allConsumed`),
    /// ascending.
    #[must_use]
    pub fn all_consumed(&self) -> Arc<[OffsetToCommit]> {
        let consumed = self.subscriptions.iter().filter_map(|subscription| {
            Some(offset_to_commit(subscription, subscription.consumed()?))
        });
        consumed.collect()
    }

    /// What librdkafka may commit of every partition, ascending.
    #[must_use]
    pub fn all_stored(&self) -> Arc<[OffsetToCommit]> {
        let stored = self.subscriptions.iter().filter_map(|subscription| {
            Some(offset_to_commit(subscription, &subscription.stored()?))
        });
        stored.collect()
    }

    /// What has been handed out of every partition may be committed.
    pub fn store_offsets(&mut self) {
        self.subscriptions.iter_mut().for_each(Subscription::store);
    }

    /// Partitions whose committed offset is to be asked for, ascending.
    #[must_use]
    pub fn initializing(&mut self) -> Vec<TopicPartition> {
        if !self.initializing {
            return Vec::new();
        }
        let wanting =
            self.subscriptions.iter().filter(|entry| entry.state == FetchState::Initializing);
        let wanting: Vec<_> = wanting.map(|entry| entry.partition).collect();
        self.initializing = !wanting.is_empty();
        wanting
    }

    /// Whether the committed offset of a partition may have to be asked for.
    #[must_use]
    pub const fn is_initializing(&self) -> bool {
        self.initializing
    }

    /// Every partition has a position that may be fetched from.
    #[must_use]
    pub fn has_all_positions(&self) -> bool {
        self.subscriptions.iter().all(|entry| entry.consumed().is_some())
    }

    /// `seek()` of every partition to the group's committed offset, which is to be asked for.
    pub fn seek_all_to_committed(&mut self) {
        for subscription in &mut self.subscriptions {
            subscription.state = FetchState::Initializing;
            self.initializing = true;
        }
    }

    /// The group's committed offset of a partition that waits for it is known
    /// (`ConsumerUtils.refreshCommittedOffsets`); without one the reset policy decides.
    pub fn initialize<T, R, P>(
        &mut self,
        cx: &mut Cx<'_, T, R>,
        client: &mut NetworkClient<P>,
        partition: TopicPartition,
        committed: Option<CommittedOffset>,
        source: PositionSource,
    ) {
        let validates = self.config.client.rules.has(ProtocolRule::ValidatePosition);
        let Some(index) = self.find(partition) else { return };
        let subscription = &mut self.subscriptions[index];
        if subscription.state != FetchState::Initializing {
            return;
        }
        let Some(committed) = committed else {
            subscription.reset();
            self.unsettled = true;
            return;
        };
        let from = subscription.position.map(|position| position.offset);
        let to = committed.offset;
        let current_leader = client.metadata().partition(partition).unwrap_or_default();
        if current_leader.leader.is_none() {
            client.request_update();
        }
        let position =
            FetchPosition { offset: to, offset_epoch: committed.leader_epoch, current_leader };
        subscription.seek_unvalidated(position, validates);
        self.unsettled |= subscription.state == FetchState::AwaitValidation;
        self.fetcher.enlist(subscription);
        cx.trace(|| TraceEvent::PositionFromCommitted { partition, from, to, source });
    }

    /// When [`Fetching::ask_about_positions`] has something to do again, if nothing happens before.
    #[must_use]
    pub const fn ask_again_at(&self) -> SimTime {
        self.ask_again_at
    }

    /// Why a partition has been stopped, if one has since the last time that this was asked.
    pub const fn take_failure(&mut self) -> Option<ErrorCode> {
        self.failure.take()
    }

    /// Takes the outcome of a request in.
    pub fn complete<T, R, P>(
        &mut self,
        cx: &mut Cx<'_, T, R>,
        client: &mut NetworkClient<P>,
        broker: BrokerId,
        purpose: &FetchPurpose,
        result: Result<Box<Response>, Loss>,
    ) {
        match purpose {
            FetchPurpose::Fetch => self.on_fetched(client, broker, result),
            FetchPurpose::ListOffsets(asked) => {
                self.on_offsets_listed(cx, client, asked, result.as_deref().ok());
            }
            FetchPurpose::OffsetsForLeaderEpoch(asked) => {
                self.on_epoch_offsets(cx, client, asked, result.as_deref().ok());
            }
        }
    }

    /// Lets the positions follow metadata that has changed
    /// (`OffsetFetcher.validatePositionsOnMetadataChange`).
    pub fn follow_metadata<P>(&mut self, client: &NetworkClient<P>) {
        let version = client.metadata().version();
        if version == self.metadata_version {
            return;
        }
        self.metadata_version = version;
        for index in 0..self.subscriptions.len() {
            self.follow_leader(client, index);
        }
    }

    /// Lets one position follow the leader that the metadata names.
    fn follow_leader<P>(&mut self, client: &NetworkClient<P>, index: usize) {
        let validates = self.config.client.rules.has(ProtocolRule::ValidatePosition);
        let subscription = &mut self.subscriptions[index];
        let current = client.metadata().partition(subscription.partition).unwrap_or_default();
        if subscription.metadata_renewed(current, validates) {
            self.fetcher.enlist(subscription);
        }
        self.unsettled |= subscription.state == FetchState::AwaitValidation;
    }

    /// The application gets an exception about a partition.
    fn stop<T, R>(&mut self, cx: &mut Cx<'_, T, R>, index: usize, error: ErrorCode) {
        let subscription = &mut self.subscriptions[index];
        subscription.state = FetchState::Stopped(error);
        let partition = subscription.partition;
        self.failure = Some(error);
        cx.trace(|| TraceEvent::ReaderStopped { partition, error });
    }

    /// Another configuration from now on.
    #[cfg(test)]
    pub(crate) fn config_for_test(&mut self, config: ConsumerConfig) {
        self.config = Arc::new(config);
    }

    fn find(&self, partition: TopicPartition) -> Option<usize> {
        self.subscriptions.binary_search_by_key(&partition, |entry| entry.partition).ok()
    }
}
