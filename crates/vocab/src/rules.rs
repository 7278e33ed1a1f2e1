//! Protocol rules: every way in which Kafka changed its mind, by name.
//!
//! A machine never asks for a version. It asks whether a rule holds, so a scenario may switch one off, to re-create a
//! historical bug, or to show what the rule is for.

use crate::version::KafkaVersion;
use serde::{Deserialize, Serialize};

macro_rules! protocol_rules {
    ($($(#[$doc:meta])* $name:ident: $since:expr, $until:expr;)*) => {
        /// One rule of the protocol that some version of Kafka follows and another does not.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum ProtocolRule { $($(#[$doc])* $name,)* }

        impl ProtocolRule {
            /// Every rule, in the order of declaration.
            pub const ALL: &'static [ProtocolRule] = &[$(ProtocolRule::$name,)*];

            /// The rule's name as a scenario writes it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(ProtocolRule::$name => stringify!($name),)* }
            }

            /// First version that follows the rule, and first that no longer does.
            #[must_use]
            pub const fn versions(self) -> (KafkaVersion, Option<KafkaVersion>) {
                match self { $(ProtocolRule::$name => ($since, $until),)* }
            }
        }
    };
}

const fn version(major: u8, minor: u8, patch: u8) -> KafkaVersion {
    KafkaVersion::new(major, minor, patch)
}

const ALWAYS: KafkaVersion = KafkaVersion::OLDEST;

protocol_rules! {
    /// A follower truncates where its log and the leader's part, found by leader epochs (KIP-101). Off: to its own
    /// high watermark, which loses committed records.
    TruncateByLeaderEpoch: version(0, 11, 0), None;
    /// The answer to OffsetsForLeaderEpoch names the epoch it speaks of (KIP-279). Off: two fast elections can leave
    /// replicas that differ.
    EpochInOffsetsForLeaderEpoch: version(2, 0, 0), None;
    /// A follower fetches at once and is told in the fetch response where its log diverges (KIP-595). Off: it asks
    /// with OffsetsForLeaderEpoch before it fetches.
    TruncateOnFetch: version(2, 7, 0), None;
    /// A follower begins anew with truncation at every new leader epoch, even if the leader stays (KIP-320). Off: only when
    /// another broker leads.
    TruncateOnEveryEpoch: version(2, 1, 0), None;
    /// A follower that has missed a leader epoch begins anew with truncation although it follows the same broker. Off: it goes
    /// on. From 2.1 on, `TruncateOnEveryEpoch` says more.
    TruncateAfterMissedEpoch: version(2, 0, 1), None;
    /// OffsetsForLeaderEpoch carries the leader epoch and is fenced by it (KIP-320). Off: a follower may truncate to what a
    /// deposed leader says.
    FenceTruncation: version(2, 1, 0), None;
    /// Fetch and ListOffsets carry the leader epoch and are fenced by it (KIP-320), so that the high watermark moves by
    /// fetches of its own epoch only.
    FenceByLeaderEpoch: version(2, 1, 0), None;
    /// A follower whose log is longer than its leader's ends its process, unless the topic allows unclean elections. Off: it
    /// truncates.
    HaltRatherThanTruncate: ALWAYS, Some(version(2, 1, 0));
    /// A follower out of range whose log by now ends within the leader's keeps it (KAFKA-2143). Off: it drops all of its log.
    KeepLogWithinLeaders: version(0, 9, 0), None;
    /// A replica joins the ISR only when it has reached the start of the leader's epoch.
    IsrExpandAwaitsEpochStart: version(2, 0, 0), None;
    /// A replica joins the ISR only if its fetch carries the broker epoch that is registered (KIP-903).
    IsrExpandChecksBrokerEpoch: version(3, 5, 0), None;
    /// A fenced broker, or one in controlled shutdown, cannot join an ISR (KIP-841).
    IsrExpandChecksFencing: version(3, 3, 0), None;
    /// The high watermark waits for the maximal ISR, pending members included (KIP-497). Off: for the committed ISR.
    HighWatermarkAwaitsMaximalIsr: version(2, 7, 0), None;
    /// The high watermark also waits for replicas outside the ISR that are caught up by time.
    HighWatermarkAwaitsCaughtUp: version(0, 10, 2), None;
    /// The high watermark stands still while the committed ISR is smaller than min.insync.replicas (KIP-966).
    HighWatermarkFrozenUnderMinIsr: version(3, 7, 0), None;
    /// min.insync.replicas counts as at most the number of replicas.
    MinIsrCappedByReplicationFactor: version(3, 7, 0), None;
    /// A leader asks the controller for another ISR (KIP-497). Off: it writes the ISR to ZooKeeper itself, under the
    /// partition's lock, so that its writers wait while ZooKeeper cannot be reached. KRaft has no other way.
    AlterIsrThroughController: version(2, 7, 0), None;
    /// A follower that is `replica.lag.max.messages` behind leaves the ISR; one that fetches is otherwise in sync.
    IsrShrinksByMessages: ALWAYS, Some(version(0, 9, 0));
    /// A follower whose log is as long as the leader's does not lag, however long it has been silent. Off: silence is enough.
    EqualLogIsCaughtUp: version(2, 1, 0), None;
    /// A follower that reaches where the leader's log ended at its previous fetch was caught up then. Off: only one that
    /// reaches the very end is.
    CaughtUpAtPreviousFetch: version(0, 10, 2), None;
    /// Consumers' fetches and questions about offsets wait for the partition's lock, too. Off: only appends and the fetches
    /// of followers do.
    ReadUnderPartitionLock: version(2, 1, 0), None;
    /// A leader that has written an ISR to ZooKeeper says so in a znode that the controller watches. Off: the controller
    /// reads it when it next elects.
    AnnounceIsrChange: version(0, 9, 0), None;
    /// A broker whose znode is still there from an earlier life ends. Off: it waits, and tries again.
    EarlierRegistrationIsFatal: version(0, 9, 0), None;
    /// A broker registers in ZooKeeper before it stands for controller. Off: after.
    RegisterBeforeElection: version(1, 1, 0), None;
    /// A broker's request to ZooKeeper fails when its session expires. Off: it is tried again in the next session.
    RequestsEndWithSession: version(1, 1, 0), None;
    /// In ZooKeeper mode, too, producer ids come in blocks from the controller (KIP-730). Off: the broker takes a block by
    /// writing a znode.
    AllocateProducerIdsByController: version(3, 0, 0), None;
    /// The controller of the ZooKeeper mode writes the states of partitions in batches (KAFKA-5642). Off: one after the other,
    /// each a round trip.
    ControllerWritesInBatches: version(1, 1, 0), None;
    /// A new controller takes the replicas of dead brokers out of every ISR (KAFKA-3143). Off: only out of those of partitions
    /// that it elects a leader for; the leaders do the rest when the replicas lag.
    NewControllerShrinksIsr: version(2, 3, 0), None;
    /// The controller's writes to ZooKeeper are bound to its epoch (KAFKA-6082). Off: an old controller can still write.
    FenceControllerWrites: version(2, 2, 0), None;
    /// Requests between the controller of the ZooKeeper mode and a broker name the broker's life (KIP-380). Off: a restarted
    /// broker obeys what was meant for its life before.
    FenceByBrokerEpoch: version(2, 2, 0), None;
    /// A new leader starts from the high watermark that it knew as a follower. Off: from its log end offset, a bug
    /// that no release had, kept to show that it is caught.
    NewLeaderKeepsHighWatermark: ALWAYS, None;
    /// The broker recognises any of a producer's last five batches (KIP-98). Off: only the last one, a bug that no
    /// release had, kept to show that it is caught.
    DeduplicateLastFiveBatches: version(0, 11, 0), None;
    /// Replicas that left an ISR smaller than min.insync.replicas stay eligible for a clean election (KIP-966).
    EligibleLeaderReplicas: version(4, 1, 0), None;
    /// A shrink of the ISR also raises the leader epoch (metadata versions before 3.6).
    IsrShrinkBumpsLeaderEpoch: ALWAYS, Some(version(3, 6, 0));
    /// The controller looks for silent brokers in sweeps of an eighth of the session. Off: a timer at each deadline.
    FenceBrokersInSweeps: version(4, 0, 0), None;
    /// A voter asks whether it could win before it starts an election (KIP-996). Off: a voter that was cut off comes back
    /// with a higher epoch and deposes the active controller.
    PreVote: version(4, 0, 0), None;
    /// A waiting fetch of the metadata log is answered when the high watermark moves (KIP-1166). Off: only by new entries
    /// or at its time limit, so that brokers may learn up to 500 ms late what was committed.
    MetadataFetchAwaitsHighWatermark: version(4, 1, 0), None;
    /// A NOT_LEADER_OR_FOLLOWER answer names the new leader (KIP-951).
    LeaderInErrorResponse: version(3, 7, 0), None;
    /// Clients back off exponentially between retries, with jitter (KIP-580). Off: `retry.backoff.ms` each time.
    ExponentialRetryBackoff: version(3, 7, 0), None;
    /// Requests of a lost connection are given back oldest first. Off: newest first.
    CancelOldestFirst: version(2, 0, 0), None;
    /// Records without a key stick to a partition until a batch is complete (KIP-480).
    StickyPartitioner: version(2, 4, 0), Some(version(3, 3, 0));
    /// Records without a key move on after `batch.size` bytes and favour short queues (KIP-794).
    BuiltInPartitioner: version(3, 3, 0), None;
    /// A consumer checks its position against the leader's epochs after a change of leader (KIP-320).
    ValidatePosition: version(2, 3, 0), None;
    /// A consumer sends no fetch to a broker while records from it wait to be returned. Off: it fetches the broker's
    /// other partitions meanwhile, and the partition that waited is held up by their long poll.
    FetchAwaitsEmptyBuffer: version(4, 0, 0), None;
    /// A client that can reach no broker it knows starts over from its bootstrap list (KIP-899, KIP-1102). Off: it waits
    /// for those it knows.
    MetadataRebootstrap: version(4, 0, 0), None;
    /// A partitioner class is asked again for a record that opens a batch (KIP-480), so that `RoundRobinPartitioner`
    /// skips partitions (KAFKA-9965).
    PartitionAgainForNewBatch: version(2, 4, 0), Some(version(4, 0, 0));
    /// An idempotent producer that has lost track of its sequences raises its epoch itself (KIP-360). Off: it asks for a
    /// new producer id.
    BumpProducerEpochLocally: version(2, 5, 0), None;
    /// A consumer that no longer trusts its coordinator drops the connection, so that whatever is in flight on it fails
    /// together, oldest first (KAFKA-6366). Off: a commit behind the one that failed may still succeed, and a retry of the
    /// first one then overwrites it.
    DisconnectUnknownCoordinator: version(1, 0, 0), None;
    /// A consumer sends heartbeats from a thread of its own (KIP-62). Off: only inside poll().
    BackgroundHeartbeat: version(0, 10, 1), None;
    /// poll() returns when its timeout is over, even while the member is joining (KIP-266). Off: it waits for the group.
    JoinAcrossPolls: version(2, 0, 0), None;
    /// A member that is joining goes on to read what it keeps (KAFKA-8421). Off: poll() first waits for the group.
    ReturnRecordsWhileJoining: version(2, 5, 0), None;
    /// A commit in the middle of a rebalance fails with `RebalanceInProgressException`, after which the member may try again
    /// (KAFKA-8421). Off: with `CommitFailedException`.
    CommitTellsRebalance: version(2, 5, 0), None;
    /// A dynamic member joins twice: first to be given its id (KIP-394).
    MemberIdRequired: version(2, 2, 0), None;
    /// A member may be static (KIP-345).
    StaticMembership: version(2, 3, 0), None;
    /// A static leader that comes back to a stable group is told that it leads, and to keep the assignment (KIP-814). Off: it
    /// is told that its old id leads.
    StaticLeaderSkipsAssignment: version(3, 2, 0), None;
    /// Members tell the leader in which generation they got what they own: in the assignor's own data (KAFKA-12984), from
    /// 3.4 on in the protocol (KIP-792). Off: `cooperative-sticky` takes the word of a member that fell out of the group,
    /// and a partition can have two owners.
    OwnedPartitionsCarryGeneration: version(2, 8, 1), None;
    /// A member that loses its membership while it joins gives up what it owns before it joins anew (KAFKA-12983). Off: it
    /// keeps it, and claims it.
    LostMemberGivesUpPartitions: version(2, 8, 1), None;
    /// Of several members that claim a partition, the one of the newest generation keeps it (KAFKA-14639). Off: members of
    /// an older generation than another's own nothing at all, so a partition may be revoked and assigned in one rebalance.
    ContestedPartitionToNewestClaim: version(3, 4, 1), None;
    /// The coordinator is the event-loop coordinator of KIP-848: it appends at once and answers when the high watermark
    /// passes. Off: it appends with acks=all, and refuses with a small ISR.
    EventLoopGroupCoordinator: version(4, 0, 0), None;
    /// A member of a KIP-848 group makes its own member id (KIP-1082). Off: the coordinator does, and if its first answer is
    /// lost, the member joins as another one and its partitions wait for the end of a session.
    ClientMadeMemberId: version(4, 0, 0), None;
    /// A commit to an unknown group is answered GROUP_ID_NOT_FOUND. Off: ILLEGAL_GENERATION.
    UnknownGroupIsNotFound: version(4, 0, 0), None;
    /// Offsets expire only when their group has been empty, or (without members) when they are old (KIP-211). Off: each offset
    /// when it is old, even of a living group.
    OffsetsExpireWithGroup: version(2, 1, 0), None;
    /// Offsets committed in a transaction carry the member's generation and are fenced by it (KIP-447).
    FenceTransactionalOffsets: version(2, 5, 0), None;
    /// A producer fenced by a newer one is answered PRODUCER_FENCED (KIP-588). Off: INVALID_PRODUCER_EPOCH, as every older
    /// epoch.
    ProducerFencedError: version(2, 7, 0), None;
    /// A client understands TRANSACTION_ABORTABLE, and aborts (KIP-890). Off: INVALID_TXN_STATE, which is fatal to it.
    TransactionAbortableError: version(3, 8, 0), None;
    /// A producer of `transaction.version` 2 that a partition does not know begins at sequence 0. Off: at any, so that a
    /// later batch may overtake the first (KAFKA-15591 is the same for idempotent producers).
    UnknownProducerStartsAtZero: version(4, 1, 0), None;
    /// The first write of a transaction to a partition is verified with its coordinator (KIP-890, part 1). Off: a write
    /// that comes late opens a transaction that nobody ends.
    VerifyTransactionalWrites: version(3, 6, 0), None;
    /// Every end of a transaction raises the producer's epoch, and partitions are added by the write itself (KIP-890,
    /// part 2). Off: a late EndTxn may end the next transaction.
    TransactionsVersion2: version(4, 0, 0), None;
    /// The marker of a transaction under `transaction.version` 2 needs a higher epoch than its records (KIP-1228), unless it
    /// ends nothing (KAFKA-19999). Off: a marker that is delayed or sent again may end the next transaction.
    StrictMarkerEpochs: version(4, 2, 0), None;
    /// A record that fails inside send() also fails the transaction (KAFKA-9279). Off: the transaction can be committed
    /// without it.
    FailedSendAbortsTransaction: version(3, 2, 0), None;
    /// commitTransaction() and abortTransaction() wait at most `max.block.ms` (KAFKA-6635). Off: until it is done.
    BoundedEndOfTransaction: version(2, 3, 0), None;
    /// sendOffsetsToTransaction() waits at most `max.block.ms`. Off: until it is done.
    BoundedSendOffsets: version(2, 7, 0), None;
    /// A producer does not go on after INVALID_PRODUCER_ID_MAPPING (KAFKA-18019). Off: it aborts, and takes a new epoch
    /// (KIP-360).
    ProducerIdMappingErrorIsFatal: version(4, 0, 0), None;
}

/// Which rules hold: a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProtocolRules(u128);

impl ProtocolRules {
    /// The rules that `version` follows.
    #[must_use]
    pub fn of(version: KafkaVersion) -> Self {
        let mut rules = ProtocolRules::default();
        for &rule in ProtocolRule::ALL {
            let (since, until) = rule.versions();
            rules.set(rule, version >= since && until.is_none_or(|until| version < until));
        }
        rules
    }

    /// Whether `rule` holds.
    #[must_use]
    pub const fn has(self, rule: ProtocolRule) -> bool {
        self.0 & (1 << rule as u32) != 0
    }

    /// Switches `rule` on or off.
    pub const fn set(&mut self, rule: ProtocolRule, on: bool) {
        if on {
            self.0 |= 1 << rule as u32;
        } else {
            self.0 &= !(1 << rule as u32);
        }
    }

    /// The same rules with `rule` switched on or off.
    #[must_use]
    pub const fn with(mut self, rule: ProtocolRule, on: bool) -> Self {
        self.set(rule, on);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_follows_the_rules_of_its_time() {
        let rules = |text: &str| ProtocolRules::of(text.parse().unwrap());
        assert!(!rules("0.10.2").has(ProtocolRule::TruncateByLeaderEpoch));
        assert!(rules("0.11.0").has(ProtocolRule::TruncateByLeaderEpoch));
        assert!(!rules("3.6").has(ProtocolRule::HighWatermarkFrozenUnderMinIsr));
        assert!(rules("3.7").has(ProtocolRule::HighWatermarkFrozenUnderMinIsr));
        assert!(rules("3.2").has(ProtocolRule::StickyPartitioner));
        assert!(!rules("3.3").has(ProtocolRule::StickyPartitioner));
        assert!(!rules("4.0").has(ProtocolRule::EligibleLeaderReplicas));
        assert!(rules("4.1").has(ProtocolRule::EligibleLeaderReplicas));
    }

    #[test]
    fn a_rule_can_be_switched_alone() {
        let rules = ProtocolRules::of(KafkaVersion::new(3, 9, 0));
        let off = rules.with(ProtocolRule::FenceByLeaderEpoch, false);
        for &rule in ProtocolRule::ALL {
            let expected = rules.has(rule) && rule != ProtocolRule::FenceByLeaderEpoch;
            assert_eq!(off.has(rule), expected, "{}", rule.name());
        }
        assert!(ProtocolRule::ALL.len() <= 128);
    }
}
