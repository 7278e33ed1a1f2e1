//! Why a record met its fate: a closed list, with what to say of each and whether a promise was
//! broken.
//!
//! Sources: kafka-semantics.md sections 1, 3 and 10, and the KIPs named at the variants. Later
//! parts add the causes of reprocessing and skipping.

use acklab_vocab::api::Acks;
use acklab_vocab::ids::{BrokerId, LeaderEpoch, Offset, RecordId, TopicPartition};
use acklab_vocab::time::SimTime;
use serde::Serialize;

macro_rules! causes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $sentence:literal, $prevention:literal;)*) => {
        /// Why a record was lost, duplicated, reordered, or stored in spite of an error.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Cause { $($(#[$doc])* $name,)* }

        impl Cause {
            /// Every cause, in the order of declaration.
            pub const ALL: &'static [Cause] = &[$(Cause::$name,)*];

            /// Its name, as in JSON.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Cause::$name => $text,)* }
            }

            /// In plain words.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self { $(Cause::$name => $sentence,)* }
            }

            /// What would have prevented it.
            #[must_use]
            pub const fn prevention(self) -> &'static str {
                match self { $(Cause::$name => $prevention,)* }
            }
        }
    };
}

causes! {
    // ---- lost -----------------------------------------------------------------------------------
    /// The leader failed before the next one had fetched the record.
    AckedBeforeReplication = "acked_before_replication",
        "acked before replication, leader failed over",
        "acks=all with min.insync.replicas=2";
    /// The controller had elected another leader; the old one did not know yet.
    AckedByZombieLeader = "acked_by_zombie_leader",
        "acked by a deposed (zombie) leader that did not know of its successor",
        "acks=all: a deposed leader cannot gather the in-sync replicas";
    /// A replica that was not in sync became leader.
    UncleanElection = "unclean_election",
        "an out-of-sync replica became leader (unclean election)",
        "unclean.leader.election.enable=false with min.insync.replicas=2 and acks=all";
    /// Every copy that counted sat in the page cache of a host that lost power.
    UnflushedPowerLoss = "unflushed_power_loss",
        "not yet on disk when the host lost power",
        "replicas in separate power domains; failing that flush.messages or flush.ms";
    /// acks=0 and no leader ever appended it.
    Acks0NeverArrived = "acks_0_never_arrived",
        "acks=0: it never reached a leader's log",
        "acks=1 or acks=all: only an answer can tell that a record did not arrive";
    /// acks=0 and the broker refused it, which nobody was told.
    Acks0Refused = "acks_0_refused",
        "acks=0: the broker refused it and had no answer to say so in",
        "acks=1 or acks=all: the refusal is answered and the producer retries";
    /// A broker recognised the sequence of another batch: the producer had used it twice.
    TakenForDuplicate = "taken_for_duplicate",
        "its producer had given it the sequence of an earlier batch, and the broker took it for that",
        "Java clients of 2.5 or later (KIP-360); a larger delivery.timeout.ms";
    /// librdkafka concludes from the success of a later batch that the earlier ones are stored; but a broker that knows
    /// nothing of the producer takes any batch for its first.
    TakenForStored = "taken_for_stored",
        "its producer took it for stored because a later batch was, which the broker had let in first",
        "max.in.flight.requests.per.connection=1; a broker that has the fix of KAFKA-15591";
    /// acks=0: appended, and the leader failed before the next one had fetched it.
    Acks0NotReplicated = "acks_0_not_replicated",
        "acks=0: appended by the leader, which failed before replication",
        "acks=all with min.insync.replicas=2";
    /// The new leader had the record and cut it away at its own high watermark after a restart
    /// (KIP-101).
    HighWatermarkTruncation = "high_watermark_truncation",
        "a follower cut its log back to its high watermark and then became leader (KIP-101)",
        "Kafka 0.11 or later: truncation by leader epoch";
    /// The last in-sync replica lost its tail and was elected all the same, while others still had
    /// the record (KIP-966).
    LastReplicaStanding = "last_replica_standing",
        "the last in-sync replica lost power and was elected again with a shorter log (KIP-966)",
        "eligible leader replicas (Kafka 4.1, min.insync.replicas=2), or separate power domains";
    /// A preferred election or an orderly shutdown moved the leadership before the record was
    /// replicated.
    PlannedElection = "planned_election",
        "acked before replication, leadership moved by plan (preferred election or shutdown)",
        "acks=all with min.insync.replicas=2";
    /// The new leader had cut the record away under a leader that should not have counted.
    TruncatedByStaleLeader = "truncated_by_stale_leader",
        "the new leader had cut the record away, following a stale leader (KIP-279, KIP-320)",
        "Kafka 2.1 or later: fetches are fenced by leader epoch";

    // ---- duplicated -----------------------------------------------------------------------------
    /// The answer was on its way, or lost; the producer sent again.
    AckLostRetried = "ack_lost_retried",
        "appended, but the answer was lost; the producer sent it again",
        "enable.idempotence=true";
    /// Appended, but not acknowledged in time.
    TimedOutAfterAppendRetried = "timed_out_after_append_retried",
        "appended, but not acknowledged in time; the producer sent it again",
        "enable.idempotence=true; request.timeout.ms above replica.lag.time.max.ms";
    /// Appended and replicated; the leader was gone before it could answer.
    LeaderMovedAfterReplicationRetried = "leader_moved_after_replication_retried",
        "appended and replicated, but the leader changed before the answer; it was sent again",
        "enable.idempotence=true";
    /// NOT_ENOUGH_REPLICAS_AFTER_APPEND.
    NotEnoughReplicasAfterAppendRetried = "not_enough_replicas_after_append_retried",
        "appended while the ISR shrank below min.insync.replicas; the producer sent it again",
        "enable.idempotence=true";
    /// The producer had given the request up; the broker, paused or cut off meanwhile, executed it
    /// later.
    OldRequestExecuted = "paused_broker_executed_old_request",
        "a broker, paused or cut off, executed a request that the producer had given up",
        "enable.idempotence=true";
    /// The application sent the record again.
    ResentByApplication = "resent_by_application",
        "the application sent it again after an error, and the first attempt had been stored",
        "a larger delivery.timeout.ms; transactions, or a key to recognise duplicates by";
    /// The producer began a new epoch and renumbered a batch that had been appended (KAFKA-14034).
    RenumberedAndRetried = "renumbered_and_retried",
        "the producer took a new producer epoch and sent an appended batch under a new number",
        "a larger delivery.timeout.ms, so that no batch fails while others are under way";

    // ---- reordered ------------------------------------------------------------------------------
    /// A later batch had been appended by the time it was sent again.
    RetriedBehindLaterBatch = "retried_behind_later_batch",
        "sent again after a later batch of the same producer had been appended",
        "enable.idempotence=true, or max.in.flight.requests.per.connection=1";
    /// Several batches were in flight on a lost connection and were sent again last first.
    RetriedInReverse = "retried_in_reverse",
        "a connection was lost with several batches in flight; they were sent again last first",
        "enable.idempotence=true, or max.in.flight.requests.per.connection=1";
    /// It went by another connection, or to another leader, than a later record, and took longer.
    OvertakenOnItsWay = "overtaken_on_its_way",
        "a later record went by a new connection, or to another leader, while its request waited",
        "enable.idempotence=true";
    /// The first copy was cut away; what stands is a later one.
    FirstCopyTruncated = "first_copy_truncated",
        "its first copy was in order, but was cut away at a change of leader",
        "acks=all with enable.idempotence=true";

    // ---- phantom --------------------------------------------------------------------------------
    /// The application was told of a timeout.
    TimedOutButStored = "timed_out_but_stored",
        "reported as timed out, but it had been appended",
        "a larger delivery.timeout.ms; treat a timeout as an open outcome";
    /// The answer was lost and nothing more was tried.
    AckLostButStored = "ack_lost_but_stored",
        "reported as failed because the answer was lost, but it had been appended",
        "retries with enable.idempotence=true";
    /// The leader changed and nothing more was tried.
    LeaderMovedButStored = "leader_moved_but_stored",
        "reported as failed because the leader changed, but it had been appended and replicated",
        "retries with enable.idempotence=true";
    /// NOT_ENOUGH_REPLICAS_AFTER_APPEND, and nothing more was tried.
    NotEnoughReplicasButStored = "not_enough_replicas_but_stored",
        "reported as failed for lack of in-sync replicas, but it had been appended",
        "retries with enable.idempotence=true; more replicas than min.insync.replicas";
    /// The request was still under way, or unread, when the producer gave the record up.
    ExecutedAfterFailure = "executed_after_failure",
        "reported as failed while its request was under way; a broker executed it afterwards",
        "a larger delivery.timeout.ms; treat a timeout as an open outcome";

    /// Nothing in the facts explains it: a defect of acklab.
    Unexplained = "unexplained",
        "nothing in the trace explains it: a defect of acklab",
        "report the scenario and the seed";
}

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

