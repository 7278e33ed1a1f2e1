//! Processes of consumers: their lives, what a fault does to the records in hand, and when a run with groups is at rest.

use acklab_runtime::{RunOptions, RunResult, plain, run};
use acklab_scenario::model::Scenario;
use acklab_scenario::{ScenarioFile, write_faults};
use acklab_vocab::ids::{NodeId, Offset};
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::{Observer, RunHeader, Stamped, TraceEvent};
use std::sync::Arc;

/// A cluster of three brokers, a producer of 100 records/s, and a group.
fn scenario(group: &str, faults: &str) -> Arc<Scenario> {
    scenario_of("3.9", &format!(r#"(id: "billing", topics: ["orders"], {group})"#), faults)
}

fn scenario_of(kafka: &str, groups: &str, faults: &str) -> Arc<Scenario> {
    let text = format!(
        r#"Scenario(
            kafka: "{kafka}", duration: "10s",
            cluster: (brokers: 3, mode: KRaft(controllers: 1)),
            topics: {{
                "orders": (partitions: 2, replication_factor: 3),
                "invoices": (partitions: 2, replication_factor: 3),
            }},
            producers: [(name: "shop", topic: "orders", rate: 100, keys: Unique, properties: {{"linger.ms": "0"}})],
            groups: [{groups}],
            faults: [{faults}],
        )"#
    );
    let file =
        ScenarioFile::parse("members", None, &text).unwrap_or_else(|error| panic!("{error}"));
    let resolved = file.resolve("base", &[]);
    Arc::new(resolved.unwrap_or_else(|errors| panic!("{:?}", errors[0])).scenario)
}

/// Every fact of the run.
#[derive(Default)]
struct Facts {
    nodes: Vec<String>,
    facts: Vec<Stamped>,
}

impl Observer for Facts {
    fn begin(&mut self, header: &RunHeader) {
        self.nodes = header.nodes.iter().map(|node| node.name.clone()).collect();
    }

    fn observe(&mut self, stamped: &Stamped) {
        self.facts.push(stamped.clone());
    }
}

impl Facts {
    fn node(&self, name: &str) -> NodeId {
        let index = self.nodes.iter().position(|node| node == name);
        NodeId(index.unwrap_or_else(|| panic!("{name} among {:?}", self.nodes)) as u16)
    }

    /// What was stated by a process, with its position in the history.
    fn of<'a>(&'a self, name: &str) -> impl Iterator<Item = (usize, &'a Stamped)> {
        let node = self.node(name);
        self.facts.iter().enumerate().filter(move |(_, stamped)| stamped.node == node)
    }

    /// Lives of a process after time zero: when it started, was killed, exited (clean or not).
    fn life(&self, name: &str) -> Vec<(char, i64)> {
        let mut life = Vec::new();
        for (_, stamped) in self.of(name) {
            let what = match stamped.event {
                TraceEvent::ProcessStarted { .. } => 's',
                TraceEvent::ProcessKilled | TraceEvent::PowerLost => 'k',
                TraceEvent::ProcessExited { clean: true } => 'c',
                TraceEvent::ProcessExited { clean: false } => 'x',
                _ => continue,
            };
            if stamped.at >= SimTime::ZERO {
                life.push((what, stamped.at.0 / 1_000_000));
            }
        }
        life
    }

    /// How often each offset of the topic's partitions was processed: the total, and the most for one.
    fn processed(&self) -> (u64, u64) {
        let mut counts = std::collections::BTreeMap::new();
        for stamped in &self.facts {
            if let TraceEvent::RecordsProcessed { partition, from, to, .. } = stamped.event {
                for offset in from.0..to.0 {
                    *counts.entry((partition, offset)).or_insert(0) += 1;
                }
            }
        }
        (counts.len() as u64, counts.values().copied().max().unwrap_or(0))
    }
}

#[track_caller]
fn facts_of(scenario: &Arc<Scenario>, seed: u64) -> RunResult<Facts> {
    let result = run(scenario, seed, RunOptions::default(), Facts::default());
    assert_eq!(result.stuck, None, "seed {seed}");
    result
}

const ALL: u64 = 1_000;

