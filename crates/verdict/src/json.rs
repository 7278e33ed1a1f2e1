//! The verdict as JSON: the object that `run --json` prints and other commands embed (design.md,
//! section 6).

use acklab_vocab::ids::TopicPartition;
use serde_json::{Value, json};

use crate::cause::{Anomaly, Promise};
use crate::exceptions::Exceptions;
use crate::groups::summary::{GroupVerdict, PartitionStandstill, Sharing};
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
    let mut value = json!({
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
        "groups": groups(verdict),
        "transactions": verdict.transactions,
        "causes": verdict.causes.iter().map(|of| cause(verdict, of)).collect::<Vec<_>>(),
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
    if verdict.diverged > 0 {
        value["diverged"] = json!(verdict.diverged);
    }
    if let Some(expired) = verdict.sessions_expired {
        value["sessions_expired"] = json!(expired);
    }
    if !verdict.producer_exceptions.is_empty() {
        let entries = verdict.producer_exceptions.iter();
        let entries = entries.map(|(name, of)| (name.clone(), exceptions(of)));
        value["producer_exceptions"] = Value::Object(entries.collect());
    }
    value
}

/// Seconds to a microsecond. The division of two integers is the same on every machine.
fn sim_seconds(nanos: i64) -> f64 {
    (nanos / 1_000) as f64 / 1e6
}

fn cause(verdict: &Verdict, of: &CauseCount) -> Value {
    let mut value = json!({
        "anomaly": of.kind.name(),
        "cause": of.cause.name(),
        "promise": of.promise.name(),
        "count": of.count,
    });
    if let Promise::KnownViolation(issue) = of.promise {
        value["known"] = json!(issue);
    }
    if let Some(group) = of.group {
        value["group"] = json!(names::application(&verdict.header, group));
    }
    value
}

fn anomaly(verdict: &Verdict, of: &Anomaly) -> Value {
    let topic = |partition: TopicPartition| {
        verdict.header.topics.get(partition.topic.0 as usize).map(|topic| topic.name.as_str())
    };
    let mut value = json!({
        "record": names::record(&verdict.header, of.record),
        "topic": of.partition.and_then(topic),
        "partition": of.partition.map(|partition| partition.partition),
        "offset": of.offset,
        "epoch": of.epoch,
        "anomaly": of.kind.name(),
        "cause": of.cause.name(),
    });
    if let Some(group) = of.group {
        value["group"] = json!(names::application(&verdict.header, group));
    }
    value
}

/// Consumer applications by name: the counts, then what explains them.
fn groups(verdict: &Verdict) -> Value {
    let entries = verdict.groups.iter().map(|(name, of)| {
        let mut value = json!(of.counts);
        let details = [
            ("group_id", json!(of.group_id)),
            ("generations", json!(of.generations)),
            ("coordinator_moves", json!(of.coordinator_moves)),
            ("resets", json!(of.resets)),
            ("commits_refused", by_name(of.refused.iter().map(|(of, count)| (of.name(), count)))),
            ("commit_exceptions", by_name(of.failures.iter().map(|(of, count)| (*of, count)))),
            ("rebalance_reasons", reasons(of)),
            ("rebalance_longest_ms", json!(of.rebalance_longest.as_millis())),
            ("rebalances_listed", rebalances(verdict, of)),
            ("standstill_longest_ms", json!(of.standstill_longest().as_millis())),
            ("standstill_total_ms", json!(of.standstill_total().as_millis())),
            ("standstills", spells(verdict, &of.standstills)),
            ("lag_max", json!(of.lag.max)),
            ("behind_max", json!(of.behind)),
            ("lag", lag(of)),
            ("processing_ms", json!(of.processing_time.as_millis())),
        ];
        details.into_iter().for_each(|(key, detail)| value[key] = detail);
        if let Some(sharing) = &of.sharing {
            value["exceptions"] = exceptions(&of.exceptions);
            value["sharing"] = shared_out(verdict, sharing);
        }
        (name.clone(), value)
    });
    Value::Object(entries.collect())
}

/// By name: how often it reached the application, and how often it was only logged.
fn exceptions(of: &Exceptions) -> Value {
    let entries = of.0.iter();
    Value::Object(entries.map(|(of, raised)| (of.name().to_owned(), json!(raised))).collect())
}

/// How consumers shared partitions out by ZooKeeper.
fn shared_out(verdict: &Verdict, of: &Sharing) -> Value {
    json!({
        "attempts": by_name(of.attempts.iter().map(|(name, count)| (*name, count))),
        "sessions_expired": of.sessions_expired,
        "no_owner_longest_ms": of.no_owner_longest().as_millis(),
        "no_owner_total_ms": of.no_owner_total().as_millis(),
        "no_owner": spells(verdict, &of.no_owner),
        "two_owners_longest_ms": of.two_owners_longest().as_millis(),
        "two_owners_total_ms": of.two_owners_total().as_millis(),
        "two_owners": spells(verdict, &of.two_owners),
    })
}

fn by_name<'a>(counts: impl Iterator<Item = (&'a str, &'a u64)>) -> Value {
    Value::Object(counts.map(|(name, count)| (name.to_owned(), json!(count))).collect())
}

fn reasons(of: &GroupVerdict) -> Value {
    let reasons = of.reasons.iter();
    let reasons = reasons.map(|(reason, count)| (names::rebalance_reason(*reason), json!(count)));
    Value::Object(reasons.map(|(reason, count)| (reason.to_owned(), count)).collect())
}

/// So many rebalances are listed; all are counted.
const REBALANCES_LISTED: usize = 100;

fn rebalances(verdict: &Verdict, of: &GroupVerdict) -> Value {
    let listed = of.rebalances.iter().take(REBALANCES_LISTED).map(|rebalance| {
        json!({
            "at_seconds": sim_seconds(rebalance.at.0),
            "reason": names::rebalance_reason(rebalance.reason),
            "member": rebalance.node.map(|node| names::node(&verdict.header, node)),
            "generation": rebalance.generation,
            "members": rebalance.members,
            "took_ms": rebalance.took.map(|took| took.as_millis()),
        })
    });
    Value::Array(listed.collect())
}

/// Partitions that had such a spell at some time.
fn spells(verdict: &Verdict, all: &[PartitionStandstill]) -> Value {
    let stood = all.iter().filter(|of| of.standstill.spells > 0);
    let entries = stood.map(|of| {
        let spells = json!({
            "spells": of.standstill.spells,
            "longest_ms": of.standstill.longest.as_millis(),
            "total_ms": of.standstill.total.as_millis(),
        });
        (verdict.partition_name(of.partition), spells)
    });
    Value::Object(entries.collect())
}

/// So many samples of the lag are listed.
const LAG_SAMPLES: usize = 120;

/// Pairs of time in seconds and lag in records.
fn lag(of: &GroupVerdict) -> Value {
    let samples = of.lag.at_most(LAG_SAMPLES);
    Value::Array(samples.iter().map(|(at, lag)| json!([sim_seconds(at.0), lag])).collect())
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
