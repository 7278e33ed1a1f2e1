//! The ZooKeeper ensemble as its facts tell: who leads it, whose sessions live, which consumer has
//! which owner's znode.
//!
//! Mirrors `SessionTrackerImpl` and the ephemeral part of `DataTree` from outside. A claim does not
//! say by which session it lives, so every session that its process had then counts: it must be
//! gone with the last of them. Left out: every other znode, what single servers know.

use acklab_vocab::ids::{EventId, GroupId, NodeId, TopicPartition, ZooKeeperServerId};
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::{RunHeader, Stamped, TraceEvent, ZooKeeperState};
use acklab_vocab::zookeeper::SessionId;
use smallvec::SmallVec;
use std::collections::BTreeMap;

use super::World;
use crate::invariants::{Place, ephemeral_claims, one_claim, zookeeper_epochs};

/// A session that lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// Whose.
    pub client: NodeId,
    /// Since when.
    pub opened: SimTime,
    /// The timeout agreed on.
    pub timeout: SimDuration,
}

/// An owner's znode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The owner that it names.
    pub consumer: NodeId,
    /// Since when.
    pub since: SimTime,
    /// The sessions that the owner had then and that live.
    sessions: SmallVec<[SessionId; 2]>,
}

/// The ensemble.
#[derive(Clone, Debug, Default)]
pub struct Ensemble {
    /// The processes of its servers.
    servers: Vec<NodeId>,
    /// Who led it, in the order of the trace.
    pub leaders: Vec<(u32, ZooKeeperServerId)>,
    /// The sessions that live.
    pub sessions: BTreeMap<SessionId, Session>,
    /// How many have expired after time zero.
    pub sessions_expired: u64,
    /// Who owns what, by the znodes of owners.
    pub claims: BTreeMap<(GroupId, TopicPartition), SmallVec<[Claim; 1]>>,
    /// How each client takes itself to stand.
    pub states: BTreeMap<NodeId, ZooKeeperState>,
    /// What one event did, to be looked at when all of it is known.
    ending: Option<Ending>,
}

/// Sessions that one event ended, and owners that it released with a session.
#[derive(Clone, Debug)]
struct Ending {
    event: EventId,
    place: Place,
    /// Whose sessions ended, and whether by expiring.
    ended: Vec<(NodeId, bool)>,
    released: Vec<(TopicPartition, NodeId)>,
}

impl Ensemble {
    /// The ensemble of a run; `None` if it has none.
    pub(super) fn of(header: &RunHeader) -> Option<Self> {
        let nodes = header.nodes.iter().enumerate();
        let servers = nodes.filter(|(_, node)| node.zookeeper.is_some());
        let servers: Vec<NodeId> = servers.map(|(index, _)| NodeId(index as u16)).collect();
        (!servers.is_empty()).then(|| Ensemble { servers, ..Ensemble::default() })
    }

    /// The owners that znodes name for a partition.
    pub fn owners(
        &self,
        group: GroupId,
        partition: TopicPartition,
    ) -> impl Iterator<Item = NodeId> + '_ {
        self.claims.get(&(group, partition)).into_iter().flatten().map(|claim| claim.consumer)
    }

    /// The sessions of a process.
    fn sessions_of(&self, client: NodeId) -> SmallVec<[SessionId; 2]> {
        let mine = self.sessions.iter().filter(|(_, session)| session.client == client);
        mine.map(|(&id, _)| id).collect()
    }

    /// What the event does that is under way.
    fn ending(&mut self, stamped: &Stamped) -> &mut Ending {
        let place = Place { at: stamped.at, node: stamped.node };
        self.ending.get_or_insert_with(|| Ending {
            event: stamped.cause,
            place,
            ended: Vec::new(),
            released: Vec::new(),
        })
    }
}

impl World {
    /// Whether a process is a server of the ensemble.
    #[must_use]
    pub fn is_zookeeper_server(&self, node: NodeId) -> bool {
        self.ensemble.as_ref().is_some_and(|ensemble| ensemble.servers.contains(&node))
    }

