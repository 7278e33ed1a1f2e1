//! Partitions that are added to a topic.

use super::*;

/// `kafka-topics.sh --alter --partitions`: what is there stays as it is.
#[test]
fn partitions_are_added_to_a_topic_that_exists() {
    let mut solo = Solo::with_topic("3.9", topic(1, false), &[1, 2]);
    let before = solo.orders().clone();
    let call = |topic, assignments: &[&[u16]]| {
        let assignments = assignments.iter().map(|replicas| brokers(replicas)).collect();
        Input::Call(ControllerCall::CreatePartitions { topic, assignments })
    };
    // No such topic; nothing new; a partition that nobody alive would hold.
    for (topic, assignments) in [
        (TopicId(7), [[1, 2]].as_slice()),
        (TopicId(0), &[[1, 2]]),
        (TopicId(0), &[[1, 2], [8, 9]]),
    ] {
        let assignments: Vec<&[u16]> = assignments.iter().map(|it| it.as_slice()).collect();
        solo.step(call(topic, &assignments));
        solo.run_ms(30);
        assert_eq!(solo.controller.partition(TopicPartition::new(0, 1)), None);
        assert!(solo.facts.is_empty(), "{:?}", solo.facts);
    }
    solo.step(call(TopicId(0), &[&[1, 2], &[2, 1]]));
    solo.run_ms(30);
    assert_eq!(solo.orders(), &before);
    let added = solo.controller.partition(TopicPartition::new(0, 1)).expect("it was added");
    assert_eq!((added.leader, &added.isr), (Some(BrokerId(2)), &brokers(&[1, 2])));
    assert_eq!((added.leader_epoch, added.partition_epoch), (LeaderEpoch(0), PartitionEpoch(0)));
}