impl Cause {
    /// Whether Kafka had promised otherwise.
    #[must_use]
    pub const fn promise(self, terms: Terms) -> Promise {
        match self {
            Cause::AckedBeforeReplication
            | Cause::AckedByZombieLeader
            | Cause::PlannedElection
            | Cause::Acks0NotReplicated => terms.unless(!terms.is_replicated()),
            Cause::HighWatermarkTruncation => {
                match (terms.is_replicated(), terms.truncates_by_epoch) {
                    (false, _) => Promise::Kept,
                    (true, false) => Promise::KnownViolation("KIP-101"),
                    (true, true) => Promise::Broken,
                }
            }
            Cause::TruncatedByStaleLeader => terms.unless(!terms.is_replicated()),
            Cause::LastReplicaStanding => {
                if terms.min_insync_replicas < 2 {
                    Promise::Kept
                } else if terms.eligible_leader_replicas {
                    Promise::Broken
                } else {
                    Promise::KnownViolation("KIP-966")
                }
            }
            Cause::UncleanElection
            | Cause::UnflushedPowerLoss
            | Cause::Acks0NeverArrived
            | Cause::Acks0Refused
            | Cause::ResentByApplication
            | Cause::TimedOutButStored
            | Cause::AckLostButStored
            | Cause::LeaderMovedButStored
            | Cause::NotEnoughReplicasButStored
            | Cause::ExecutedAfterFailure => Promise::Kept,
            Cause::TakenForDuplicate | Cause::TakenForStored => match terms.sequence_issue {
                Some(issue) => Promise::KnownViolation(issue),
                None => Promise::Broken,
            },
            Cause::RenumberedAndRetried
            | Cause::OvertakenOnItsWay
            | Cause::AckLostRetried
            | Cause::TimedOutAfterAppendRetried
            | Cause::LeaderMovedAfterReplicationRetried
            | Cause::NotEnoughReplicasAfterAppendRetried
            | Cause::RetriedBehindLaterBatch
            | Cause::RetriedInReverse
            | Cause::FirstCopyTruncated
            | Cause::OldRequestExecuted => terms.unless_idempotent(),
            Cause::Unexplained => Promise::Broken,
        }
    }

