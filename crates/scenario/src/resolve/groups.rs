//! Consumer applications: groups, how they process and commit, what they write.
//!
//! Defaults: one member that starts before time zero, 20 us for each record, `poll()` with a timeout of 100 ms, and the
//! commits of `enable.auto.commit`, unless that is set to false: then `commitSync()` after each batch. A `commit` that is
//! the application's own sets `enable.auto.commit` to false, as its author would have to.

use super::Base;
use super::clients::{Client, Role, group_client_config};
use super::group_checks::{check_balanced, check_members};
use super::outputs::{OutputDraft, output};
use super::properties::Properties;
use super::transactions::TransactionalIds;
use super::workload::{distinct, each, own_name, topic_id};
use crate::decode::{Fields, Variant, boolean, drawn, duration, first_byte, integer, list, text};
use crate::diagnostic::{Finding, Report, Span};
use crate::model::{
    Cluster, GroupSpec, Output, Poison, PoisonEffect, Processing, ProducerSpec, Span as DrawnSpan,
    Topic,
};
use crate::syntax::{Argument, Call, Node, Value};
use acklab_vocab::config::{
    BalancedLibrary, ConsumerLibrary, GroupClientConfig, GroupLibrary, GroupProtocol,
};
use acklab_vocab::ids::{GroupId, GroupInstanceId, ProducerIndex, RecordId, TopicId};
use acklab_vocab::time::SimDuration;
use acklab_vocab::trace::{ApplicationReaction, CommitStyle};

pub(crate) const GROUP: &[&str] = &[
    "id",
    "name",
    "topics",
    "assign",
    "members",
    "from",
    "stagger",
    "processing",
    "commit",
    "on_commit_failure",
    "poll_timeout",
    "output",
    "client",
    "properties",
];

const PROCESSING: &[&str] = &["per_record", "slow", "poison", "holds_interpreter_lock"];

/// What groups depend on.
pub(super) struct Surroundings<'n> {
    pub(super) base: &'n Base<'n>,
    pub(super) cluster: &'n Cluster,
    pub(super) topics: &'n [Topic],
    pub(super) producers: &'n [ProducerSpec],
    /// The list of faults, for how many instances a group may have.
    pub(super) faults: Option<&'n Node>,
}

/// The applications, and every `group.id`.
pub(super) fn groups(
    node: Option<&Node>,
    around: &Surroundings<'_>,
    ids: &mut TransactionalIds,
    report: &mut Report,
) -> Option<(Vec<GroupSpec>, Vec<String>)> {
    let drafts = each(node, "a list of groups", report, |node, report| group(node, around, report));
    let drafts = distinct(drafts?, |draft| &draft.spec.name, node, report)?;
    let mut group_ids: Vec<String> = Vec::new();
    let mut groups: Vec<GroupSpec> = Vec::with_capacity(drafts.len());
    let mut outputs = 0;
    let mut statics: Vec<(usize, String)> = Vec::new();
    for Draft { spec, id, output, instance_id, place } in drafts {
        let known = group_ids.iter().position(|other| *other == id);
        let group = known.unwrap_or_else(|| {
            group_ids.push(id);
            group_ids.len() - 1
        });
        let output = match output {
            None => None,
            Some(draft) => {
                let producer = around.producers.len() + outputs;
                outputs += 1;
                let taken = around.producers.iter().map(|producer| &producer.name);
                let others = groups.iter().filter_map(|group| group.output.as_ref());
                let taken = taken.chain(others.map(|output: &Output| &output.name));
                draft.refuse_taken(taken, report)?;
                let producer = ProducerIndex(u16::try_from(producer).ok()?);
                Some(draft.finish(producer, spec.instances, ids, report)?)
            }
        };
        let instance_ids = match instance_id {
            None => Vec::new(),
            Some(id) => instance_ids(group, &id, spec.instances, &mut statics),
        };
        let group = GroupId(u16::try_from(group).ok()?);
        let shares = |other: &&GroupSpec| other.group == group;
        if groups.iter().filter(shares).any(|other| changes_protocol(other, &spec)) {
            report.warning(place, protocol_change(&group_ids[usize::from(group.0)]));
        }
        groups.push(GroupSpec { group, output, instance_ids, ..spec });
    }
    Some((groups, group_ids))
}

/// The names of the groups as the text has them, right or wrong: for what is decoded without them.
pub(crate) fn names(groups: Option<&Node>) -> Vec<String> {
    let Some(Node { value: Value::List(items), .. }) = groups else {
        return Vec::new();
    };
    items.iter().filter_map(name_of).collect()
}

