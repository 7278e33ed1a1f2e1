//! One assigned partition: where the consumer stands in it, and what it waits for before it
//! fetches.
//!
//! Mirrors `SubscriptionState.TopicPartitionState` with its `FetchStates`, and the decisions of
//! `SubscriptionState.maybeValidatePositionForCurrentLeader` and `maybeCompleteValidation`
//! (KIP-320).
//!
//! Left out: pausing by the application, preferred read replicas (KIP-392).

use crate::client::metadata::PartitionLeadership;
use acklab_vocab::api::EpochEndOffset;
use acklab_vocab::config::AutoOffsetReset;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{LeaderEpoch, Offset, TopicPartition};
use acklab_vocab::time::SimTime;

/// What a partition waits for (`SubscriptionState.FetchStates`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchState {
    /// It has no position: the group's committed offset is to be asked for.
    Initializing,
    /// It has a position and is fetched.
    Fetching,
    /// It has no position: the leader is asked for one by `auto.offset.reset`.
    AwaitReset,
    /// The leader is asked whether the position is still in its log.
    AwaitValidation,
    /// The leader refused a fetch: the next metadata answer decides.
    AwaitUpdate,
    /// The application got an exception.
    Stopped(ErrorCode),
}

/// Where a consumer stands (`SubscriptionState.FetchPosition`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchPosition {
    /// Offset of the next record to return.
    pub offset: Offset,
    /// Epoch of the last record returned; `None` after a reset.
    pub offset_epoch: Option<LeaderEpoch>,
    /// The leader for which the position holds.
    pub current_leader: PartitionLeadership,
}

/// What a validated answer means for a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validation {
    /// The position stands.
    Valid,
    /// The leader's log leaves what was read at an earlier offset: the position to go back to.
    Truncated(FetchPosition),
    /// The leader knows nothing of the position's epoch: reset by policy.
    Reset,
    /// As `Truncated` or `Reset`, but without a policy (`LogTruncationException`).
    Stop,
}

/// One assigned partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Which partition.
    pub partition: TopicPartition,
    /// What it waits for.
    pub state: FetchState,
    /// Where the consumer stands; `None` until it first has a position. While another one is being
    /// found, it is where the consumer stood.
    pub position: Option<FetchPosition>,
    /// Where it stood after the last record that it returned since it has been assigned.
    handed_out: Option<FetchPosition>,
    /// What librdkafka may commit (`rktp_stored_pos`).
    stored: Option<FetchPosition>,
    /// The high watermark as the last fetch response had it.
    pub high_watermark: Option<Offset>,
    /// No ListOffsets or OffsetsForLeaderEpoch for it before this instant.
    pub next_retry: SimTime,
    /// A fetch response of it has yet to be returned to the application.
    pub buffered: bool,
    /// Nothing of it is fetched or returned: it is about to be revoked
    /// (`SubscriptionState.markPendingRevocation`).
    pub pending_revocation: bool,
}

impl Subscription {
    /// Just assigned, without a position: to be had from the group (`Initializing`) or by the reset
    /// policy (`AwaitReset`).
    #[must_use]
    pub fn new(partition: TopicPartition, state: FetchState) -> Self {
        Subscription {
            partition,
            state,
            position: None,
            handed_out: None,
            stored: None,
            high_watermark: None,
            next_retry: SimTime(i64::MIN),
            buffered: false,
            pending_revocation: false,
        }
    }

    /// The position, if records may be fetched and returned from it.
    #[must_use]
    pub fn valid_position(&self) -> Option<&FetchPosition> {
        match self.state {
            FetchState::Fetching if self.pending_revocation => None,
            FetchState::Fetching => self.position.as_ref(),
            FetchState::Initializing
            | FetchState::AwaitReset
            | FetchState::AwaitValidation
            | FetchState::AwaitUpdate
            | FetchState::Stopped(_) => None,
        }
    }

    /// The position, unless one is only now being found.
    #[must_use]
    pub fn known_position(&self) -> Option<&FetchPosition> {
        match self.state {
            FetchState::Initializing | FetchState::AwaitReset => None,
            FetchState::Fetching
            | FetchState::AwaitValidation
            | FetchState::AwaitUpdate
            | FetchState::Stopped(_) => self.position.as_ref(),
        }
    }

