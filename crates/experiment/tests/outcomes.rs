//! The model held against what is known of Kafka: the outcomes of kafka-semantics.md, section 10, the rules of sections 0
//! to 6 that have a number, and the cases of failure-cases.md. Each test names its source, and checks the quantity that
//! the source predicts, not only that something happened.
//!
//! Where a prediction is off, the comment at the test says why.

#[path = "outcomes/support.rs"]
mod support;

#[path = "outcomes/durability.rs"]
mod durability;
#[path = "outcomes/failover.rs"]
mod failover;
#[path = "outcomes/groups_commits.rs"]
mod groups_commits;
#[path = "outcomes/groups_crashes.rs"]
mod groups_crashes;
#[path = "outcomes/groups_liveness.rs"]
mod groups_liveness;
#[path = "outcomes/groups_metadata.rs"]
mod groups_metadata;
#[path = "outcomes/groups_next_generation.rs"]
mod groups_next_generation;
#[path = "outcomes/groups_offsets.rs"]
mod groups_offsets;
#[path = "outcomes/idempotence.rs"]
mod idempotence;
#[path = "outcomes/producer.rs"]
mod producer;
#[path = "outcomes/replication.rs"]
mod replication;
#[path = "outcomes/retries.rs"]
mod retries;
#[path = "outcomes/timing.rs"]
mod timing;
#[path = "outcomes/transactions.rs"]
mod transactions;
#[path = "outcomes/zombie.rs"]
mod zombie;
