//! The words of the ZooKeeper era: modes, old clients, targets and triggers.

use acklab_scenario::model::{Fault, Mode, Target, Trigger, When};
use acklab_scenario::{Resolved, ScenarioFile, Setting, write_faults};
use acklab_vocab::api::Acks;
use acklab_vocab::config::{
    BalancedLibrary, GroupClientConfig, GroupLibrary, OffsetsStorage, ProducerConfig,
};
use acklab_vocab::ids::{BrokerId, GroupId, GroupIndex, TopicPartition, ZooKeeperServerId};
use acklab_vocab::time::SimDuration;
use acklab_vocab::trace::CommitStyle;

const OLD: &str = r#"
Scenario(
    kafka: "2.0",
    duration: "10s",
    cluster: (
        brokers: 3,
        mode: ZooKeeper(servers: 3, properties: {"tickTime": 2000}),
        properties: {"zookeeper.session.timeout.ms": "4000"},
    ),
    topics: {"orders": (partitions: 2, replication_factor: 3)},
    producers: [
        (name: "till", topic: "orders", rate: 10, client: Scala("0.8.2")),
        (name: "shop", topic: "orders", rate: 10),
    ],
    groups: [
        (id: "old", topics: ["orders"], client: HighLevel("0.8.2"), members: 2),
        (id: "new", topics: ["orders"], client: Pykafka("2.8"), members: 2,
         processing: (per_record: "1ms", holds_interpreter_lock: true)),
        (id: "news", topics: ["orders"], client: Pykafka, commit: Auto),
    ],
    faults: [
        (at: "1s", fault: Kill(ActiveController), for: "1s"),
        (at: "2s", fault: Partition(LeaderOf("orders", 0), ZooKeepers), for: "1s"),
        (at: "3s", fault: PowerLoss(ZooKeeperLeader), for: "1s"),
        (after: SessionExpired(Broker(2)), fault: Pause([ZooKeeper(1), ZooKeeper(3)]), for: "1s"),
        (after: SessionExpired(Member("new", 1), 2), fault: Kill(Member("new")), for: "1s"),
        (after: ControllerElected, fault: ControlledShutdown(ActiveController), for: "1s"),
        (after: ZooKeeperLeaderElected(3), delay: "1s", fault: SlowDisk(ZooKeepers, "1ms")),
        (after: Claimed("old", "orders", 1, 4), fault: Kill(OwnerOf("old", "orders", 1)), for: "1s"),
    ],
    variants: {"newest": (set: {"kafka": "3.9"})},
)
"#;

fn file(text: &str) -> ScenarioFile {
    ScenarioFile::parse("old", None, text).unwrap_or_else(|error| panic!("{error}"))
}

fn with(text: &str, sets: &[&str]) -> Result<Resolved, String> {
    let sets: Vec<Setting> = sets.iter().map(|text| text.parse().unwrap()).collect();
    file(text)
        .resolve("base", &sets)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

fn plain(kafka: &str, mode: &str) -> Result<Resolved, String> {
    let text = format!(
        r#"(kafka: "{kafka}", duration: "1s", cluster: (brokers: 3{mode}),
        topics: {{"orders": (partitions: 1, replication_factor: 3)}},
        producers: [(name: "shop", topic: "orders", rate: 1)],
        readers: [(name: "eye", topics: ["orders"])])"#
    );
    with(&text, &[])
}

#[test]
fn an_ensemble_has_servers_and_properties() {
    let scenario = with(OLD, &[]).unwrap().scenario;
    let Mode::ZooKeeper { servers, config } = &scenario.cluster.mode else { panic!("ZooKeeper") };
    assert_eq!(servers[..], [1, 2, 3].map(ZooKeeperServerId));
    assert_eq!(config.tick_time, SimDuration::from_secs(2));
    assert_eq!(config.min_session_timeout, SimDuration::from_secs(4));
    assert_eq!(config.max_session_timeout, SimDuration::from_secs(40));
    assert_eq!(scenario.cluster.controllers(), []);
    let broker = scenario.cluster.broker_config.zookeeper.as_ref().expect("of the mode");
    assert_eq!(broker.session_timeout, SimDuration::from_secs(4));
}