    /// What the application has been given, as a commit has it
    /// (`TopicPartitionState.hasValidPosition`).
    #[must_use]
    pub fn consumed(&self) -> Option<&FetchPosition> {
        match self.state {
            FetchState::Fetching | FetchState::AwaitUpdate => self.position.as_ref(),
            FetchState::Initializing
            | FetchState::AwaitReset
            | FetchState::AwaitValidation
            | FetchState::Stopped(_) => None,
        }
    }

    /// Whether it waits for an answer about its position and may ask now.
    #[must_use]
    pub fn may_ask(&self, state: FetchState, now: SimTime) -> bool {
        self.state == state && self.next_retry <= now
    }

    /// Metadata has been renewed. A position under another leader or epoch must be validated, if
    /// `validates` (the rule `ValidatePosition`) and both epochs are known. Returns whether the
    /// leader to fetch from has changed.
    pub fn metadata_renewed(&mut self, current: PartitionLeadership, validates: bool) -> bool {
        if self.state == FetchState::AwaitUpdate {
            self.state = FetchState::Fetching;
        }
        match self.state {
            FetchState::Initializing | FetchState::AwaitReset | FetchState::Stopped(_) => {
                return false;
            }
            FetchState::Fetching | FetchState::AwaitValidation | FetchState::AwaitUpdate => {}
        }
        let Some(position) = &mut self.position else { return false };
        if current.leader.is_none() || position.current_leader == current {
            return false;
        }
        let moved = position.current_leader.leader != current.leader;
        position.current_leader = current;
        let known = position.offset_epoch.is_some() && current.leader_epoch.is_some();
        self.next_retry = SimTime(i64::MIN);
        let validate = validates && known;
        self.state = if validate { FetchState::AwaitValidation } else { FetchState::Fetching };
        moved
    }

    /// Gives the position up; the reset policy sets the next one.
    pub fn reset(&mut self) {
        self.state = FetchState::AwaitReset;
        self.next_retry = SimTime(i64::MIN);
    }

    /// Goes to a position that is to be validated, if `validates` (the rule `ValidatePosition`) and
    /// both epochs are known (`SubscriptionState.seekUnvalidated`).
    pub fn seek_unvalidated(&mut self, position: FetchPosition, validates: bool) {
        self.seek(position);
        let current = position.current_leader;
        let known = position.offset_epoch.is_some() && current.leader_epoch.is_some();
        if validates && known && current.leader.is_some() {
            self.state = FetchState::AwaitValidation;
        }
    }

    /// Goes to a position that needs no validation.
    pub fn seek(&mut self, position: FetchPosition) {
        self.position = Some(position);
        self.state = FetchState::Fetching;
        self.next_retry = SimTime(i64::MIN);
    }

    /// Records up to `offset` have been returned, the last of `epoch`.
    pub fn advance(&mut self, offset: Offset, epoch: LeaderEpoch) {
        let position = self.position.as_mut().expect("only a partition with a position is read");
        position.offset = offset;
        position.offset_epoch = Some(epoch);
    }

    /// The application has been given the records before the position.
    pub const fn hand_out(&mut self) {
        self.handed_out = self.position;
    }

    /// What has been handed out may be committed (`rd_kafka_offset_store`).
    pub const fn store(&mut self) {
        self.stored = self.handed_out;
    }

    /// What librdkafka may commit: nothing of a partition of which it has returned nothing.
    #[must_use]
    pub const fn stored(&self) -> Option<FetchPosition> {
        self.stored
    }
}

