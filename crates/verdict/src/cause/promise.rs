//! Whether Kafka had promised otherwise: for each cause, by what was asked for.

use acklab_vocab::api::Acks;

use super::Cause;

/// Whether Kafka had promised otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Promise {
    /// Nothing else had been promised.
    Kept,
    /// Broken, as documented for this version by the KIP or issue named.
    KnownViolation(&'static str),
    /// Broken.
    Broken,
}

impl Promise {
    /// Its name, as in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Promise::Kept => "kept",
            Promise::KnownViolation(_) => "known_violation",
            Promise::Broken => "broken",
        }
    }
}

/// What had been promised for a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The producer's `acks`.
    pub acks: Acks,
    /// The producer is idempotent.
    pub idempotence: bool,
    /// Some leader's high watermark had passed the record.
    pub committed: bool,
    /// The topic's `min.insync.replicas`.
    pub min_insync_replicas: u16,
    /// The rule TruncateByLeaderEpoch holds.
    pub truncates_by_epoch: bool,
    /// The rule EligibleLeaderReplicas holds.
    pub eligible_leader_replicas: bool,
    /// A documented defect of this version that has shown on the partition.
    pub known_breach: Option<&'static str>,
    /// A documented defect that has made the sequences of the record's producer unreliable.
    pub sequence_issue: Option<&'static str>,
    /// What had been promised to the consumer application, and to transactions.
    pub group: GroupTerms,
}

/// What had been promised to a consumer application, and to transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupTerms {
    /// The application commits its offsets in the transaction that writes its output.
    pub in_transaction: bool,
    /// These offsets are fenced by its membership (KIP-447).
    pub fences_offsets: bool,
    /// Each transaction has an epoch of its own (KIP-890, part 2).
    pub transactions_version_2: bool,
    /// The first write of a transaction is verified (KIP-890, part 1).
    pub verifies_writes: bool,
    /// A marker needs a higher epoch than the records that it ends (KIP-1228).
    pub strict_marker_epochs: bool,
    /// Positions are checked against the leader's epochs (KIP-320).
    pub validates_positions: bool,
    /// Members say in which generation they got what they own (KIP-792).
    pub owned_carries_generation: bool,
    /// The log that was lost, of the partition or of the coordinator, had lost power, was elected
    /// uncleanly, or its offsets had expired.
    pub log_was_at_risk: bool,
}

impl GroupTerms {
    /// No application.
    pub const NONE: GroupTerms = GroupTerms {
        in_transaction: false,
        fences_offsets: true,
        transactions_version_2: true,
        verifies_writes: true,
        strict_marker_epochs: true,
        validates_positions: true,
        owned_carries_generation: true,
        log_was_at_risk: false,
    };

    const fn known_unless(rule: bool, issue: &'static str) -> Promise {
        if rule { Promise::Broken } else { Promise::KnownViolation(issue) }
    }

    /// At least once is what a commit after processing promises; once, what transactions do.
    const fn unless_exactly_once(self) -> Promise {
        match (self.in_transaction, self.fences_offsets) {
            (false, _) => Promise::Kept,
            (true, false) => Promise::KnownViolation("KIP-447"),
            (true, true) => Self::known_unless(self.transactions_version_2, "KIP-890"),
        }
    }

    const fn unless_log_was_at_risk(self) -> Promise {
        if self.log_was_at_risk { Promise::Kept } else { Promise::Broken }
    }
}

impl Terms {
    /// More than the leader's copy was promised.
    const fn is_replicated(self) -> bool {
        self.committed || matches!(self.acks, Acks::All)
    }

    /// What is promised to idempotent producers.
    const fn unless_idempotent(self) -> Promise {
        match (self.idempotence, self.sequence_issue) {
            (false, _) => Promise::Kept,
            (true, Some(issue)) => Promise::KnownViolation(issue),
            (true, None) => Promise::Broken,
        }
    }

    const fn unless(self, kept: bool) -> Promise {
        match (kept, self.known_breach) {
            (true, _) => Promise::Kept,
            (false, Some(issue)) => Promise::KnownViolation(issue),
            (false, None) => Promise::Broken,
        }
    }
}

