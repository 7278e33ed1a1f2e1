//! What a client remembers of its watches (`ZKWatchManager`).

use acklab_vocab::api::{ZooKeeperOperation, ZooKeeperReply, ZooKeeperRequest};
use acklab_vocab::zookeeper::{WatchEvent, WatchEventKind, ZnodePath, ZooKeeperError, Zxid};
use std::collections::BTreeSet;

/// The watches that a client has set and that have not fired, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ClientWatches {
    data: BTreeSet<ZnodePath>,
    exist: BTreeSet<ZnodePath>,
    child: BTreeSet<ZnodePath>,
}

impl ClientWatches {
    /// A request has been answered: it may have left a watch (`WatchRegistration`).
    pub(super) fn register(
        &mut self,
        request: &ZooKeeperRequest,
        result: &Result<ZooKeeperReply, ZooKeeperError>,
    ) {
        let ZooKeeperRequest::Operation(operation) = request else { return };
        match (operation, result) {
            (ZooKeeperOperation::GetData { path, watch: true }, Ok(_))
            | (
                ZooKeeperOperation::Exists { path, watch: true },
                Ok(ZooKeeperReply::Exists(Some(_))),
            ) => _ = self.data.insert(path.clone()),
            (ZooKeeperOperation::Exists { path, watch: true }, Ok(_)) => {
                self.exist.insert(path.clone());
            }
            (ZooKeeperOperation::GetChildren { path, watch: true }, Ok(_)) => {
                self.child.insert(path.clone());
            }
            _ => {}
        }
    }

    /// A watch has fired on the server. Returns whether it was one of these; it is gone now.
    pub(super) fn fire(&mut self, event: &WatchEvent) -> bool {
        let path = &event.path;
        match event.kind {
            WatchEventKind::NodeCreated | WatchEventKind::NodeDataChanged => {
                let data = self.data.remove(path);
                self.exist.remove(path) || data
            }
            WatchEventKind::NodeChildrenChanged => self.child.remove(path),
            WatchEventKind::NodeDeleted => {
                let data = self.data.remove(path);
                let exist = self.exist.remove(path);
                self.child.remove(path) || exist || data
            }
        }
    }

    /// The request that sets them again on a new connection, if there are any.
    pub(super) fn to_set_again(&self, relative_zxid: Zxid) -> Option<ZooKeeperRequest> {
        if self.data.is_empty() && self.exist.is_empty() && self.child.is_empty() {
            return None;
        }
        let list = |paths: &BTreeSet<ZnodePath>| paths.iter().cloned().collect();
        let (data, exist, child) = (list(&self.data), list(&self.exist), list(&self.child));
        Some(ZooKeeperRequest::SetWatches { relative_zxid, data, exist, child })
    }
}