/// The name of a group, which is its id if it has no other.
pub(crate) fn name_of(group: &Node) -> Option<String> {
    let Value::Call(Call { arguments: Some(arguments), .. }) = &group.value else {
        return None;
    };
    let named = |name: &str| {
        let is_named =
            |argument: &&Argument| argument.name.as_ref().is_some_and(|w| w.text == name);
        match arguments.iter().find(is_named).map(|argument| &argument.value.value) {
            Some(Value::Text(text)) => Some(text.clone()),
            Some(_) | None => None,
        }
    };
    named("name").or_else(|| named("id"))
}

/// A group whose ids are not yet numbered.
struct Draft {
    spec: GroupSpec,
    id: String,
    output: Option<OutputDraft>,
    instance_id: Option<String>,
    /// Where its properties are, or else it.
    place: Span,
}

/// The numbers of a property's value for each instance of a group: the value as it is for one, with their own numbers for
/// several. `statics` has the group and the name of every id so far.
fn instance_ids(
    group: usize,
    value: &str,
    instances: u16,
    statics: &mut Vec<(usize, String)>,
) -> Vec<GroupInstanceId> {
    let name = |instance: u16| match instances {
        1 => value.to_owned(),
        _ => format!("{value}-{instance}"),
    };
    let number = |name: String| {
        let id = (group, name);
        let found = statics.iter().position(|known| *known == id);
        let index = found.unwrap_or_else(|| {
            statics.push(id);
            statics.len() - 1
        });
        GroupInstanceId(u16::try_from(index).unwrap_or(u16::MAX))
    };
    (0..instances).map(name).map(number).collect()
}

fn group(node: &Node, around: &Surroundings<'_>, report: &mut Report) -> Option<Draft> {
    let fields = Fields::of(node, "a group", GROUP, report)?;
    let id = fields.required("id", report).and_then(|node| group_id(node, report));
    let name = match fields.get("name") {
        Some(node) => own_name(node, report),
        None => fields.get("id").and_then(|node| own_name(node, report)),
    };
    let topics = read_topics(&fields, around.topics, report);
    let assigns_itself = fields.or("assign", false, report, boolean);
    let members = fields.or("members", 1, report, |node, report| {
        integer(node, "the number of members", 1..=MOST_MEMBERS, report)
    });
    let span =
        |what: &'static str| move |node: &Node, report: &mut Report| duration(node, what, report);
    let from = fields
        .or("from", None, report, |node, report| duration(node, "a moment", report).map(Some));
    let stagger = fields.or("stagger", SimDuration::ZERO, report, span("the time between starts"));
    let poll_timeout = fields.or("poll_timeout", DEFAULT_POLL_TIMEOUT, report, span("the timeout"));
    let processing = fields.or("processing", plain(DEFAULT_PROCESSING), report, |node, report| {
        processing(node, around.producers, report)
    });
    let reaction = fields.or("on_commit_failure", ApplicationReaction::Stopped, report, reaction);
    let Committing { commit, config, instance_id } = committing(&fields, around, report)?;
    let in_transaction = commit.style == CommitStyle::InTransaction;
    let output = fields.or("output", None, report, |node, report| {
        output(node, around, in_transaction, report).map(Some)
    });
    let (output, name) = (output?, name?);
    let (members, assigns_itself): (u16, bool) = (members?, assigns_itself?);
    check_output(&fields, commit, output.as_ref(), &config, report)?;
    check_members(&fields, &config, assigns_itself, around, report)?;
    let (topics, processing) = (topics?, processing?);
    check_balanced(&fields, &config, commit.style, topics.len(), around, report)?;
    note_interpreter_lock(&fields, &processing, &config, report);
    let scaled = around.faults.map_or(0, |faults| scaled_to(faults, &name));
    let from = from?;
    if from.is_none() && fields.get("stagger").is_some() {
        let place = fields.get("stagger").map_or(fields.span, |node| node.span);
        let finding = Finding::new("`stagger` goes with `from`")
            .help("without `from` the members start before time zero");
        report.error(place, finding);
        return None;
    }
    let spec = GroupSpec {
        name,
        group: GroupId::default(),
        topics,
        assigns_itself,
        members,
        instances: members.max(scaled),
        instance_ids: Vec::new(),
        from,
        stagger: stagger?,
        processing,
        commit: commit.style,
        on_commit_failure: reaction?,
        workers: commit.workers,
        poll_timeout: poll_timeout?,
        output: None,
        config,
    };
    let place = fields.get("properties").map_or(first_byte(fields.span), |node| node.span);
    Some(Draft { spec, id: id?, output, instance_id, place })
}