/// What a cause breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// Nothing: nobody had promised otherwise.
    Nothing,
    /// Always a promise, or an explanation.
    Always,
    /// Records that are replicated, or acked by all, last.
    Replicated,
    /// The same, but for KIP-101.
    HighWatermark,
    /// Records that a replica has left last (KIP-966).
    LastReplica,
    /// Sequences name one batch each.
    Sequences,
    /// Idempotent producers write once and in order.
    Idempotence,
    /// A transaction ends as its producer was told (KIP-890, part 2).
    TransactionEnd,
    /// A marker ends the transaction that it was written for (KIP-1228).
    TransactionMarker,
    /// A write belongs to the transaction in which it was sent (KIP-890: part 1 looks whether there
    /// is a transaction, part 2 whether it is the same).
    TransactionWrite,
    /// Markers last.
    Marker,
    /// One owner (KAFKA-12984).
    Ownership,
    /// What the coordinator has written lasts.
    CoordinatorLog,
    /// Positions follow the log (KIP-320).
    Position,
    /// Transactions process once.
    ExactlyOnce,
}

impl Rule {
    const fn promise(self, terms: Terms) -> Promise {
        let group = terms.group;
        match self {
            Rule::Nothing => Promise::Kept,
            Rule::Always => Promise::Broken,
            Rule::Replicated => terms.unless(!terms.is_replicated()),
            Rule::HighWatermark => match (terms.is_replicated(), terms.truncates_by_epoch) {
                (false, _) => Promise::Kept,
                (true, kept) => GroupTerms::known_unless(kept, "KIP-101"),
            },
            Rule::LastReplica if terms.min_insync_replicas < 2 => Promise::Kept,
            Rule::LastReplica => {
                GroupTerms::known_unless(terms.eligible_leader_replicas, "KIP-966")
            }
            Rule::Sequences => match terms.sequence_issue {
                Some(issue) => Promise::KnownViolation(issue),
                None => Promise::Broken,
            },
            Rule::Idempotence => terms.unless_idempotent(),
            Rule::TransactionEnd => {
                GroupTerms::known_unless(group.transactions_version_2, "KIP-890")
            }
            Rule::TransactionMarker => {
                GroupTerms::known_unless(group.strict_marker_epochs, "KIP-1228")
            }
            Rule::TransactionWrite => {
                let is_fenced = group.verifies_writes && group.transactions_version_2;
                GroupTerms::known_unless(is_fenced, "KIP-890")
            }
            Rule::Marker if group.log_was_at_risk => Promise::Kept,
            Rule::Marker => GroupTerms::known_unless(group.transactions_version_2, "KIP-890"),
            Rule::Ownership => {
                GroupTerms::known_unless(group.owned_carries_generation, "KAFKA-12984")
            }
            Rule::CoordinatorLog => group.unless_log_was_at_risk(),
            Rule::Position => match (group.log_was_at_risk, terms.known_breach) {
                (true, _) => Promise::Kept,
                (false, Some(issue)) => Promise::KnownViolation(issue),
                (false, None) => GroupTerms::known_unless(group.validates_positions, "KIP-320"),
            },
            Rule::ExactlyOnce => group.unless_exactly_once(),
        }
    }
}

impl Cause {
    /// Whether Kafka had promised otherwise.
    #[must_use]
    pub const fn promise(self, terms: Terms) -> Promise {
        self.rule().promise(terms)
    }

