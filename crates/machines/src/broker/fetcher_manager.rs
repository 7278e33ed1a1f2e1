//! Which fetcher fetches which partition.
//!
//! Mirrors `AbstractFetcherManager` and `ReplicaFetcherManager`: `num.replica.fetchers` fetchers
//! per source broker, a partition always with the same one of them. Left out: resizing.

use super::fetch_states::{FetchState, Phase};
use super::fetcher::Fetcher;
use super::metadata_image::PartitionIndexMap;
use super::replica_manager::StartFetching;
use super::{Broker, BrokerCx, BrokerTimer, Owner};
use acklab_vocab::api::{Endpoint, Listener};
use acklab_vocab::ids::{LeaderEpoch, TopicPartition};
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::TruncationReason;

/// The fetchers.
#[derive(Debug, Default)]
pub(super) struct FetcherManager {
    fetchers: Vec<Option<Fetcher>>,
    /// Which fetcher has a partition.
    of_partition: PartitionIndexMap,
    /// A partition was taken from a fetcher since idle ones were last looked for.
    may_be_idle: bool,
}

impl FetcherManager {
    /// A fetcher that is there.
    pub fn get(&mut self, id: u32) -> Option<&mut Fetcher> {
        self.fetchers.get_mut(id as usize)?.as_mut()
    }

    /// The fetcher for a partition and a leader, made if need be.
    fn fetcher_for(&mut self, start: &StartFetching, count: u16, endpoint: Endpoint) -> u32 {
        let TopicPartition { topic, partition } = start.partition;
        let hash = 31 * u32::from(topic.0) + u32::from(partition.0);
        let index = (hash % u32::from(count.max(1))) as u16;
        let is_it = |fetcher: &Option<Fetcher>| {
            fetcher.as_ref().is_some_and(|f| (f.leader, f.index) == (start.leader, index))
        };
        if let Some(id) = self.fetchers.iter().position(is_it) {
            return id as u32;
        }
        let fetcher = Fetcher::new(start.leader, index, endpoint);
        match self.fetchers.iter().position(Option::is_none) {
            Some(free) => {
                self.fetchers[free] = Some(fetcher);
                free as u32
            }
            None => {
                self.fetchers.push(Some(fetcher));
                self.fetchers.len() as u32 - 1
            }
        }
    }

    fn remove(&mut self, partition: TopicPartition) -> Option<(u32, FetchState)> {
        let id = self.of_partition.get(partition)?;
        let state = self.get(id)?.states.remove(partition)?;
        self.may_be_idle = true;
        Some((id, state))
    }
}

impl Broker {
    /// The partition is fetched no more (`removeFetcherForPartitions`).
    pub(super) fn stop_fetching(&mut self, partition: TopicPartition) {
        self.fetchers.remove(partition);
    }

    /// The partition has a new leader epoch, and is fetched on as before: a fetch has to name the
    /// epoch, where it names any.
    pub(super) fn keep_fetching(&mut self, partition: TopicPartition, epoch: LeaderEpoch) {
        let names_epoch = self.shared.has(ProtocolRule::FenceByLeaderEpoch)
            || self.shared.has(ProtocolRule::FenceTruncation);
        let Some(id) = self.fetchers.of_partition.get(partition).filter(|_| names_epoch) else {
            return;
        };
        let Some(fetcher) = self.fetchers.get(id) else { return };
        if let Some((place, mut state)) = fetcher.states.lend(partition) {
            state.leader_epoch = epoch;
            if state.phase == Phase::Failed {
                state.phase = Phase::Fetching;
            }
            fetcher.states.put_back(place, state);
        }
    }

    /// Partitions have a new leader or leader epoch (`addFetcherForPartitions`).
    pub(super) fn start_fetching(&mut self, cx: &mut BrokerCx<'_>, starts: Vec<StartFetching>) {
        let mut touched = Vec::new();
        for start in starts {
            let before = self.fetchers.remove(start.partition);
            let Some(registration) = self.shared.image.broker(start.leader) else { continue };
            let endpoint = Endpoint { node: registration.node, listener: Listener::Broker };
            let count = self.shared.config.num_replica_fetchers;
            let mut state = self.initial_fetch_state(cx, &start);
            let id = self.fetchers.fetcher_for(&start, count, endpoint);
            if !self.shared.has(ProtocolRule::FenceByLeaderEpoch) {
                // Without epochs, a response to the fetch in flight still counts.
                state.asked = before.filter(|(old, _)| *old == id).and_then(|(_, old)| old.asked);
            }
            if let Some(fetcher) = self.fetchers.get(id) {
                fetcher.states.add(state);
                self.fetchers.of_partition.set(start.partition, id);
                touched.push(id);
            }
        }
        touched.sort_unstable();
        touched.dedup();
        for id in touched {
            self.run_fetcher(cx, id);
        }
    }

    /// Where a fetch begins, and what is cut before (`AbstractFetcherThread.partitionFetchState`).
    fn initial_fetch_state(&mut self, cx: &mut BrokerCx<'_>, start: &StartFetching) -> FetchState {
        let slot = start.slot;
        let latest_epoch = self.replicas[slot].log.latest_epoch(cx.disk());
        let to_high_watermark = if self.shared.has(ProtocolRule::TruncateByLeaderEpoch) {
            latest_epoch.is_none()
        } else {
            start.is_new_leader
        };
        if to_high_watermark {
            let high_watermark = self.replicas[slot].log.high_watermark();
            let reason = TruncationReason::HighWatermark;
            self.truncate_replica(cx, slot, high_watermark, reason);
        }
        let asks_first = self.shared.has(ProtocolRule::TruncateByLeaderEpoch)
            && !self.shared.has(ProtocolRule::TruncateOnFetch)
            && latest_epoch.is_some();
        let partition = &self.replicas[slot];
        FetchState {
            partition: start.partition,
            slot,
            leader_epoch: partition.leader_epoch,
            fetch_offset: partition.log.end_offset(),
            last_fetched_epoch: partition.log.latest_epoch(cx.disk()),
            phase: if asks_first { Phase::Truncating } else { Phase::Fetching },
            delayed_until: SimTime(i64::MIN),
            asked: None,
            in_session: None,
            is_touched: false,
        }
    }

    /// Ends fetchers that have nothing to fetch (`shutdownIdleFetcherThreads`).
    pub(super) fn shut_down_idle_fetchers(&mut self, cx: &mut BrokerCx<'_>) {
        if !std::mem::take(&mut self.fetchers.may_be_idle) {
            return;
        }
        for id in 0..self.fetchers.fetchers.len() {
            let fetcher = &mut self.fetchers.fetchers[id];
            if !fetcher.as_ref().is_some_and(Fetcher::is_idle) {
                continue;
            }
            let connection = fetcher.take().and_then(|idle| idle.connection());
            cx.cancel_timer(BrokerTimer::Fetcher(id as u32));
            if let Some(connection) = connection {
                self.close(cx, connection);
            }
        }
    }

    /// Opens a fetcher's connection.
    pub(super) fn connect_fetcher(&mut self, cx: &mut BrokerCx<'_>, id: u32, to: Endpoint) {
        let connection = self.connect(cx, to, Owner::Fetcher(id));
        let timeout = self.shared.config.replica_socket_timeout;
        if let Some(fetcher) = self.fetchers.get(id) {
            fetcher.on_connecting(connection, cx.now() + timeout);
            fetcher.arm(cx, id);
        }
    }
}
