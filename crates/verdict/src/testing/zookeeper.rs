//! Hand-made facts of the ZooKeeper era: an ensemble of one server, and consumers of `billing` that
//! share `orders-0` out by it.

use acklab_vocab::api::OffsetToCommit;
use acklab_vocab::config::{BalancedLibrary, GroupLibrary};
use acklab_vocab::ids::{GroupId, NodeId, Offset, TopicPartition, ZooKeeperServerId};
use acklab_vocab::time::SimDuration;
use acklab_vocab::trace::{
    BalanceOutcome, ClientException, CommitStyle, NodeHeader, PositionSource, TraceEvent,
};
use acklab_vocab::zookeeper::SessionId;
use std::sync::Arc;

use super::{PARTITION, Trace, member};

const BILLING: GroupId = GroupId(0);

impl Trace {
    // ---- how the trace is set up ----------------------------------------------------------------

    /// Adds a ZooKeeper server.
    pub fn zookeeper(mut self) -> Self {
        self.header.nodes.push(NodeHeader {
            name: "zookeeper 1".to_owned(),
            broker: None,
            controller: None,
            zookeeper: Some(ZooKeeperServerId(1)),
            producer: None,
            reader: None,
            member: None,
        });
        self
    }

    /// Adds the application `billing` with two consumers of this library, and an ensemble.
    pub fn balanced(self, library: BalancedLibrary, commit: CommitStyle) -> Self {
        let mut trace = self.consumers(commit);
        trace.header.groups[0].library = GroupLibrary::Balanced(library);
        trace.zookeeper()
    }

    /// The ZooKeeper server.
    pub fn server(&self) -> NodeId {
        let known = self.header.nodes.iter().position(|node| node.zookeeper.is_some());
        NodeId(known.expect("there is an ensemble") as u16)
    }

    // ---- the ensemble ---------------------------------------------------------------------------

    pub fn zookeeper_led(&mut self, server: u16, epoch: u32) -> &mut Self {
        let server = ZooKeeperServerId(server);
        self.fact(self.server(), TraceEvent::ZooKeeperLeaderElected { server, epoch })
    }

    /// A session of a process begins.
    pub fn session(&mut self, client: NodeId, session: u64) -> &mut Self {
        let (session, timeout) = (SessionId(session), SimDuration::from_secs(6));
        self.fact(self.server(), TraceEvent::ZooKeeperSessionOpened { session, client, timeout })
    }

    /// A session of a process ends.
    pub fn session_ends(&mut self, client: NodeId, session: u64, expired: bool) -> &mut Self {
        let session = SessionId(session);
        self.fact(self.server(), TraceEvent::ZooKeeperSessionEnded { session, client, expired })
    }

    /// A consumer's session expires, and its claim goes with it.
    pub fn session_expires(&mut self, of: u16, session: u64) -> &mut Self {
        self.release(of, true).session_ends(member(of), session, true).of_the_same_event()
    }

    pub fn claim(&mut self, of: u16) -> &mut Self {
        let (group, partition, consumer) = (BILLING, PARTITION, member(of));
        self.fact(self.server(), TraceEvent::PartitionClaimed { group, partition, consumer })
    }

    pub fn release(&mut self, of: u16, expired: bool) -> &mut Self {
        let (group, partition, consumer) = (BILLING, PARTITION, member(of));
        let event = TraceEvent::PartitionReleased { group, partition, consumer, expired };
        self.fact(self.server(), event)
    }

    /// A consumer's offset is written to a znode.
    pub fn store_offset(&mut self, of: u16, to: u64) -> &mut Self {
        let offset =
            OffsetToCommit { partition: PARTITION, offset: Offset(to), leader_epoch: None };
        let event = TraceEvent::OffsetsCommitted {
            group: BILLING,
            from: Some(member(of)),
            offsets: Arc::new([offset]),
        };
        self.fact(self.server(), event)
    }

    // ---- consumers ------------------------------------------------------------------------------

    /// A consumer begins to read the partition from an offset.
    pub fn read_on(&mut self, of: u16, at: u64) -> &mut Self {
        let owned: Arc<[TopicPartition]> = Arc::new([PARTITION]);
        let event = TraceEvent::PartitionsAssigned {
            generation: None,
            member: None,
            added: Arc::clone(&owned),
            owned,
        };
        self.fact(member(of), event).seek(of, at, PositionSource::Committed)
    }

    pub fn attempt(&mut self, of: u16, attempt: u32, outcome: BalanceOutcome) -> &mut Self {
        self.fact(member(of), TraceEvent::BalanceAttempted { attempt, outcome })
    }

    pub fn raise(&mut self, node: NodeId, exception: ClientException, reached: bool) -> &mut Self {
        let event = TraceEvent::ExceptionRaised { exception, reached_application: reached };
        self.fact(node, event)
    }
}