/// Anything but nothing: Kafka does not restrict a `group.id`.
fn group_id(node: &Node, report: &mut Report) -> Option<String> {
    let id = text(node, "a group.id", report)?;
    if id.is_empty() {
        report.error(node.span, Finding::new("a group.id must not be empty"));
        return None;
    }
    Some(id.to_owned())
}

fn read_topics(fields: &Fields<'_>, topics: &[Topic], report: &mut Report) -> Option<Vec<TopicId>> {
    let node = fields.required("topics", report)?;
    let read: Vec<Option<TopicId>> = list(node, "a list of topics", report)?
        .iter()
        .map(|node| topic_id(node, topics, report))
        .collect();
    let mut read: Vec<TopicId> = read.into_iter().collect::<Option<_>>()?;
    read.sort_unstable();
    read.dedup();
    if read.is_empty() {
        report.error(node.span, Finding::new("a group reads at least one topic"));
        return None;
    }
    Some(read)
}

const fn plain(per_record: DrawnSpan) -> Processing {
    Processing { per_record, slow: None, poison: Vec::new(), holds_interpreter_lock: false }
}

/// A span for each record, or a struct that says more.
fn processing(node: &Node, producers: &[ProducerSpec], report: &mut Report) -> Option<Processing> {
    let is_struct = matches!(&node.value, Value::Call(Call { name: None, .. }));
    if !is_struct {
        return drawn(node, "the time for a record", report).map(plain);
    }
    let fields = Fields::of(node, "processing", PROCESSING, report)?;
    let per_record = fields.or("per_record", DEFAULT_PROCESSING, report, |node, report| {
        drawn(node, "the time for a record", report)
    });
    let slow = fields.or("slow", None, report, |node, report| slow_period(node, report).map(Some));
    let poison = fields.or("poison", Vec::new(), report, |node, report| {
        let items = list(node, "a list of poison records", report)?;
        let poison: Vec<Option<Poison>> =
            items.iter().map(|node| poisoned(node, producers, report)).collect();
        poison.into_iter().collect()
    });
    let lock = fields.or("holds_interpreter_lock", false, report, boolean);
    Some(Processing {
        per_record: per_record?,
        slow: slow?,
        poison: poison?,
        holds_interpreter_lock: lock?,
    })
}

/// The lock matters to a library whose threads need it while the application works: here pykafka, whose ZooKeeper client
/// pings from a thread of its own.
fn note_interpreter_lock(
    fields: &Fields<'_>,
    processing: &Processing,
    config: &GroupClientConfig,
    report: &mut Report,
) {
    if processing.holds_interpreter_lock
        && config.library() != GroupLibrary::Balanced(BalancedLibrary::Pykafka)
    {
        let place = fields.get("processing").map_or(fields.span, |node| node.span);
        let finding = Finding::new("`holds_interpreter_lock` has an effect with Pykafka only");
        report.warning(place, finding);
    }
}

fn slow_period(node: &Node, report: &mut Report) -> Option<(SimDuration, SimDuration, DrawnSpan)> {
    let fields = Fields::of(node, "a slow period", &["from", "until", "per_record"], report)?;
    let [from, until, per_record] =
        ["from", "until", "per_record"].map(|name| fields.required(name, report));
    let from = duration(from?, "a moment", report);
    let until = duration(until?, "a moment", report);
    let per_record = drawn(per_record?, "the time for a record", report);
    let (from, until) = (from?, until?);
    if from >= until {
        let message = format!("this period would end ({until}) before it begins ({from})");
        report.error(node.span, Finding::new(message));
        return None;
    }
    Some((from, until, per_record?))
}

fn poisoned(node: &Node, producers: &[ProducerSpec], report: &mut Report) -> Option<Poison> {
    let fields = Fields::of(node, "a poison record", &["record", "effect"], report)?;
    let record = fields.required("record", report).and_then(|n| record(n, producers, report));
    let effect = fields.required("effect", report)?;
    let variant = Variant::of(effect, "effect of a poison record", &["Takes", "Crashes"], report)?;
    let argument = if variant.name == "Takes" { &["time"] } else { &["down"] };
    let fields = variant.fields(argument, report)?;
    let span = duration(fields.required(argument[0], report)?, "how long", report)?;
    let effect = match variant.name {
        "Takes" => PoisonEffect::Takes(span),
        _ => PoisonEffect::Crashes(span),
    };
    Some(Poison { record: record?, effect })
}

