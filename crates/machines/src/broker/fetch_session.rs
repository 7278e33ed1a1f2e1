//! What a broker remembers of each connection that fetches: the partitions and from where, what it
//! last said, and a fetch that waits.
//!
//! Mirrors `FetchSession` (KIP-227), with a session per connection, and the watch lists of
//! `DelayedOperationPurgatory`: as a connection has at most one request at a time, a partition
//! watches connections rather than requests, and nothing is written down anew for each fetch that
//! waits. Left out: session ids, epochs and eviction, which have no visible semantics.
//!
//! Kafka walks over all partitions of a session at every fetch. Here only the *active* ones are
//! looked at. A partition is *quiet*, and need not be looked at, while a fetch would find nothing
//! to read or to tell, and, of a follower, would only learn once more that it is in sync and has
//! the whole log. What such a fetch changes in Kafka, the time at which the follower was last
//! caught up, is the session's last fetch: it is written down when the partition becomes active
//! again. It does when the request names it, or when the partition has changed
//! ([`Replicas`] knows), before anybody can ask for that time.

use super::replica_manager::Replicas;
use acklab_vocab::api::{
    FetchRequest, FetchSessionUpdate, FetchingReplica, Isolation, PartitionFetch,
    PartitionFetchResponse,
};
use acklab_vocab::ids::{ConnectionId, CorrelationId, Offset, TopicPartition};
use acklab_vocab::time::{SimDuration, SimTime};
use std::collections::BTreeMap;

/// A connection that fetches a partition, as the partition remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FetchWatcher {
    /// Its session.
    pub session: u32,
    /// Where the partition is in the session.
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

/// What a fetch says besides its partitions (`FetchParams`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FetchParameters {
    /// The follower, or `None` for a consumer.
    pub replica: Option<FetchingReplica>,
    /// How long to wait for `min_bytes`.
    pub max_wait: SimDuration,
    /// How many bytes are worth an answer.
    pub min_bytes: u32,
    /// Largest response.
    pub max_bytes: u32,
    /// Up to where to read.
    pub isolation: Isolation,
}

impl FetchParameters {
    /// Of a request.
    pub const fn of(request: &FetchRequest) -> Self {
        FetchParameters {
            replica: request.replica,
            max_wait: request.max_wait,
            min_bytes: request.min_bytes,
            max_bytes: request.max_bytes,
            isolation: request.isolation,
        }
    }
}

/// What is remembered of one connection.
#[derive(Debug)]
pub(super) struct FetchSession {
    /// Which.
    pub connection: ConnectionId,
    /// By index; `None` where one was forgotten.
    partitions: Vec<Option<SessionPartition>>,
    free: Vec<u32>,
    /// Indexes of those to look at with the next fetch.
    active: Vec<u32>,
    /// The next place in the order.
    next_order: u64,
    /// Who fetched last.
    replica: Option<FetchingReplica>,
    /// When.
    last_fetch: SimTime,
    /// A fetch that waits for data.
    pub parked: Option<ParkedFetch>,
    /// How often the active ones were walked over.
    #[cfg(debug_assertions)]
    pub walks: u32,
}

/// A partition of a session (`CachedPartition`).
#[derive(Clone, Copy, Debug)]
pub(super) struct SessionPartition {
    /// What the sender wants of it.
    pub fetch: PartitionFetch,
    /// Where the broker hosts it, if it does, and watches this session.
    slot: Option<u32>,
    /// High watermark and log start offset as last told; `None` before that, and after an error.
    told: Option<(Offset, Offset)>,
    /// Those with less go first: one with something to tell goes behind all others.
    order: u64,
    is_active: bool,
    /// It is on the session's list: until the end of a walk, one that became quiet in it is too.
    is_listed: bool,
}

/// A fetch in the purgatory (`DelayedFetch`).
#[derive(Debug)]
pub(super) struct ParkedFetch {
    /// To be repeated in the response.
    pub correlation: CorrelationId,
    /// What was asked.
    pub parameters: FetchParameters,
    /// When it is answered whatever there is.
    pub deadline: SimTime,
}

impl FetchSessions {
    /// The session of a connection, brought up to date by its request, which has just been read.
    pub fn open(
        &mut self,
        now: SimTime,
        connection: ConnectionId,
        request: &FetchRequest,
        replicas: &mut Replicas,
    ) -> u32 {
        let id = match self.by_connection.get(&connection) {
            Some(&id) => id,
            None => self.create(connection),
        };
        let session = &mut self.sessions[id as usize];
        if session.replica != request.replica {
            session.activate_all(replicas);
            session.replica = request.replica;
        }
        match &request.session {
            FetchSessionUpdate::Full => session.replace(id, &request.partitions, replicas),
            FetchSessionUpdate::Incremental { forgotten } => {
                for &partition in forgotten {
                    if let Some(index) = session.find(id, partition, replicas) {
                        session.forget(id, index, replicas);
                    }
                }
                for fetch in &request.partitions {
                    session.take(id, fetch, replicas);
                }
            }
        }
        session.last_fetch = now;
        id
    }

