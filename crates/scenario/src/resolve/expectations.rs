//! Expectations and comparisons.

use crate::decode::{Fields, Variant, duration, integer, list, scaled, text};
use crate::diagnostic::{Finding, Report};
use crate::expect::{
    Bound, COMMIT_EXCEPTIONS, COUNTER_NAMES, Comparison, Counter, CounterUnit, Expectation,
    Quantity, Reach, Relation, ShareExpectation,
};
use crate::syntax::{Node, Value};
use acklab_verdict::Cause;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::trace::ClientException;

/// What is expected of a variant in every seed: what the base expects, except of the numbers that
/// the variant speaks of itself.
pub(crate) fn expectations(
    base: Option<&Node>,
    variant: Option<&Node>,
    groups: &[String],
    report: &mut Report,
) -> Vec<Expectation> {
    let mut decode = |node: Option<&Node>| match node {
        None => Vec::new(),
        Some(node) => all(node, groups, report, expectation),
    };
    let (base, own) = (decode(base), decode(variant));
    let spoken_of = |quantity: &Quantity| own.iter().any(|other| other.quantity == *quantity);
    let mut expectations: Vec<Expectation> =
        base.into_iter().filter(|expectation| !spoken_of(&expectation.quantity)).collect();
    expectations.extend(own);
    expectations
}

/// What is expected in a share of the seeds.
pub(crate) fn share_expectations(
    node: Option<&Node>,
    groups: &[String],
    report: &mut Report,
) -> Vec<ShareExpectation> {
    match node {
        None => Vec::new(),
        Some(node) => all(node, groups, report, share_expectation),
    }
}

/// Comparisons between the variants of those names.
pub(crate) fn comparisons(
    node: &Node,
    variants: &[&str],
    groups: &[String],
    report: &mut Report,
) -> Option<Vec<Comparison>> {
    let nodes = list(node, "a list of comparisons", report)?;
    let comparisons: Vec<Option<Comparison>> =
        nodes.iter().map(|node| comparison(node, variants, groups, report)).collect();
    comparisons.into_iter().collect()
}

fn all<T>(
    node: &Node,
    groups: &[String],
    report: &mut Report,
    decode: fn(&Node, &[String], &mut Report) -> Option<T>,
) -> Vec<T> {
    let items = list(node, "a list of expectations", report).unwrap_or(&[]);
    items.iter().filter_map(|item| decode(item, groups, report)).collect()
}

fn expectation(node: &Node, groups: &[String], report: &mut Report) -> Option<Expectation> {
    let mut names = COUNTER_NAMES.to_vec();
    names.extend(["Cause", "OfAcked", "CommitErrors", "Group"]);
    names.extend(REACHES.map(Reach::name));
    let variant = Variant::of(node, "an expectation", &names, report)?;
    match variant.name {
        "Group" => {
            let fields = variant.fields(&["group", "expect"], report)?;
            let group = fields.required("group", report).and_then(|n| group(n, groups, report));
            let node = fields.required("expect", report)?;
            let Expectation { quantity, bound } = expectation(node, groups, report)?;
            Some(Expectation { quantity: of_group(group?, quantity, node, report)?, bound })
        }
        "Cause" => {
            let fields = variant.fields(&["cause", "bound"], report)?;
            let cause = cause(fields.required("cause", report)?, report);
            let bound = fields.required("bound", report)?;
            let bound = bound_of(bound, BoundUnit::Count, report);
            Some(Expectation { quantity: Quantity::Cause(cause?), bound: bound? })
        }
        "CommitErrors" => {
            let fields = variant.fields(&["error", "bound"], report)?;
            let error = commit_error(fields.required("error", report)?, report);
            let bound = fields.required("bound", report)?;
            let bound = bound_of(bound, BoundUnit::Count, report);
            Some(Expectation { quantity: Quantity::CommitErrors(error?), bound: bound? })
        }
        "Exceptions" | "LoggedExceptions" => {
            let fields = variant.fields(&["exception", "bound"], report)?;
            let name = exception(fields.required("exception", report)?, report);
            let bound = fields.required("bound", report)?;
            let bound = bound_of(bound, BoundUnit::Count, report);
            let quantity = Quantity::Exceptions(name?, reach_named(variant.name));
            Some(Expectation { quantity, bound: bound? })
        }
        "OfAcked" => {
            let fields = variant.fields(&["counter", "bound"], report)?;
            let counter = counter(fields.required("counter", report)?, report);
            let bound = bound_of(fields.required("bound", report)?, BoundUnit::Share, report);
            Some(Expectation { quantity: Quantity::ShareOfAcked(counter?), bound: bound? })
        }
        name => {
            let counter = counter_named(name);
            let fields = variant.fields(&["bound"], report)?;
            let bound = bound_of(fields.required("bound", report)?, unit(counter), report)?;
            Some(Expectation { quantity: Quantity::Counter(counter), bound })
        }
    }
}

