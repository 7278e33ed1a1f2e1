//! Since when it was certain: shares of futures, as the instant advances.

use acklab_experiment::Case;
use acklab_experiment::inevitable::{
    Answer, Known, Method, NoAnswer, Question, inevitable, questions,
};
use acklab_runtime::ForkedFaults;
use acklab_scenario::{ScenarioFile, shipped};
use acklab_verdict::AnomalyKind;
use acklab_vocab::time::SimTime;
use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::ControlFlow;

fn case(name: &str) -> Case {
    let &(_, text) = shipped().iter().find(|&&(shipped, _)| shipped == name).unwrap();
    Case::from(ScenarioFile::parse(name, None, text).unwrap().resolve("base", &[]).unwrap())
}

fn method(futures: u32, jobs: usize) -> Method {
    Method {
        futures: NonZeroU32::new(futures).unwrap(),
        faults: ForkedFaults::AsDrawn,
        jobs: NonZeroUsize::new(jobs).unwrap(),
    }
}

/// Which of the records of a history that have an anomaly.
#[derive(Clone, Copy)]
enum Which {
    First,
    Last,
}

/// The answer for a record of a history that has such an anomaly.
fn asked(case: &Case, seed: u64, (which, kind): (Which, AnomalyKind), method: Method) -> Answer {
    let (outcome, fates, ()) = case.run_with_fates(seed, None, ()).unwrap();
    let mut anomalies = outcome.verdict.anomalies.iter().filter(|of| of.kind == kind);
    let anomaly = match which {
        Which::First => anomalies.next(),
        Which::Last => anomalies.next_back(),
    };
    let anomaly = anomaly.unwrap();
    let asked = questions(&fates, &[anomaly.record], &[kind], None);
    assert_eq!(asked.len(), 1);
    let progress = |done, of| {
        assert!(done <= of, "{done} of {of}");
        ControlFlow::Continue(())
    };
    let known = Known { case, seed, outcome: &outcome, fates: &fates };
    inevitable(known, asked[0], method, progress).unwrap().unwrap()
}

/// How many futures have it, of those from the last instant that is not after `at`.
fn share_at(answer: &Answer, at: SimTime) -> u32 {
    let instants = answer.instants.iter().take_while(|instant| instant.at <= at);
    instants.last().unwrap().tally.same
}

#[test]
fn a_loss_with_acks_1_is_open_before_the_append_and_certain_after_the_crash() {
    let crash = SimTime::from_millis(2_000);
    let answer =
        asked(&case("acks-1-leader-crash"), 7, (Which::First, AnomalyKind::Lost), method(5, 2));
    let appended = answer.instants.iter().find(|instant| {
        instant.steps.iter().any(|step| step.text.starts_with("appended by the leader"))
    });
    assert!(appended.is_none_or(|appended| appended.at < crash));
    assert!(share_at(&answer, SimTime::from_millis(1_000)) < 5, "{answer:#?}");
    assert_eq!(answer.instants.last().unwrap().tally.same, 5);
    let certain = answer.certain;
    assert!(certain.since <= SimTime::from_millis(10_000), "{answer:#?}");
    assert!(certain.not_at.is_some_and(|at| at < certain.since));
    assert_eq!((certain.fresh.futures, certain.fresh.same), (5, 5));
    let later = answer.instants.iter().filter(|instant| instant.at >= certain.since);
    assert!(later.clone().count() > 1, "instants after it have been asked about: {answer:#?}");
    assert!(later.clone().all(|instant| instant.tally.is_certain()), "{answer:#?}");
    let mut tallies = answer.instants.iter().map(|instant| instant.tally);
    assert!(tallies.all(|tally| tally.futures >= 5 && tally.same_cause <= tally.same));
    assert!(answer.runs >= 5 * (answer.instants.len() as u64 + 1), "fresh futures were run");
}

#[test]
fn a_reprocessing_is_certain_given_the_crash_and_open_without() {
    let case = case("auto-commit-crash");
    // When the members commit was drawn before time zero, and the crash is given.
    let given = asked(&case, 1, (Which::First, AnomalyKind::Reprocessed), method(3, 2));
    assert!(given.question.group.is_some());
    assert_eq!(given.certain.not_at, None);
    // If the crash may come at another moment, another record is hit.
    let redrawn = Method { faults: ForkedFaults::Redrawn, ..method(5, 2) };
    let open = asked(&case, 1, (Which::Last, AnomalyKind::Reprocessed), redrawn);
    assert!(share_at(&open, SimTime::ZERO) < 5, "{open:#?}");
    let certain = open.certain;
    let processed = open
        .instants
        .iter()
        .find(|instant| instant.steps.iter().any(|step| step.text.starts_with("PROCESSED again")));
    assert!(processed.is_none_or(|processed| certain.since <= processed.at), "{open:#?}");
    assert!(certain.not_at.is_some_and(|at| at < certain.since));
}

#[test]
fn the_answer_does_not_depend_on_the_number_of_jobs() {
    let text = r#"Scenario(
        about: "acks=0 and a dead leader", source: "tests", kafka: "3.9", duration: "1s",
        cluster: (brokers: 3, mode: KRaft(controllers: 1)),
        topics: {"orders": (partitions: 1, replication_factor: 3)},
        producers: [(
            name: "shop", topic: "orders", rate: 5000, size: 100, properties: {"acks": "0"},
        )],
        faults: [(at: Uniform("500ms", "900ms"), fault: Kill(LeaderOf("orders", 0)), for: "1s")],
    )"#;
    let file = ScenarioFile::parse("crash", None, text).unwrap();
    let case = Case::from(file.resolve("base", &[]).unwrap());
    let [one, other] =
        [1, 3].map(|jobs| asked(&case, 1, (Which::First, AnomalyKind::Lost), method(2, jobs)));
    assert_eq!(one, other);
}

#[test]
fn what_did_not_happen_has_no_beginning_and_what_is_broken_off_no_answer() {
    let case = case("acks-1-leader-crash");
    let (outcome, fates, ()) = case.run_with_fates(7, None, ()).unwrap();
    let known = Known { case: &case, seed: 7, outcome: &outcome, fates: &fates };
    let first =
        acklab_vocab::ids::RecordId { producer: acklab_vocab::ids::ProducerIndex(0), sequence: 0 };
    assert_eq!(questions(&fates, &[first], AnomalyKind::ALL, None), []);
    let question = Question { record: first, kind: AnomalyKind::Lost, group: None };
    let answer = inevitable(known, question, method(2, 1), |_, _| ControlFlow::Continue(()));
    assert_eq!(answer.unwrap(), None);
    let lost = outcome.verdict.anomalies.iter().find(|of| of.kind == AnomalyKind::Lost).unwrap();
    let question = Question { record: lost.record, ..question };
    let answer = inevitable(known, question, method(2, 1), |_, _| ControlFlow::Break(()));
    assert!(matches!(answer, Err(NoAnswer::BrokenOff)), "{answer:?}");
}
