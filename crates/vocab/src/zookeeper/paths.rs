//! Where Kafka keeps what in ZooKeeper (`ZkData`, `ZkUtils`). A topic's name is its [`TopicId`].

use super::ZnodePath;
use crate::ids::{BrokerId, GroupId, TopicId, TopicPartition};

/// `/controller`: ephemeral, of the broker that is the controller.
#[must_use]
pub fn controller() -> ZnodePath {
    ZnodePath::new("/controller")
}

/// `/controller_epoch`
#[must_use]
pub fn controller_epoch() -> ZnodePath {
    ZnodePath::new("/controller_epoch")
}

/// `/brokers/ids`: a child for every registered broker.
#[must_use]
pub fn broker_ids() -> ZnodePath {
    ZnodePath::new("/brokers/ids")
}

/// `/brokers/ids/<id>`: ephemeral, of one broker.
#[must_use]
pub fn broker(broker: BrokerId) -> ZnodePath {
    broker_ids().child(broker)
}

/// `/brokers/topics`: a child for every topic.
#[must_use]
pub fn topics() -> ZnodePath {
    ZnodePath::new("/brokers/topics")
}

/// `/brokers/topics/<topic>`: the assignment.
#[must_use]
pub fn topic(topic: TopicId) -> ZnodePath {
    topics().child(topic)
}

/// `/brokers/topics/<topic>/partitions`
#[must_use]
pub fn partitions(of: TopicId) -> ZnodePath {
    topic(of).child("partitions")
}

/// `/brokers/topics/<topic>/partitions/<partition>`
#[must_use]
pub fn partition(partition: TopicPartition) -> ZnodePath {
    partitions(partition.topic).child(partition.partition)
}

/// `/brokers/topics/<topic>/partitions/<partition>/state`
#[must_use]
pub fn partition_state(of: TopicPartition) -> ZnodePath {
    partition(of).child("state")
}

/// `/isr_change_notification`: a sequential child for every change of ISRs that a leader has written.
#[must_use]
pub fn isr_changes() -> ZnodePath {
    ZnodePath::new("/isr_change_notification")
}

/// `/isr_change_notification/isr_change_`, to which the number is appended.
#[must_use]
pub fn isr_change_prefix() -> ZnodePath {
    isr_changes().child("isr_change_")
}

/// `/admin/preferred_replica_election`
#[must_use]
pub fn preferred_replica_election() -> ZnodePath {
    ZnodePath::new("/admin/preferred_replica_election")
}

/// `/admin/reassign_partitions`
#[must_use]
pub fn reassign_partitions() -> ZnodePath {
    ZnodePath::new("/admin/reassign_partitions")
}

/// `/admin/delete_topics`
#[must_use]
pub fn delete_topics() -> ZnodePath {
    ZnodePath::new("/admin/delete_topics")
}

/// `/latest_producer_id_block`
#[must_use]
pub fn producer_id_block() -> ZnodePath {
    ZnodePath::new("/latest_producer_id_block")
}

/// `/consumers/<group>`
#[must_use]
pub fn consumer_group(group: GroupId) -> ZnodePath {
    ZnodePath::new("/consumers").child(group)
}

/// `/consumers/<group>/ids`: a child for every consumer, by its id.
#[must_use]
pub fn consumer_ids(group: GroupId) -> ZnodePath {
    consumer_group(group).child("ids")
}

/// `/consumers/<group>/owners/<topic>`: an ephemeral child for every partition that has an owner.
#[must_use]
pub fn partition_owners(group: GroupId, topic: TopicId) -> ZnodePath {
    consumer_group(group).child("owners").child(topic)
}

/// `/consumers/<group>/offsets/<topic>`: a child for every partition that has an offset.
#[must_use]
pub fn consumer_offsets(group: GroupId, topic: TopicId) -> ZnodePath {
    consumer_group(group).child("offsets").child(topic)
}

/// The folders that every broker makes sure of when it starts, parents first (`KafkaZkClient.createTopLevelPaths`).
#[must_use]
pub fn top_level() -> Vec<ZnodePath> {
    let paths = [
        "/consumers",
        "/brokers",
        "/brokers/ids",
        "/brokers/topics",
        "/admin",
        "/admin/delete_topics",
        "/isr_change_notification",
        "/latest_producer_id_block",
    ];
    paths.into_iter().map(ZnodePath::new).collect()
}

/// The broker that a child of [`broker_ids`] stands for.
#[must_use]
pub fn broker_named(name: &str) -> Option<BrokerId> {
    name.parse().ok().map(BrokerId)
}

/// The topic that a child of [`topics`] stands for.
#[must_use]
pub fn topic_named(name: &str) -> Option<TopicId> {
    name.parse().ok().map(TopicId)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back() {
        let orders = TopicPartition::new(3, 12);
        assert_eq!(partition_state(orders).as_str(), "/brokers/topics/3/partitions/12/state");
        assert_eq!(topic_named(topic(TopicId(3)).name()), Some(TopicId(3)));
        assert_eq!(broker_named(broker(BrokerId(7)).name()), Some(BrokerId(7)));
        assert_eq!(broker_named("seven"), None);
    }

    #[test]
    fn folders_come_after_their_parents() {
        let all = top_level();
        for (at, path) in all.iter().enumerate() {
            let parent = path.parent().unwrap();
            assert!(parent == ZnodePath::root() || all[..at].contains(&parent), "{path}");
        }
    }
}
