//! Tests of the whole controller: [`solo`] is a quorum of one, [`voter`] one of three, [`network`]
//! runs all three through faults.

mod network;
mod solo;
mod voter;

use super::ControllerSetup;
use acklab_vocab::api::{Endpoint, Listener};
use acklab_vocab::config::{ControllerConfig, TopicConfig};
use acklab_vocab::ids::{BrokerId, BrokerList, ControllerId, NodeId};
use acklab_vocab::rules::ProtocolRules;
use acklab_vocab::time::SimDuration;
use std::sync::Arc;

fn config(version: &str) -> ControllerConfig {
    ControllerConfig {
        rules: ProtocolRules::of(version.parse().unwrap()),
        broker_session_timeout: SimDuration::from_millis(9_000),
        quorum_fetch_timeout: SimDuration::from_millis(2_000),
        quorum_election_timeout: SimDuration::from_millis(1_000),
        quorum_election_backoff_max: SimDuration::from_millis(1_000),
        quorum_request_timeout: SimDuration::from_millis(2_000),
        quorum_retry_backoff: SimDuration::from_millis(20),
        quorum_append_linger: SimDuration::from_millis(25),
        auto_leader_rebalance: true,
        leader_imbalance_check_interval: SimDuration::from_secs(300),
        unclean_election_interval: SimDuration::from_secs(300),
        metadata_max_idle_interval: None,
    }
}

fn topic(min_insync_replicas: u16, unclean_leader_election: bool) -> TopicConfig {
    TopicConfig {
        min_insync_replicas,
        unclean_leader_election,
        max_message_bytes: 1 << 20,
        segment_bytes: 1 << 30,
        flush_messages: u64::MAX,
        flush_interval: SimDuration::MAX,
    }
}

/// Controller `id` of `voters`, in the process of the same number.
fn setup(id: u16, voters: u16, version: &str, topics: &[TopicConfig]) -> ControllerSetup {
    let voter =
        |id| (ControllerId(id), Endpoint { node: NodeId(id), listener: Listener::Controller });
    ControllerSetup {
        id: ControllerId(id),
        config: Arc::new(config(version)),
        topics: topics.into(),
        voters: (1..=voters).map(voter).collect(),
    }
}

fn brokers(ids: &[u16]) -> BrokerList {
    ids.iter().map(|&id| BrokerId(id)).collect()
}
