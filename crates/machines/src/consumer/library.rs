//! Where the client libraries differ in a way that decides what is processed twice or never.
//!
//! The machine is Kafka's own client. librdkafka is the same protocol with a thread of its own that
//! goes on while the application works: it stores a message's offset when it hands the message out
//! (`enable.auto.offset.store`), and commits stored offsets at every `auto.commit.interval.ms`, so
//! the message in hand may be committed before it is processed. Without that property the
//! application stores it when it has processed the message: here, as it calls the library again.
//! kafka-python commits inside
//! `poll()` as Kafka's client does, and waits in `poll()` until it has joined.
//!
//! Left out: librdkafka's fetcher threads, which fill the queue further ahead (what is not handed
//! out is not stored), and its rebalance callback that is served from the queue (here, as in
//! Kafka's client, by the next `poll()`).

use acklab_vocab::config::ConsumerLibrary;
use acklab_vocab::rules::{ProtocolRule, ProtocolRules};

/// The strategies of a library and version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Behaviour {
    /// A thread of the library reads from the network and does auto-commit at its own pace,
    /// whatever the application does.
    pub has_own_thread: bool,
    /// Offsets are stored, and commits take stored offsets that have moved since the last commit.
    pub stores_offsets: bool,
    /// Heartbeats are sent by a thread, not only inside `poll()`.
    pub heartbeats_in_background: bool,
    /// `poll()` may return while the member is joining; otherwise it waits for it as long as it
    /// takes.
    pub joins_across_polls: bool,
    /// `poll()` returns records of partitions that the member keeps while it is joining.
    pub returns_while_joining: bool,
    /// A commit during a rebalance fails with `RebalanceInProgressException`, not with
    /// `CommitFailedException`.
    pub tells_rebalance: bool,
}

impl Behaviour {
    pub fn of(library: ConsumerLibrary, rules: ProtocolRules) -> Self {
        let java = Behaviour {
            has_own_thread: false,
            stores_offsets: false,
            heartbeats_in_background: rules.has(ProtocolRule::BackgroundHeartbeat),
            joins_across_polls: rules.has(ProtocolRule::JoinAcrossPolls),
            returns_while_joining: rules.has(ProtocolRule::ReturnRecordsWhileJoining),
            tells_rebalance: rules.has(ProtocolRule::CommitTellsRebalance),
        };
        match library {
            ConsumerLibrary::Java => java,
            ConsumerLibrary::Librdkafka => {
                let (has_own_thread, stores_offsets) = (true, true);
                let (heartbeats_in_background, joins_across_polls) = (true, true);
                Behaviour {
                    has_own_thread,
                    stores_offsets,
                    heartbeats_in_background,
                    joins_across_polls,
                    returns_while_joining: true,
                    ..java
                }
            }
            ConsumerLibrary::KafkaPython => Behaviour {
                heartbeats_in_background: true,
                joins_across_polls: false,
                returns_while_joining: false,
                tells_rebalance: false,
                ..java
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use acklab_vocab::version::KafkaVersion;

    #[test]
    fn kafkas_own_client_learned_step_by_step() {
        let java = |major, minor, patch| {
            let rules = ProtocolRules::of(KafkaVersion::new(major, minor, patch));
            let it = Behaviour::of(ConsumerLibrary::Java, rules);
            let Behaviour { heartbeats_in_background, joins_across_polls, .. } = it;
            (
                heartbeats_in_background,
                joins_across_polls,
                it.returns_while_joining,
                it.tells_rebalance,
            )
        };
        assert_eq!(java(0, 10, 0), (false, false, false, false));
        assert_eq!(java(1, 1, 0), (true, false, false, false));
        assert_eq!(java(2, 4, 0), (true, true, false, false));
        assert_eq!(java(3, 9, 0), (true, true, true, true));
    }
}
