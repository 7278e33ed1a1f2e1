//! One partition: its replicas, who was elected when and why, what was committed, what was cut
//! away.
//!
//! Mirrors `PartitionRegistration` on the controller and `Partition` on the brokers, as far as
//! facts tell.

use acklab_vocab::ids::{
    BrokerId, BrokerList, LeaderEpoch, NodeId, Offset, ProducerId, TopicPartition,
};
use acklab_vocab::metadata_log::PartitionState;
use acklab_vocab::record::Record;
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::{PartitionChangeReason, TruncationReason};
use std::collections::BTreeMap;

use super::writes::Writes;
use super::{Append, AppendId, EpochSpans, Replica, holds};

/// One partition.
#[derive(Clone, Debug)]
pub struct Partition {
    /// Which.
    pub id: TopicPartition,
    /// Those that stated a fact.
    pub replicas: Vec<Replica>,
    /// The controller's latest word.
    pub state: Option<PartitionState>,
    /// Every election of a leader, ascending by epoch.
    pub tenures: Vec<Tenure>,
    /// The batches that some leader's high watermark has passed, ascending by offset.
    pub committed: Vec<AppendId>,
    /// The highest high watermark that a leader has ever had.
    pub reached: Offset,
    /// Every cut of a replica's log, in the order of the trace.
    pub removals: Vec<Removal>,
    /// The first batch ever written last: the child of the empty log.
    pub first_child: AppendId,
    /// Some replica has lost an unflushed tail.
    pub has_lost_tail: bool,
    /// Some leader was elected uncleanly.
    pub had_unclean_election: bool,
    /// Documented defects of this version that have shown here: KIP or issue.
    pub known_breaches: Vec<&'static str>,
    /// Batches with which a leader took up an idempotent producer that it did not know, though they
    /// were not its first (KAFKA-15591).
    pub gaps: Vec<AppendId>,
    /// The last batch of each idempotent producer.
    pub last_stamped: BTreeMap<ProducerId, AppendId>,
    /// Batches of transactions that no marker has ended yet, by producer.
    pub open_transactions: BTreeMap<ProducerId, Vec<AppendId>>,
    /// Where leaders were missing.
    pub leaderless: Leaderless,
    /// Where writes were missing.
    pub writes: Writes,
}

/// One leader, from its election on.
#[derive(Clone, Debug)]
pub struct Tenure {
    /// Its epoch.
    pub epoch: LeaderEpoch,
    /// Who.
    pub leader: BrokerId,
    /// When the controller had committed the election; when the leader learned of it, if no
    /// election was stated.
    pub elected_at: SimTime,
    /// Why.
    pub reason: PartitionChangeReason,
    /// The ISR before the election.
    pub isr_before: BrokerList,
    /// Brokers that were in every ISR of this epoch so far.
    pub isr_throughout: BrokerList,
    /// The controller's latest ISR of this epoch.
    pub isr_latest: BrokerList,
    /// Its log when it took over; `None` if it never did.
    pub lineage: Option<Lineage>,
    /// The high watermark that it reached as a leader.
    pub high_watermark: Offset,
}

/// A log as a leader found it when it took over.
#[derive(Clone, Debug)]
pub struct Lineage {
    /// When.
    pub at: SimTime,
    /// Its epochs.
    pub epochs: EpochSpans,
    /// Its end.
    pub end: Offset,
}

/// A cut of a replica's log.
#[derive(Clone, Debug)]
pub struct Removal {
    /// When.
    pub at: SimTime,
    /// On which process.
    pub node: NodeId,
    /// On which broker.
    pub broker: BrokerId,
    /// Why.
    pub kind: RemovalKind,
    /// The log end offset after.
    pub to: Offset,
    /// The batches that are gone, ascending by offset.
    pub batches: Vec<AppendId>,
}

/// Why batches left a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RemovalKind {
    /// The broker truncated.
    Truncated(TruncationReason),
    /// Power loss.
    PowerLoss,
}

/// Spells without a working leader: from the moment at which the leader ends or stands still, or the
/// controller takes it away, until a broker knows that it leads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leaderless {
    /// Since when there has been none.
    pub since: Option<SimTime>,
    /// The longest spell that has ended.
    pub longest: SimDuration,
    /// All that have ended.
    pub total: SimDuration,
    /// How many have ended.
    pub spells: u32,
}

