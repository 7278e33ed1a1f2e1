//! Facts of the ZooKeeper era in words: the ensemble, its sessions, owners of partitions, and the
//! clients that depend on them.

use acklab_vocab::trace::{BalanceOutcome, RunHeader, Stamped, TraceEvent, ZooKeeperState};

use super::change_reason;
use crate::names;

/// What a server of the ensemble, or one of its clients, does.
pub(super) fn zookeeper(header: &RunHeader, stamped: &Stamped) -> Option<String> {
    let name = |partition| names::partition(header, partition);
    let node = |node| names::node(header, node);
    Some(match &stamped.event {
        TraceEvent::ZooKeeperLeaderElected { epoch, .. } => {
            format!("leads the ensemble from now on (epoch {epoch})")
        }
        TraceEvent::ZooKeeperSessionOpened { session, client, timeout } => {
            format!("opens session {session} of {} (timeout {timeout})", node(*client))
        }
        TraceEvent::ZooKeeperSessionEnded { session, client, expired: true } => {
            format!("lets session {session} of {} expire", node(*client))
        }
        TraceEvent::ZooKeeperSessionEnded { session, client, expired: false } => {
            format!("closes session {session} of {}", node(*client))
        }
        TraceEvent::ZooKeeperStateChanged { state } => state_sentence(*state).to_owned(),
        TraceEvent::PartitionClaimed { group, partition, consumer } => {
            let (who, group) = (node(*consumer), names::group(header, *group));
            format!("names {who} the owner of {} in {group}", name(*partition))
        }
        TraceEvent::PartitionReleased { group, partition, consumer, expired } => {
            let (who, group) = (node(*consumer), names::group(header, *group));
            let why = if *expired { ": its session has expired" } else { "" };
            format!("no longer names {who} the owner of {} in {group}{why}", name(*partition))
        }
        TraceEvent::BalanceAttempted { attempt, outcome } => attempted(header, *attempt, *outcome),
        TraceEvent::ExceptionRaised { exception, reached_application } => {
            let how = if *reached_application { "raises" } else { "logs" };
            format!("{how} {}", exception.name())
        }
        TraceEvent::PartitionChanged { state, reason } if names::is_zookeeper(header, stamped) => {
            let leader = match state.leader {
                Some(leader) => format!("leader {leader}"),
                None => "no leader".to_owned(),
            };
            let (epoch, isr) = (state.leader_epoch, names::brokers(&state.isr));
            let why = change_reason(*reason);
            format!("stores {}: {leader}, epoch {epoch}, ISR {isr} ({why})", name(state.partition))
        }
        TraceEvent::OffsetsCommitted { group, from: Some(from), offsets }
            if names::is_zookeeper(header, stamped) =>
        {
            let (what, group) =
                (super::consumers::committed(header, offsets), names::group(header, *group));
            format!("stores the committed offset of {group}, {what}, for {}", node(*from))
        }
        _ => return None,
    })
}

/// What the controller of the ZooKeeper mode does, a broker.
pub(crate) fn controller(header: &RunHeader, event: &TraceEvent) -> Option<String> {
    if !names::has_zookeeper(header) {
        return None;
    }
    Some(match event {
        TraceEvent::ControllerElected { epoch, .. } => {
            format!("has won the race for the controller (epoch {epoch})")
        }
        TraceEvent::ControllerResigned { epoch } => {
            format!("is the controller no more (epoch {epoch})")
        }
        TraceEvent::BrokerRegistered { broker, .. } => {
            format!("as controller sees that broker {broker} has registered")
        }
        TraceEvent::BrokerFenced { broker } => {
            format!("as controller takes broker {broker} for dead")
        }
        TraceEvent::BrokerUnfenced { broker } => {
            format!("as controller counts on broker {broker}")
        }
        _ => return None,
    })
}

/// How a client of ZooKeeper stands.
pub(crate) fn state_sentence(state: ZooKeeperState) -> &'static str {
    match state {
        ZooKeeperState::Connected => "is connected to ZooKeeper",
        ZooKeeperState::Disconnected => "has lost its connection to ZooKeeper",
        ZooKeeperState::Expired => "learns that its ZooKeeper session has expired",
    }
}

/// How a consumer's attempt to take its share ended.
pub(crate) fn attempted(header: &RunHeader, attempt: u32, outcome: BalanceOutcome) -> String {
    let number = attempt + 1;
    match outcome {
        BalanceOutcome::Done => format!("has its share of the partitions (attempt {number})"),
        BalanceOutcome::Owned(partition) => {
            let name = names::partition(header, partition);
            format!("cannot take {name}, which another consumer owns (attempt {number})")
        }
        BalanceOutcome::ZooKeeperFailed(error) => {
            format!("cannot take its share: ZooKeeper, {error} (attempt {number})")
        }
        BalanceOutcome::BrokerFailed(error) => {
            format!("cannot take its share: {error} (attempt {number})")
        }
    }
}