#[test]
fn every_style_processes_everything_once_when_nothing_goes_wrong() {
    for style in [
        "Auto",
        "SyncPerBatch",
        "SyncPerRecord",
        "Async",
        "AsyncRetried",
        "AsyncThenSync",
        "BeforeProcessing",
        "HandedToWorkers(2)",
        "Never",
    ] {
        let group = format!(r#"members: 2, processing: "1ms", commit: {style}"#);
        let result = facts_of(&scenario(&group, ""), 3);
        assert_eq!(result.observer.processed(), (ALL, 1), "{style}");
    }
}

#[test]
fn both_drivers_give_the_same_history_of_a_group() {
    let faults = r#"(at: "2s", fault: Kill(AnyMember("billing")), for: "1s"),
                    (at: "5s", fault: Pause(Member("billing", 1)), for: "800ms"),
                    (at: "7s", fault: Kill(CoordinatorOf("billing")), for: "1s")"#;
    let group = r#"members: 3, processing: Uniform("1ms", "9ms"), commit: AsyncThenSync,
        properties: {"session.timeout.ms": "6000"}"#;
    let scenario = scenario(group, faults);
    for seed in 0..3 {
        let with_tasks = run(&scenario, seed, RunOptions::default(), Facts::default());
        let without = plain::run(&scenario, seed, RunOptions::default(), Facts::default());
        assert_eq!(with_tasks.events, without.events, "seed {seed}");
        assert!(with_tasks.observer.facts == without.observer.facts, "seed {seed}");
    }
}

#[test]
fn what_was_done_is_stated_before_the_process_ends_or_stands_still() {
    for (fault, name) in [("Kill", "killed"), ("PowerLoss", "lost power"), ("Pause", "paused")] {
        let faults = format!(r#"(at: "5s", fault: {fault}(Member("billing")), for: "1s")"#);
        let group = r#"processing: "7300us", commit: Never"#;
        let observer = facts_of(&scenario(group, &faults), 1).observer;
        let ends = |event: &TraceEvent| {
            matches!(
                event,
                TraceEvent::ProcessKilled | TraceEvent::PowerLost | TraceEvent::ProcessPaused
            )
        };
        let (end, _) = observer.of("billing").find(|(_, fact)| ends(&fact.event)).expect(name);
        let starts = |event: &TraceEvent| {
            matches!(event, TraceEvent::ProcessStarted { .. } | TraceEvent::ProcessResumed { .. })
        };
        let (next, _) = observer
            .of("billing")
            .find(|(index, fact)| *index > end && starts(&fact.event))
            .expect("it runs again");
        let between = &observer.facts[end..next];
        let works = |fact: &&Stamped| matches!(fact.event, TraceEvent::RecordsProcessed { .. });
        assert_eq!(
            between.iter().filter(works).count(),
            0,
            "{name}: nothing while it is not there"
        );
    }
}

#[test]
fn a_pause_serves_the_rest_of_a_record_afterwards() {
    // One record takes two seconds; the pause lasts three.
    let group = r#"commit: Never, processing: (per_record: "1us", poison: [
        (record: "shop#300", effect: Takes("2s"))])"#;
    let faults = r#"(at: "4s", fault: Pause(Member("billing")), for: "3s")"#;
    let observer = facts_of(&scenario(group, faults), 1).observer;
    let longest = observer
        .of("billing")
        .filter(|(_, fact)| matches!(fact.event, TraceEvent::RecordsProcessed { .. }))
        .map(|(_, fact)| fact.at)
        .collect::<Vec<_>>();
    let gap = longest.windows(2).map(|pair| pair[1].since(pair[0])).max();
    let gap = gap.expect("it processes");
    assert!(gap >= SimDuration::from_millis(4_950), "{gap}");
    assert!(gap <= SimDuration::from_millis(5_100), "{gap}");
}

