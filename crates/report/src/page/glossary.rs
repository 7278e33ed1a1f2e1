//! The words of reports, each explained in a sentence.

/// A word and what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// The word.
    pub word: &'static str,
    /// In a sentence.
    pub meaning: &'static str,
}

const fn term(word: &'static str, meaning: &'static str) -> Term {
    Term { word, meaning }
}

/// What becomes of records.
pub const RECORD_TERMS: &[Term] = &[
    term(
        "record",
        "What an application sends, named producer#sequence. A re-send of it is another attempt \
         of the same record.",
    ),
    term("sent", "Handed to the producer. Every sent record is acked, failed, unknown or aborted."),
    term(
        "acked",
        "Some attempt was reported as a success; with acks=0, when its bytes were written to the \
         connection.",
    ),
    term("failed", "Every attempt was reported as an error."),
    term("unknown", "The producer was never told."),
    term("aborted", "Its transaction was aborted."),
    term(
        "stored",
        "At rest, at least one copy stands in the leader's log, where a read_committed reader \
         sees it.",
    ),
    term("lost", "Acked, and no copy is stored."),
    term("phantom", "Failed, and yet stored."),
    term(
        "duplicated",
        "Two copies or more are stored; the extra copies are those beyond the first.",
    ),
    term(
        "reordered",
        "Its first copy stands behind a later record of the same producer and partition.",
    ),
    term("expired", "Removed by retention."),
    term("undecided", "Its partition has no leader at rest."),
    term("cause", "What led to an anomaly, found from the facts of the history alone."),
    term(
        "promise",
        "What Kafka's documentation says for these settings and this version. A lost record may \
         break none.",
    ),
    term(
        "at rest",
        "The end of a run: the workload is over, temporary faults have healed, every send is \
         resolved, every ISR is full, no group lags.",
    ),
];

/// How partitions are kept.
pub const REPLICATION_TERMS: &[Term] = &[
    term("LEO", "Log end offset: the offset of the next record that a replica's log will take."),
    term(
        "HW",
        "High watermark: the first offset that is not known to be on every in-sync replica. \
         Consumers read below it.",
    ),
    term(
        "ISR",
        "In-sync replicas: those that may be elected leader without losing a committed record.",
    ),
    term(
        "leader epoch",
        "A number that grows with every leader of a partition; a replica with an older one is \
         refused.",
    ),
    term(
        "without a working leader",
        "From the moment at which a partition's leader ends, stands still or is deposed until a \
         broker knows that it leads: nothing can be written or read. The election comes a little \
         before the end of it.",
    ),
    term(
        "fenced",
        "The controller has not heard from a broker for too long and takes its leaderships away.",
    ),
];

/// What becomes of records in a consumer group.
pub const GROUP_TERMS: &[Term] = &[
    term("processed", "The application has worked on it."),
    term("reprocessed", "One record at one offset was delivered and processed again."),
    term("skipped", "Never processed, though the committed offset is past it."),
    term("pending", "Stored, not processed yet, and the committed offset is not past it."),
    term("ghost", "Processed, but not in the log at rest."),
    term(
        "processed copies",
        "Several copies of a record in the log, processed once each; this is no reprocessing.",
    ),
    term("position", "The offset that a consumer will ask for next."),
    term("committed offset", "Where the group goes on after a restart or a rebalance."),
    term("lag", "High watermark less committed offset."),
    term("rebalance", "The group deals its partitions among its members anew."),
    term(
        "generation",
        "A number that grows with every rebalance; commits with an older one are refused. In the \
         protocol of KIP-848 it is the group epoch.",
    ),
];

/// What only consumers have that share partitions out by ZooKeeper.
pub const SHARING_TERMS: &[Term] = &[
    term(
        "session",
        "A client's bond with ZooKeeper: it expires when the ensemble has not heard of the client for \
         its timeout, and what the client has claimed goes with it.",
    ),
    term("owner by ZooKeeper", "The consumer that a znode in ZooKeeper names for a partition."),
    term(
        "two owners",
        "Two running consumers read one partition, each by its own account its owner. Nothing fences \
         the one that ZooKeeper does not name.",
    ),
];

/// What a sweep says over many histories.
pub const SWEEP_TERMS: &[Term] = &[
    term(
        "seed",
        "A number that decides every draw of a history: one seed is one history, the same on \
         every machine.",
    ),
    term(
        "cell",
        "One combination of the settings that a sweep varies; every cell meets the same seeds.",
    ),
    term(
        "95 % interval",
        "Wilson's score interval: a range that contains the true probability in 95 of 100 such \
         sweeps.",
    ),
    term("p99", "99 of 100 records took at most so long."),
    term(
        "paired comparison",
        "The difference between two cells seed by seed, so that the weather of a seed cancels out.",
    ),
    term(
        "frontier",
        "The cells that no other one beats: better in time, share of histories, number of records or \
         records not acked, and worse in none.",
    ),
];