    fn create(&mut self, connection: ConnectionId) -> u32 {
        let session = FetchSession {
            connection,
            partitions: Vec::new(),
            free: Vec::new(),
            active: Vec::new(),
            next_order: 0,
            replica: None,
            last_fetch: SimTime(i64::MIN),
            parked: None,
            #[cfg(debug_assertions)]
            walks: 0,
        };
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
            for index in 0..session.partitions.len() as u32 {
                session.forget(id, index, replicas);
            }
            session.active.clear();
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

    /// Makes every partition that has changed active where it is fetched.
    pub fn notice_changes(&mut self, replicas: &mut Replicas) {
        while let Some(slot) = replicas.next_changed() {
            self.activate(slot, replicas);
        }
    }

    /// A partition is about to change: fetches must look at it again.
    pub fn activate(&mut self, slot: usize, replicas: &mut Replicas) {
        for at in 0..replicas[slot].fetch_watchers.len() {
            let FetchWatcher { session, index } = replicas[slot].fetch_watchers[at];
            self.sessions[session as usize].activate(index, replicas);
        }
    }
}

impl FetchSession {
    /// The request names all partitions.
    fn replace(&mut self, id: u32, named: &[PartitionFetch], replicas: &mut Replicas) {
        let first = self.next_order;
        for fetch in named {
            let index = self.take(id, fetch, replicas);
            if let Some(known) = &mut self.partitions[index as usize] {
                known.order = self.next_order;
                self.next_order += 1;
            }
        }
        if self.len() == named.len() {
            return;
        }
        for index in 0..self.partitions.len() as u32 {
            if self.get(index).is_some_and(|known| known.order < first) {
                self.forget(id, index, replicas);
            }
        }
    }

    /// Takes over what the sender wants of a partition (`CachedPartition.updateRequestParams`).
    fn take(&mut self, id: u32, fetch: &PartitionFetch, replicas: &mut Replicas) -> u32 {
        let Some(index) = self.find(id, fetch.partition, replicas) else {
            return self.add(id, fetch, replicas);
        };
        if self.get(index).is_some_and(|known| known.fetch != *fetch) {
            self.activate(index, replicas);
        }
        if let Some(known) = &mut self.partitions[index as usize] {
            known.fetch = *fetch;
        }
        index
    }

    fn add(&mut self, id: u32, fetch: &PartitionFetch, replicas: &mut Replicas) -> u32 {
        let order = self.next_order;
        self.next_order += 1;
        let new = SessionPartition {
            fetch: *fetch,
            slot: None,
            told: None,
            order,
            is_active: true,
            is_listed: true,
        };
        let index = match self.free.pop() {
            Some(index) => {
                self.partitions[index as usize] = Some(new);
                index
            }
            None => {
                self.partitions.push(Some(new));
                self.partitions.len() as u32 - 1
            }
        };
        self.active.push(index);
        self.watch(id, index, replicas);
        index
    }

    /// Watches a partition, once the broker hosts it.
    pub fn watch(&mut self, session: u32, index: u32, replicas: &mut Replicas) {
        let Some(known) = self.partitions[index as usize].as_mut() else { return };
        if known.slot.is_none()
            && let Some(slot) = replicas.slot(known.fetch.partition)
        {
            known.slot = Some(slot as u32);
            replicas.quietly(slot).fetch_watchers.push(FetchWatcher { session, index });
        }
    }

    fn forget(&mut self, id: u32, index: u32, replicas: &mut Replicas) {
        self.activate(index, replicas);
        let Some(known) = self.partitions[index as usize].take() else { return };
        self.free.push(index);
        self.active.retain(|&active| active != index);
        if let Some(slot) = known.slot {
            let watchers = &mut replicas.quietly(slot as usize).fetch_watchers;
            watchers.retain(|watcher| watcher.session != id);
        }
    }

    fn find(&self, id: u32, partition: TopicPartition, replicas: &Replicas) -> Option<u32> {
        if let Some(slot) = replicas.slot(partition) {
            let mut watchers = replicas[slot].fetch_watchers.iter();
            if let Some(watcher) = watchers.find(|watcher| watcher.session == id) {
                return Some(watcher.index);
            }
        }
        let unwatched = |known: &Option<SessionPartition>| {
            known.is_some_and(|known| known.slot.is_none() && known.fetch.partition == partition)
        };
        // One that the broker does not host is answered with an error, and active.
        let is_it = |&&index: &&u32| unwatched(&self.partitions[index as usize]);
        self.active.iter().find(is_it).copied()
    }

    /// A partition has to be looked at with the next fetch. Of a follower, the fetches since it
    /// was last looked at are written down.
    fn activate(&mut self, index: u32, replicas: &mut Replicas) {
        let Some(known) = self.partitions[index as usize].as_mut() else { return };
        if known.is_active {
            return;
        }
        known.is_active = true;
        if !std::mem::replace(&mut known.is_listed, true) {
            self.active.push(index);
        }
        if let Some((replica, slot)) = self.replica.zip(known.slot) {
            let partition = replicas.quietly(slot as usize);
            partition.record_quiet_fetches(replica.broker, self.last_fetch);
        }
    }