impl Partition {
    /// The leader is gone, or cannot work.
    pub fn loses_leader(&mut self, at: SimTime) {
        self.leaderless.begin(at);
        self.writes.lost_leader(at);
    }

    /// The leader accepted a batch of a producer, or refused it for what it is: it works.
    pub fn accepts(&mut self, at: SimTime, records: &[Record]) {
        let first = records.first().map(|record| record.id);
        self.writes.accepted(at, first, self.leaderless.since.is_some());
    }

    /// A partition of which nothing is known.
    #[must_use]
    pub fn new(id: TopicPartition) -> Self {
        Partition {
            id,
            replicas: Vec::new(),
            state: None,
            tenures: Vec::new(),
            committed: Vec::new(),
            reached: Offset(0),
            removals: Vec::new(),
            first_child: AppendId::NONE,
            has_lost_tail: false,
            had_unclean_election: false,
            known_breaches: Vec::new(),
            gaps: Vec::new(),
            last_stamped: BTreeMap::new(),
            open_transactions: BTreeMap::new(),
            leaderless: Leaderless::default(),
            writes: Writes::default(),
        }
    }

    /// The replica on a process.
    #[must_use]
    pub fn replica(&self, node: NodeId) -> Option<&Replica> {
        self.replicas.iter().find(|replica| replica.node == node)
    }

    /// The replica of a broker.
    #[must_use]
    pub fn replica_of(&self, broker: BrokerId) -> Option<&Replica> {
        self.replicas.iter().find(|replica| replica.broker == broker)
    }

    /// The replica on a process, made if this is its first fact.
    pub fn replica_mut(&mut self, node: NodeId, broker: BrokerId) -> &mut Replica {
        let known = self.replicas.iter().position(|replica| replica.node == node);
        let index = known.unwrap_or_else(|| {
            self.replicas.push(Replica::new(node, broker));
            self.replicas.len() - 1
        });
        &mut self.replicas[index]
    }

    /// The election of an epoch.
    #[must_use]
    pub fn tenure(&self, epoch: LeaderEpoch) -> Option<&Tenure> {
        self.tenures.iter().rev().find(|tenure| tenure.epoch == epoch)
    }

    /// The election of an epoch.
    pub fn tenure_mut(&mut self, epoch: LeaderEpoch) -> Option<&mut Tenure> {
        self.tenures.iter_mut().rev().find(|tenure| tenure.epoch == epoch)
    }

    /// Who leads as the controller sees it; in a trace without a controller, who became leader
    /// last.
    #[must_use]
    pub fn leader_at_rest(&self) -> Option<BrokerId> {
        match &self.state {
            Some(state) => state.leader,
            None => self.tenures.last().map(|tenure| tenure.leader),
        }
    }

    /// How many brokers have led it.
    #[must_use]
    pub fn leaders(&self) -> usize {
        let mut leaders: Vec<BrokerId> = self.tenures.iter().map(|tenure| tenure.leader).collect();
        leaders.sort_unstable();
        leaders.dedup();
        leaders.len()
    }

    /// Whether some leader's high watermark had passed this batch in a log that held it.
    #[must_use]
    pub fn was_committed(&self, append: &Append) -> bool {
        let (epoch, last) = (append.batch.leader_epoch, append.batch.last_offset());
        self.tenures.iter().filter(|tenure| tenure.epoch >= epoch).any(|tenure| {
            tenure.high_watermark > last && tenure.held(epoch, append.batch.base_offset)
        })
    }
}

impl Tenure {
    /// Whether this leader had the batch of `epoch` at `offset` in its log: wrote it, or had it
    /// when it took over.
    #[must_use]
    pub fn held(&self, epoch: LeaderEpoch, offset: Offset) -> bool {
        let inherited =
            |log: &Lineage| self.epoch > epoch && holds(&log.epochs, log.end, epoch, offset);
        self.epoch == epoch || self.lineage.as_ref().is_some_and(inherited)
    }
}

impl Leaderless {
    /// The leader is gone.
    pub fn begin(&mut self, at: SimTime) {
        self.since.get_or_insert(at);
    }

    /// There is a working leader. Returns for how long there was none.
    pub fn end(&mut self, at: SimTime) -> Option<SimDuration> {
        let spell = at.since(self.since.take()?);
        self.longest = self.longest.max(spell);
        self.total += spell;
        self.spells += 1;
        Some(spell)
    }
}