    /// Why nothing else had been promised, for a cause whose promise was kept.
    #[must_use]
    pub const fn why_kept(self, acks: Acks) -> &'static str {
        match self {
            Cause::UncleanElection => {
                "unclean.leader.election.enable=true prefers availability to committed records"
            }
            Cause::UnflushedPowerLoss => "Kafka acknowledges from the page cache",
            Cause::LastReplicaStanding => "min.insync.replicas=1 promises one copy",
            Cause::ResentByApplication => "every send of the application is a record to Kafka",
            Cause::TimedOutButStored
            | Cause::AckLostButStored
            | Cause::LeaderMovedButStored
            | Cause::NotEnoughReplicasButStored
            | Cause::ExecutedAfterFailure => "such an error leaves the outcome open",
            Cause::OldRequestExecuted
            | Cause::AckLostRetried
            | Cause::TimedOutAfterAppendRetried
            | Cause::LeaderMovedAfterReplicationRetried
            | Cause::NotEnoughReplicasAfterAppendRetried => {
                "without idempotence retries promise at least once"
            }
            Cause::RetriedBehindLaterBatch
            | Cause::RetriedInReverse
            | Cause::OvertakenOnItsWay
            | Cause::FirstCopyTruncated => "order is promised to idempotent producers",
            Cause::RenumberedAndRetried
            | Cause::TakenForDuplicate
            | Cause::TakenForStored
            | Cause::Unexplained => "",
            Cause::AckedBeforeReplication
            | Cause::AckedByZombieLeader
            | Cause::Acks0NeverArrived
            | Cause::Acks0Refused
            | Cause::Acks0NotReplicated
            | Cause::HighWatermarkTruncation
            | Cause::PlannedElection
            | Cause::TruncatedByStaleLeader => match acks {
                Acks::None => "acks=0 promises nothing",
                Acks::Leader => "acks=1 promises the leader's copy only",
                Acks::All => "",
            },
        }
    }
}

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AnomalyKind {
    /// Acked, and no copy.
    Lost,
    /// Failed, yet stored.
    Phantom,
    /// Two copies or more.
    Duplicated,
    /// Its first copy stands behind a later record's of the same producer and partition.
    Reordered,
}

impl AnomalyKind {
    /// Its name, as in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            AnomalyKind::Lost => "lost",
            AnomalyKind::Phantom => "phantom",
            AnomalyKind::Duplicated => "duplicated",
            AnomalyKind::Reordered => "reordered",
        }
    }
}

/// One record, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anomaly {
    /// Which record.
    pub record: RecordId,
    /// What is wrong.
    pub kind: AnomalyKind,
    /// Why.
    pub cause: Cause,
    /// Whether Kafka had promised otherwise.
    pub promise: Promise,
    /// Where it went, if it got a partition.
    pub partition: Option<TopicPartition>,
    /// Offset of the copy in question: the one that was lost, the extra one, the one out of order.
    pub offset: Option<Offset>,
    /// Leader epoch of that copy.
    pub epoch: Option<LeaderEpoch>,
    /// The facts that support the cause.
    pub evidence: Evidence,
}

/// The facts that support a cause; each if there is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// When the copy in question was appended, and by whom.
    pub appended: Option<(SimTime, BrokerId)>,
    /// When the producer was told of the first success, or of the last error.
    pub completed: Option<SimTime>,
    /// When a leader without the record was elected, who, and for which epoch.
    pub elected: Option<(SimTime, BrokerId, LeaderEpoch)>,
    /// When a replica dropped its copy last, and which.
    pub removed: Option<(SimTime, BrokerId)>,
    /// When the producer gave up the request whose copy survived.
    pub given_up: Option<SimTime>,
    /// Where the copy stands that it is compared with: the first of a duplicate, a later record's.
    pub other_offset: Option<Offset>,
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

    #[test]
    fn causes_have_names_of_their_own() {
        let mut names: Vec<&str> = Cause::ALL.iter().map(|cause| cause.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Cause::ALL.len());
    }
}