fn record(node: &Node, producers: &[ProducerSpec], report: &mut Report) -> Option<RecordId> {
    let producers: Vec<(String, u16, Option<u64>)> =
        producers.iter().map(super::names::producer_entry).collect();
    super::names::record(node, &producers, report)
}

fn reaction(node: &Node, report: &mut Report) -> Option<ApplicationReaction> {
    let names = &["Stop", "Resubscribe", "Ignore"];
    let variant = Variant::of(node, "a reaction to a failed commit", names, report)?;
    let reaction = match variant.name {
        "Stop" => ApplicationReaction::Stopped,
        "Resubscribe" => ApplicationReaction::Resubscribed,
        _ => ApplicationReaction::Ignored,
    };
    variant.bare(reaction, report)
}

/// How an application commits.
#[derive(Clone, Copy)]
struct Commit {
    style: CommitStyle,
    workers: u16,
}

const COMMITS: &[(&str, CommitStyle)] = &[
    ("Auto", CommitStyle::Auto),
    ("SyncPerBatch", CommitStyle::SyncPerBatch),
    ("SyncPerRecord", CommitStyle::SyncPerRecord),
    ("Async", CommitStyle::Async),
    ("AsyncRetried", CommitStyle::AsyncRetried),
    ("AsyncThenSync", CommitStyle::AsyncThenSync),
    ("BeforeProcessing", CommitStyle::BeforeProcessing),
    ("HandedToWorkers", CommitStyle::HandedToWorkers),
    ("InTransaction", CommitStyle::InTransaction),
    ("Never", CommitStyle::Never),
];

fn commit(node: &Node, report: &mut Report) -> Option<Commit> {
    let names: Vec<&'static str> = COMMITS.iter().map(|&(name, _)| name).collect();
    let variant = Variant::of(node, "a way to commit", &names, report)?;
    let (_, style) = *COMMITS.iter().find(|(name, _)| *name == variant.name)?;
    if style != CommitStyle::HandedToWorkers {
        return variant.bare(Commit { style, workers: 1 }, report);
    }
    let fields = variant.fields(&["workers"], report)?;
    let workers = fields.or("workers", 1, report, |node, report| {
        integer(node, "the number of workers", 1..=1_000, report)
    });
    Some(Commit { style, workers: workers? })
}

/// How an application commits, and the configuration that follows.
struct Committing {
    commit: Commit,
    config: GroupClientConfig,
    /// `group.instance.id`
    instance_id: Option<String>,
}

fn committing(
    fields: &Fields<'_>,
    around: &Surroundings<'_>,
    report: &mut Report,
) -> Option<Committing> {
    let chosen = match fields.get("commit") {
        None => None,
        Some(node) => Some(commit(node, report)?),
    };
    let client = Client::of(fields, around.base, Role::Group, report)?;
    let (scope, version) = client.consumer_scope();
    let mut properties = Properties::of(fields.get("properties"), scope, version, report)?;
    let group_id = if client == Client::Pykafka { "consumer_group" } else { "group.id" };
    if let Some((place, _)) = properties.place(group_id) {
        let message = format!("the group's own field `id` is its `{group_id}`");
        let finding = Finding::new(message)
            .help("leave the property out; `name` may tell two applications of one group apart");
        report.error(place, finding);
        return None;
    }
    let name = client.auto_commit_property();
    let auto = properties.value(name).map(|value| value.eq_ignore_ascii_case("true"));
    if let Some(commit) = chosen {
        let by_client = matches!(commit.style, CommitStyle::Auto | CommitStyle::HandedToWorkers);
        match auto {
            Some(auto) if auto != by_client => {
                contradicted(fields, &properties, (name, by_client), report);
                return None;
            }
            None if by_client != client.commits_by_default() => {
                properties.imply(name, if by_client { "true" } else { "false" });
            }
            Some(_) | None => {}
        }
    }
    let config = group_client_config(client, &properties, around.base, report)?;
    let default = match auto.unwrap_or(client.commits_by_default()) {
        true => CommitStyle::Auto,
        false => CommitStyle::SyncPerBatch,
    };
    let chosen = chosen.unwrap_or(Commit { style: default, workers: 1 });
    let stores = config.member().is_none_or(|member| member.auto_offset_store);
    if chosen.style == CommitStyle::HandedToWorkers && !stores {
        let place = properties.place(OFFSET_STORE).map_or(fields.span, |(_, value)| value);
        let finding = Finding::new(
            "`enable.auto.offset.store` false contradicts `commit`: workers store no offsets here",
        )
        .help("with commit: Auto the application stores each offset when it has processed the message");
        report.error(place, finding);
        return None;
    }
    let is_static = config.member().is_some_and(|member| member.is_static);
    let instance_id = properties.value("group.instance.id").filter(|_| is_static);
    let instance_id = instance_id.map(str::to_owned);
    Some(Committing { commit: chosen, config, instance_id })
}