#[test]
fn the_version_decides_which_modes_there_are() {
    let zookeeper = |resolved: Result<Resolved, String>| {
        resolved.map(|resolved| !resolved.scenario.cluster.zookeeper().is_empty())
    };
    for version in ["0.8.2", "0.9.0", "0.10.2", "0.11.0", "1.1", "2.0", "2.7"] {
        assert_eq!(zookeeper(plain(version, "")), Ok(true), "{version} has no other");
        assert!(plain(version, ", mode: KRaft(controllers: 1)").is_err(), "{version}");
    }
    for version in ["2.8", "3.3", "3.9"] {
        assert_eq!(zookeeper(plain(version, "")), Ok(false), "{version}");
        assert_eq!(zookeeper(plain(version, ", mode: ZooKeeper")), Ok(true), "{version}");
    }
    for version in ["4.0", "4.2"] {
        assert_eq!(zookeeper(plain(version, "")), Ok(false), "{version}");
        assert!(plain(version, ", mode: ZooKeeper(servers: 1)").is_err(), "{version}");
    }
}

#[test]
fn one_file_runs_in_both_modes() {
    let resolved = with(OLD, &["kafka=3.9", "cluster/mode=ZooKeeper(servers: 5)"]).unwrap();
    assert_eq!(resolved.scenario.cluster.zookeeper().len(), 5);
    let text = OLD.replace("ZooKeeper(servers: 3, properties: {\"tickTime\": 2000})", "KRaft(3)");
    let text = &text[..text.find("    groups: [").expect("groups")];
    let text = format!(
        "{text} variants: {{\"old\": (set: {{\"cluster/mode\": ZooKeeper(servers: 3)}})}})"
    );
    let text = text.replace("kafka: \"2.0\"", "kafka: \"3.9\"");
    let file = file(&text);
    let servers = |variant| {
        file.resolve(variant, &[]).expect("it is sound").scenario.cluster.zookeeper().len()
    };
    assert_eq!((servers("base"), servers("old")), (0, 3));
    assert_eq!(
        with(&text, &["cluster/mode=ZooKeeper"]).unwrap().scenario.cluster.zookeeper().len(),
        3
    );
}

#[test]
fn old_clients_have_configurations_of_their_own() {
    let scenario = with(OLD, &[]).unwrap().scenario;
    let ProducerConfig::Scala(till) = &*scenario.producers[0].config else { panic!("Scala") };
    assert_eq!((till.acks, till.retries), (Acks::None, 3));
    assert!(matches!(&*scenario.producers[1].config, ProducerConfig::Java(_)));
    let libraries: Vec<GroupLibrary> =
        scenario.groups.iter().map(|group| group.config.library()).collect();
    let expected = [BalancedLibrary::HighLevel, BalancedLibrary::Pykafka, BalancedLibrary::Pykafka];
    assert_eq!(libraries, expected.map(GroupLibrary::Balanced));
    let commits: Vec<CommitStyle> = scenario.groups.iter().map(|group| group.commit).collect();
    assert_eq!(commits, [CommitStyle::Auto, CommitStyle::SyncPerBatch, CommitStyle::Auto]);
    let GroupClientConfig::Balanced(news) = &scenario.groups[2].config else { panic!("pykafka") };
    assert_eq!(news.auto_commit, Some(SimDuration::from_secs(60)), "`commit` implies it");
    let lock: Vec<bool> =
        scenario.groups.iter().map(|group| group.processing.holds_interpreter_lock).collect();
    assert_eq!(lock, [false, true, false]);
    assert!(scenario.offsets_topic.is_some(), "pykafka commits to Kafka");
}

