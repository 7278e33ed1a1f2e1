//! The verdict as JSON: the object that `run --json` prints and other commands embed (design.md,
//! section 6).

use acklab_vocab::ids::TopicPartition;
use serde_json::{Map, Value, json};

use crate::cause::{Anomaly, Promise};
use crate::invariants::Violation;
use crate::names;
use crate::verdict::{CauseCount, Verdict};

/// Version of the shape.
pub const SCHEMA: u64 = 1;
/// So many anomalies are listed; all are counted.
pub const ANOMALIES_LISTED: usize = 100;

/// What only the caller knows.
#[derive(Clone, Debug, Default)]
pub struct RunFacts {
    /// How many events were handled.
    pub events: u64,
    /// What had not come to rest, if the run is stuck.
    pub stuck: Option<String>,
    /// Each expectation in words, and whether it held.
    pub expectations: Vec<(String, bool)>,
}

/// The object.
#[must_use]
pub fn to_json(verdict: &Verdict, run: &RunFacts) -> Value {
    let header = &verdict.header;
    let listed = verdict.anomalies.iter().take(ANOMALIES_LISTED);
    let expectations = run.expectations.iter();
    let expectations = expectations.map(|(text, held)| json!({ "text": text, "held": held }));
    let violations = |list: &[Violation]| -> Vec<Value> {
        list.iter().map(|of| violation(verdict, of)).collect()
    };
    let value = json!({
        "schema": SCHEMA,
        "scenario": header.scenario,
        "variant": header.variant,
        "seed": header.seed,
        "kafka": header.kafka,
        "digest": verdict.digest,
        "sim_seconds": sim_seconds(verdict.sim_end.0),
        "events": run.events,
        "records": verdict.records,
        "producers": verdict.producers,
        "topics": verdict.topics,
        "readers": verdict.readers,
        "groups": Map::new(),
        "causes": verdict.causes.iter().map(cause).collect::<Vec<_>>(),
        "anomalies": listed.map(|of| anomaly(verdict, of)).collect::<Vec<_>>(),
        "anomalies_total": verdict.anomalies_total,
        "latency_us": {
            "produce": verdict.produce_latency.summary,
            "end_to_end": verdict.end_to_end_latency.summary,
        },
        "unavailability": unavailability(verdict),
        "violations": violations(&verdict.violations),
        "known_violations": violations(&verdict.known_violations),
        "stuck": run.stuck,
        "expectations": expectations.collect::<Vec<_>>(),
    });
    value
}

/// Seconds to a microsecond. The division of two integers is the same on every machine.
fn sim_seconds(nanos: i64) -> f64 {
    (nanos / 1_000) as f64 / 1e6
}

fn cause(of: &CauseCount) -> Value {
    let mut value = json!({
        "anomaly": of.kind.name(),
        "cause": of.cause.name(),
        "promise": of.promise.name(),
        "count": of.count,
    });
    if let Promise::KnownViolation(issue) = of.promise {
        value["known"] = json!(issue);
    }
    value
}

fn anomaly(verdict: &Verdict, of: &Anomaly) -> Value {
    let topic = |partition: TopicPartition| {
        verdict.header.topics.get(partition.topic.0 as usize).map(|topic| topic.name.as_str())
    };
    json!({
        "record": names::record(&verdict.header, of.record),
        "topic": of.partition.and_then(topic),
        "partition": of.partition.map(|partition| partition.partition),
        "offset": of.offset,
        "epoch": of.epoch,
        "anomaly": of.kind.name(),
        "cause": of.cause.name(),
    })
}

fn violation(verdict: &Verdict, of: &Violation) -> Value {
    let mut value = json!({
        "at_seconds": sim_seconds(of.at.0),
        "node": of.node.map(|node| names::node(&verdict.header, node)),
        "invariant": of.invariant,
        "text": of.text,
    });
    if let Some(issue) = of.known {
        value["known"] = json!(issue);
    }
    value
}

/// Partitions that were without a leader at some time.
fn unavailability(verdict: &Verdict) -> Value {
    let without = verdict.unavailability.iter().filter(|of| of.leaderless_spells > 0);
    let entries = without.map(|of| {
        let spells = json!({
            "leaderless_spells": of.leaderless_spells,
            "leaderless_longest_ms": of.leaderless_longest.as_millis(),
            "leaderless_total_ms": of.leaderless_total.as_millis(),
            "write_gap_longest_ms": of.write_gap_longest.as_millis(),
        });
        (verdict.partition_name(of.partition), spells)
    });
    Value::Object(entries.collect())
}