    /// As [`FetchSession::activate`], for every partition.
    pub fn activate_all(&mut self, replicas: &mut Replicas) {
        for index in 0..self.partitions.len() as u32 {
            self.activate(index, replicas);
        }
    }

    /// How many partitions there are.
    pub fn len(&self) -> usize {
        self.partitions.len() - self.free.len()
    }

    /// The partition at `index`.
    pub fn get(&self, index: u32) -> Option<&SessionPartition> {
        self.partitions.get(index as usize)?.as_ref()
    }

    /// Those to be looked at, in order.
    pub fn active(&mut self) -> &[u32] {
        let FetchSession { active, partitions, .. } = self;
        let order = |&index: &u32| partitions[index as usize].map_or(u64::MAX, |known| known.order);
        active.sort_unstable_by_key(order);
        active
    }

    /// What is wanted of those to be looked at.
    pub fn active_fetches(&self) -> impl Iterator<Item = &PartitionFetch> + '_ {
        self.active.iter().filter_map(|&index| Some(&self.get(index)?.fetch))
    }

    /// Partitions that are not looked at, and where the broker hosts them.
    #[cfg(debug_assertions)]
    pub fn quiet(&self) -> impl Iterator<Item = (&SessionPartition, Option<usize>)> + '_ {
        let quiet = self.partitions.iter().flatten().filter(|known| !known.is_active);
        quiet.map(|known| (known, known.slot.map(|slot| slot as usize)))
    }

    /// The last fetch, of a follower to whom the partition at `index` is quiet.
    pub fn last_quiet_fetch(&self, index: u32) -> Option<(FetchingReplica, SimTime)> {
        let quiet = self.get(index).is_some_and(|known| !known.is_active);
        self.replica.filter(|_| quiet).map(|replica| (replica, self.last_fetch))
    }

    /// The partition at `index` needs no look until it changes.
    pub fn deactivate(&mut self, index: u32) {
        if let Some(known) = self.partitions[index as usize].as_mut() {
            known.is_active = false;
        }
    }

    /// Ends a walk over the active ones.
    pub fn drop_quiet_ones(&mut self) {
        let FetchSession { active, partitions, .. } = self;
        active.retain(|&index| {
            let Some(known) = partitions[index as usize].as_mut() else { return false };
            known.is_listed = known.is_active;
            known.is_active
        });
        #[cfg(debug_assertions)]
        {
            self.walks = self.walks.wrapping_add(1);
        }
    }

    /// The partition at `index` has been answered.
    pub fn tell(&mut self, index: u32, answer: &PartitionFetchResponse) {
        if let Some(known) = &mut self.partitions[index as usize] {
            let told = (answer.high_watermark, answer.log_start_offset);
            known.told = answer.error.is_none().then_some(told);
            known.order = self.next_order;
            self.next_order += 1;
        }
    }
}

impl SessionPartition {
    /// Whether an answer has anything new (`CachedPartition.maybeUpdateResponseData`).
    pub fn is_news(&self, answer: &PartitionFetchResponse) -> bool {
        !answer.batches.is_empty()
            || !answer.error.is_none()
            || answer.diverging_epoch.is_some()
            || !self.was_told(answer.high_watermark, answer.log_start_offset)
    }

    /// The sender knows both.
    pub fn was_told(&self, high_watermark: Offset, log_start_offset: Offset) -> bool {
        self.told == Some((high_watermark, log_start_offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Partition 0 is quiet; what partition 1 tells of the follower completes an append to it.
    #[test]
    fn a_partition_that_changes_within_the_walk_that_found_it_quiet_is_looked_at_once() {
        let mut sessions = FetchSessions::default();
        let mut replicas = Replicas::default();
        let wanted = |partition: u16| PartitionFetch {
            partition: TopicPartition::new(0, partition),
            current_leader_epoch: None,
            fetch_offset: Offset(0),
            last_fetched_epoch: None,
            max_bytes: 1,
        };
        let request = FetchRequest {
            replica: None,
            max_wait: SimDuration::ZERO,
            min_bytes: 1,
            max_bytes: 1,
            isolation: Isolation::LogEnd,
            session: FetchSessionUpdate::Full,
            partitions: vec![wanted(0), wanted(1)],
        };
        let id = sessions.open(SimTime::ZERO, ConnectionId(1), &request, &mut replicas);
        let session = sessions.get_mut(id);
        session.deactivate(0);
        session.activate(0, &mut replicas);
        session.drop_quiet_ones();
        assert_eq!(session.active(), [0, 1]);
        session.deactivate(0);
        session.drop_quiet_ones();
        assert_eq!(session.active(), [1]);
        session.activate(0, &mut replicas);
        assert_eq!(session.active(), [0, 1]);
    }
}