#[test]
fn offsets_in_zookeeper_need_no_topic() {
    let text = OLD.replace("client: Pykafka", "client: HighLevel").replace("(\"2.8\")", "");
    let text = text.replace(", holds_interpreter_lock: true", "");
    let resolved = with(&text, &[]).unwrap();
    assert_eq!(resolved.scenario.offsets_topic, None);
    let both = with(&text, &["groups/old/offsets.storage=kafka"]).unwrap().scenario;
    let GroupClientConfig::Balanced(config) = &both.groups[0].config else { panic!("balanced") };
    assert_eq!(config.offsets_storage, OffsetsStorage::Both);
    assert!(both.offsets_topic.is_some());
}

#[test]
fn faults_name_servers_of_the_ensemble_and_wait_for_sessions() {
    let resolved = with(OLD, &[]).unwrap();
    let faults = &resolved.scenario.faults;
    assert_eq!(faults[0].fault, Fault::Kill(vec![Target::ActiveController]));
    assert_eq!(faults[2].fault, Fault::PowerLoss(vec![Target::ZooKeeperLeader]));
    let trigger = |index: usize| match &faults[index].when {
        When::After { trigger, .. } => trigger.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(trigger(3), Trigger::SessionExpired(Target::Broker(BrokerId(2)), 1));
    let member = Target::Member(GroupIndex(1), Some(1));
    assert_eq!(trigger(4), Trigger::SessionExpired(member, 2));
    assert_eq!(trigger(5), Trigger::ControllerElected(1));
    assert_eq!(trigger(6), Trigger::ZooKeeperLeaderElected(3));
    assert_eq!(trigger(7), Trigger::Claimed(GroupId(0), TopicPartition::new(0, 1), 4));
    let written = write_faults(faults, &resolved.scenario);
    let again = ScenarioFile::parse_faults("again", &written, &resolved.scenario);
    assert_eq!(again.as_ref(), Ok(faults), "{written}");
}

#[test]
fn what_has_no_effect_in_a_mode_is_said() {
    let said = |resolved: Resolved| -> Vec<String> {
        resolved.warnings.iter().map(|warning| warning.message.clone()).collect()
    };
    assert_eq!(said(with(OLD, &[]).unwrap()), [""; 0]);
    let four = said(with(OLD, &["cluster/mode=ZooKeeper(servers: 4)"]).unwrap());
    assert_eq!(four[0], "an ensemble of 4 survives no more failures than one of 3");
    let session =
        said(with(OLD, &["kafka=3.9", "brokers/broker.session.timeout.ms=9000"]).unwrap());
    assert_eq!(session, ["`broker.session.timeout.ms` has no effect with ZooKeeper"]);
    let short = said(with(OLD, &["groups/new/zookeeper_connection_timeout_ms=1000"]).unwrap());
    assert_eq!(short, ["ZooKeeper gives a session of 4 s in the place of 1 s"]);
    let lock = with(&OLD.replace("client: Pykafka(\"2.8\")", "client: HighLevel"), &[]).unwrap();
    assert_eq!(said(lock), ["`holds_interpreter_lock` has an effect with Pykafka only"]);
    let kraft = plain("3.9", ", properties: {\"zookeeper.session.timeout.ms\": \"1\"}").unwrap();
    assert_eq!(said(kraft), ["`zookeeper.session.timeout.ms` has no effect with KRaft"]);
}

#[test]
fn a_draft_is_the_same_scenario() {
    let file = file(OLD);
    for variant in file.variants() {
        let original = file.resolve(variant, &[]).expect("it is sound").scenario;
        let draft = file.draft(variant, &[]).expect("it has this variant");
        let again =
            draft.resolve().unwrap_or_else(|errors| panic!("{}\n{}", errors[0], draft.write()));
        let mut again = again.scenario;
        again.variant = variant.to_owned();
        assert_eq!(again, original, "{}", draft.write());
    }
    let fewer = file.draft("base", &[]).unwrap().with("cluster/mode/servers", "1").unwrap();
    assert_eq!(
        fewer.value("cluster/mode").as_deref(),
        Some("ZooKeeper(servers: 1, properties: {\"tickTime\": 2000})")
    );
}