    const fn rule(self) -> Rule {
        match self {
            Cause::AckedBeforeReplication
            | Cause::AckedByZombieLeader
            | Cause::PlannedElection
            | Cause::Acks0NotReplicated
            | Cause::TruncatedByStaleLeader => Rule::Replicated,
            Cause::HighWatermarkTruncation => Rule::HighWatermark,
            Cause::LastReplicaStanding => Rule::LastReplica,
            Cause::TakenForDuplicate | Cause::TakenForStored => Rule::Sequences,
            Cause::RenumberedAndRetried
            | Cause::OvertakenOnItsWay
            | Cause::AckLostRetried
            | Cause::TimedOutAfterAppendRetried
            | Cause::LeaderMovedAfterReplicationRetried
            | Cause::NotEnoughReplicasAfterAppendRetried
            | Cause::RetriedBehindLaterBatch
            | Cause::RetriedInReverse
            | Cause::FirstCopyTruncated
            | Cause::OldRequestExecuted => Rule::Idempotence,
            Cause::CommittedInLog | Cause::AbortedInLog => Rule::TransactionEnd,
            Cause::EndedByLateMarker => Rule::TransactionMarker,
            Cause::JoinedNextTransaction => Rule::TransactionWrite,
            Cause::MarkerLost => Rule::Marker,
            Cause::TwoOwners => Rule::Ownership,
            Cause::CommittedOffsetLost | Cause::MembershipForgotten => Rule::CoordinatorLog,
            Cause::TruncatedUnderConsumer | Cause::TruncatedAndReadAgain => Rule::Position,
            Cause::CrashBeforeCommit
            | Cause::SessionExpiredInPause
            | Cause::SessionExpired
            | Cause::MaxPollIntervalExceeded
            | Cause::RebalanceTimeoutExceeded
            | Cause::CommitRefusedAfterRebalance
            | Cause::CommitFailedThenRebalanced
            | Cause::RevokedBeforeCommit
            | Cause::ClosedWithoutCommit
            | Cause::ResubscribedBeforeCommit
            | Cause::StaticMemberReplaced
            | Cause::CommitRewound
            | Cause::CommitTookEffectLate
            | Cause::ReadAgainAfterAbort
            | Cause::InputProcessedAgain => Rule::ExactlyOnce,
            Cause::OverwrittenByOtherMember | Cause::CommittedUnprocessed | Cause::Unexplained => {
                Rule::Always
            }
            Cause::UncleanElection
            | Cause::UnflushedPowerLoss
            | Cause::Acks0NeverArrived
            | Cause::Acks0Refused
            | Cause::ResentByApplication
            | Cause::InputStoredAgain
            | Cause::TimedOutButStored
            | Cause::AckLostButStored
            | Cause::LeaderMovedButStored
            | Cause::NotEnoughReplicasButStored
            | Cause::ExecutedAfterFailure
            | Cause::OffsetReset
            | Cause::OverwrittenByOtherApplication
            | Cause::RefusedForSharedGroup
            | Cause::NeverCommits
            | Cause::AssignedToEachInstance
            | Cause::CommittedBeforeProcessing
            | Cause::HandedToWorkers
            | Cause::StoredBeforeProcessing
            | Cause::ResetToEnd
            | Cause::ResetAfterOutOfRange
            | Cause::TwoOwnersAfterExpiry
            | Cause::TwoOwnersAfterFailedRebalance
            | Cause::TwoOwnersInRebalance
            | Cause::TwoOwnersByLeaderName
            | Cause::ZooKeeperSessionExpired
            | Cause::RebalancedBeforeCommit
            | Cause::OffsetReadBeforeRelease
            | Cause::RewoundByUnfencedCommit
            | Cause::CommittedInHand
            | Cause::PositionKeptAfterAbort => Rule::Nothing,
        }
    }

    /// Why nothing else had been promised, for a cause whose promise was kept.
    #[must_use]
    pub const fn why_kept(self, acks: Acks) -> &'static str {
        match self.rule() {
            Rule::Nothing => self.why_nothing(acks),
            Rule::Replicated | Rule::HighWatermark => of_acks(acks),
            Rule::LastReplica => "min.insync.replicas=1 promises one copy",
            Rule::Idempotence => match self {
                Cause::RenumberedAndRetried => "",
                Cause::RetriedBehindLaterBatch
                | Cause::RetriedInReverse
                | Cause::OvertakenOnItsWay
                | Cause::FirstCopyTruncated => "order is promised to idempotent producers",
                _ => "without idempotence retries promise at least once",
            },
            Rule::ExactlyOnce => match self {
                Cause::CommitRewound => "the last commit wins, however old its offset",
                Cause::ReadAgainAfterAbort => "an application that aborts reads again",
                _ => "a commit after processing promises at least once",
            },
            Rule::CoordinatorLog => "offsets last as long as their log and their retention",
            Rule::Position | Rule::Marker => "the log had lost records that readers had seen",
            Rule::Always
            | Rule::Sequences
            | Rule::TransactionEnd
            | Rule::TransactionMarker
            | Rule::TransactionWrite
            | Rule::Ownership => "",
        }
    }

    const fn why_nothing(self, acks: Acks) -> &'static str {
        match self {
            Cause::UncleanElection => {
                "unclean.leader.election.enable=true prefers availability to committed records"
            }
            Cause::UnflushedPowerLoss => "Kafka acknowledges from the page cache",
            Cause::ResentByApplication | Cause::InputStoredAgain => {
                "every send of the application is a record to Kafka"
            }
            Cause::TimedOutButStored
            | Cause::AckLostButStored
            | Cause::LeaderMovedButStored
            | Cause::NotEnoughReplicasButStored
            | Cause::ExecutedAfterFailure => "such an error leaves the outcome open",
            Cause::OffsetReset | Cause::ResetToEnd | Cause::ResetAfterOutOfRange => {
                "auto.offset.reset says where to begin without a usable offset"
            }
            Cause::OverwrittenByOtherApplication => "a group.id has one committed offset",
            Cause::RefusedForSharedGroup => "a group with members takes commits from these only",
            Cause::NeverCommits => "what is not committed is read again",
            Cause::AssignedToEachInstance => "assign() shares nothing out",
            Cause::CommittedBeforeProcessing => "a commit before processing promises at most once",
            Cause::HandedToWorkers => "auto-commit takes what poll() has returned for processed",
            Cause::StoredBeforeProcessing => {
                "librdkafka takes a message that it has handed out for processed"
            }
            Cause::PositionKeptAfterAbort => "abortTransaction() does not move the consumer",
            Cause::TwoOwnersAfterExpiry
            | Cause::TwoOwnersAfterFailedRebalance
            | Cause::TwoOwnersInRebalance
            | Cause::TwoOwnersByLeaderName => {
                "a group without a coordinator promises one owner by ZooKeeper, not one reader"
            }
            Cause::ZooKeeperSessionExpired
            | Cause::RebalancedBeforeCommit
            | Cause::OffsetReadBeforeRelease => "a commit after processing promises at least once",
            Cause::RewoundByUnfencedCommit => "the last commit wins, whoever made it",
            Cause::CommittedInHand => "what has been handed out is taken for processed",
            _ => of_acks(acks),
        }
    }
}

