//! Faults: what, whom, when, for how long.

use super::groups::MOST_MEMBERS;
use super::names::Names;
use super::targets::{Allowed, partition, targets};
use super::topics::MOST_ADDED;
use super::triggers::{Labels, trigger};
use crate::decode::{
    Fields, Variant, boolean, drawn, duration, integer, one_or_more, scaled, text,
};
use crate::diagnostic::{Finding, Report};
use crate::model::{Direction, DroppedResponse, Fault, FaultSpec, Span, Target, When};
use crate::syntax::{Call, Node, Value};
use acklab_vocab::api::ApiKey;
use acklab_vocab::ids::TopicId;
use acklab_vocab::time::SimDuration;

pub(crate) const FAULT: &[&str] =
    &["name", "at", "every", "first", "until", "after", "delay", "fault", "for", "permanent"];

const KINDS: &[&str] = &[
    "Kill",
    "PowerLoss",
    "Pause",
    "Restart",
    "ControlledShutdown",
    "RollingRestart",
    "Scale",
    "AddPartitions",
    "StallRequests",
    "PreferredElection",
    "Isolate",
    "Partition",
    "OneWay",
    "LinkDelay",
    "LinkLoss",
    "DropResponses",
    "SlowDisk",
    "OneOf",
];

pub(super) fn faults(items: &[Node], names: &Names, report: &mut Report) -> Option<Vec<FaultSpec>> {
    let labels = Labels { labels: items.iter().map(label).collect() };
    let faults: Vec<Option<FaultSpec>> =
        items.iter().map(|node| fault_spec(node, names, &labels, report)).collect();
    faults.into_iter().collect()
}

fn label(node: &Node) -> Option<String> {
    let Value::Call(Call { arguments: Some(arguments), .. }) = &node.value else {
        return None;
    };
    let name = arguments.iter().find(|a| a.name.as_ref().is_some_and(|w| w.text == "name"))?;
    match &name.value.value {
        Value::Text(name) => Some(name.clone()),
        _ => None,
    }
}

fn fault_spec(
    node: &Node,
    names: &Names,
    labels: &Labels,
    report: &mut Report,
) -> Option<FaultSpec> {
    let fields = Fields::of(node, "a fault", FAULT, report)?;
    if let Some(name) = fields.get("name") {
        let name = text(name, "a name", report)?;
        if labels.labels.iter().flatten().filter(|label| *label == name).count() > 1 {
            let message = format!("`{name}` is the name of two faults");
            report.error(fields.span, Finding::new(message));
            return None;
        }
    }
    let fault_node = fields.required("fault", report);
    let fault = fault_node.and_then(|node| fault(node, names, report));
    let when = when(&fields, names, labels, report);
    let permanent = fields.or("permanent", false, report, boolean);
    let lasting = fields
        .or("for", None, report, |node, report| drawn(node, "how long it lasts", report).map(Some));
    let (fault, permanent, mut lasting) = (fault?, permanent?, lasting?);
    if let (Some(node), true) = (fields.get("for"), permanent) {
        let finding =
            Finding::new("a permanent fault does not end: leave out `for` or `permanent`");
        report.error(node.span, finding);
        return None;
    }
    let without_end = match fault {
        Fault::PreferredElection(_) => Some("an election takes place at once: it has no duration"),
        Fault::Scale { .. } => Some("so many instances run until another fault changes it"),
        Fault::AddPartitions { .. } => Some("partitions cannot be taken away again"),
        Fault::RollingRestart { .. } => Some("a rolling restart ends with the last instance"),
        _ => None,
    };
    if let Some(message) = without_end
        && let Some(node) = fields.get("for").or(fields.get("permanent"))
    {
        report.error(node.span, Finding::new(message));
        return None;
    }
    if fault_node.is_some_and(is_restart) && lasting.is_none() && !permanent {
        lasting = Some(Span::Exactly(RESTART_AFTER));
    }
    Some(FaultSpec { when: when?, fault, lasting, permanent })
}

fn is_restart(node: &Node) -> bool {
    let Value::Call(Call { name: Some(name), .. }) = &node.value else {
        return false;
    };
    name.text == "Restart"
}