    /// A fact of the ensemble, or of one of its clients.
    pub(crate) fn on_zookeeper(&mut self, stamped: &Stamped) {
        let Some(ensemble) = &mut self.ensemble else { return };
        match &stamped.event {
            TraceEvent::ZooKeeperLeaderElected { server, epoch } => {
                let text = zookeeper_epochs::check(&ensemble.leaders, *epoch, *server);
                ensemble.leaders.push((*epoch, *server));
                if let Some(text) = text {
                    let place = Place { at: stamped.at, node: stamped.node };
                    self.breaches.report_cluster(&zookeeper_epochs::INVARIANT, place, text);
                }
            }
            TraceEvent::ZooKeeperSessionOpened { session, client, timeout } => {
                let opened = Session { client: *client, opened: stamped.at, timeout: *timeout };
                ensemble.sessions.insert(*session, opened);
            }
            TraceEvent::ZooKeeperSessionEnded { session, client, expired } => {
                ensemble.sessions.remove(session);
                ensemble.sessions_expired += u64::from(*expired && stamped.at >= SimTime::ZERO);
                for claim in ensemble.claims.values_mut().flatten() {
                    claim.sessions.retain(|of| of != session);
                }
                ensemble.ending(stamped).ended.push((*client, *expired));
            }
            TraceEvent::ZooKeeperStateChanged { state } => {
                ensemble.states.insert(stamped.node, *state);
            }
            TraceEvent::PartitionClaimed { group, partition, consumer } => {
                self.on_claimed(stamped, *group, *partition, *consumer);
            }
            TraceEvent::PartitionReleased { group, partition, consumer, expired } => {
                self.on_released(stamped, (*group, *partition), *consumer, *expired);
            }
            _ => {}
        }
    }

    fn on_claimed(
        &mut self,
        stamped: &Stamped,
        group: GroupId,
        partition: TopicPartition,
        consumer: NodeId,
    ) {
        let scene = self.scene(stamped, partition);
        let leaders = scene.map_or(0, |scene| self.partitions[scene.partition].leaders());
        let is_named_by_leader =
            self.names_owners_by_leader.get(usize::from(group.0)).copied().unwrap_or_default();
        let Some(ensemble) = &mut self.ensemble else { return };
        let sessions = ensemble.sessions_of(consumer);
        let sessionless = ephemeral_claims::check_claim(consumer, sessions.is_empty());
        let claims = ensemble.claims.entry((group, partition)).or_default();
        let twice = one_claim::check(consumer, claims.iter().map(|claim| claim.consumer));
        claims.push(Claim { consumer, since: stamped.at, sessions });
        let Some(scene) = scene else { return };
        self.breach(scene, &ephemeral_claims::INVARIANT, sessionless);
        // A znode that is named by the leader is another one after an election.
        let may_have_two = is_named_by_leader && leaders > 1;
        let invariant = match may_have_two {
            true => &one_claim::NAMED_BY_LEADER,
            false => &one_claim::INVARIANT,
        };
        self.breach(scene, invariant, twice);
    }

    fn on_released(
        &mut self,
        stamped: &Stamped,
        (group, partition): (GroupId, TopicPartition),
        consumer: NodeId,
        expired: bool,
    ) {
        let scene = self.scene(stamped, partition);
        let Some(ensemble) = &mut self.ensemble else { return };
        let claims = ensemble.claims.entry((group, partition)).or_default();
        let known = claims.iter().position(|claim| claim.consumer == consumer);
        let unknown = ephemeral_claims::check_release(consumer, known.is_some());
        known.map(|index| claims.remove(index));
        if expired {
            ensemble.ending(stamped).released.push((partition, consumer));
        }
        if let Some(scene) = scene {
            self.breach(scene, &ephemeral_claims::INVARIANT, unknown);
        }
    }

    /// Looks at what an event did to sessions, once it is over: at the first fact of another one,
    /// or at the end.
    pub(crate) fn settle_sessions(&mut self, event: Option<EventId>) {
        let Some(ensemble) = &mut self.ensemble else { return };
        if ensemble.ending.as_ref().is_none_or(|ending| Some(ending.event) == event) {
            return;
        }
        let Some(ending) = ensemble.ending.take() else { return };
        let mut breaches = Vec::new();
        for (&(_, partition), claims) in &ensemble.claims {
            let left = claims.iter().filter(|claim| claim.sessions.is_empty());
            let of_ended =
                left.filter(|claim| ending.ended.iter().any(|of| of.0 == claim.consumer));
            breaches.extend(of_ended.map(|of| (partition, ephemeral_claims::left(of.consumer))));
        }
        for &(partition, consumer) in &ending.released {
            if !ending.ended.contains(&(consumer, true)) {
                breaches.push((partition, ephemeral_claims::without_expiry(consumer)));
            }
        }
        for (partition, text) in breaches {
            if let Some(partition) = self.index_of(partition) {
                let broker = self.broker_on(ending.place.node);
                let scene = super::facts::Scene { place: ending.place, partition, broker };
                self.breach(scene, &ephemeral_claims::INVARIANT, Some(text));
            }
        }
    }
}
