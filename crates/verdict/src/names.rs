//! Names as people write them, from the header of a run.

use acklab_vocab::api::LeaveReason;
use acklab_vocab::ids::{
    BrokerId, BrokerList, GroupId, GroupIndex, NodeId, RecordId, TopicPartition,
};
use acklab_vocab::time::SimDuration;
use acklab_vocab::trace::{RebalanceReason, RunHeader, Stamped, TraceEvent};

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

/// A consumer application: `billing`
#[must_use]
pub fn application(header: &RunHeader, id: GroupIndex) -> String {
    let known = header.groups.get(usize::from(id.0));
    known.map_or_else(|| format!("application {id}"), |group| group.name.clone())
}

/// A `group.id`: `billing`
#[must_use]
pub fn group(header: &RunHeader, id: GroupId) -> String {
    let known = header.group_ids.get(usize::from(id.0));
    known.map_or_else(|| format!("group {id}"), Clone::clone)
}

/// Why a group rebalances, as in JSON.
#[must_use]
pub const fn rebalance_reason(reason: RebalanceReason) -> &'static str {
    match reason {
        RebalanceReason::MemberJoined => "member_joined",
        RebalanceReason::MemberRejoined => "member_rejoined",
        RebalanceReason::LeaderRejoined => "leader_rejoined",
        RebalanceReason::MemberLeft(LeaveReason::Closed) => "member_closed",
        RebalanceReason::MemberLeft(LeaveReason::Unsubscribed) => "member_unsubscribed",
        RebalanceReason::MemberLeft(LeaveReason::PollTimeout) => "max_poll_interval_exceeded",
        RebalanceReason::SessionExpired => "session_expired",
        RebalanceReason::RebalanceTimeout => "rebalance_timeout",
        RebalanceReason::StaticMemberReplaced => "static_member_replaced",
        RebalanceReason::AssignmentNotStored => "assignment_not_stored",
        RebalanceReason::MetadataChanged => "metadata_changed",
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

/// Whether a cluster keeps its metadata in ZooKeeper.
#[must_use]
pub fn has_zookeeper(header: &RunHeader) -> bool {
    header.nodes.iter().any(|node| node.zookeeper.is_some())
}

/// Whether a server of a ZooKeeper ensemble states a fact.
#[must_use]
pub fn is_zookeeper(header: &RunHeader, stamped: &Stamped) -> bool {
    header.nodes.get(usize::from(stamped.node.0)).is_some_and(|node| node.zookeeper.is_some())
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

/// `3 of 29,993 acked (0.010 %)`
#[must_use]
pub fn share(part: u64, whole: u64, of: &str) -> String {
    format!("{} of {} {of} ({})", grouped(part), grouped(whole), percent(part, whole))
}

/// A share with three significant digits or so; nothing of nothing is 0 %.
#[must_use]
pub fn percent(part: u64, whole: u64) -> String {
    if part == 0 || whole == 0 {
        return "0 %".to_owned();
    }
    if part == whole {
        return "100 %".to_owned();
    }
    let rounded = |of: u128| (u128::from(part) * of + u128::from(whole) / 2) / u128::from(whole);
    match (rounded(100_000), rounded(10_000), rounded(1_000)) {
        (0, ..) => "< 0.001 %".to_owned(),
        (thousandths @ ..1_000, ..) => format!("0.{thousandths:03} %"),
        (_, hundredths @ ..1_000, _) => format!("{}.{:02} %", hundredths / 100, hundredths % 100),
        (.., 1_000..) => "> 99.9 %".to_owned(),
        (.., tenths) => format!("{}.{} %", tenths / 10, tenths % 10),
    }
}

/// A time measured in microseconds, in the unit a person would choose, with three significant
/// digits or so.
#[must_use]
pub fn micros(micros: u64) -> String {
    let rounded = match micros {
        0 => return "0 ms".to_owned(),
        1..10_000 => micros,
        10_000..999_950 => (micros + 50) / 100 * 100,
        _ => micros.saturating_add(5_000) / 10_000 * 10_000,
    };
    SimDuration::from_micros(rounded).to_string()
}

/// A word as a shell reads it back.
#[must_use]
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-+=:,./@%#".contains(c);
    let safe_start = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    if word.starts_with(safe_start) && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}
