//! Expectations of the ZooKeeper era: exceptions by name, owners over time.

use acklab_scenario::expect::Reach;
use acklab_scenario::{Bound, Counter, Quantity, Resolved, ScenarioFile, write_expectations};

fn text(expect: &str) -> String {
    format!(
        r#"Scenario(
    about: "workers share a topic out",
    kafka: "3.9",
    duration: "2s",
    cluster: (brokers: 3, mode: KRaft(controllers: 3)),
    topics: {{ "orders": (partitions: 2, replication_factor: 3) }},
    producers: [(name: "shop", topic: "orders", rate: 10)],
    groups: [(id: "workers", topics: ["orders"], members: 2)],
    expect: {expect},
)"#
    )
}

fn resolve(expect: &str) -> Result<Resolved, String> {
    let file = ScenarioFile::parse("workers", None, &text(expect)).map_err(|e| e.to_string())?;
    file.resolve("base", &[]).map_err(|errors| errors[0].to_string())
}

#[test]
fn exceptions_and_owners_are_expected_by_name() {
    let written = r#"[Exceptions("PartitionOwnedError", AtLeast(1)), LoggedExceptions("ConsumerRebalanceFailedException", Exactly(2)), Group("workers", Exceptions("ConsumerStoppedException", Exactly(0))), TwoOwnersMax(AtMost("1s")), Group("workers", NoOwnerTotal(Between("4s", "9s"))), SessionsExpired(AtLeast(1)), Diverged(Exactly(0))]"#;
    let expect = resolve(written).expect("it is sound").expect;
    let said: Vec<String> = expect.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "PartitionOwnedError raised ≥ 1",
            "ConsumerRebalanceFailedException logged = 2",
            "workers: ConsumerStoppedException raised = 0",
            "longest time with two owners ≤ 1 s",
            "4 s ≤ workers: time without an owner of all partitions ≤ 9 s",
            "expired sessions ≥ 1",
            "diverged offsets = 0",
        ]
    );
    let logged = Quantity::Exceptions("ConsumerRebalanceFailedException".into(), Reach::Log);
    assert_eq!((&expect[1].quantity, expect[1].bound), (&logged, Bound::Exactly(2)));
    assert_eq!(expect[3].quantity, Quantity::Counter(Counter::TwoOwnersMax));
    assert_eq!(write_expectations(&expect), written);
}

#[test]
fn an_unknown_exception_is_answered_with_what_was_meant() {
    let error = resolve(r#"[Exceptions("PartitionOwnedException", AtLeast(1))]"#).err();
    let error = error.expect("there is none of that name");
    assert!(error.contains("there is no exception `PartitionOwnedException`"), "{error}");
    assert!(error.contains("PartitionOwnedError"), "{error}");
    let error = resolve(r#"[Group("workers", Diverged(0))]"#).expect_err("it is of no group");
    assert!(error.contains("a group has no such number of its own"), "{error}");
}