/// What the leader's answer about `position`'s epoch means: `end` is the largest epoch it knows
/// that is not above, and where that ends; `None` if it knows none.
#[must_use]
pub fn validate(
    position: FetchPosition,
    end: Option<EpochEndOffset>,
    policy: AutoOffsetReset,
) -> Validation {
    let has_policy = policy != AutoOffsetReset::None;
    match end {
        Some(end) if end.end_offset >= position.offset => Validation::Valid,
        Some(_) | None if !has_policy => Validation::Stop,
        Some(end) => Validation::Truncated(FetchPosition {
            offset: end.end_offset,
            offset_epoch: Some(end.leader_epoch),
            ..position
        }),
        None => Validation::Reset,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use acklab_vocab::ids::BrokerId;

    fn leader(broker: u16, epoch: u32) -> PartitionLeadership {
        let (leader, leader_epoch) = (Some(BrokerId(broker)), Some(LeaderEpoch(epoch)));
        PartitionLeadership { leader, leader_epoch }
    }

    fn position(offset: u64, epoch: Option<u32>) -> FetchPosition {
        let offset_epoch = epoch.map(LeaderEpoch);
        FetchPosition { offset: Offset(offset), offset_epoch, current_leader: leader(1, 4) }
    }

    fn fetching(position: FetchPosition) -> Subscription {
        let mut subscription = Subscription::new(TopicPartition::new(0, 0), FetchState::AwaitReset);
        subscription.seek(position);
        subscription
    }

    #[test]
    fn an_answer_confirms_rewinds_resets_or_stops() {
        use AutoOffsetReset::{Earliest, Latest, None as NoPolicy};
        let end = |epoch, offset| {
            Some(EpochEndOffset { leader_epoch: LeaderEpoch(epoch), end_offset: Offset(offset) })
        };
        let at = position(10, Some(3));
        let cases = [
            (end(3, 10), Latest, Validation::Valid),
            (end(3, 15), Earliest, Validation::Valid),
            (end(3, 10), NoPolicy, Validation::Valid),
            (end(3, 9), Latest, Validation::Truncated(position(9, Some(3)))),
            (end(2, 7), Earliest, Validation::Truncated(position(7, Some(2)))),
            (end(2, 7), NoPolicy, Validation::Stop),
            (None, Latest, Validation::Reset),
            (None, NoPolicy, Validation::Stop),
        ];
        for (end, policy, expected) in cases {
            assert_eq!(validate(at, end, policy), expected, "{end:?} {policy:?}");
        }
    }

    #[test]
    fn a_new_leader_or_epoch_calls_for_validation() {
        use FetchState::{AwaitValidation, Fetching};
        let nobody = PartitionLeadership { leader: None, ..leader(1, 5) };
        let cases = [
            // (last epoch read, leader in the metadata, rule on) → (state, leader moved)
            (Some(4), leader(1, 4), true, Fetching, false),
            (Some(4), leader(2, 5), true, AwaitValidation, true),
            (Some(4), leader(1, 5), true, AwaitValidation, false),
            (Some(4), leader(2, 5), false, Fetching, true),
            // Nothing was read since the reset: there is no epoch to compare.
            (None, leader(2, 5), true, Fetching, true),
            // No leader: the old one is kept.
            (Some(4), nobody, true, Fetching, false),
        ];
        for (epoch, current, rule, state, moved) in cases {
            let mut subscription = fetching(position(10, epoch));
            assert_eq!(subscription.metadata_renewed(current, rule), moved, "{current:?}");
            assert_eq!(subscription.state, state, "{current:?} {rule}");
        }
    }

    #[test]
    fn only_what_has_a_position_follows_the_metadata() {
        let mut assigned = Subscription::new(TopicPartition::new(0, 0), FetchState::AwaitReset);
        assert!(!assigned.metadata_renewed(leader(2, 5), true));
        assert_eq!(assigned.state, FetchState::AwaitReset);
        let mut stopped = fetching(position(10, Some(4)));
        stopped.state = FetchState::Stopped(ErrorCode::OffsetOutOfRange);
        assert!(!stopped.metadata_renewed(leader(2, 5), true));
        assert_eq!(stopped.valid_position(), None);
    }

    #[test]
    fn a_refused_fetch_is_tried_again_after_the_next_metadata() {
        let mut subscription = fetching(position(10, Some(4)));
        subscription.state = FetchState::AwaitUpdate;
        assert_eq!(subscription.valid_position(), None);
        assert!(!subscription.metadata_renewed(leader(1, 4), true));
        assert_eq!(subscription.valid_position(), Some(&position(10, Some(4))));
    }
}
