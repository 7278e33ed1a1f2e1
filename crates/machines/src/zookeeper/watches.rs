//! A server's watches (`WatchManager`, `DataTree.setWatches`): each fires once, to the connection
//! that set it.

use super::tree::{DataTree, TreeEvent};
use acklab_vocab::ids::ConnectionId;
use acklab_vocab::zookeeper::{WatchEvent, WatchEventKind, ZnodePath, Zxid};
use std::collections::{BTreeMap, BTreeSet};

type ByPath = BTreeMap<ZnodePath, BTreeSet<ConnectionId>>;

/// The watches of a server's clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct WatchManager {
    data: ByPath,
    child: ByPath,
}

/// What fired, and for whom.
pub(super) type Fired = (ConnectionId, WatchEvent);

impl WatchManager {
    /// Set by `exists` and `getData`.
    pub(super) fn watch_data(&mut self, path: &ZnodePath, connection: ConnectionId) {
        self.data.entry(path.clone()).or_default().insert(connection);
    }

    /// Set by `getChildren`.
    pub(super) fn watch_children(&mut self, path: &ZnodePath, connection: ConnectionId) {
        self.child.entry(path.clone()).or_default().insert(connection);
    }

    /// A connection has ended, and its watches with it.
    pub(super) fn forget(&mut self, connection: ConnectionId) {
        for watches in [&mut self.data, &mut self.child] {
            watches.retain(|_, watchers| {
                watchers.remove(&connection);
                !watchers.is_empty()
            });
        }
    }

    /// The tree has changed.
    pub(super) fn fire(&mut self, event: &TreeEvent) -> Vec<Fired> {
        let mut fired = Vec::new();
        match event {
            TreeEvent::SessionOpened(..) | TreeEvent::SessionEnded(..) => {}
            TreeEvent::Created(path) => {
                fire_one(&mut self.data, path, WatchEventKind::NodeCreated, &mut fired);
                self.fire_parent(path, &mut fired);
            }
            TreeEvent::Written(path) => {
                fire_one(&mut self.data, path, WatchEventKind::NodeDataChanged, &mut fired);
            }
            TreeEvent::Deleted(path, _) => {
                fire_one(&mut self.data, path, WatchEventKind::NodeDeleted, &mut fired);
                let told: Vec<ConnectionId> =
                    fired.iter().map(|&(connection, _)| connection).collect();
                for connection in self.child.remove(path).unwrap_or_default() {
                    if !told.contains(&connection) {
                        let kind = WatchEventKind::NodeDeleted;
                        fired.push((connection, WatchEvent { kind, path: path.clone() }));
                    }
                }
                self.fire_parent(path, &mut fired);
            }
        }
        fired
    }

    fn fire_parent(&mut self, path: &ZnodePath, fired: &mut Vec<Fired>) {
        if let Some(parent) = path.parent() {
            fire_one(&mut self.child, &parent, WatchEventKind::NodeChildrenChanged, fired);
        }
    }

    /// Sets a client's watches again; those that would have fired since `relative_zxid` fire at
    /// once.
    pub(super) fn set_again(
        &mut self,
        tree: &DataTree,
        connection: ConnectionId,
        relative_zxid: Zxid,
        (data, exist, child): (&[ZnodePath], &[ZnodePath], &[ZnodePath]),
    ) -> Vec<WatchEvent> {
        let mut fired = Vec::new();
        let mut fire = |kind, path: &ZnodePath| fired.push(WatchEvent { kind, path: path.clone() });
        for path in data {
            match tree.get(path) {
                None => fire(WatchEventKind::NodeDeleted, path),
                Some(node) if node.stat.mzxid > relative_zxid => {
                    fire(WatchEventKind::NodeDataChanged, path);
                }
                Some(_) => self.watch_data(path, connection),
            }
        }
        for path in exist {
            match tree.get(path) {
                Some(_) => fire(WatchEventKind::NodeCreated, path),
                None => self.watch_data(path, connection),
            }
        }
        for path in child {
            match tree.get(path) {
                None => fire(WatchEventKind::NodeDeleted, path),
                Some(node) if node.children_zxid() > relative_zxid => {
                    fire(WatchEventKind::NodeChildrenChanged, path);
                }
                Some(_) => self.watch_children(path, connection),
            }
        }
        fired
    }
}

fn fire_one(watches: &mut ByPath, path: &ZnodePath, kind: WatchEventKind, fired: &mut Vec<Fired>) {
    for connection in watches.remove(path).unwrap_or_default() {
        fired.push((connection, WatchEvent { kind, path: path.clone() }));
    }
}
