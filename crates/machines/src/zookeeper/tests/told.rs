//! What a test asks a network about.

use super::network::{Link, Network, Told};
use crate::zookeeper::ZooKeeperServer;
use acklab_vocab::api::ZooKeeperReply;
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::{TraceEvent, ZooKeeperState};
use acklab_vocab::zookeeper::{WatchEvent, ZooKeeperError};

impl Network {
    /// The servers that lead a quorum.
    pub(super) fn leaders(&self) -> Vec<usize> {
        let leads = |&index: &usize| self.server(index).is_some_and(ZooKeeperServer::is_leader);
        (0..self.servers).filter(leads).collect()
    }

    /// The server to which a client is connected.
    pub(super) fn server_of(&self, client: usize) -> usize {
        let is_its = |link: &&Link| link.opener == client && link.closed.is_empty();
        self.links.values().find(is_its).expect("it is connected").acceptor
    }

    /// The answers to a client, with what they were for.
    pub(super) fn replies(
        &self,
        client: usize,
    ) -> Vec<(u32, Result<ZooKeeperReply, ZooKeeperError>)> {
        let reply = |(_, of, event): &(SimTime, usize, Told)| match event {
            Told::Reply(purpose, result) if *of == client => Some((*purpose, result.clone())),
            _ => None,
        };
        self.told.iter().filter_map(reply).collect()
    }

    /// The answer to one request of a client.
    pub(super) fn reply(
        &self,
        client: usize,
        purpose: u32,
    ) -> Option<Result<ZooKeeperReply, ZooKeeperError>> {
        let found = self.replies(client).into_iter().find(|(of, _)| *of == purpose);
        found.map(|(_, result)| result)
    }

    /// What a client learned about its state, and when.
    pub(super) fn states(&self, client: usize) -> Vec<(SimTime, ZooKeeperState)> {
        let state = |(at, of, event): &(SimTime, usize, Told)| match event {
            Told::State(state) if *of == client => Some((*at, *state)),
            _ => None,
        };
        self.told.iter().filter_map(state).collect()
    }

    /// The watches of a client that have fired.
    pub(super) fn watches(&self, client: usize) -> Vec<WatchEvent> {
        let watch = |(_, of, event): &(SimTime, usize, Told)| match event {
            Told::Watch(event) if *of == client => Some(event.clone()),
            _ => None,
        };
        self.told.iter().filter_map(watch).collect()
    }

    /// When sessions ended, and whether by expiry.
    pub(super) fn endings(&self) -> Vec<(SimTime, bool)> {
        let ending = |(at, fact): &(SimTime, TraceEvent)| match fact {
            TraceEvent::ZooKeeperSessionEnded { expired, .. } => Some((*at, *expired)),
            _ => None,
        };
        self.facts.iter().filter_map(ending).collect()
    }
}
