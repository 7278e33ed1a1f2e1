//! `acklab defaults`: the table of Kafka's properties in one version.

use crate::args::{DefaultsArgs, ScopeArg};
use crate::failure::{Failure, Status};
use crate::output;
use crate::text::{Align, BOLD, Rows, styled, width};
use acklab_vocab::properties::{Kind, PropertyDefinition, Scope, valid_for};
use acklab_vocab::version::KafkaVersion;
use serde_json::{Value, json};

/// Prints it, by scope and name.
pub fn execute(args: &DefaultsArgs) -> Result<Status, Failure> {
    let version = args.kafka;
    if version < KafkaVersion::OLDEST || version > KafkaVersion::NEWEST {
        let newest = KafkaVersion::new(KafkaVersion::NEWEST.major, KafkaVersion::NEWEST.minor, 0);
        let oldest = KafkaVersion::OLDEST;
        let message = format!("acklab has no table for Kafka {version}");
        return Err(Failure::with_help(message, format!("it knows {oldest} to {newest}")));
    }
    let scopes: Vec<Scope> = match args.scope {
        Some(scope) => vec![scope_of(scope)],
        None => Scope::ALL.to_vec(),
    };
    let tables: Vec<(Scope, Vec<&PropertyDefinition>)> =
        scopes.into_iter().map(|scope| (scope, sorted(version, scope))).collect();
    if args.json {
        let all = tables.iter().flat_map(|(scope, table)| {
            table.iter().map(|property| to_json(*scope, property, version))
        });
        let all: Vec<Value> = all.collect();
        output::print_json(&json!({ "kafka": version, "properties": all }))?;
        return Ok(Status::AsExpected);
    }
    let mut text = String::new();
    for (position, (scope, table)) in tables.iter().enumerate() {
        if position > 0 {
            text.push('\n');
        }
        text.push_str(&styled(BOLD, &format!("{scope} · {}", edition(*scope, version))));
        text.push('\n');
        text.push_str(&render(table, version));
    }
    text.push_str("\n  * accepted, but without effect here   ° not documented by Kafka\n");
    output::print(&text)?;
    Ok(Status::AsExpected)
}

fn scope_of(scope: ScopeArg) -> Scope {
    match scope {
        ScopeArg::Broker => Scope::Broker,
        ScopeArg::Topic => Scope::Topic,
        ScopeArg::Producer => Scope::Producer,
        ScopeArg::Consumer => Scope::Consumer,
        ScopeArg::LibrdkafkaProducer => Scope::LibrdkafkaProducer,
        ScopeArg::LibrdkafkaConsumer => Scope::LibrdkafkaConsumer,
        ScopeArg::KafkaPythonProducer => Scope::KafkaPythonProducer,
        ScopeArg::KafkaPythonConsumer => Scope::KafkaPythonConsumer,
        ScopeArg::ScalaProducer => Scope::ScalaProducer,
        ScopeArg::HighLevelConsumer => Scope::HighLevelConsumer,
        ScopeArg::PykafkaConsumer => Scope::PykafkaConsumer,
        ScopeArg::ZooKeeper => Scope::ZooKeeper,
    }
}

/// The version whose table it is: other libraries have one of their own.
fn edition(scope: Scope, version: KafkaVersion) -> String {
    match scope {
        Scope::Broker | Scope::Topic | Scope::Producer | Scope::Consumer => {
            format!("Kafka {version}")
        }
        Scope::LibrdkafkaProducer | Scope::LibrdkafkaConsumer => "librdkafka 2.15".to_owned(),
        Scope::KafkaPythonProducer | Scope::KafkaPythonConsumer => "kafka-python 2.0.2".to_owned(),
        Scope::ScalaProducer | Scope::HighLevelConsumer => "Kafka 0.8.2".to_owned(),
        Scope::PykafkaConsumer => "pykafka 2.8".to_owned(),
        Scope::ZooKeeper => "zoo.cfg".to_owned(),
    }
}

fn sorted(version: KafkaVersion, scope: Scope) -> Vec<&'static PropertyDefinition> {
    let mut table: Vec<_> = valid_for(version, scope).collect();
    table.sort_by_key(|property| property.name);
    table
}

/// A line for each property, and below it what it does.
fn render(table: &[&PropertyDefinition], version: KafkaVersion) -> String {
    let mut rows = Rows::with_header(&[
        ("property", Align::Left),
        ("default", Align::Right),
        ("unit", Align::Left),
        ("values", Align::Left),
    ]);
    for property in table {
        let mark = match (property.modelled, property.internal) {
            (true, false) => "",
            (false, false) => " *",
            (true, true) => " °",
            (false, true) => " *°",
        };
        rows.add([
            format!("{}{mark}", property.name),
            short_class(&shown_default(property, version)),
            unit(property).to_owned(),
            values(&property.kind),
        ]);
        rows.remark(property.doc);
    }
    rows.render(width())
}

fn shown_default(property: &PropertyDefinition, version: KafkaVersion) -> String {
    match property.default_for(version) {
        None | Some("") => "–".to_owned(),
        Some(text) => text.to_owned(),
    }
}

/// A Java class without its package.
fn short_class(text: &str) -> String {
    match text.strip_prefix("org.apache.kafka.") {
        Some(class) => class.rsplit('.').next().unwrap_or(class).to_owned(),
        None => text.to_owned(),
    }
}

fn unit(property: &PropertyDefinition) -> &'static str {
    match property.kind {
        Kind::Integer { unit, .. } | Kind::Decimal { unit, .. } => unit.name(),
        Kind::Boolean | Kind::Choice(_) | Kind::List | Kind::Text => "",
    }
}

fn values(kind: &Kind) -> String {
    match *kind {
        Kind::Integer { min, max, .. } | Kind::Decimal { min, max, .. } => {
            if max >= i64::from(i32::MAX) {
                format!("≥ {min}")
            } else {
                format!("{min} to {max}")
            }
        }
        Kind::Boolean => "true, false".to_owned(),
        Kind::Choice(choices) => choices.join(", "),
        Kind::List => "a list".to_owned(),
        Kind::Text => "a text".to_owned(),
    }
}

fn to_json(scope: Scope, property: &PropertyDefinition, version: KafkaVersion) -> Value {
    let (min, max) = match property.kind {
        Kind::Integer { min, max, .. } | Kind::Decimal { min, max, .. } => (Some(min), Some(max)),
        Kind::Boolean | Kind::Choice(_) | Kind::List | Kind::Text => (None, None),
    };
    let (kind, choices) = match property.kind {
        Kind::Integer { .. } => ("integer", None),
        Kind::Decimal { .. } => ("decimal", None),
        Kind::Boolean => ("boolean", None),
        Kind::Choice(choices) => ("choice", Some(choices)),
        Kind::List => ("list", None),
        Kind::Text => ("text", None),
    };
    json!({
        "scope": scope.to_string(),
        "name": property.name,
        "aliases": property.aliases,
        "default": property.default_for(version).filter(|text| !text.is_empty()),
        "kind": kind,
        "unit": Some(unit(property)).filter(|unit| !unit.is_empty()),
        "min": min,
        "max": max,
        "choices": choices,
        "since": property.since(),
        "until": property.until,
        "modelled": property.modelled,
        "internal": property.internal,
        "doc": property.doc,
    })
}