const fn of_acks(acks: Acks) -> &'static str {
    match acks {
        Acks::None => "acks=0 promises nothing",
        Acks::Leader => "acks=1 promises the leader's copy only",
        Acks::All => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms {
        acks: Acks::Leader,
        idempotence: false,
        committed: false,
        min_insync_replicas: 2,
        truncates_by_epoch: true,
        eligible_leader_replicas: false,
        known_breach: None,
        sequence_issue: None,
        group: GroupTerms::NONE,
    };

    #[test]
    fn a_promise_depends_on_what_was_asked_for() {
        let all = Terms { acks: Acks::All, ..TERMS };
        let committed = Terms { committed: true, ..TERMS };
        let idempotent = Terms { idempotence: true, ..all };
        let renumbered = Terms { sequence_issue: Some("KAFKA-14034"), ..idempotent };
        let fenced = Terms { known_breach: Some("KIP-320"), ..all };
        let eligible = Terms { eligible_leader_replicas: true, ..all };
        let one_copy = Terms { min_insync_replicas: 1, ..all };
        let old = Terms { truncates_by_epoch: false, ..all };
        let known = Promise::KnownViolation;
        let cases = [
            (Cause::AckedBeforeReplication, TERMS, Promise::Kept),
            (Cause::AckedBeforeReplication, all, Promise::Broken),
            (Cause::AckedBeforeReplication, committed, Promise::Broken),
            (Cause::TruncatedByStaleLeader, fenced, known("KIP-320")),
            (Cause::HighWatermarkTruncation, old, known("KIP-101")),
            (Cause::HighWatermarkTruncation, all, Promise::Broken),
            (Cause::LastReplicaStanding, all, known("KIP-966")),
            (Cause::LastReplicaStanding, eligible, Promise::Broken),
            (Cause::LastReplicaStanding, one_copy, Promise::Kept),
            (Cause::UncleanElection, all, Promise::Kept),
            (Cause::AckLostRetried, all, Promise::Kept),
            (Cause::AckLostRetried, idempotent, Promise::Broken),
            (Cause::ResentByApplication, idempotent, Promise::Kept),
            (Cause::RetriedBehindLaterBatch, idempotent, Promise::Broken),
            (Cause::ExecutedAfterFailure, idempotent, Promise::Kept),
            (Cause::RenumberedAndRetried, idempotent, Promise::Broken),
            (Cause::RenumberedAndRetried, renumbered, known("KAFKA-14034")),
            (Cause::TakenForStored, idempotent, Promise::Broken),
            (Cause::Unexplained, TERMS, Promise::Broken),
        ];
        for (cause, terms, expected) in cases {
            assert_eq!(cause.promise(terms), expected, "{cause:?} {terms:?}");
        }
    }
}
