//! Two histories compared, for programs. Both are there in full, as `run --json` prints them.

use super::{Comparison, page};
use crate::commands::run;
use acklab_experiment::diff::{Axis, Change, Fate, Number, Parting, Stream, Told};
use acklab_scenario::expect::CounterUnit;
use acklab_scenario::{Difference, SettingValue};
use acklab_verdict::names;
use serde_json::{Value, json};

/// The whole comparison.
pub fn json(of: &Comparison) -> Value {
    let found = &of.found;
    let header = &found.first.verdict.header;
    let rules = found.rules.iter().map(|(rule, on_second)| {
        json!({ "rule": rule.name(), "first": !on_second, "second": on_second })
    });
    json!({
        "schema": 1,
        "scenario": header.scenario,
        "seed": of.seed,
        "names": of.names,
        "settings": of.differences.iter().map(difference).collect::<Vec<_>>(),
        "rules": rules.collect::<Vec<_>>(),
        "same": found.is_empty(),
        "same_facts": found.same_facts,
        "divergence": found.divergence.as_ref().map(parting),
        "partings": found.partings.iter().map(parting).collect::<Vec<_>>(),
        "records": found.records,
        "changed": found.changed,
        "changes": found.changes.iter().map(|of| change(of, header)).collect::<Vec<_>>(),
        "numbers": found.numbers.iter().map(number).collect::<Vec<_>>(),
        "first": run::json(&found.first),
        "second": run::json(&found.second),
    })
}

fn difference(of: &Difference) -> Value {
    let value = |value: &SettingValue| match value {
        SettingValue::Set(text) => json!({ "set": text }),
        SettingValue::Default(text) => json!({ "default": text }),
        SettingValue::Missing => Value::Null,
    };
    json!({ "setting": of.path, "first": value(&of.first), "second": value(&of.second) })
}

fn parting(of: &Parting) -> Value {
    let told = |told: &Told| json!({ "at_ns": told.at.0, "text": told.text });
    json!({
        "kind": of.stream.map(Stream::name),
        "at_ns": of.at.0,
        "first": of.first.as_ref().map(told),
        "second": of.second.as_ref().map(told),
    })
}

fn change(of: &Change, header: &acklab_vocab::trace::RunHeader) -> Value {
    let fate = |fate: &Fate| {
        let causes = fate.causes.iter();
        let causes =
            causes.map(|(kind, cause)| json!({ "anomaly": kind.name(), "cause": cause.name() }));
        json!({ "fate": fate.words, "causes": causes.collect::<Vec<_>>() })
    };
    let group = match &of.axis {
        Axis::Log => None,
        Axis::Application(name) => Some(name),
    };
    let examples = of.examples.iter().map(|&record| names::record(header, record));
    json!({
        "group": group,
        "count": of.count,
        "first": fate(&of.first),
        "second": fate(&of.second),
        "examples": examples.collect::<Vec<_>>(),
    })
}

fn number(of: &Number) -> Value {
    let unit = match page::unit(&of.quantity) {
        CounterUnit::Count => "count",
        CounterUnit::Microseconds => "us",
    };
    json!({
        "number": of.quantity.to_string(),
        "unit": unit,
        "first": of.first,
        "second": of.second,
    })
}