#[test]
fn a_crash_kills_what_workers_hold() {
    let group = r#"processing: "50ms", commit: HandedToWorkers(1)"#;
    let faults = r#"(at: "5s", fault: Kill(Member("billing")), permanent: true)"#;
    let observer = facts_of(&scenario(group, faults), 1).observer;
    let dropped: u64 = observer
        .of("billing")
        .filter_map(|(_, fact)| match fact.event {
            TraceEvent::HandedOverRecordsDropped { from, to, .. } => Some(to.distance_from(from)),
            _ => None,
        })
        .sum();
    // 100 records/s come for 5 s, 20 records/s are processed.
    assert!((390..=410).contains(&dropped), "{dropped}");
    let killed = observer.of("billing").find(|(_, fact)| fact.event == TraceEvent::ProcessKilled);
    let last = observer
        .of("billing")
        .filter(|(_, fact)| matches!(fact.event, TraceEvent::HandedOverRecordsDropped { .. }));
    assert!(last.map(|(index, _)| index).max() < killed.map(|(index, _)| index));
}

#[test]
fn a_member_that_is_shut_down_ends_in_an_orderly_way() {
    let faults = r#"(at: "5s", fault: ControlledShutdown(Member("billing", 0)), for: "2s")"#;
    let observer = facts_of(&scenario("members: 2, commit: Auto", faults), 1).observer;
    let life = observer.life("billing-0");
    assert_eq!(life.iter().map(|(what, _)| *what).collect::<String>(), "cs", "{life:?}");
    assert!((5_000..5_300).contains(&life[0].1), "{life:?}");
    assert_eq!(observer.processed(), (ALL, 1));
}

#[test]
fn a_poisonous_record_crashes_every_process_that_takes_it_up() {
    let group = r#"commit: SyncPerBatch, processing: (per_record: "1ms", poison: [
        (record: "shop#500", effect: Crashes("700ms"))]), properties: {"session.timeout.ms": "6000"}"#;
    let scenario = scenario(group, "");
    let scenario =
        Arc::new(Scenario { settle: SimDuration::from_secs(30), ..Scenario::clone(&scenario) });
    let result = run(&scenario, 1, RunOptions::default(), Facts::default());
    assert!(result.stuck.is_some(), "it never gets past the record");
    let life = result.observer.life("billing");
    assert!(life.len() > 4, "{life:?}");
    for pair in life.windows(2) {
        if let [('x', ended), ('s', started)] = pair {
            assert_eq!(started - ended, 700);
        }
    }
}

#[test]
fn an_application_that_stops_stays_down_and_does_not_keep_the_run_from_its_end() {
    let group = r#"commit: SyncPerBatch, on_commit_failure: Stop, processing: "20ms",
        properties: {"max.poll.interval.ms": "1000", "max.poll.records": "100"}"#;
    let faults = r#"(at: "3s", fault: Pause(Member("billing")), for: "900ms")"#;
    let observer = facts_of(&scenario(group, faults), 1).observer;
    let life = observer.life("billing");
    assert_eq!(life.iter().map(|(what, _)| *what).collect::<String>(), "x", "{life:?}");
}

#[test]
fn instances_are_started_and_ended_by_scaling() {
    let faults =
        r#"(at: "2s", fault: Scale("billing", 3)), (at: "6s", fault: Scale("billing", 1))"#;
    let observer = facts_of(&scenario("members: 2, commit: Auto", faults), 1).observer;
    let kinds = |name: &str| observer.life(name).iter().map(|(what, _)| *what).collect::<String>();
    assert_eq!(
        (kinds("billing-0"), kinds("billing-1"), kinds("billing-2")),
        (String::new(), "c".to_owned(), "sc".to_owned(),)
    );
    assert_eq!(observer.life("billing-2")[0], ('s', 2_000));
    assert_eq!(observer.processed(), (ALL, 1));
}

#[test]
fn a_rolling_restart_ends_and_starts_one_instance_after_the_other() {
    let faults =
        r#"(at: "1s", fault: RollingRestart(group: "billing", down: "500ms", between: "2s"))"#;
    let observer = facts_of(&scenario("members: 3, commit: Auto", faults), 1).observer;
    let mut last_start = None;
    for name in ["billing-0", "billing-1", "billing-2"] {
        let life = observer.life(name);
        let [('c', ended), ('s', started)] = life[..] else { panic!("{name}: {life:?}") };
        assert_eq!(started - ended, 500, "{name}");
        if let Some(last) = last_start {
            assert!((2_000..2_300).contains(&(ended - last)), "{name}: {ended} {last}");
        }
        last_start = Some(started);
    }
    let ended = observer.facts.iter().filter(|fact| {
        matches!(fact.event, TraceEvent::FaultEnded { .. }) && fact.at < SimTime::from_millis(9_990)
    });
    assert_eq!(ended.count(), 1, "the fault is over when the last one has started");
}

