use super::*;
use crate::api::{Acks, Isolation};
use crate::config::{
    AutoOffsetReset, BalancedLibrary, ConsumerLibrary, GroupProtocol, JavaProducerConfig,
    OffsetsStorage, Partitioner,
};
use crate::group::{Assignor, RemoteAssignor};
use crate::rules::ProtocolRules;
use crate::time::SimDuration;

fn version(text: &str) -> KafkaVersion {
    text.parse().unwrap()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn java(at: &str, set: &[(&str, &str)]) -> Result<JavaProducerConfig, PropertyError> {
    java_producer_config(version(at), ProtocolRules::of(version(at)), &pairs(set))
}

#[test]
fn transactions_bring_idempotence_along() {
    let set = [("transactional.id", "bank")];
    for version in ["0.11.0", "1.0", "2.8", "3.0", "4.1"] {
        let producer = java(version, &set).unwrap();
        let writes = (producer.idempotence, producer.acks, producer.retries);
        assert_eq!(writes, (true, Acks::All, i32::MAX as u32), "{version}");
    }
    for version in ["2.8", "4.1"] {
        assert!(java(version, &[set[0], ("enable.idempotence", "false")]).is_err(), "{version}");
        assert!(java("2.8", &[set[0], ("acks", "1")]).is_err());
    }
}

/// Rows of kafka-semantics.md, section 8: the default of each version, `-` where there is no such
/// property.
#[test]
fn defaults_follow_the_versions() {
    let versions = ["0.8.2", "0.9.0", "0.10.1", "0.11.0", "2.0", "2.8", "3.3", "3.9", "4.0", "4.2"];
    let check = |scope: Scope, name: &str, expected: &str| {
        let definition = lookup(name, scope).unwrap_or_else(|| panic!("{name}"));
        let defaults = versions.map(|at| definition.default_for(version(at)).unwrap_or("-"));
        assert_eq!(defaults.join(" "), expected, "{name}");
    };
    use Scope::{Broker, Consumer, Producer, Topic};
    check(Producer, "acks", "1 1 1 1 1 1 all all all all");
    check(Producer, "enable.idempotence", "- - - false false false true true true true");
    check(Producer, "linger.ms", "0 0 0 0 0 0 0 0 5 5");
    let max = "2147483647";
    check(Producer, "retries", &format!("0 0 0 0 0 {max} {max} {max} {max} {max}"));
    check(Producer, "delivery.timeout.ms", "- - - - - 120000 120000 120000 120000 120000");
    check(Producer, "retry.backoff.max.ms", "- - - - - - - 1000 1000 1000");
    check(
        Broker,
        "replica.lag.time.max.ms",
        "10000 10000 10000 10000 10000 30000 30000 30000 30000 30000",
    );
    check(Broker, "broker.session.timeout.ms", "- - - - - 9000 9000 9000 9000 9000");
    check(Broker, "zookeeper.session.timeout.ms", "6000 6000 6000 6000 6000 18000 18000 18000 - -");
    check(Broker, "replica.lag.max.messages", "4000 - - - - - - - - -");
    check(Broker, "group.coordinator.append.linger.ms", "- - - - - - - 10 5 -1");
    check(
        Topic,
        "unclean.leader.election.enable",
        "true true true false false false false false false false",
    );
    check(
        Consumer,
        "session.timeout.ms",
        "- 30000 10000 10000 10000 10000 45000 45000 45000 45000",
    );
    check(
        Consumer,
        "request.timeout.ms",
        "- 40000 305000 305000 30000 30000 30000 30000 30000 30000",
    );
    check(Consumer, "max.poll.records", "- - 500 500 500 500 500 500 500 500");
}

#[test]
fn every_row_is_sound() {
    for &scope in Scope::ALL {
        let rows: Vec<_> = table(scope).collect();
        for (position, row) in rows.iter().enumerate() {
            assert!(row.defaults.is_sorted_by_key(|&(since, _)| since), "{}", row.name);
            let names = |row: &PropertyDefinition| [&[row.name], row.aliases].concat();
            for other in &rows[position + 1..] {
                let shared = names(row).into_iter().any(|name| names(other).contains(&name));
                assert!(!shared, "{} twice in {scope}", row.name);
            }
            for &(since, default) in row.defaults.iter().filter(|(_, default)| !default.is_empty())
            {
                let given = pairs(&[(row.name, default)]);
                let result = resolve::Resolved::new(since, scope, &given);
                assert!(result.is_ok(), "{} = {default}: {:?}", row.name, result.err());
            }
            assert!(row.doc.ends_with('.'), "{}", row.name);
        }
    }
}

#[test]
fn what_is_wrong_with_a_property_is_said() {
    let message = |at: &str, set: &[(&str, &str)]| java(at, set).unwrap_err().to_string();
    assert_eq!(message("3.9", &[("ack", "1")]), "producers have no property `ack`");
    assert_eq!(
        message("2.0", &[("delivery.timeout.ms", "1000")]),
        "`delivery.timeout.ms` does not exist in 2.0: it came with 2.1"
    );
    assert_eq!(message("3.9", &[("acks", "2")]), "`acks` must be one of all, -1, 0, 1, not `2`");
    assert_eq!(
        message("3.9", &[("batch.size", "-1")]),
        "`batch.size` must be at least 0 B, not -1"
    );
    assert_eq!(
        message("3.9", &[("linger.ms", "5ms")]),
        "`linger.ms` must be a whole number (ms), not `5ms`"
    );
    let brokers = |at: &str, set: &[(&str, &str)]| {
        broker_config(version(at), ProtocolRules::of(version(at)), &pairs(set))
    };
    assert_eq!(
        brokers("4.0", &[("zookeeper.connect", "zk:2181")]).unwrap_err().to_string(),
        "`zookeeper.connect` does not exist in 4.0: it was removed in 4.0"
    );
    assert_eq!(
        brokers("3.9", &[("replica.lag.time.max.ms", "400")]).unwrap_err().to_string(),
        "`replica.fetch.wait.max.ms` (500) must not be larger than `replica.lag.time.max.ms` (400)"
    );
    let error = brokers("3.9", &[("acks", "all")]).unwrap_err();
    let elsewhere = vec![Scope::Producer, Scope::LibrdkafkaProducer, Scope::KafkaPythonProducer];
    assert_eq!(
        error,
        PropertyError::Unknown { name: "acks".into(), scope: Scope::Broker, elsewhere }
    );
}

/// kafka-semantics.md, section 3.6.
#[test]
fn idempotence_gives_way_silently_or_loudly_by_version() {
    let on = ("enable.idempotence", "true");
    let in_flight = ("max.in.flight.requests.per.connection", "6");
    assert!(java("3.9", &[]).unwrap().idempotence);
    assert!(!java("2.8", &[]).unwrap().idempotence);
    assert!(!java("3.0", &[]).unwrap().idempotence);
    assert!(java("3.0", &[on]).unwrap().idempotence);
    assert!(java("3.0.1", &[]).unwrap().idempotence);
    assert!(!java("3.1", &[]).unwrap().idempotence);
    assert!(java("3.2", &[]).unwrap().idempotence);

    assert!(!java("3.9", &[("acks", "1")]).unwrap().idempotence);
    assert!(!java("3.9", &[("retries", "0")]).unwrap().idempotence);
    assert!(!java("3.9", &[in_flight]).unwrap().idempotence);
    assert!(java("4.0", &[in_flight]).is_err());
    assert!(!java("4.0", &[("acks", "1")]).unwrap().idempotence);
    for conflict in [("acks", "1"), ("retries", "0"), in_flight] {
        let error = java("3.9", &[on, conflict]).unwrap_err();
        assert_eq!((error.name(), error.other()), (conflict.0, Some(on.0)));
    }
    let old = java("2.8", &[on]).unwrap();
    assert_eq!((old.acks, old.retries, old.max_in_flight), (Acks::All, 2_147_483_647, 5));
    assert!(java("2.8", &[on, ("acks", "1")]).is_err());
    assert_eq!(java("0.11.0", &[on]).unwrap().max_in_flight, 1);
}

#[test]
fn the_delivery_timeout_covers_linger_and_request_timeout() {
    let timeout =
        |at: &str, set: &[(&str, &str)]| java(at, set).map(|config| config.delivery_timeout);
    assert_eq!(timeout("2.0", &[]), Ok(None));
    assert_eq!(timeout("3.9", &[]), Ok(Some(SimDuration::from_secs(120))));
    let slow = ("request.timeout.ms", "200000");
    assert_eq!(timeout("3.9", &[slow]), Ok(Some(SimDuration::from_secs(200))));
    assert!(timeout("3.9", &[slow, ("delivery.timeout.ms", "120000")]).is_err());
}

#[test]
fn a_topic_inherits_from_its_brokers() {
    let config = |broker: &[(&str, &str)], topic: &[(&str, &str)]| {
        let (broker, topic) = (pairs(broker), pairs(topic));
        topic_config(version("3.9"), TopicProperties { broker: &broker, topic: &topic })
    };
    let plain = config(&[], &[]).unwrap();
    assert_eq!(plain.min_insync_replicas, 1);
    assert_eq!(plain.max_message_bytes, 1_048_588);
    assert_eq!((plain.flush_messages, plain.flush_interval), (u64::MAX, SimDuration::MAX));
    let brokers =
        [("min.insync.replicas", "2"), ("message.max.bytes", "9"), ("log.flush.interval.ms", "50")];
    let inherited = config(&brokers, &[]).unwrap();
    assert_eq!(inherited.min_insync_replicas, 2);
    assert_eq!(inherited.max_message_bytes, 9);
    assert_eq!(inherited.flush_interval, SimDuration::from_millis(50));
    assert_eq!(config(&brokers, &[("min.insync.replicas", "3")]).unwrap().min_insync_replicas, 3);
}

#[test]
fn librdkafka_has_its_own_names_and_adjustments() {
    let config = |set: &[(&str, &str)]| {
        librdkafka_producer_config(ProtocolRules::of(KafkaVersion::NEWEST), &pairs(set))
    };
    let plain = config(&[]).unwrap();
    assert_eq!((plain.acks, plain.idempotence, plain.max_in_flight), (Acks::All, false, 1_000_000));
    assert_eq!(plain.client.request_timeout, SimDuration::from_secs(60));
    assert_eq!(plain.sticky_partitioning_linger, SimDuration::from_millis(10));
    let aliased =
        config(&[("request.required.acks", "1"), ("queue.buffering.max.ms", "0.5")]).unwrap();
    assert_eq!((aliased.acks, aliased.linger), (Acks::Leader, SimDuration::from_micros(500)));
    assert_eq!(aliased.sticky_partitioning_linger, SimDuration::from_millis(1));
    assert_eq!(config(&[("enable.idempotence", "true")]).unwrap().max_in_flight, 5);
    for conflict in [("acks", "1"), ("retries", "0"), ("max.in.flight", "6")] {
        assert!(config(&[("enable.idempotence", "true"), conflict]).is_err(), "{conflict:?}");
    }
    assert!(matches!(
        config(&[("retries", "1"), ("message.send.max.retries", "2")]),
        Err(PropertyError::SetTwice { .. })
    ));
    assert_eq!(config(&[("message.timeout.ms", "0")]).unwrap().message_timeout, SimDuration::MAX);
}

#[test]
fn the_consumer_starts_where_it_is_told() {
    let config = |at: &str, reset: &str| {
        let set = pairs(&[("auto.offset.reset", reset)]);
        consumer_config(version(at), ProtocolRules::of(version(at)), &set)
            .map(|config| config.auto_offset_reset)
    };
    assert_eq!(config("3.9", "earliest"), Ok(AutoOffsetReset::Earliest));
    let hour_and_half = SimDuration::from_secs(5_400);
    assert_eq!(
        config("4.0", "by_duration:PT1H30M"),
        Ok(AutoOffsetReset::ByDuration(hour_and_half))
    );
    assert!(config("3.9", "by_duration:PT1H").is_err());
    assert!(config("4.0", "by_duration:1h").is_err());
    assert!(config("3.9", "largest").is_err());
}

#[test]
fn a_java_member_is_checked_as_by_its_version() {
    let member = |at: &str, set: &[(&str, &str)]| {
        java_member_config(version(at), ProtocolRules::of(version(at)), &pairs(set))
    };
    let message = |at: &str, set: &[(&str, &str)]| member(at, set).unwrap_err().to_string();
    let poll = |at: &str| member(at, &[]).unwrap().max_poll_interval;
    assert_eq!(poll("0.10.0"), None);
    assert_eq!(poll("0.10.1"), Some(SimDuration::from_secs(300)));
    let slow = ("session.timeout.ms", "3000");
    assert_eq!(
        message("3.9", &[slow]),
        "`heartbeat.interval.ms` (3000) must be smaller than `session.timeout.ms` (3000)"
    );
    let request = ("request.timeout.ms", "10000");
    assert_eq!(
        message("1.1", &[request]),
        "`session.timeout.ms` (10000) must be smaller than `request.timeout.ms` (10000)"
    );
    assert!(member("2.0", &[request]).is_ok());
    let strategy = "partition.assignment.strategy";
    let mixed = (strategy, "org.apache.kafka.clients.consumer.CooperativeStickyAssignor, range");
    let assignors = member("3.9", &[mixed]).unwrap().assignors;
    assert_eq!(assignors, [Assignor::CooperativeSticky, Assignor::Range]);
    assert_eq!(member("2.8", &[]).unwrap().assignors, [Assignor::Range]);
    assert!(member("0.10.2", &[(strategy, "sticky")]).is_err());
    assert!(member("0.11.0", &[(strategy, "sticky")]).is_ok());
    assert!(member("3.9", &[(strategy, "")]).is_err());
    let next = ("group.protocol", "consumer");
    for classic in [("session.timeout.ms", "9000"), ("heartbeat.interval.ms", "9"), mixed] {
        let error = member("4.0", &[next, classic]).unwrap_err();
        assert_eq!((error.name(), error.other()), (classic.0, Some("group.protocol")));
        // 3.7 to 3.9 ignore them.
        assert!(member("3.9", &[next, classic]).is_ok());
    }
    let assignor = ("group.remote.assignor", "range");
    assert!(member("4.0", &[assignor]).is_err());
    let config = member("4.0", &[next, assignor]).unwrap();
    assert_eq!(config.remote_assignor, Some(RemoteAssignor::Range));
    assert_eq!(config.protocol, GroupProtocol::Consumer);
}

/// kafka-semantics.md, section 4.5.
#[test]
fn librdkafka_reads_differently() {
    let rules = ProtocolRules::of(KafkaVersion::NEWEST);
    let member = |set: &[(&str, &str)]| librdkafka_member_config(rules, &pairs(set));
    let plain = member(&[]).unwrap();
    assert_eq!(plain.library, ConsumerLibrary::Librdkafka);
    assert_eq!(plain.assignors, [Assignor::Range, Assignor::RoundRobin]);
    assert_eq!(plain.consumer.isolation, Isolation::LastStable);
    assert_eq!(plain.consumer.auto_offset_reset, AutoOffsetReset::Latest);
    assert_eq!(plain.consumer.max_poll_records, 1);
    assert_eq!(plain.auto_commit, Some(SimDuration::from_secs(5)));
    assert_eq!(member(&[("auto.commit.interval.ms", "0")]).unwrap().auto_commit, None);
    let none = member(&[("auto.offset.reset", "error")]).unwrap().consumer.auto_offset_reset;
    assert_eq!(none, AutoOffsetReset::None);
    let small = member(&[("queued.max.messages.kbytes", "1")]).unwrap();
    assert_eq!(small.consumer.fetch_max_bytes, 1_000_000);
    for refused in [
        [("fetch.max.bytes", "999999"), ("client.id", "x")],
        [("max.poll.interval.ms", "44999"), ("client.id", "x")],
        [("partition.assignment.strategy", "range,cooperative-sticky"), ("client.id", "x")],
        [("partition.assignment.strategy", "sticky"), ("client.id", "x")],
        [("group.protocol", "consumer"), ("session.timeout.ms", "45000")],
    ] {
        assert!(member(&refused).is_err(), "{refused:?}");
    }
}

/// kafka-semantics.md, sections 3.8 and 4.5.
#[test]
fn kafka_python_is_a_java_client_of_its_time() {
    let rules = ProtocolRules::of(KafkaVersion::new(1, 0, 0));
    let producer = |set: &[(&str, &str)]| kafka_python_producer_config(rules, &pairs(set));
    let plain = producer(&[]).unwrap();
    assert_eq!((plain.acks, plain.retries, plain.idempotence), (Acks::Leader, 0, false));
    assert_eq!((plain.delivery_timeout, plain.partitioner), (None, Partitioner::Murmur2Random));
    let aliased = producer(&[("acks", "all"), ("linger.ms", "7")]).unwrap();
    assert_eq!((aliased.acks, aliased.linger), (Acks::All, SimDuration::from_millis(7)));
    let member = |set: &[(&str, &str)]| kafka_python_member_config(rules, &pairs(set));
    let plain = member(&[]).unwrap();
    assert_eq!(plain.session_timeout, SimDuration::from_secs(10));
    assert_eq!(plain.consumer.client.request_timeout, SimDuration::from_secs(305));
    assert_eq!(plain.assignors, [Assignor::Range, Assignor::RoundRobin]);
    let sticky = ("partition_assignment_strategy", "StickyPartitionAssignor");
    assert_eq!(member(&[sticky]).unwrap().assignors, [Assignor::Sticky]);
    for refused in [
        ("request_timeout_ms", "10000"),
        ("request_timeout_ms", "540000"),
        ("session.timeout.ms", "2999"),
        ("partition_assignment_strategy", "cooperative-sticky"),
        ("isolation_level", "read_committed"),
    ] {
        assert!(member(&[refused]).is_err(), "{refused:?}");
    }
}

/// kafka-semantics.md, section 7.1.
#[test]
fn the_high_level_consumer_has_its_own_words() {
    let oldest = KafkaVersion::OLDEST;
    let consumer = |set: &[(&str, &str)]| {
        high_level_consumer_config(oldest, ProtocolRules::of(oldest), &pairs(set))
    };
    let plain = consumer(&[]).unwrap();
    assert_eq!(plain.library, BalancedLibrary::HighLevel);
    assert_eq!(plain.session_timeout, SimDuration::from_secs(6));
    assert_eq!((plain.rebalance_max_retries, plain.rebalance_backoff.0), (4, 2_000_000_000));
    assert_eq!(plain.auto_commit, Some(SimDuration::from_secs(60)));
    assert_eq!(plain.consumer.auto_offset_reset, AutoOffsetReset::Latest);
    assert_eq!(plain.consumer.fetch_max_wait, SimDuration::from_millis(100));
    assert_eq!(plain.offsets_storage, OffsetsStorage::ZooKeeper);
    let storage = |set: &[(&str, &str)]| consumer(set).unwrap().offsets_storage;
    let kafka = ("offsets.storage", "kafka");
    assert_eq!(storage(&[kafka]), OffsetsStorage::Both);
    assert_eq!(storage(&[kafka, ("dual.commit.enabled", "false")]), OffsetsStorage::Kafka);
    assert_eq!(storage(&[("dual.commit.enabled", "true")]), OffsetsStorage::ZooKeeper);
    let synced = consumer(&[("zookeeper.sync.time.ms", "500")]).unwrap();
    assert_eq!(synced.rebalance_backoff, SimDuration::from_millis(500));
    for refused in [
        ("auto.offset.reset", "latest"),
        ("fetch.wait.max.ms", "30001"),
        ("enable.auto.commit", "false"),
        ("partition.assignment.strategy", "roundrobin"),
    ] {
        assert!(consumer(&[refused]).is_err(), "{refused:?}");
    }
}

/// kafka-semantics.md, section 7.2.
#[test]
fn pykafka_has_its_own_words() {
    let rules = ProtocolRules::of(KafkaVersion::OLDEST);
    let consumer = |set: &[(&str, &str)]| pykafka_consumer_config(rules, &pairs(set));
    let plain = consumer(&[]).unwrap();
    assert_eq!(plain.library, BalancedLibrary::Pykafka);
    assert_eq!(plain.session_timeout, SimDuration::from_secs(6));
    assert_eq!((plain.rebalance_max_retries, plain.rebalance_backoff.0), (5, 2_000_000_000));
    assert_eq!((plain.auto_commit, plain.queue), (None, 2_000));
    assert_eq!(plain.consumer.auto_offset_reset, AutoOffsetReset::Earliest);
    assert_eq!(plain.offsets_storage, OffsetsStorage::Kafka);
    assert_eq!(
        (plain.offsets_commit_max_retries, plain.offsets_channel_backoff.0),
        (5, 1_000_000_000)
    );
    let set = [("auto_commit_enable", "True"), ("zookeeper_connection_timeout_ms", "60000")];
    let longer = consumer(&set).unwrap();
    assert_eq!(longer.auto_commit, Some(SimDuration::from_secs(60)));
    assert_eq!(longer.session_timeout, SimDuration::from_secs(60));
    assert!(consumer(&[("rebalance_max_retries", "0")]).is_err());
    assert!(consumer(&[("rebalance.max.retries", "5")]).is_err());
}

/// kafka-semantics.md, section 3.4.
#[test]
fn the_scala_producer_does_not_wait_for_acks() {
    let oldest = KafkaVersion::OLDEST;
    let producer = |set: &[(&str, &str)]| {
        scala_producer_config(oldest, ProtocolRules::of(oldest), &pairs(set))
    };
    let plain = producer(&[]).unwrap();
    assert_eq!((plain.acks, plain.retries, plain.asynchronous), (Acks::None, 3, false));
    assert_eq!(plain.request_timeout, SimDuration::from_secs(10));
    assert_eq!((plain.queue_enqueue_timeout, plain.batch_num_messages), (None, 200));
    let never = producer(&[("topic.metadata.refresh.interval.ms", "-1")]).unwrap();
    assert_eq!(never.metadata_refresh_interval, SimDuration::MAX);
    let all = producer(&[("request.required.acks", "-1"), ("producer.type", "async")]).unwrap();
    assert_eq!((all.acks, all.asynchronous), (Acks::All, true));
    let dropping = producer(&[("queue.enqueue.timeout.ms", "0")]).unwrap();
    assert_eq!(dropping.queue_enqueue_timeout, Some(SimDuration::ZERO));
    for refused in [("request.required.acks", "all"), ("queue.buffering.max.messages", "199")] {
        assert!(producer(&[refused]).is_err(), "{refused:?}");
    }
}

#[test]
fn zookeeper_gives_sessions_of_two_to_twenty_ticks() {
    let config = |set: &[(&str, &str)]| zookeeper_config(KafkaVersion::OLDEST, &pairs(set));
    let given = |set: &[(&str, &str)], wanted: u64| {
        negotiated_session_timeout(&config(set).unwrap(), SimDuration::from_millis(wanted))
    };
    assert_eq!(given(&[], 100), SimDuration::from_secs(6));
    assert_eq!(given(&[], 18_000), SimDuration::from_secs(18));
    assert_eq!(given(&[], 100_000), SimDuration::from_secs(60));
    assert_eq!(given(&[("tickTime", "2000")], 1), SimDuration::from_secs(4));
    assert_eq!(given(&[("minSessionTimeout", "1")], 1), SimDuration::from_millis(1));
    assert!(config(&[("minSessionTimeout", "60001")]).is_err());
}