fn when(fields: &Fields<'_>, names: &Names, labels: &Labels, report: &mut Report) -> Option<When> {
    let given: Vec<&'static str> =
        ["at", "every", "after"].into_iter().filter(|name| fields.get(name).is_some()).collect();
    let [kind] = given.as_slice() else {
        let message = match given.as_slice() {
            [] => "when does this fault strike?".to_owned(),
            several => {
                format!("a fault has one of these, not `{}` together", several.join("` and `"))
            }
        };
        let finding = Finding::new(message)
            .help("write one of at: \"2s\", every: \"5s\" or after: Acked(\"shop#4711\")");
        report.error(crate::decode::first_byte(fields.span), finding);
        return None;
    };
    let belongs = [("first", "every"), ("until", "every"), ("delay", "after")];
    for (name, to) in belongs {
        if let Some(node) = fields.get(name).filter(|_| to != *kind) {
            let finding = Finding::new(format!("`{name}` goes with `{to}`, not with `{kind}`"));
            report.error(node.span, finding);
            return None;
        }
    }
    let node = fields.required(kind, report)?;
    match *kind {
        "at" => drawn(node, "when it strikes", report).map(When::At),
        "every" => {
            let period = drawn(node, "how often it strikes", report)?;
            if shortest(period) == SimDuration::ZERO {
                report.error(node.span, Finding::new("the period must be longer than zero"));
                return None;
            }
            let first = fields.or("first", period, report, |node, report| {
                drawn(node, "when it first strikes", report)
            });
            let until = fields.or("until", SimDuration::MAX, report, |node, report| {
                duration(node, "when it no longer strikes", report)
            });
            Some(When::Every { first: first?, period, until: until? })
        }
        _ => {
            let trigger = trigger(node, names, labels, report);
            let delay = fields.or("delay", SimDuration::ZERO, report, |node, report| {
                duration(node, "the delay", report)
            });
            Some(When::After { trigger: trigger?, delay: delay? })
        }
    }
}

/// A period may be drawn close to zero, but not be zero always.
fn shortest(period: Span) -> SimDuration {
    match period {
        Span::Exactly(duration) | Span::Exponential(duration) => duration,
        Span::Uniform(_, most) => most,
        Span::LogNormal { median, .. } => median,
        Span::Pareto { scale, .. } => scale,
    }
}

fn fault(node: &Node, names: &Names, report: &mut Report) -> Option<Fault> {
    let variant = Variant::of(node, "a fault", KINDS, report)?;
    let struck = |allowed: Allowed, report: &mut Report| {
        let fields = variant.fields(&["targets"], report)?;
        targets(fields.required("targets", report)?, allowed, names, report)
    };
    match variant.name {
        "Kill" | "Restart" => struck(Allowed::Everybody, report).map(Fault::Kill),
        "PowerLoss" => struck(Allowed::Everybody, report).map(Fault::PowerLoss),
        "Pause" => struck(Allowed::Everybody, report).map(Fault::Pause),
        "ControlledShutdown" => struck(Allowed::Orderly, report).map(Fault::ControlledShutdown),
        "RollingRestart" => rolling_restart(&variant, names, report),
        "Scale" => scale(&variant, names, report),
        "AddPartitions" => add_partitions(&variant, names, report),
        "StallRequests" => stall_requests(&variant, names, report),
        "PreferredElection" => preferred_election(&variant, names, report),
        "Isolate" => isolate(&variant, names, report),
        "Partition" => cut(&variant, ["first", "second"], Direction::Both, names, report),
        "OneWay" => cut(&variant, ["from", "to"], Direction::FirstToSecond, names, report),
        "LinkDelay" => {
            let fields = variant.fields(&["first", "second", "extra"], report)?;
            let (first, second) = sides(&fields, ["first", "second"], names, report)?;
            let extra = drawn(fields.required("extra", report)?, "the extra delay", report)?;
            Some(Fault::LinkDelay { first, second, extra })
        }
        "LinkLoss" => {
            let fields = variant.fields(&["first", "second", "share"], report)?;
            let (first, second) = sides(&fields, ["first", "second"], names, report)?;
            let share = fields.required("share", report)?;
            let share = scaled(share, "the share of packets", 6, 1..=900_000, report)?;
            Some(Fault::LinkLoss { first, second, millionths: u32::try_from(share).ok()? })
        }
        "DropResponses" => drop_responses(&variant, names, report),
        "SlowDisk" => {
            let fields = variant.fields(&["targets", "extra"], report)?;
            let node = fields.required("targets", report)?;
            let targets = targets(node, Allowed::Servers, names, report);
            let extra = drawn(fields.required("extra", report)?, "the extra time", report);
            Some(Fault::SlowDisk { targets: targets?, extra: extra? })
        }
        "OneOf" => {
            let fields = variant.fields(&["faults"], report)?;
            let node = fields.required("faults", report)?;
            let items = crate::decode::list(node, "a list of faults", report)?;
            if items.is_empty() {
                report.error(node.span, Finding::new("there is nothing to draw from"));
                return None;
            }
            let faults: Vec<Option<Fault>> =
                items.iter().map(|node| fault(node, names, report)).collect();
            faults.into_iter().collect::<Option<Vec<_>>>().map(Fault::OneOf)
        }
        other => unreachable!("{other} is not among the faults"),
    }
}