#[test]
fn a_fault_strikes_right_after_the_record_it_waits_for() {
    let group = r#"processing: "10us", commit: SyncPerBatch"#;
    let faults =
        r#"(after: Processed("billing", "shop#300"), fault: Kill(Member("billing")), for: "1s")"#;
    let observer = facts_of(&scenario(group, faults), 1).observer;
    let (end, _) = observer
        .of("billing")
        .find(|(_, fact)| fact.event == TraceEvent::ProcessKilled)
        .expect("it is killed");
    let (_, last) =
        observer.of("billing").filter(|(index, _)| *index < end).last().expect("a fact");
    let TraceEvent::RecordsProcessed { to, batch, .. } = &last.event else {
        panic!("{last:?} is the last thing that happened")
    };
    let last = batch.records()[to.distance_from(batch.base_offset) as usize - 1];
    assert_eq!(last.id.sequence, 300);
}

#[test]
fn faults_wait_for_what_a_group_does() {
    for trigger in [
        r#"RebalanceStarted("billing")"#,
        r#"GroupStable("billing")"#,
        r#"Committed("billing", "orders", 0, 100)"#,
    ] {
        let faults = format!(
            r#"(at: "1s", fault: Kill(Member("billing", 0)), for: "1s"),
               (after: {trigger}, fault: Pause(Broker(1)), for: "100ms")"#
        );
        let group =
            r#"members: 2, commit: SyncPerBatch, properties: {"session.timeout.ms": "6000"}"#;
        let result = facts_of(&scenario(group, &faults), 1);
        assert_eq!(result.schedule.len(), 2, "{trigger}");
    }
}

#[test]
fn an_owner_is_who_the_coordinator_says() {
    let faults = r#"(at: "5s", fault: Kill(OwnerOf("billing", "orders", 1)), for: "1s")"#;
    let result = facts_of(&scenario("members: 2, commit: Auto", faults), 1);
    let observer = result.observer;
    let killed: Vec<&Stamped> =
        observer.facts.iter().filter(|fact| fact.event == TraceEvent::ProcessKilled).collect();
    assert_eq!(killed.len(), 1);
    let read_last = observer.facts.iter().rfind(|fact| {
        fact.at < killed[0].at
            && matches!(&fact.event, TraceEvent::RecordsProcessed { partition, .. }
                if partition.partition.0 == 1)
    });
    assert_eq!(read_last.map(|fact| fact.node), Some(killed[0].node));
}

#[test]
fn a_stalled_request_holds_up_its_connection_and_no_other() {
    // Heartbeats and commits share a connection; fetches have their own, so that processing goes on.
    let faults = r#"(at: "3s", fault: StallRequests(from: [Member("billing")], to: [Brokers], api: Heartbeat, by: "4s", first: 1))"#;
    let group = r#"commit: Auto, properties: {"auto.commit.interval.ms": "100"}"#;
    let observer = facts_of(&scenario(group, faults), 1).observer;
    let answered: Vec<SimTime> = observer
        .facts
        .iter()
        .filter(|fact| matches!(fact.event, TraceEvent::CommitAnswered { .. }))
        .map(|fact| fact.at)
        .collect();
    let gap = answered.windows(2).map(|pair| pair[1].since(pair[0])).max().expect("commits");
    assert!(gap >= SimDuration::from_millis(3_900), "{gap}");
    let processed: Vec<SimTime> = observer
        .of("billing")
        .filter(|(_, fact)| matches!(fact.event, TraceEvent::RecordsProcessed { .. }))
        .map(|(_, fact)| fact.at)
        .collect();
    let gap = processed.windows(2).map(|pair| pair[1].since(pair[0])).max().expect("work");
    assert!(gap < SimDuration::from_millis(1_000), "{gap}");
}

