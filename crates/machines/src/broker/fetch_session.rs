//! What a broker remembers of each connection that fetches: what it last said, and a fetch that
//! waits.
//!
//! Mirrors `FetchSession` (KIP-227), with a session per connection, and the watch lists of
//! `DelayedOperationPurgatory`: as a connection has at most one request at a time, a partition
//! watches connections rather than requests, and nothing is written down anew for each fetch that
//! waits. Left out: session ids, epochs and eviction, which have no visible semantics.

use super::replica_manager::Replicas;
use acklab_vocab::api::{FetchRequest, PartitionFetch, PartitionFetchResponse};
use acklab_vocab::ids::{ConnectionId, CorrelationId, Offset, TopicPartition};
use acklab_vocab::time::SimTime;
use std::collections::BTreeMap;

/// A connection that fetches a partition, as the partition remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FetchWatcher {
    /// Its session.
    pub session: u32,
    /// Where the partition stands in its requests.
    pub index: u32,
}

/// All sessions.
#[derive(Debug, Default)]
pub(super) struct FetchSessions {
    by_connection: BTreeMap<ConnectionId, u32>,
    sessions: Vec<FetchSession>,
    free: Vec<u32>,
    /// The instant for which the purgatory's timer is set.
    pub timer_at: Option<SimTime>,
}

/// What is remembered of one connection.
#[derive(Debug)]
pub(super) struct FetchSession {
    /// Which.
    pub connection: ConnectionId,
    /// The partitions of its last request, in order.
    partitions: Vec<SessionPartition>,
    /// A fetch that waits for data.
    pub parked: Option<ParkedFetch>,
}

/// A partition of a session (`CachedPartition`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SessionPartition {
    partition: TopicPartition,
    /// The broker hosts it, and watches this session.
    watched: bool,
    /// High watermark and log start offset as last told; `None` before that, and after an error.
    told: Option<(Offset, Offset)>,
}

/// A fetch in the purgatory (`DelayedFetch`).
#[derive(Debug)]
pub(super) struct ParkedFetch {
    /// To be repeated in the response.
    pub correlation: CorrelationId,
    /// What was asked.
    pub request: FetchRequest,
    /// When it is answered whatever there is.
    pub deadline: SimTime,
}

impl FetchSessions {
    /// The session of a connection, brought up to date with the partitions that its request names.
    pub fn open(
        &mut self,
        connection: ConnectionId,
        request: &FetchRequest,
        replicas: &mut Replicas,
    ) -> u32 {
        let id = match self.by_connection.get(&connection) {
            Some(&id) => id,
            None => self.create(connection),
        };
        let session = &mut self.sessions[id as usize];
        let same = session.partitions.len() == request.partitions.len()
            && session
                .partitions
                .iter()
                .zip(&request.partitions)
                .all(|(known, asked)| known.partition == asked.partition && known.watched);
        if !same {
            session.unwatch(id, replicas);
            session.watch(id, &request.partitions, replicas);
        }
        id
    }

    fn create(&mut self, connection: ConnectionId) -> u32 {
        let session = FetchSession { connection, partitions: Vec::new(), parked: None };
        let id = match self.free.pop() {
            Some(id) => {
                self.sessions[id as usize] = session;
                id
            }
            None => {
                self.sessions.push(session);
                self.sessions.len() as u32 - 1
            }
        };
        self.by_connection.insert(connection, id);
        id
    }

    /// The connection is gone, and with it a fetch that waits.
    pub fn close(&mut self, connection: ConnectionId, replicas: &mut Replicas) {
        if let Some(id) = self.by_connection.remove(&connection) {
            let session = &mut self.sessions[id as usize];
            session.unwatch(id, replicas);
            session.parked = None;
            self.free.push(id);
        }
    }

    /// A session.
    pub fn get(&self, id: u32) -> &FetchSession {
        &self.sessions[id as usize]
    }

    /// A session, to change it.
    pub fn get_mut(&mut self, id: u32) -> &mut FetchSession {
        &mut self.sessions[id as usize]
    }

    /// Sessions with a fetch that waits, in a fixed order.
    pub fn parked(&self) -> impl Iterator<Item = (u32, &ParkedFetch)> + '_ {
        let sessions = self.sessions.iter().enumerate();
        sessions.filter_map(|(id, session)| Some((id as u32, session.parked.as_ref()?)))
    }
}

impl FetchSession {
    fn unwatch(&mut self, id: u32, replicas: &mut Replicas) {
        for known in self.partitions.iter().filter(|known| known.watched) {
            if let Some(slot) = replicas.slot(known.partition) {
                replicas[slot].fetch_watchers.retain(|watcher| watcher.session != id);
            }
        }
    }

    fn watch(&mut self, id: u32, asked: &[PartitionFetch], replicas: &mut Replicas) {
        let before = std::mem::take(&mut self.partitions);
        let mut cursor = 0;
        for (index, fetch) in asked.iter().enumerate() {
            let told = find_from(&before, &mut cursor, fetch.partition).and_then(|p| p.told);
            let slot = replicas.slot(fetch.partition);
            if let Some(slot) = slot {
                let watcher = FetchWatcher { session: id, index: index as u32 };
                replicas[slot].fetch_watchers.push(watcher);
            }
            let watched = slot.is_some();
            self.partitions.push(SessionPartition { partition: fetch.partition, watched, told });
        }
    }

    /// Whether the answer for the partition at `index` has anything new
    /// (`CachedPartition.maybeUpdateResponseData`).
    pub fn is_news(&self, index: usize, answer: &PartitionFetchResponse) -> bool {
        !answer.batches.is_empty()
            || !answer.error.is_none()
            || answer.diverging_epoch.is_some()
            || self.partitions[index].told != Some((answer.high_watermark, answer.log_start_offset))
    }

    /// The partition at `index` has been answered.
    pub fn tell(&mut self, index: usize, answer: &PartitionFetchResponse) {
        self.partitions[index].told = if answer.error.is_none() {
            Some((answer.high_watermark, answer.log_start_offset))
        } else {
            None
        };
    }
}

/// Finds `partition`, trying the element after the last one found first.
fn find_from<'a>(
    partitions: &'a [SessionPartition],
    cursor: &mut usize,
    partition: TopicPartition,
) -> Option<&'a SessionPartition> {
    let is_it = |known: &SessionPartition| known.partition == partition;
    let next = partitions.get(*cursor).filter(|known| is_it(known)).map(|_| *cursor);
    let at = next.or_else(|| partitions.iter().position(is_it))?;
    *cursor = at + 1;
    Some(&partitions[at])
}