/// A number of one group; not every number has one.
fn of_group(
    group: String,
    quantity: Quantity,
    node: &Node,
    report: &mut Report,
) -> Option<Quantity> {
    let fits = match &quantity {
        Quantity::Counter(counter) => counter.is_of_groups(),
        Quantity::Cause(_) | Quantity::CommitErrors(_) | Quantity::Exceptions(..) => true,
        Quantity::ShareOfAcked(_) | Quantity::OfGroup(..) => false,
    };
    if !fits {
        let names = Counter::ALL.iter().filter(|counter| counter.is_of_groups());
        let names: Vec<&str> = names.map(|counter| counter.name()).collect();
        let finding = Finding::new("a group has no such number of its own").help(format!(
            "it has {}, Cause, CommitErrors, Exceptions and LoggedExceptions",
            names.join(", ")
        ));
        report.error(node.span, finding);
        return None;
    }
    Some(Quantity::OfGroup(group, Box::new(quantity)))
}

fn group(node: &Node, groups: &[String], report: &mut Report) -> Option<String> {
    let name = text(node, "the name of a group", report)?;
    if !groups.iter().any(|group| group == name) {
        let finding = Finding::new(format!("there is no group `{name}`"))
            .did_you_mean(name, groups.iter().map(String::as_str));
        report.error(node.span, finding);
        return None;
    }
    Some(name.to_owned())
}

/// An error code, or how the client reports a failed commit.
fn commit_error(node: &Node, report: &mut Report) -> Option<String> {
    let name = text(node, "the name of an error", report)?;
    let codes = ErrorCode::ALL.iter().filter(|error| error.code() > 0).map(|error| error.name());
    let names: Vec<&str> = codes.chain(COMMIT_EXCEPTIONS.iter().copied()).collect();
    if !names.contains(&name) {
        let finding = Finding::new(format!("there is no error `{name}`")).did_you_mean(name, names);
        report.error(node.span, finding);
        return None;
    }
    Some(name.to_owned())
}

const REACHES: [Reach; 2] = [Reach::Application, Reach::Log];

fn reach_named(name: &str) -> Reach {
    let found = REACHES.into_iter().find(|reach| reach.name() == name);
    found.unwrap_or_else(|| panic!("{name} speaks of exceptions"))
}

/// An exception of a client library of the ZooKeeper era.
fn exception(node: &Node, report: &mut Report) -> Option<String> {
    let name = text(node, "the name of an exception", report)?;
    let names = || ClientException::ALL.iter().map(|exception| exception.name());
    if !names().any(|known| known == name) {
        let finding =
            Finding::new(format!("there is no exception `{name}`")).did_you_mean(name, names());
        report.error(node.span, finding);
        return None;
    }
    Some(name.to_owned())
}

fn share_expectation(
    node: &Node,
    groups: &[String],
    report: &mut Report,
) -> Option<ShareExpectation> {
    let fields = Fields::of(node, "an expectation and a share", &["expect", "share"], report)?;
    let expectation = expectation(fields.required("expect", report)?, groups, report);
    let share = bound_of(fields.required("share", report)?, BoundUnit::Share, report);
    Some(ShareExpectation { expectation: expectation?, share: share? })
}

const RELATIONS: &[&str] = &["MeanGreater", "MeanLess", "MeanAtLeastTimes"];

fn comparison(
    node: &Node,
    variants: &[&str],
    groups: &[String],
    report: &mut Report,
) -> Option<Comparison> {
    let variant = Variant::of(node, "a comparison", RELATIONS, report)?;
    let fields = match variant.name {
        "MeanAtLeastTimes" => variant.fields(&["quantity", "first", "second", "times"], report)?,
        _ => variant.fields(&["quantity", "first", "second"], report)?,
    };
    let quantity = quantity(fields.required("quantity", report)?, groups, report);
    let [first, second] = ["first", "second"]
        .map(|name| fields.required(name, report).and_then(|n| known_variant(n, variants, report)));
    let relation = match variant.name {
        "MeanGreater" => Relation::Greater,
        "MeanLess" => Relation::Less,
        _ => {
            let node = fields.required("times", report)?;
            Relation::AtLeastTimes(scaled(node, "the factor", 3, 1..=1_000_000_000, report)?)
        }
    };
    Some(Comparison { quantity: quantity?, relation, first: first?, second: second? })
}