fn contradicted(
    fields: &Fields<'_>,
    properties: &Properties,
    (name, by_client): (&'static str, bool),
    report: &mut Report,
) {
    let place = properties.place(name).map_or(fields.span, |(_, value)| value);
    let finding = match by_client {
        true => Finding::new(format!(
            "`{name}` false contradicts `commit`, which leaves it to the client"
        ))
        .help("leave the property out, or choose SyncPerBatch, Async, … or Never"),
        false => Finding::new(format!(
            "`{name}` true contradicts `commit`: the application commits itself"
        ))
        .help("leave the property out: `commit` sets it to false"),
    };
    report.error(place, finding);
}

/// Transactions need an output, and an output with transactions a group that commits in them.
fn check_output(
    fields: &Fields<'_>,
    commit: Commit,
    output: Option<&OutputDraft>,
    config: &GroupClientConfig,
    report: &mut Report,
) -> Option<()> {
    let in_transaction = commit.style == CommitStyle::InTransaction;
    let place = |name: &'static str| fields.get(name).map_or(first_byte(fields.span), |n| n.span);
    let transactional = output.and_then(OutputDraft::transactional_place);
    let (place, finding) = match (in_transaction, transactional) {
        (true, _) if output.is_none() => (
            place("commit"),
            Finding::new("a transaction holds what the application writes, and it writes nothing")
                .help("give it an output: (name: \"copy\", topic: …)"),
        ),
        (true, _) if config.library() != GroupLibrary::Member(ConsumerLibrary::Java) => (
            place("client"),
            Finding::new("only Java's consumer commits in transactions here")
                .help("leave the group's `client` out"),
        ),
        (false, Some(place)) => (
            place,
            Finding::new("this application does not commit its offsets in the transaction")
                .help("set commit: InTransaction, or leave `transactional.id` out"),
        ),
        (true, _) | (false, None) => return Some(()),
    };
    report.error(place, finding);
    None
}

/// Two applications are members of one group by different protocols.
fn changes_protocol(first: &GroupSpec, second: &GroupSpec) -> bool {
    !first.assigns_itself && !second.assigns_itself && protocol(first) != protocol(second)
}

/// `group.protocol`; none of a consumer that ZooKeeper balances.
fn protocol(spec: &GroupSpec) -> Option<GroupProtocol> {
    spec.config.member().map(|config| config.protocol)
}

/// What Kafka does about it, and what is simulated.
fn protocol_change(id: &str) -> Finding {
    Finding::new(format!(
        "the group `{id}` has members by both values of `group.protocol`; here it changes its \
         protocol only while it has none"
    ))
    .help(
        "until then the others are refused, as `group.consumer.migration.policy` disabled would \
         refuse `consumer`; with bidirectional, the default of 4.0, Kafka converts the group",
    )
}

/// The most members that a fault of the text scales a group to.
fn scaled_to(node: &Node, group: &str) -> u16 {
    match &node.value {
        Value::List(items) => items.iter().map(|item| scaled_to(item, group)).max().unwrap_or(0),
        Value::Call(Call { name, arguments: Some(arguments) }) => {
            let within = arguments.iter().map(|argument| scaled_to(&argument.value, group));
            let within = within.max().unwrap_or(0);
            let scales = name.as_ref().is_some_and(|name| name.text == "Scale")
                && arguments.iter().any(|a| a.value.value == Value::Text(group.to_owned()));
            let numbers = arguments.iter().filter_map(|argument| match &argument.value.value {
                Value::Number(number) => ron::from_str::<u16>(number).ok(),
                _ => None,
            });
            match scales {
                true => within.max(numbers.max().unwrap_or(0)),
                false => within,
            }
        }
        Value::Boolean(_) | Value::Number(_) | Value::Text(_) | Value::Map(_) | Value::Call(_) => 0,
    }
}

const OFFSET_STORE: &str = "enable.auto.offset.store";

/// Deserialising a record and adding it to something.
const DEFAULT_PROCESSING: DrawnSpan = DrawnSpan::Exactly(SimDuration::from_micros(20));

const DEFAULT_POLL_TIMEOUT: SimDuration = SimDuration::from_millis(100);

/// As many processes as anybody would simulate.
pub(super) const MOST_MEMBERS: u64 = 1_000;
