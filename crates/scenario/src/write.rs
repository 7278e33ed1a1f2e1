//! Faults written out as RON: the schedule that a seed drew, to be run again as a fixed one.
//!
//! The types here have the shape of the text, with names where the model has ids, and `ron`
//! writes them.

use crate::decode::write_duration;
use crate::model::{
    Direction, DroppedResponse, Fault, FaultPhase, FaultSpec, Scenario, Span, Target, Trigger, When,
};
use acklab_vocab::ids::{RecordId, TopicPartition};
use acklab_vocab::time::SimDuration;
use ron::Options;
use ron::extensions::Extensions;
use ron::ser::PrettyConfig;
use serde::Serialize;

/// The faults as a RON list that resolves to the same faults against the same scenario
/// ([`ScenarioFile::parse_faults`](crate::ScenarioFile::parse_faults)).
#[must_use]
pub fn write_faults(faults: &[FaultSpec], scenario: &Scenario) -> String {
    let writer = Writer { scenario };
    let list: Vec<SpecText<'_>> = faults.iter().map(|fault| writer.spec(fault)).collect();
    let options = Options::default()
        .with_default_extension(Extensions::IMPLICIT_SOME)
        .without_recursion_limit();
    let one_fault_per_line = PrettyConfig::new().depth_limit(1).new_line("\n");
    let written = options.to_string_pretty(&list, one_fault_per_line);
    written.expect("strings, numbers and lists can be written") + "\n"
}

#[derive(Serialize)]
struct SpecText<'s> {
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<SpanText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    every: Option<SpanText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<SpanText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<TriggerText<'s>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay: Option<String>,
    fault: FaultText<'s>,
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    lasting: Option<SpanText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    permanent: Option<bool>,
}

#[derive(Serialize)]
enum SpanText {
    Uniform(String, String),
    Exponential(String),
    LogNormal {
        median: String,
        p99: String,
    },
    Pareto {
        scale: String,
        shape: f64,
    },
    #[serde(untagged)]
    Exactly(String),
}