fn known_variant(node: &Node, variants: &[&str], report: &mut Report) -> Option<String> {
    let name = text(node, "the name of a variant", report)?;
    if !variants.contains(&name) {
        let finding = Finding::new(format!("there is no variant `{name}`"))
            .did_you_mean(name, variants.iter().copied());
        report.error(node.span, finding);
        return None;
    }
    Some(name.to_owned())
}

fn quantity(node: &Node, groups: &[String], report: &mut Report) -> Option<Quantity> {
    let mut names = COUNTER_NAMES.to_vec();
    names.extend(["Cause", "CommitErrors", "Group"]);
    names.extend(REACHES.map(Reach::name));
    let variant = Variant::of(node, "a counter", &names, report)?;
    match variant.name {
        "Group" => {
            let fields = variant.fields(&["group", "counter"], report)?;
            let group = fields.required("group", report).and_then(|n| group(n, groups, report));
            let node = fields.required("counter", report)?;
            let quantity = quantity(node, groups, report)?;
            of_group(group?, quantity, node, report)
        }
        "Cause" => {
            let fields = variant.fields(&["cause"], report)?;
            cause(fields.required("cause", report)?, report).map(Quantity::Cause)
        }
        "CommitErrors" => {
            let fields = variant.fields(&["error"], report)?;
            commit_error(fields.required("error", report)?, report).map(Quantity::CommitErrors)
        }
        "Exceptions" | "LoggedExceptions" => {
            let fields = variant.fields(&["exception"], report)?;
            let name = exception(fields.required("exception", report)?, report)?;
            Some(Quantity::Exceptions(name, reach_named(variant.name)))
        }
        name => variant.bare(Quantity::Counter(counter_named(name)), report),
    }
}

/// A cause by its name in the JSON output: `acked_before_replication`.
fn cause(node: &Node, report: &mut Report) -> Option<String> {
    let name = text(node, "the name of a cause", report)?;
    let names = || Cause::ALL.iter().map(|cause| cause.name());
    if !names().any(|known| known == name) {
        let finding =
            Finding::new(format!("there is no cause `{name}`")).did_you_mean(name, names());
        report.error(node.span, finding);
        return None;
    }
    Some(name.to_owned())
}

fn counter(node: &Node, report: &mut Report) -> Option<Counter> {
    let variant = Variant::of(node, "a counter", COUNTER_NAMES, report)?;
    variant.bare(counter_named(variant.name), report)
}

fn counter_named(name: &str) -> Counter {
    let found = Counter::ALL.iter().find(|counter| counter.name() == name);
    *found.unwrap_or_else(|| panic!("{name} is the name of a counter"))
}

#[derive(Clone, Copy)]
enum BoundUnit {
    Count,
    /// Written as a duration, kept in microseconds.
    Time,
    /// Written as a number from 0 to 1, kept in millionths.
    Share,
}

fn unit(counter: Counter) -> BoundUnit {
    match counter.unit() {
        CounterUnit::Count => BoundUnit::Count,
        CounterUnit::Microseconds => BoundUnit::Time,
    }
}

/// A bound; a plain number stands for exactly that.
fn bound_of(node: &Node, unit: BoundUnit, report: &mut Report) -> Option<Bound> {
    if !matches!(node.value, Value::Call(_)) {
        return bound_value(node, unit, report).map(Bound::Exactly);
    }
    let names = &["Exactly", "AtLeast", "AtMost", "Between"];
    let variant = Variant::of(node, "a bound", names, report)?;
    if variant.name == "Between" {
        let fields = variant.fields(&["least", "most"], report)?;
        let [least, most] = ["least", "most"].map(|name| fields.required(name, report));
        let least = bound_value(least?, unit, report)?;
        let most = bound_value(most?, unit, report)?;
        if least > most {
            report.error(node.span, Finding::new("the smaller bound comes first"));
            return None;
        }
        return Some(Bound::Between(least, most));
    }
    let fields = variant.fields(&["value"], report)?;
    let value = bound_value(fields.required("value", report)?, unit, report)?;
    Some(match variant.name {
        "Exactly" => Bound::Exactly(value),
        "AtLeast" => Bound::AtLeast(value),
        _ => Bound::AtMost(value),
    })
}

fn bound_value(node: &Node, unit: BoundUnit, report: &mut Report) -> Option<u64> {
    match unit {
        BoundUnit::Count => integer(node, "a count", 0..=u64::MAX, report),
        BoundUnit::Time => duration(node, "the bound of a time", report).map(|d| d.as_micros()),
        BoundUnit::Share => scaled(node, "a share", 6, 0..=1_000_000, report),
    }
}