#[test]
fn a_schedule_names_members_and_draws_nothing_anew() {
    let group = r#"members: 3, commit: Auto, properties: {"session.timeout.ms": "6000"}"#;
    let faults = r#"(at: Uniform("1s", "2s"), fault: Kill(AnyMember("billing")), for: "1s"),
        (at: "4s", fault: RollingRestart(group: "billing", down: Uniform("100ms", "900ms"), between: "1s")),
        (at: "8s", fault: Pause(OwnerOf("billing", "orders", 0)), for: "300ms")"#;
    let drawn = scenario(group, faults);
    let first = facts_of(&drawn, 5);
    assert_eq!(first.schedule.len(), 3);
    let written = write_faults(&first.schedule, &drawn);
    let read = ScenarioFile::parse_faults("schedule", &written, &drawn);
    let faults = read.unwrap_or_else(|errors| panic!("{written}{}", errors[0]));
    let fixed = Arc::new(Scenario { faults, ..Scenario::clone(&drawn) });
    let second = facts_of(&fixed, 5);
    assert_eq!(second.schedule, first.schedule, "{written}");
    assert_eq!((second.events, second.ended_at), (first.events, first.ended_at), "{written}");
}

#[test]
fn copies_have_the_numbers_of_what_is_copied() {
    let groups = r#"(id: "copy", topics: ["orders"], processing: "1ms", commit: SyncPerBatch,
        output: (name: "copier", topic: "invoices", properties: {"linger.ms": "0"}))"#;
    let faults = r#"(at: "5s", fault: Kill(Member("copy")), for: "1s")"#;
    let observer = facts_of(&scenario_of("3.9", groups, faults), 1).observer;
    let mut created = std::collections::BTreeSet::new();
    for fact in &observer.facts {
        match &fact.event {
            TraceEvent::RecordsCreated { producer, first, stride, count } if producer.0 == 1 => {
                for index in 0..*count {
                    assert!(created.insert(first + index * stride), "each is created once");
                }
            }
            TraceEvent::RecordsResent { records } => {
                for record in records.iter() {
                    assert!(created.contains(&record.id.sequence), "a further attempt");
                    assert_eq!(record.attempt, 1);
                }
            }
            TraceEvent::Appended { partition, batch } if partition.topic.0 == 1 => {
                for record in batch.records() {
                    assert_eq!(record.id.sequence % 2, u32::from(partition.partition.0));
                }
            }
            _ => {}
        }
    }
    assert_eq!(created, (0..ALL as u32).collect());
}

#[test]
fn a_copy_in_transactions_survives_its_crashes() {
    let groups = r#"(id: "copy", topics: ["orders"], members: 2, processing: "1ms", commit: InTransaction,
        properties: {"session.timeout.ms": "6000", "auto.offset.reset": "earliest"},
        output: (name: "copier", topic: "invoices", abort: 0.1,
            properties: {"linger.ms": "0", "transaction.timeout.ms": "5000"}))"#;
    let faults = r#"(every: "2s", first: "1s", fault: Kill(AnyMember("copy")), for: "500ms")"#;
    for kafka in ["3.9", "4.1"] {
        let scenario = scenario_of(kafka, groups, faults);
        for seed in 0..3 {
            let observer = facts_of(&scenario, seed).observer;
            let (all, _) = observer.processed();
            assert_eq!(all, ALL, "{kafka} seed {seed}");
            let begun = observer
                .facts
                .iter()
                .filter(|fact| matches!(fact.event, TraceEvent::TransactionBegun { .. }));
            assert!(begun.count() > 50, "{kafka} seed {seed}");
        }
    }
}

#[test]
fn a_settled_start_has_a_stable_group_with_a_position() {
    let scenario = scenario("members: 2, commit: Auto", "");
    let observer = facts_of(&scenario, 1).observer;
    let zero = observer.facts.iter().position(|fact| fact.event == TraceEvent::ClusterSettled);
    let zero = zero.expect("time zero");
    let rebalances = |facts: &[Stamped]| {
        facts
            .iter()
            .filter(|fact| matches!(fact.event, TraceEvent::RebalanceStarted { .. }))
            .count()
    };
    assert!(rebalances(&observer.facts[..zero]) >= 1);
    assert_eq!(rebalances(&observer.facts[zero..]), 0);
    let reset =
        |fact: &&Stamped| matches!(fact.event, TraceEvent::PositionReset { to: Offset(0), .. });
    assert_eq!(observer.facts[..zero].iter().filter(reset).count(), 2);
}
