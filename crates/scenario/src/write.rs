//! Faults written out as RON: the schedule that a seed drew, to be run again as a fixed one.

use crate::decode::{unscaled, write_duration};
use crate::model::{
    Direction, DroppedResponse, Fault, FaultPhase, FaultSpec, Scenario, Span, Target, Trigger, When,
};
use acklab_vocab::ids::{RecordId, TopicPartition};
use acklab_vocab::time::SimDuration;

/// The faults as a RON list that resolves to the same faults against the same scenario
/// ([`ScenarioFile::parse_faults`](crate::ScenarioFile::parse_faults)).
#[must_use]
pub fn write_faults(faults: &[FaultSpec], scenario: &Scenario) -> String {
    let writer = Writer { scenario };
    let lines: Vec<String> =
        faults.iter().map(|fault| format!("    {},\n", writer.spec(fault))).collect();
    format!("[\n{}]\n", lines.concat())
}

struct Writer<'s> {
    scenario: &'s Scenario,
}

impl Writer<'_> {
    fn spec(&self, spec: &FaultSpec) -> String {
        let mut fields = match &spec.when {
            When::At(at) => vec![format!("at: {}", span(*at))],
            When::Every { first, period, until } => {
                let mut fields =
                    vec![format!("every: {}", span(*period)), format!("first: {}", span(*first))];
                if *until != SimDuration::MAX {
                    fields.push(format!("until: {}", quoted(*until)));
                }
                fields
            }
            When::After { trigger, delay } => {
                let mut fields = vec![format!("after: {}", self.trigger(trigger))];
                if *delay != SimDuration::ZERO {
                    fields.push(format!("delay: {}", quoted(*delay)));
                }
                fields
            }
        };
        fields.push(format!("fault: {}", self.fault(&spec.fault)));
        if let Some(lasting) = spec.lasting {
            fields.push(format!("for: {}", span(lasting)));
        }
        if spec.permanent {
            fields.push("permanent: true".to_owned());
        }
        format!("({})", fields.join(", "))
    }

    fn trigger(&self, trigger: &Trigger) -> String {
        let at = |partition: &TopicPartition| self.partition(*partition);
        match trigger {
            Trigger::Appended(record) => format!("Appended({})", self.record(*record)),
            Trigger::Replicated(record, nth) => {
                format!("Replicated({}, {nth})", self.record(*record))
            }
            Trigger::Answered(record) => format!("Answered({})", self.record(*record)),
            Trigger::Acked(record) => format!("Acked({})", self.record(*record)),
            Trigger::HighWatermarkReached(partition, offset) => {
                format!("HighWatermarkReached({}, {offset})", at(partition))
            }
            Trigger::LeaderChanged(partition) => format!("LeaderChanged({})", at(partition)),
            Trigger::IsrShrunkTo(partition, members) => {
                format!("IsrShrunkTo({}, {members})", at(partition))
            }
            Trigger::IsrGrownTo(partition, members) => {
                format!("IsrGrownTo({}, {members})", at(partition))
            }
            Trigger::Fenced(broker) => format!("Fenced(Broker({broker}))"),
            Trigger::Fault(index, FaultPhase::Began) => format!("Began({index})"),
            Trigger::Fault(index, FaultPhase::Ended) => format!("Ended({index})"),
        }
    }

    fn fault(&self, fault: &Fault) -> String {
        let all = |targets: &Vec<Target>| self.targets(targets);
        match fault {
            Fault::Kill(targets) => format!("Kill({})", all(targets)),
            Fault::PowerLoss(targets) => format!("PowerLoss({})", all(targets)),
            Fault::Pause(targets) => format!("Pause({})", all(targets)),
            Fault::ControlledShutdown(targets) => format!("ControlledShutdown({})", all(targets)),
            Fault::PreferredElection(None) => "PreferredElection".to_owned(),
            Fault::PreferredElection(Some(partition)) => {
                format!("PreferredElection({})", self.partition(*partition))
            }
            Fault::Partition { first, second, direction } => {
                let name = match direction {
                    Direction::Both => "Partition",
                    Direction::FirstToSecond => "OneWay",
                };
                format!("{name}({}, {})", all(first), all(second))
            }
            Fault::LinkDelay { first, second, extra } => {
                format!("LinkDelay({}, {}, {})", all(first), all(second), span(*extra))
            }
            Fault::LinkLoss { first, second, millionths } => {
                format!("LinkLoss({}, {}, {})", all(first), all(second), share(*millionths))
            }
            Fault::DropResponses { from, to, millionths, then } => {
                let then = match then {
                    DroppedResponse::Reset => "Reset",
                    DroppedResponse::Stall => "Stall",
                };
                let share = share(*millionths);
                format!("DropResponses({}, {}, {share}, {then})", all(from), all(to))
            }
            Fault::SlowDisk { targets, extra } => {
                format!("SlowDisk({}, {})", all(targets), span(*extra))
            }
            Fault::OneOf(faults) => {
                let faults: Vec<String> = faults.iter().map(|fault| self.fault(fault)).collect();
                format!("OneOf([{}])", faults.join(", "))
            }
        }
    }

    fn targets(&self, targets: &[Target]) -> String {
        let written: Vec<String> = targets.iter().map(|target| self.target(target)).collect();
        match written.as_slice() {
            [only] => only.clone(),
            _ => format!("[{}]", written.join(", ")),
        }
    }

    fn target(&self, target: &Target) -> String {
        match target {
            Target::Broker(broker) => format!("Broker({broker})"),
            Target::Controller(controller) => format!("Controller({controller})"),
            Target::LeaderOf(partition) => format!("LeaderOf({})", self.partition(*partition)),
            Target::FollowerOf(partition, nth) => {
                format!("FollowerOf({}, {nth})", self.partition(*partition))
            }
            Target::ActiveController => "ActiveController".to_owned(),
            Target::Producer(producer, instance) => {
                let name = &self.scenario.producers[usize::from(producer.0)].name;
                match instance {
                    None => format!("Producer(\"{name}\")"),
                    Some(instance) => format!("Producer(\"{name}\", {instance})"),
                }
            }
            Target::Reader(reader) => {
                format!("Reader(\"{}\")", self.scenario.readers[*reader].name)
            }
            Target::AnyBroker => "AnyBroker".to_owned(),
            Target::Brokers => "Brokers".to_owned(),
            Target::Controllers => "Controllers".to_owned(),
            Target::Clients => "Clients".to_owned(),
            Target::Rest => "Rest".to_owned(),
        }
    }

    fn record(&self, record: RecordId) -> String {
        let producer = &self.scenario.producers[usize::from(record.producer.0)];
        format!("\"{}#{}\"", producer.name, record.sequence)
    }

    fn partition(&self, partition: TopicPartition) -> String {
        let topic = &self.scenario.topics[usize::from(partition.topic.0)];
        format!("\"{}\", {}", topic.name, partition.partition)
    }
}

fn quoted(duration: SimDuration) -> String {
    format!("\"{}\"", write_duration(duration))
}

fn share(millionths: u32) -> String {
    unscaled(u64::from(millionths), 6)
}

fn span(span: Span) -> String {
    match span {
        Span::Exactly(duration) => quoted(duration),
        Span::Uniform(least, most) => format!("Uniform({}, {})", quoted(least), quoted(most)),
        Span::Exponential(mean) => format!("Exponential({})", quoted(mean)),
        Span::LogNormal { median, p99 } => {
            format!("LogNormal(median: {}, p99: {})", quoted(median), quoted(p99))
        }
        Span::Pareto { scale, shape_thousandths } => {
            let shape = unscaled(u64::from(shape_thousandths), 3);
            format!("Pareto(scale: {}, shape: {shape})", quoted(scale))
        }
    }
}