#[derive(Serialize)]
enum TriggerText<'s> {
    Appended(String),
    Replicated(String, u16),
    Answered(String),
    Acked(String),
    HighWatermarkReached(&'s str, u16, u64),
    LeaderChanged(&'s str, u16),
    IsrShrunkTo(&'s str, u16, u16),
    IsrGrownTo(&'s str, u16, u16),
    Fenced(TargetText<'s>),
    Began(usize),
    Ended(usize),
}

#[derive(Serialize)]
enum FaultText<'s> {
    Kill(TargetsText<'s>),
    PowerLoss(TargetsText<'s>),
    Pause(TargetsText<'s>),
    ControlledShutdown(TargetsText<'s>),
    PreferredElection(&'s str, u16),
    #[serde(rename = "PreferredElection")]
    PreferredElections,
    Partition(TargetsText<'s>, TargetsText<'s>),
    OneWay(TargetsText<'s>, TargetsText<'s>),
    LinkDelay(TargetsText<'s>, TargetsText<'s>, SpanText),
    LinkLoss(TargetsText<'s>, TargetsText<'s>, f64),
    DropResponses(TargetsText<'s>, TargetsText<'s>, f64, OutcomeText),
    SlowDisk(TargetsText<'s>, SpanText),
    OneOf(Vec<FaultText<'s>>),
}

#[derive(Serialize)]
enum OutcomeText {
    Reset,
    Stall,
}

#[derive(Serialize)]
#[serde(untagged)]
enum TargetsText<'s> {
    One(TargetText<'s>),
    Several(Vec<TargetText<'s>>),
}

#[derive(Serialize)]
enum TargetText<'s> {
    Broker(u16),
    Controller(u16),
    LeaderOf(&'s str, u16),
    FollowerOf(&'s str, u16, u16),
    ActiveController,
    Producer(&'s str),
    #[serde(rename = "Producer")]
    Instance(&'s str, u16),
    Reader(&'s str),
    AnyBroker,
    Brokers,
    Controllers,
    Clients,
    Rest,
}

struct Writer<'s> {
    scenario: &'s Scenario,
}

impl<'s> Writer<'s> {
    fn spec(&self, spec: &FaultSpec) -> SpecText<'s> {
        let text = SpecText {
            at: None,
            every: None,
            first: None,
            until: None,
            after: None,
            delay: None,
            fault: self.fault(&spec.fault),
            lasting: spec.lasting.map(span),
            permanent: spec.permanent.then_some(true),
        };
        match &spec.when {
            When::At(at) => SpecText { at: Some(span(*at)), ..text },
            When::Every { first, period, until } => SpecText {
                every: Some(span(*period)),
                first: Some(span(*first)),
                until: (*until != SimDuration::MAX).then(|| write_duration(*until)),
                ..text
            },
            When::After { trigger, delay } => SpecText {
                after: Some(self.trigger(trigger)),
                delay: (*delay != SimDuration::ZERO).then(|| write_duration(*delay)),
                ..text
            },
        }
    }

    fn trigger(&self, trigger: &Trigger) -> TriggerText<'s> {
        let partition = |partition: &TopicPartition| self.partition(*partition);
        match trigger {
            Trigger::Appended(record) => TriggerText::Appended(self.record(*record)),
            Trigger::Replicated(record, nth) => TriggerText::Replicated(self.record(*record), *nth),
            Trigger::Answered(record) => TriggerText::Answered(self.record(*record)),
            Trigger::Acked(record) => TriggerText::Acked(self.record(*record)),
            Trigger::HighWatermarkReached(at, offset) => {
                let (topic, partition) = partition(at);
                TriggerText::HighWatermarkReached(topic, partition, *offset)
            }
            Trigger::LeaderChanged(at) => {
                let (topic, partition) = partition(at);
                TriggerText::LeaderChanged(topic, partition)
            }
            Trigger::IsrShrunkTo(at, members) => {
                let (topic, partition) = partition(at);
                TriggerText::IsrShrunkTo(topic, partition, *members)
            }
            Trigger::IsrGrownTo(at, members) => {
                let (topic, partition) = partition(at);
                TriggerText::IsrGrownTo(topic, partition, *members)
            }
            Trigger::Fenced(broker) => TriggerText::Fenced(TargetText::Broker(broker.0)),
            Trigger::Processed(..)
            | Trigger::RebalanceStarted(..)
            | Trigger::GroupStable(..)
            | Trigger::Committed(..)
            | Trigger::TransactionBegun(..) => unimplemented!("groups"),
            Trigger::Fault(index, FaultPhase::Began) => TriggerText::Began(*index),
            Trigger::Fault(index, FaultPhase::Ended) => TriggerText::Ended(*index),
        }
    }

    fn fault(&self, fault: &Fault) -> FaultText<'s> {
        let all = |targets: &Vec<Target>| self.targets(targets);
        match fault {
            Fault::Kill(targets) => FaultText::Kill(all(targets)),
            Fault::PowerLoss(targets) => FaultText::PowerLoss(all(targets)),
            Fault::Pause(targets) => FaultText::Pause(all(targets)),
            Fault::ControlledShutdown(targets) => FaultText::ControlledShutdown(all(targets)),
            Fault::PreferredElection(None) => FaultText::PreferredElections,
            Fault::PreferredElection(Some(partition)) => {
                let (topic, partition) = self.partition(*partition);
                FaultText::PreferredElection(topic, partition)
            }
            Fault::Partition { first, second, direction: Direction::Both } => {
                FaultText::Partition(all(first), all(second))
            }
            Fault::Partition { first, second, direction: Direction::FirstToSecond } => {
                FaultText::OneWay(all(first), all(second))
            }
            Fault::LinkDelay { first, second, extra } => {
                FaultText::LinkDelay(all(first), all(second), span(*extra))
            }
            Fault::LinkLoss { first, second, millionths } => {
                FaultText::LinkLoss(all(first), all(second), share(*millionths))
            }
            Fault::RollingRestart { .. } | Fault::Scale { .. } | Fault::StallRequests { .. } => {
                unimplemented!("groups")
            }
            Fault::DropResponses { apis: _, from, to, millionths, then } => {
                let then = match then {
                    DroppedResponse::Reset => OutcomeText::Reset,
                    DroppedResponse::Stall => OutcomeText::Stall,
                };
                FaultText::DropResponses(all(from), all(to), share(*millionths), then)
            }
            Fault::SlowDisk { targets, extra } => FaultText::SlowDisk(all(targets), span(*extra)),
            Fault::OneOf(faults) => {
                FaultText::OneOf(faults.iter().map(|fault| self.fault(fault)).collect())
            }
        }
    }

    fn targets(&self, targets: &[Target]) -> TargetsText<'s> {
        match targets {
            [only] => TargetsText::One(self.target(only)),
            _ => TargetsText::Several(targets.iter().map(|target| self.target(target)).collect()),
        }
    }

    fn target(&self, target: &Target) -> TargetText<'s> {
        match target {
            Target::Broker(broker) => TargetText::Broker(broker.0),
            Target::Controller(controller) => TargetText::Controller(controller.0),
            Target::LeaderOf(partition) => {
                let (topic, partition) = self.partition(*partition);
                TargetText::LeaderOf(topic, partition)
            }
            Target::FollowerOf(partition, nth) => {
                let (topic, partition) = self.partition(*partition);
                TargetText::FollowerOf(topic, partition, *nth)
            }
            Target::ActiveController => TargetText::ActiveController,
            Target::Producer(producer, instance) => {
                let name = &self.scenario.producers[usize::from(producer.0)].name;
                match instance {
                    None => TargetText::Producer(name),
                    Some(instance) => TargetText::Instance(name, *instance),
                }
            }
            Target::Reader(reader) => TargetText::Reader(&self.scenario.readers[*reader].name),
            Target::Member(..)
            | Target::OwnerOf(..)
            | Target::AnyMember(_)
            | Target::CoordinatorOf(_)
            | Target::TransactionCoordinatorOf(_) => unimplemented!("groups"),
            Target::AnyBroker => TargetText::AnyBroker,
            Target::Brokers => TargetText::Brokers,
            Target::Controllers => TargetText::Controllers,
            Target::Clients => TargetText::Clients,
            Target::Rest => TargetText::Rest,
        }
    }

    fn record(&self, record: RecordId) -> String {
        let producer = &self.scenario.producers[usize::from(record.producer.0)];
        format!("{}#{}", producer.name, record.sequence)
    }

    fn partition(&self, partition: TopicPartition) -> (&'s str, u16) {
        let topic = &self.scenario.topics[usize::from(partition.topic.0)];
        (&topic.name, partition.partition.0)
    }
}

/// Read back exactly: six decimals are far from the limit of a double.
fn share(millionths: u32) -> f64 {
    f64::from(millionths) / 1e6
}

fn span(span: Span) -> SpanText {
    match span {
        Span::Exactly(duration) => SpanText::Exactly(write_duration(duration)),
        Span::Uniform(least, most) => {
            SpanText::Uniform(write_duration(least), write_duration(most))
        }
        Span::Exponential(mean) => SpanText::Exponential(write_duration(mean)),
        Span::LogNormal { median, p99 } => {
            SpanText::LogNormal { median: write_duration(median), p99: write_duration(p99) }
        }
        Span::Pareto { scale, shape_thousandths } => SpanText::Pareto {
            scale: write_duration(scale),
            shape: f64::from(shape_thousandths) / 1e3,
        },
    }
}
