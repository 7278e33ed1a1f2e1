//! What a consumer application writes for each record that it has processed.

use super::clients::{Client, Role, producer_config};
use super::groups::Surroundings;
use super::properties::Properties;
use super::transactions::TransactionalIds;
use super::workload::{abort_share, own_name, topic_id};
use crate::decode::{Fields, boolean, integer};
use crate::diagnostic::{Finding, Report, Span};
use crate::model::{Output, OutputTransactions};
use crate::syntax::Node;
use acklab_vocab::config::ProducerConfig;
use acklab_vocab::ids::{ProducerIndex, TopicId};
use std::sync::Arc;

pub(crate) const OUTPUT: &[&str] = &[
    "name",
    "topic",
    "size",
    "abort",
    "rewinds_after_abort",
    "passes_membership",
    "client",
    "properties",
];

/// An output whose producer has no number yet.
pub(super) struct OutputDraft {
    name: String,
    name_span: Span,
    span: Span,
    topic: TopicId,
    size: u32,
    config: ProducerConfig,
    /// `transactional.id`, and where it stands.
    transactional_id: Option<(String, Span)>,
    abort_millionths: u32,
    rewinds_after_abort: bool,
    passes_membership: bool,
}

/// The properties of an output that only transactions have.
const OF_TRANSACTIONS: [&str; 3] = ["abort", "rewinds_after_abort", "passes_membership"];

pub(super) fn output(
    node: &Node,
    around: &Surroundings<'_>,
    in_transaction: bool,
    report: &mut Report,
) -> Option<OutputDraft> {
    let fields = Fields::of(node, "an output", OUTPUT, report)?;
    let name_node = fields.required("name", report);
    let name = name_node.and_then(|node| own_name(node, report));
    let topic = fields.required("topic", report);
    let topic = topic.and_then(|node| topic_id(node, around.topics, report));
    let size = fields.or("size", 100, report, |node, report| {
        integer(node, "the size of a record, in bytes,", 1..=100_000_000, report)
    });
    let abort = fields.or("abort", 0, report, abort_share);
    let rewinds = fields.or("rewinds_after_abort", true, report, boolean);
    let passes = fields.or("passes_membership", true, report, boolean);
    if let Some(node) = OF_TRANSACTIONS.iter().find_map(|name| fields.get(name))
        && !in_transaction
    {
        let finding = Finding::new("this output has no transactions")
            .help("set the group's commit: InTransaction");
        report.error(node.span, finding);
        return None;
    }
    let client = Client::of(&fields, around.base, Role::Producer, report)?;
    let (scope, version) = client.producer_scope();
    let mut properties = Properties::of(fields.get("properties"), scope, version, report)?;
    let name = name?;
    if in_transaction && !matches!(client, Client::Java(_)) {
        let place = fields.get("client").map_or(fields.span, |node| node.span);
        let finding = Finding::new("only Java's producer has transactions here")
            .help("leave the output's `client` out");
        report.error(place, finding);
        return None;
    }
    let id = "transactional.id";
    if in_transaction && properties.value(id).is_none() {
        properties.imply(id, &name);
    }
    let config = producer_config(client, &fields, &properties, around.base, report)?;
    let transactional_id = properties.value(id).filter(|value| !value.is_empty()).map(|value| {
        (value.to_owned(), properties.place(id).map_or(fields.span, |(name, _)| name))
    });
    Some(OutputDraft {
        name,
        name_span: name_node.map_or(fields.span, |node| node.span),
        span: fields.span,
        topic: topic?,
        size: size?,
        config,
        transactional_id,
        abort_millionths: abort?,
        rewinds_after_abort: rewinds?,
        passes_membership: passes?,
    })
}

impl OutputDraft {
    /// Where its `transactional.id` stands, if it has one.
    pub(super) fn transactional_place(&self) -> Option<Span> {
        self.transactional_id.as_ref().map(|&(_, place)| place)
    }

    /// The name must be that of no other producer: records are named by it.
    pub(super) fn refuse_taken<'a>(
        &self,
        mut taken: impl Iterator<Item = &'a String>,
        report: &mut Report,
    ) -> Option<()> {
        if taken.any(|name| *name == self.name) {
            let finding = Finding::new(format!("`{}` is the name of another producer", self.name));
            report.error(self.name_span, finding);
            return None;
        }
        Some(())
    }

    /// The output of a group with so many instances.
    pub(super) fn finish(
        self,
        producer: ProducerIndex,
        instances: u16,
        ids: &mut TransactionalIds,
        report: &mut Report,
    ) -> Option<Output> {
        let transactions = match &self.transactional_id {
            None => None,
            Some((prefix, _)) => Some(OutputTransactions {
                ids: ids.instances(prefix, instances, self.span, report)?,
                abort_millionths: self.abort_millionths,
                rewinds_after_abort: self.rewinds_after_abort,
                passes_membership: self.passes_membership,
            }),
        };
        Some(Output {
            producer,
            name: self.name,
            topic: self.topic,
            size: self.size,
            config: Arc::new(self.config),
            transactions,
        })
    }
}
