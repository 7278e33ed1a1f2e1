//! Names as people write them, from the header of a run.

use acklab_vocab::ids::{BrokerId, BrokerList, NodeId, RecordId, TopicPartition};
use acklab_vocab::time::SimDuration;
use acklab_vocab::trace::{RunHeader, Stamped, TraceEvent};

/// `orders-0`
#[must_use]
pub fn partition(header: &RunHeader, id: TopicPartition) -> String {
    match header.topics.get(id.topic.0 as usize) {
        Some(topic) => format!("{}-{}", topic.name, id.partition),
        None => "the cluster".to_owned(),
    }
}

/// `shop#4711`
#[must_use]
pub fn record(header: &RunHeader, id: RecordId) -> String {
    match header.producers.get(id.producer.0 as usize) {
        Some(producer) => format!("{}#{}", producer.name, id.sequence),
        None => format!("producer {}#{}", id.producer, id.sequence),
    }
}

/// `broker 1`; `the world` for what no process states.
#[must_use]
pub fn node(header: &RunHeader, id: NodeId) -> String {
    match header.nodes.get(id.0 as usize) {
        Some(node) => node.name.clone(),
        // What nobody in particular does, the runtime states in the name of the last node there is.
        None if id.0 == u16::MAX => "the world".to_owned(),
        None => format!("process {id}"),
    }
}

/// Who states a fact: `broker 1`, and `controller 3` for what a controller states, even where it shares its process with a
/// broker.
#[must_use]
pub fn speaker(header: &RunHeader, stamped: &Stamped) -> String {
    let of_controller = matches!(
        stamped.event,
        TraceEvent::ControllerElected { .. }
            | TraceEvent::ControllerResigned { .. }
            | TraceEvent::BrokerRegistered { .. }
            | TraceEvent::BrokerFenced { .. }
            | TraceEvent::BrokerUnfenced { .. }
            | TraceEvent::PartitionChanged { .. }
    );
    let controller = header.nodes.get(stamped.node.0 as usize).and_then(|node| node.controller);
    match controller {
        Some(controller) if of_controller => format!("controller {controller}"),
        Some(_) | None => node(header, stamped.node),
    }
}

/// `1 2 3`
#[must_use]
pub fn brokers(list: &BrokerList) -> String {
    let ids: Vec<String> = list.iter().map(BrokerId::to_string).collect();
    if ids.is_empty() { "empty".to_owned() } else { ids.join(" ") }
}

/// `14,204`
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 record`, `14,204 records`
#[must_use]
pub fn counted(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {what}{plural}", grouped(number))
}

/// `7.4 s`, `250 ms`: to a tenth, as in a timeline.
#[must_use]
pub fn seconds(duration: SimDuration) -> String {
    let millis = duration.as_millis();
    if millis < 1_000 {
        return format!("{millis} ms");
    }
    let tenths = (millis + 50) / 100;
    format!("{}.{} s", grouped(tenths / 10), tenths % 10)
}