fn preferred_election(variant: &Variant<'_>, names: &Names, report: &mut Report) -> Option<Fault> {
    let fields = variant.fields(&["topic", "partition"], report)?;
    if fields.get("topic").is_none() && fields.get("partition").is_none() {
        return Some(Fault::PreferredElection(None));
    }
    partition(&fields, names, report).map(|partition| Fault::PreferredElection(Some(partition)))
}

/// `Isolate(x)` cuts off from the rest; `Isolate(targets: x, from: y)` from some.
fn isolate(variant: &Variant<'_>, names: &Names, report: &mut Report) -> Option<Fault> {
    let fields = variant.fields(&["targets", "from"], report)?;
    let first = targets(fields.required("targets", report)?, Allowed::Everybody, names, report);
    let second = fields.or("from", vec![Target::Rest], report, |node, report| {
        targets(node, Allowed::EverybodyOrRest, names, report)
    });
    Some(Fault::Partition { first: first?, second: second?, direction: Direction::Both })
}

fn cut(
    variant: &Variant<'_>,
    labels: [&'static str; 2],
    direction: Direction,
    names: &Names,
    report: &mut Report,
) -> Option<Fault> {
    let valid: &'static [&'static str] =
        if labels[0] == "from" { &["from", "to"] } else { &["first", "second"] };
    let fields = variant.fields(valid, report)?;
    let (first, second) = sides(&fields, labels, names, report)?;
    Some(Fault::Partition { first, second, direction })
}

