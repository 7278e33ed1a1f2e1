//! What came of a record, in sentences.

use acklab_vocab::ids::{GroupIndex, NodeId, RecordId};
use acklab_vocab::time::SimTime;

use crate::cause::{Anomaly, AnomalyKind, Evidence, GroupEvidence, Promise};
use crate::{Verdict, names};

/// The sentences at the end of a life: each anomaly with its cause, the facts for it and its
/// prevention. When consumers processed the record is known better than by the judge, who notes when
/// they began with the records around it.
#[must_use]
pub fn ending(
    verdict: &Verdict,
    record: RecordId,
    group: Option<GroupIndex>,
    processings: &[(SimTime, NodeId)],
) -> Vec<String> {
    let concerns = |of: &&Anomaly| {
        of.record == record && (group.is_none() || of.group.is_none() || of.group == group)
    };
    let anomalies = verdict.anomalies.iter().filter(concerns);
    let mut sentences: Vec<String> =
        anomalies.flat_map(|of| about(verdict, of, processings)).collect();
    if sentences.is_empty() {
        sentences.push("Nothing is wrong with it.".to_owned());
    }
    sentences
}

fn about(verdict: &Verdict, of: &Anomaly, processings: &[(SimTime, NodeId)]) -> Vec<String> {
    let kind = of.kind.name().to_uppercase();
    let producer = verdict.header.producers.get(of.record.producer.0 as usize);
    let why = producer.map_or("", |producer| of.cause.why_kept(producer.acks));
    let promise = match of.promise {
        Promise::Kept if why.is_empty() => "Promise kept.".to_owned(),
        Promise::Kept => format!("Promise kept: {why}."),
        Promise::KnownViolation(issue) => {
            format!("Promise broken, as known for Kafka {} ({issue}).", verdict.header.kafka)
        }
        Promise::Broken => "Promise broken: a violation.".to_owned(),
    };
    let by = of.group.map(|group| format!(" by {}", names::application(&verdict.header, group)));
    let mut sentences = vec![format!("{kind}{}: {}.", by.unwrap_or_default(), of.cause.sentence())];
    let mut facts = facts(of.kind, &of.evidence);
    facts.extend(consumer_facts(verdict, &of.evidence.group, processings));
    if !facts.is_empty() {
        sentences.push(format!("Facts: {}.", facts.join("; ")));
    }
    sentences.push(promise);
    sentences.push(format!("Prevention: {}.", of.cause.prevention()));
    sentences
}

/// The facts that support a cause, each in a clause.
fn facts(kind: AnomalyKind, evidence: &Evidence) -> Vec<String> {
    let mut facts = Vec::new();
    let which = match kind {
        AnomalyKind::Duplicated => "the second copy was appended",
        AnomalyKind::Lost
        | AnomalyKind::Phantom
        | AnomalyKind::Reordered
        | AnomalyKind::Reprocessed
        | AnomalyKind::Skipped
        | AnomalyKind::Ghost => "it was appended",
    };
    if let Some((at, broker)) = evidence.appended {
        facts.push(format!("{which} by broker {broker} at {at:#}"));
    }
    if let Some(at) = evidence.completed {
        let told = match kind {
            AnomalyKind::Phantom => "the producer was told of an error",
            AnomalyKind::Lost
            | AnomalyKind::Duplicated
            | AnomalyKind::Reordered
            | AnomalyKind::Reprocessed
            | AnomalyKind::Skipped
            | AnomalyKind::Ghost => "the producer was told its outcome",
        };
        facts.push(format!("{told} at {at:#}"));
    }
    if let Some(at) = evidence.given_up {
        facts.push(format!("the producer gave up the request that led to it at {at:#}"));
    }
    if let Some((at, broker, epoch)) = evidence.elected {
        facts.push(format!("broker {broker} was elected without it at {at:#} (epoch {epoch})"));
    }
    if let Some((at, broker)) = evidence.removed {
        facts.push(format!("broker {broker} dropped the last copy at {at:#}"));
    }
    if let Some(offset) = evidence.other_offset {
        let offset = names::grouped(offset.0);
        let other = match kind {
            AnomalyKind::Reordered => "a later record stands before it, at offset",
            AnomalyKind::Lost
            | AnomalyKind::Phantom
            | AnomalyKind::Duplicated
            | AnomalyKind::Reprocessed
            | AnomalyKind::Skipped
            | AnomalyKind::Ghost => "the first copy stands at offset",
        };
        facts.push(format!("{other} {offset}"));
    }
    facts
}

/// What consumers did, each in a clause.
fn consumer_facts(
    verdict: &Verdict,
    evidence: &GroupEvidence,
    processings: &[(SimTime, NodeId)],
) -> Vec<String> {
    let name = |node| names::node(&verdict.header, node);
    let exactly = |(since, node): (SimTime, NodeId)| {
        let own = processings.iter().find(|&&(at, who)| who == node && at >= since);
        own.copied().unwrap_or((since, node))
    };
    let mut facts = Vec::new();
    if let Some((at, node)) = evidence.processed.map(exactly) {
        facts.push(format!("{} processed it at {at:#}", name(node)));
    }
    if let Some((at, node, offset)) = evidence.committed {
        let who = node.map_or_else(|| "the coordinator's log".to_owned(), name);
        facts.push(format!("{who} set the committed offset to {} at {at:#}", offset.0));
    }
    if let Some((at, node)) = evidence.gone {
        facts.push(format!("{} lost its partition at {at:#}", name(node)));
    }
    if let Some((at, node, offset)) = evidence.position {
        facts.push(format!("{} went to offset {} at {at:#}", name(node), offset.0));
    }
    if let Some((at, node)) = evidence.again.map(exactly) {
        facts.push(format!("{} processed it again at {at:#}", name(node)));
    }
    facts
}
