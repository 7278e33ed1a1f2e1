//! The causes: a closed list, each with its name, what to say of it, and what prevents it.
//!
//! Sources: kafka-semantics.md sections 1, 3 to 6 and 10, and the KIPs named at the variants.

macro_rules! causes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $sentence:literal, $prevention:literal;)*) => {
        /// Why a record met its fate: was lost, duplicated, reordered, stored in spite of an error,
        /// processed again, or skipped.
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

    /// The application processed the record that it was made from once more.
    InputProcessedAgain = "input_processed_again",
        "the application that wrote it had processed its input once more",
        "transactions that commit the input's offsets as well, with membership (KIP-447)";

    /// The record that it was made from is stored several times, and each copy was processed.
    InputStoredAgain = "input_stored_again",
        "the record that it was made from is stored several times, and each copy was processed",
        "what keeps the input from being stored twice: enable.idempotence=true, transactions";

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

    /// Its producer was told that the transaction was aborted; a marker has committed it.
    CommittedInLog = "committed_in_log",
        "reported as aborted, but committed in the log: an EndTxn hit the wrong transaction",
        "transaction.version 2 (Kafka 4.0, KIP-890): each transaction has an epoch of its own";
    /// `transaction.version` 2: the marker of the transaction before, late or sent again, has ended
    /// this one, in another way than its producer was told.
    EndedByLateMarker = "ended_by_late_marker",
        "the marker of the transaction before came late and ended this one, in the other way",
        "Kafka 4.2 or later (KIP-1228): a marker needs a higher epoch than the records it ends";
    /// It reached the log after the marker of its own transaction.
    JoinedNextTransaction = "joined_next_transaction",
        "it reached the log after its transaction had ended, and was committed with the next one",
        "Kafka 4.0 or later (KIP-890): writes are verified, and each transaction has its own epoch";

    // ---- lost, in a transaction -----------------------------------------------------------------
    /// Its producer was told that the transaction was committed; a marker has aborted it.
    AbortedInLog = "aborted_in_log",
        "reported as committed, but aborted in the log: an EndTxn hit the wrong transaction",
        "transaction.version 2 (Kafka 4.0, KIP-890): each transaction has an epoch of its own";
    /// The marker that had committed it is gone.
    MarkerLost = "marker_lost",
        "the marker that committed its transaction is not in the log",
        "unclean.leader.election.enable=false; replicas in separate power domains";

    // ---- reprocessed ----------------------------------------------------------------------------
    /// The process died with records processed and not committed.
    CrashBeforeCommit = "crash_before_commit",
        "crash before commit",
        "frequent commits make it fewer; transactions, or a sink that recognises repetitions, none";
    /// A pause was longer than the session.
    SessionExpiredInPause = "session_expired_in_pause",
        "its consumer stood still for longer than session.timeout.ms and was replaced",
        "a session.timeout.ms above the longest pause; a sink that fences zombies";
    /// Heartbeats did not arrive in time, though the process ran.
    SessionExpired = "session_expired",
        "its consumer's heartbeats did not arrive within session.timeout.ms",
        "heartbeat.interval.ms of a third of session.timeout.ms; Java 0.10.1 or later";
    /// It had not called `poll()` in time.
    MaxPollIntervalExceeded = "max_poll_interval_exceeded",
        "its consumer had not called poll() for max.poll.interval.ms and lost its membership",
        "a smaller max.poll.records, or a larger max.poll.interval.ms";
    /// It did not join a rebalance in time.
    RebalanceTimeoutExceeded = "rebalance_timeout_exceeded",
        "its consumer did not join a rebalance in time and was removed",
        "a smaller max.poll.records, so that poll() is called well within max.poll.interval.ms";
    /// The commit reached the coordinator after the next generation had begun.
    CommitRefusedAfterRebalance = "commit_refused_after_rebalance",
        "its commit came after a rebalance and was refused",
        "commitSync() in onPartitionsRevoked; a commit per batch";
    /// The commit failed and was not repeated.
    CommitFailedThenRebalanced = "commit_failed_then_rebalanced",
        "its commit had failed and was not repeated before the partition was given up",
        "commitSync() in onPartitionsRevoked and before close()";
    /// No commit was tried before the partition went.
    RevokedBeforeCommit = "revoked_before_commit",
        "its partition was given up in a rebalance before the commit",
        "commitSync() in onPartitionsRevoked; a commit per batch";
    /// It was closed without a commit.
    ClosedWithoutCommit = "closed_without_commit",
        "its consumer was closed without a commit",
        "commitSync() before close()";
    /// Its application subscribed anew.
    ResubscribedBeforeCommit = "resubscribed_before_commit",
        "its application subscribed anew before the commit",
        "poll() and try again after a failed commit, instead of a new subscription";
    /// The coordinator had never heard of it: its log had lost the group.
    MembershipForgotten = "membership_forgotten",
        "the coordinator did not know its consumer any more: its log had lost the group",
        "offsets.topic.replication.factor=3 with min.insync.replicas=2";
    /// Another process took its static membership.
    StaticMemberReplaced = "static_member_replaced",
        "another process with the same group.instance.id had taken its place",
        "a group.instance.id of its own for each process";
    /// A lower offset was committed after a higher one.
    CommitRewound = "commit_rewound",
        "a late commit of a lower offset had replaced a newer one",
        "no retries of commitAsync() in its callback; commitSync() at the end";
    /// The commit became visible too late.
    CommitTookEffectLate = "commit_took_effect_late",
        "the next owner had read the committed offset before its commit took effect",
        "a healthy ISR of __consumer_offsets";
    /// The reset policy put the position back.
    OffsetReset = "offset_reset",
        "its position was impossible, and auto.offset.reset put it back",
        "unclean.leader.election.enable=false";
    /// The committed offset was gone.
    CommittedOffsetLost = "committed_offset_lost",
        "the group's committed offset was gone: expired, or lost with the coordinator's log",
        "offsets.topic.replication.factor=3; a larger offsets.retention.minutes";
    /// Two applications share a group id.
    OverwrittenByOtherApplication = "overwritten_by_other_application",
        "another application with the same group.id had committed another offset",
        "a group.id of its own for each application";
    /// Two applications share a group id, one of which has members.
    RefusedForSharedGroup = "refused_for_shared_group",
        "its commits were refused: another application has members under the same group.id",
        "a group.id of its own for each application";
    /// Nothing was ever to be committed.
    NeverCommits = "never_commits",
        "its application never commits",
        "a commit style, or transactions that commit the offsets";
    /// Every instance assigns itself everything.
    AssignedToEachInstance = "assigned_to_each_instance",
        "every instance of its application has assigned itself the partition",
        "subscribe() instead of assign()";
    /// Two members owned the partition.
    TwoOwners = "two_owners",
        "two members of the group owned the partition at the same time",
        "Kafka 3.2 or later (KIP-792)";
    /// Balanced by ZooKeeper: its session expired, and another consumer read the partition while it went on.
    TwoOwnersAfterExpiry = "two_owners_after_session_expiry",
        "its consumer's ZooKeeper session had expired, and it went on beside the partition's next owner",
        "a ZooKeeper session longer than any pause of the consumer; a group coordinator (Kafka 0.9)";
    /// Balanced by ZooKeeper: it had released the partition, failed to take another share, and read on.
    TwoOwnersAfterFailedRebalance = "two_owners_after_failed_rebalance",
        "its consumer gave up a rebalance and went on with partitions that it had released",
        "more rebalance_max_retries and a longer rebalance_backoff_ms, beyond the ZooKeeper session";
    /// Balanced by ZooKeeper: it had released the partition and was not done with what it had.
    TwoOwnersInRebalance = "two_owners_in_rebalance",
        "its consumer released the partition and went on with what it had while the next owner read",
        "a group coordinator (Kafka 0.9): members stop before others are given their partitions";
    /// pykafka: two znodes for one partition, one for each leader.
    TwoOwnersByLeaderName = "two_owners_by_leader_name",
        "two consumers held znodes of the partition, named after its old leader and its new one",
        "a client whose znodes of owners do not name the leader; a group coordinator (Kafka 0.9)";
    /// Balanced by ZooKeeper: the session expired with records processed and not committed.
    ZooKeeperSessionExpired = "zookeeper_session_expired",
        "its consumer's ZooKeeper session expired before it had committed",
        "a ZooKeeper session longer than any pause of the consumer; a commit per record";
    /// Balanced by ZooKeeper: a rebalance without a commit.
    RebalancedBeforeCommit = "rebalanced_before_commit",
        "its consumer rebalanced before it had committed",
        "auto-commit, or a commit after each record";
    /// Balanced by ZooKeeper: the next owner read the committed offset while the last one still worked.
    OffsetReadBeforeRelease = "offset_read_before_release",
        "the next owner had read the committed offset before the last one committed and let go",
        "a group coordinator (Kafka 0.9): offsets are read after the rebalance";
    /// Balanced by ZooKeeper: nothing fences the commit of a former owner.
    RewoundByUnfencedCommit = "rewound_by_unfenced_commit",
        "a commit of a lower offset, which nothing fenced, had replaced a newer one",
        "a group coordinator (Kafka 0.9): the commit of a former owner is refused";
    /// Read once more after an abort that had not taken effect.
    ReadAgainAfterAbort = "read_again_after_abort",
        "read again after an abort, though the transaction was committed",
        "transaction.version 2 (Kafka 4.0, KIP-890)";
    /// The position was put back to where the logs part.
    TruncatedAndReadAgain = "truncated_and_read_again",
        "its log had been cut below the position, which was put back",
        "unclean.leader.election.enable=false; acks=all with min.insync.replicas=2";

    // ---- skipped --------------------------------------------------------------------------------
    /// Committed, then the consumer went.
    CommittedBeforeProcessing = "committed_before_processing",
        "committed before it was processed; then its consumer was gone",
        "commit after processing";
    /// Committed while a worker had it.
    HandedToWorkers = "handed_to_workers",
        "committed while it waited for a worker; then its consumer was gone",
        "commit what the workers have finished, not what poll() has returned";
    /// librdkafka stores an offset as soon as a message is handed out.
    StoredBeforeProcessing = "stored_before_processing",
        "the background thread committed it while the application still had it in hand",
        "enable.auto.offset.store=false, and an offset stored after processing";
    /// Balanced by ZooKeeper: what has been handed out counts as consumed.
    CommittedInHand = "committed_in_hand",
        "committed as soon as it had been handed out; then its consumer was gone",
        "no auto-commit, and a commit after processing (pykafka commits in a rebalance all the same)";
    /// No committed offset, and the policy is the end.
    ResetToEnd = "reset_to_end",
        "there was no committed offset, and auto.offset.reset=latest begins at the end",
        "auto.offset.reset=earliest";
    /// An impossible position, and the policy is the end.
    ResetAfterOutOfRange = "reset_after_out_of_range",
        "the position was out of range, and auto.offset.reset=latest went on at the end",
        "auto.offset.reset=earliest; unclean.leader.election.enable=false";
    /// Another member of the same application committed past it.
    OverwrittenByOtherMember = "overwritten_by_other_member",
        "a member that did not have it committed past it",
        "a version whose coordinator fences commits by generation";
    /// An aborted transaction left the position where it was.
    PositionKeptAfterAbort = "position_kept_after_abort",
        "its transaction was aborted, and the consumer went on behind it",
        "seek() back to the committed offsets after abortTransaction()";
    /// The log was cut below the position and grew again.
    TruncatedUnderConsumer = "truncated_under_consumer",
        "the log was cut below the consumer's position and had grown past it again",
        "unclean.leader.election.enable=false; Kafka 2.3 or later: positions are checked (KIP-320)";
    /// A member committed what it had, without having processed it.
    CommittedUnprocessed = "committed_unprocessed",
        "its consumer committed past it without having processed it",
        "report the scenario and the seed";

    /// Nothing in the facts explains it: a defect of acklab.
    Unexplained = "unexplained",
        "nothing in the trace explains it: a defect of acklab",
        "report the scenario and the seed";
}