/// Two sides, of which at most one is `Rest`.
fn sides(
    fields: &Fields<'_>,
    labels: [&'static str; 2],
    names: &Names,
    report: &mut Report,
) -> Option<(Vec<Target>, Vec<Target>)> {
    let [first_node, second_node] = labels.map(|label| fields.required(label, report));
    let (first_node, second_node) = (first_node?, second_node?);
    let first = targets(first_node, Allowed::EverybodyOrRest, names, report)?;
    let rest_is_taken = first.contains(&Target::Rest);
    let allowed = if rest_is_taken { Allowed::Everybody } else { Allowed::EverybodyOrRest };
    Some((first, targets(second_node, allowed, names, report)?))
}

/// The instances one after the other.
fn rolling_restart(variant: &Variant<'_>, names: &Names, report: &mut Report) -> Option<Fault> {
    let fields = variant.fields(&["group", "down", "between"], report)?;
    let group = names.group(fields.required("group", report)?, report);
    let down = fields.or("down", Span::Exactly(DOWN), report, |node, report| {
        drawn(node, "how long an instance is down", report)
    });
    let between = fields.or("between", Span::Exactly(BETWEEN), report, |node, report| {
        drawn(node, "the time between two instances", report)
    });
    Some(Fault::RollingRestart { group: group?, down: down?, between: between? })
}

fn scale(variant: &Variant<'_>, names: &Names, report: &mut Report) -> Option<Fault> {
    let fields = variant.fields(&["group", "members"], report)?;
    let group = names.group(fields.required("group", report)?, report);
    let node = fields.required("members", report)?;
    let members = integer(node, "the number of members", 0..=MOST_MEMBERS, report);
    let (group, members): (_, u16) = (group?, members?);
    let most = names.members(group);
    if members > most {
        let message = format!("the scenario has at most {most} instances of this group");
        report.error(node.span, Finding::new(message));
        return None;
    }
    Some(Fault::Scale { group, members })
}

/// `AddPartitions("orders", 2)`
fn add_partitions(variant: &Variant<'_>, names: &Names, report: &mut Report) -> Option<Fault> {
    let fields = variant.fields(&["topic", "count"], report)?;
    let topic = names.topic(fields.required("topic", report)?, report);
    let node = fields.required("count", report)?;
    let count = integer(node, "the number of partitions", 1..=u64::from(MOST_ADDED), report);
    let (topic, count): (TopicId, u16) = (topic?, count?);
    let most = names.added_to(topic);
    if count > most {
        let message = format!("the scenario has {most} partitions to add to this topic");
        report.error(node.span, Finding::new(message));
        return None;
    }
    Some(Fault::AddPartitions { topic, count })
}

/// `StallRequests(api: EndTxn, by: "40s")` strikes whatever the clients ask of the brokers.
fn stall_requests(variant: &Variant<'_>, names: &Names, report: &mut Report) -> Option<Fault> {
    let fields = variant.fields(&["from", "to", "api", "by", "first"], report)?;
    let from = fields.or("from", vec![Target::Clients], report, |node, report| {
        targets(node, Allowed::Everybody, names, report)
    });
    let to = fields.or("to", vec![Target::Brokers], report, |node, report| {
        targets(node, Allowed::Servers, names, report)
    });
    let api = fields.required("api", report).and_then(|node| api(node, report));
    let by = fields.required("by", report);
    let by = by.and_then(|node| drawn(node, "how long a request stalls", report));
    let first = fields.or("first", None, report, |node, report| {
        integer(node, "how many requests stall", 1..=65_535, report).map(Some)
    });
    Some(Fault::StallRequests { from: from?, to: to?, api: api?, by: by?, first: first? })
}

fn api(node: &Node, report: &mut Report) -> Option<ApiKey> {
    let names: Vec<&'static str> = ApiKey::ALL.iter().map(|api| api.name()).collect();
    let variant = Variant::of(node, "an API", &names, report)?;
    let api = ApiKey::ALL.iter().copied().find(|api| api.name() == variant.name)?;
    variant.bare(api, report)
}

fn apis(node: &Node, report: &mut Report) -> Option<Vec<ApiKey>> {
    let nodes = one_or_more(node);
    if nodes.is_empty() {
        report.error(node.span, Finding::new("this names no API"));
        return None;
    }
    let mut apis: Vec<ApiKey> =
        nodes.iter().map(|node| api(node, report)).collect::<Option<_>>()?;
    apis.sort_unstable();
    apis.dedup();
    Some(apis)
}

fn drop_responses(variant: &Variant<'_>, names: &Names, report: &mut Report) -> Option<Fault> {
    let fields = variant.fields(&["from", "to", "share", "then", "apis"], report)?;
    let from = targets(fields.required("from", report)?, Allowed::Brokers, names, report);
    let to = fields.or("to", vec![Target::Clients], report, |node, report| {
        targets(node, Allowed::Everybody, names, report)
    });
    let share = fields.or("share", 1_000_000, report, |node, report| {
        scaled(node, "the share of responses", 6, 1..=1_000_000, report)
    });
    let then = fields.or("then", DroppedResponse::Reset, report, |node, report| {
        let variant = Variant::of(node, "an outcome", &["Reset", "Stall"], report)?;
        let stall = variant.name == "Stall";
        let outcome = if stall { DroppedResponse::Stall } else { DroppedResponse::Reset };
        variant.bare(outcome, report)
    });
    let apis = fields.or("apis", vec![ApiKey::Produce], report, apis);
    let millionths = u32::try_from(share?).ok()?;
    Some(Fault::DropResponses { apis: apis?, from: from?, to: to?, millionths, then: then? })
}

/// How long a restarted process is down before it starts again, where `for` does not say.
const RESTART_AFTER: SimDuration = SimDuration::from_millis(500);

/// Of a rolling restart: how long the start of a process takes, and how long somebody looks whether all is well.
const DOWN: SimDuration = SimDuration::from_secs(1);
const BETWEEN: SimDuration = SimDuration::from_secs(5);
