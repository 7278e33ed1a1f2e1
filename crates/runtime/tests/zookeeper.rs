//! Clusters with ZooKeeper: roles, sessions, brokers that a supervisor starts again, old clients.

use acklab_runtime::{RunOptions, RunResult, run};
use acklab_scenario::model::{Fault, Scenario, Target};
use acklab_scenario::{ScenarioFile, write_faults};
use acklab_verdict::Judge;
use acklab_vocab::ids::NodeId;
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::{Observer, Stamped, TraceEvent};
use std::sync::Arc;

fn scenario(kafka: &str, clients: &str, faults: &str) -> Arc<Scenario> {
    let text = format!(
        r#"Scenario(
            kafka: "{kafka}", duration: "30s",
            cluster: (brokers: 3, mode: ZooKeeper(servers: 3), start_up: "2s"),
            topics: {{"orders": (partitions: 2, replication_factor: 3)}},
            {clients}
            faults: [{faults}],
        )"#
    );
    let file = ScenarioFile::parse("zookeeper", None, &text).expect("it parses");
    Arc::new(file.resolve("base", &[]).expect("it resolves").scenario)
}

const SHOP: &str = r#"producers: [(name: "shop", topic: "orders", rate: 20)],"#;

/// What happened to the first broker after time zero: starts, ends and sessions, by second.
#[derive(Default)]
struct First(Vec<(char, i64)>);

impl Observer for First {
    fn observe(&mut self, stamped: &Stamped) {
        let (node, what) = match &stamped.event {
            TraceEvent::ProcessStarted { .. } => (stamped.node, 's'),
            TraceEvent::ProcessKilled => (stamped.node, 'd'),
            TraceEvent::ProcessExited { clean: false } => (stamped.node, 'x'),
            TraceEvent::ZooKeeperSessionEnded { client, expired: true, .. } => (*client, 'e'),
            TraceEvent::ZooKeeperSessionOpened { client, .. } => (*client, 'o'),
            _ => return,
        };
        if node == NodeId(0) && stamped.at >= SimTime::ZERO {
            self.0.push((what, stamped.at.0 / 1_000_000_000));
        }
    }
}

fn at_rest<O>(result: &RunResult<O>) {
    assert_eq!(result.stuck, None);
}

#[test]
fn a_broker_that_is_back_too_early_is_started_again_until_its_session_has_expired() {
    let kill = r#"(at: "3s", fault: Kill(Broker(1)), for: "10ms")"#;
    let scenario = scenario("2.0", SHOP, kill);
    let result = run(&scenario, 4, RunOptions::default(), First::default());
    at_rest(&result);
    let what: String = result.observer.0.iter().map(|(what, _)| what).collect();
    assert!(what.starts_with("dsox"), "its znode is there: {what}");
    let expired = what.find('e').expect("the first session expires");
    let after = &what[expired..];
    assert!(after.contains("so") && !after.ends_with('x'), "then it stays: {what}");
}

#[test]
fn a_schedule_names_whoever_had_the_roles() {
    let faults = r#"(at: "3s", fault: Kill(ActiveController), for: "12s"),
                    (at: "4s", fault: Pause(ZooKeeperLeader), for: "1s"),
                    (after: ZooKeeperLeaderElected(1), fault: LinkDelay(ZooKeepers, Brokers, "1ms"), for: "1s"),
                    (after: ControllerElected(1), delay: "1s", fault: SlowDisk(ActiveController, "1ms"), for: "1s")"#;
    for kafka in ["2.0", "3.9"] {
        let scenario = scenario(kafka, SHOP, faults);
        let result = run(&scenario, 4, RunOptions::default(), Judge::new());
        at_rest(&result);
        let struck: Vec<&Fault> = result.schedule.iter().map(|spec| &spec.fault).collect();
        let names = |fault: &&&Fault| match fault {
            Fault::Kill(targets) => matches!(targets[..], [Target::Broker(_)]),
            Fault::Pause(targets) => matches!(targets[..], [Target::ZooKeeper(_)]),
            Fault::SlowDisk { targets, .. } => matches!(targets[..], [Target::Broker(_)]),
            Fault::LinkDelay { first, .. } => first.len() == 3,
            _ => false,
        };
        assert_eq!(struck.iter().filter(names).count(), struck.len(), "{struck:?}");
        assert!(struck.len() >= 3, "{struck:?}");
        let written = write_faults(&result.schedule, &scenario);
        let again = ScenarioFile::parse_faults("again", &written, &scenario).expect("it is read");
        assert_eq!(again, result.schedule, "{written}");
        let fixed = Arc::new(Scenario { faults: again, ..(*scenario).clone() });
        let replayed = run(&fixed, 4, RunOptions::default(), Judge::new());
        assert_eq!(replayed.events, result.events, "{kafka}");
    }
}

#[test]
fn the_clients_of_0_8_write_and_read_on_every_version_that_serves_them() {
    let clients = r#"
        producers: [
            (name: "till", topic: "orders", rate: 20, client: Scala("0.8.2"),
             properties: {"request.required.acks": "1"}),
            (name: "meter", topic: "orders", rate: 20, client: Scala("0.8.2"),
             properties: {"producer.type": "async", "queue.buffering.max.ms": "500",
                          "request.required.acks": "-1"}),
        ],
        groups: [(id: "old", topics: ["orders"], client: HighLevel("0.8.2"), members: 2)],"#;
    for kafka in ["0.8.2", "0.11.0", "3.9"] {
        let scenario = scenario(kafka, clients, "");
        let result = run(&scenario, 2, RunOptions::default(), Judge::new());
        at_rest(&result);
        let verdict = result.observer.finish();
        let counts = (verdict.records.sent, verdict.records.acked, verdict.records.lost);
        assert_eq!(counts, (1_200, 1_200, 0), "{kafka}");
        assert_eq!(verdict.violations.len(), 0, "{kafka}: {:?}", verdict.violations);
    }
}
