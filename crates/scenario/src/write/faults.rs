//! Faults written out as RON: the schedule that a seed drew, to be run again as a fixed one.
//!
//! The types here have the shape of the text, with names where the model has ids, and `ron`
//! writes them.

use crate::decode::write_duration;
use crate::model::{
    Direction, DroppedResponse, Fault, FaultPhase, FaultSpec, Scenario, Span, Target, Trigger, When,
};
use acklab_vocab::api::ApiKey;
use acklab_vocab::ids::{GroupId, GroupIndex, RecordId, TopicPartition, TransactionalId};
use acklab_vocab::time::SimDuration;
use ron::Options;
use ron::extensions::Extensions;
use ron::ser::PrettyConfig;
use serde::{Serialize, Serializer};

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
    ControllerElected(u16),
    ZooKeeperLeaderElected(u16),
    SessionExpired(TargetText<'s>, u16),
    Claimed(&'s str, &'s str, u16, u16),
    Processed(&'s str, String),
    RebalanceStarted(&'s str, u16),
    GroupStable(&'s str, u16),
    Committed(&'s str, &'s str, u16, u64),
    TransactionBegun(&'s str, u16),
    Began(usize),
    Ended(usize),
}

#[derive(Serialize)]
enum FaultText<'s> {
    Kill(TargetsText<'s>),
    PowerLoss(TargetsText<'s>),
    Pause(TargetsText<'s>),
    ControlledShutdown(TargetsText<'s>),
    RollingRestart(&'s str, SpanText, SpanText),
    Scale(&'s str, u16),
    AddPartitions(&'s str, u16),
    StallRequests {
        from: TargetsText<'s>,
        to: TargetsText<'s>,
        api: ApiText,
        by: SpanText,
        #[serde(skip_serializing_if = "Option::is_none")]
        first: Option<u16>,
    },
    PreferredElection(&'s str, u16),
    #[serde(rename = "PreferredElection")]
    PreferredElections,
    Partition(TargetsText<'s>, TargetsText<'s>),
    OneWay(TargetsText<'s>, TargetsText<'s>),
    LinkDelay(TargetsText<'s>, TargetsText<'s>, SpanText),
    LinkLoss(TargetsText<'s>, TargetsText<'s>, f64),
    DropResponses(TargetsText<'s>, TargetsText<'s>, f64, OutcomeText),
    #[serde(rename = "DropResponses")]
    DropResponsesOf {
        from: TargetsText<'s>,
        to: TargetsText<'s>,
        share: f64,
        then: OutcomeText,
        apis: Vec<ApiText>,
    },
    SlowDisk(TargetsText<'s>, SpanText),
    OneOf(Vec<FaultText<'s>>),
}

#[derive(Serialize)]
enum OutcomeText {
    Reset,
    Stall,
}

/// The name of an API, bare.
struct ApiText(ApiKey);

impl Serialize for ApiText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit_variant("ApiKey", self.0 as u32, self.0.name())
    }
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
    ZooKeeper(u16),
    ZooKeeperLeader,
    ZooKeepers,
    Producer(&'s str),
    #[serde(rename = "Producer")]
    Instance(&'s str, u16),
    Reader(&'s str),
    Member(&'s str),
    #[serde(rename = "Member")]
    MemberInstance(&'s str, u16),
    OwnerOf(&'s str, &'s str, u16),
    AnyMember(&'s str),
    CoordinatorOf(&'s str),
    TransactionCoordinatorOf(&'s str),
    AnyBroker,
    Brokers,
    Controllers,
    Clients,
    Rest,
}

impl<'s> FaultText<'s> {
    /// Without the APIs, if they are what they are by default.
    fn dropped_responses(
        from: TargetsText<'s>,
        to: TargetsText<'s>,
        share: f64,
        then: OutcomeText,
        apis: Vec<ApiText>,
    ) -> Self {
        match apis.as_slice() {
            [ApiText(ApiKey::Produce)] => FaultText::DropResponses(from, to, share, then),
            _ => FaultText::DropResponsesOf { from, to, share, then, apis },
        }
    }
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
            Trigger::ControllerElected(nth) => TriggerText::ControllerElected(*nth),
            Trigger::ZooKeeperLeaderElected(nth) => TriggerText::ZooKeeperLeaderElected(*nth),
            Trigger::SessionExpired(client, nth) => {
                TriggerText::SessionExpired(self.target(client), *nth)
            }
            Trigger::Claimed(group, at, nth) => {
                let (topic, partition) = partition(at);
                TriggerText::Claimed(self.group_id(*group), topic, partition, *nth)
            }
            Trigger::Processed(group, record) => {
                TriggerText::Processed(self.group(*group), self.record(*record))
            }
            Trigger::RebalanceStarted(group, nth) => {
                TriggerText::RebalanceStarted(self.group_id(*group), *nth)
            }
            Trigger::GroupStable(group, nth) => {
                TriggerText::GroupStable(self.group_id(*group), *nth)
            }
            Trigger::Committed(group, at, offset) => {
                let (topic, partition) = partition(at);
                TriggerText::Committed(self.group_id(*group), topic, partition, *offset)
            }
            Trigger::TransactionBegun(id, nth) => {
                TriggerText::TransactionBegun(self.transactional_id(*id), *nth)
            }
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
            Fault::RollingRestart { group, down, between } => {
                FaultText::RollingRestart(self.group(*group), span(*down), span(*between))
            }
            Fault::Scale { group, members } => FaultText::Scale(self.group(*group), *members),
            Fault::AddPartitions { topic, count } => {
                let (topic, _) = self.partition(TopicPartition::new(topic.0, 0));
                FaultText::AddPartitions(topic, *count)
            }
            Fault::StallRequests { from, to, api, by, first } => FaultText::StallRequests {
                from: all(from),
                to: all(to),
                api: ApiText(*api),
                by: span(*by),
                first: *first,
            },
            Fault::DropResponses { apis, from, to, millionths, then } => {
                let then = match then {
                    DroppedResponse::Reset => OutcomeText::Reset,
                    DroppedResponse::Stall => OutcomeText::Stall,
                };
                let (from, to, share) = (all(from), all(to), share(*millionths));
                let apis = apis.iter().map(|&api| ApiText(api)).collect();
                FaultText::dropped_responses(from, to, share, then, apis)
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
            Target::ZooKeeper(server) => TargetText::ZooKeeper(server.0),
            Target::ZooKeeperLeader => TargetText::ZooKeeperLeader,
            Target::ZooKeepers => TargetText::ZooKeepers,
            Target::Producer(producer, instance) => {
                let name = &self.scenario.producers[usize::from(producer.0)].name;
                match instance {
                    None => TargetText::Producer(name),
                    Some(instance) => TargetText::Instance(name, *instance),
                }
            }
            Target::Reader(reader) => TargetText::Reader(&self.scenario.readers[*reader].name),
            Target::Member(group, None) => TargetText::Member(self.group(*group)),
            Target::Member(group, Some(instance)) => {
                TargetText::MemberInstance(self.group(*group), *instance)
            }
            Target::OwnerOf(group, partition) => {
                let (topic, partition) = self.partition(*partition);
                TargetText::OwnerOf(self.group(*group), topic, partition)
            }
            Target::AnyMember(group) => TargetText::AnyMember(self.group(*group)),
            Target::CoordinatorOf(group) => TargetText::CoordinatorOf(self.group_id(*group)),
            Target::TransactionCoordinatorOf(id) => {
                TargetText::TransactionCoordinatorOf(self.transactional_id(*id))
            }
            Target::AnyBroker => TargetText::AnyBroker,
            Target::Brokers => TargetText::Brokers,
            Target::Controllers => TargetText::Controllers,
            Target::Clients => TargetText::Clients,
            Target::Rest => TargetText::Rest,
        }
    }

    fn record(&self, record: RecordId) -> String {
        let own = self.scenario.producers.iter().map(|producer| &producer.name);
        let outputs = self.scenario.groups.iter().filter_map(|group| group.output.as_ref());
        let mut names = own.chain(outputs.map(|output| &output.name));
        let name = names.nth(usize::from(record.producer.0)).expect("a record of a producer");
        format!("{name}#{}", record.sequence)
    }

    fn group(&self, group: GroupIndex) -> &'s str {
        &self.scenario.groups[usize::from(group.0)].name
    }

    fn group_id(&self, group: GroupId) -> &'s str {
        &self.scenario.group_ids[usize::from(group.0)]
    }

    fn transactional_id(&self, id: TransactionalId) -> &'s str {
        &self.scenario.transactional_ids[usize::from(id.0)]
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
