//! A tree of znodes with one client's watches: as much of ZooKeeper as a controller can tell.

use acklab_vocab::api::{ZooKeeperOperation, ZooKeeperReply, ZooKeeperRequest};
use acklab_vocab::zookeeper::{
    CreateMode, SessionId, WatchEvent, WatchEventKind, ZnodeData, ZnodePath, ZnodeStat,
    ZooKeeperError, Zxid,
};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Default)]
pub struct Tree {
    nodes: BTreeMap<ZnodePath, (ZnodeData, ZnodeStat)>,
    zxid: u32,
    data_watches: BTreeSet<ZnodePath>,
    child_watches: BTreeSet<ZnodePath>,
    fired: Vec<WatchEvent>,
}

type Reply = Result<ZooKeeperReply, ZooKeeperError>;

impl Tree {
    pub fn zxid(&self) -> Zxid {
        Zxid::new(1, self.zxid)
    }

    pub fn get(&self, path: &ZnodePath) -> Option<&(ZnodeData, ZnodeStat)> {
        self.nodes.get(path)
    }

    /// Watches that have fired since the last time.
    pub fn take_fired(&mut self) -> Vec<WatchEvent> {
        std::mem::take(&mut self.fired)
    }

    /// The session that had set them is gone.
    pub fn forget_watches(&mut self) {
        self.data_watches.clear();
        self.child_watches.clear();
        self.fired.clear();
    }

    /// Makes a znode, unless it is there.
    pub fn create(&mut self, path: ZnodePath, data: ZnodeData, owner: Option<SessionId>) {
        if !self.nodes.contains_key(&path) {
            self.zxid += 1;
            self.insert(path, data, owner);
        }
    }

    pub fn write(&mut self, path: &ZnodePath, data: ZnodeData) {
        self.zxid += 1;
        self.set(path, data);
    }

    pub fn delete(&mut self, path: &ZnodePath) {
        if self.nodes.contains_key(path) {
            self.zxid += 1;
            self.remove(path);
        }
    }

    pub fn end_session(&mut self, session: SessionId) {
        self.zxid += 1;
        let ephemeral = |(path, (_, stat)): (&ZnodePath, &(_, ZnodeStat))| {
            (stat.ephemeral_owner == Some(session)).then(|| path.clone())
        };
        let gone: Vec<_> = self.nodes.iter().filter_map(ephemeral).collect();
        gone.iter().for_each(|path| self.remove(path));
    }

    pub fn handle(&mut self, request: &ZooKeeperRequest, session: SessionId) -> Reply {
        match request {
            ZooKeeperRequest::Operation(operation) => {
                self.zxid += u32::from(is_write(operation));
                self.operate(operation, session)
            }
            ZooKeeperRequest::Multi(operations) => {
                let before = self.clone();
                self.zxid += 1;
                let mut replies = Vec::new();
                for (index, operation) in operations.iter().enumerate() {
                    match self.operate(operation, session) {
                        Ok(reply) => replies.push(reply),
                        Err(error) => {
                            *self = before;
                            let operation = index as u32;
                            return Ok(ZooKeeperReply::MultiFailed { operation, error });
                        }
                    }
                }
                Ok(ZooKeeperReply::Multi(replies))
            }
            other => panic!("not asked of a tree: {other:?}"),
        }
    }

    fn operate(&mut self, operation: &ZooKeeperOperation, session: SessionId) -> Reply {
        match operation {
            ZooKeeperOperation::Create { path, data, mode } => {
                let parent = path.parent().expect("not the root");
                if self.nodes.contains_key(path) {
                    return Err(ZooKeeperError::NodeExists);
                }
                if parent != ZnodePath::root() && !self.nodes.contains_key(&parent) {
                    return Err(ZooKeeperError::NoNode);
                }
                let owner = (*mode == CreateMode::Ephemeral).then_some(session);
                let stat = self.insert(path.clone(), data.clone(), owner);
                Ok(ZooKeeperReply::Created(path.clone(), stat))
            }
            ZooKeeperOperation::Delete { path, version } => {
                self.check(path, *version)?;
                self.remove(path);
                Ok(ZooKeeperReply::Ok)
            }
            ZooKeeperOperation::SetData { path, data, version } => {
                self.check(path, *version)?;
                Ok(ZooKeeperReply::Stat(self.set(path, data.clone())))
            }
            ZooKeeperOperation::Check { path, version } => {
                self.check(path, Some(*version))?;
                Ok(ZooKeeperReply::Ok)
            }
            ZooKeeperOperation::Exists { path, watch } => {
                if *watch {
                    self.data_watches.insert(path.clone());
                }
                Ok(ZooKeeperReply::Exists(self.nodes.get(path).map(|(_, stat)| *stat)))
            }
            ZooKeeperOperation::GetData { path, watch } => {
                let (data, stat) = self.nodes.get(path).ok_or(ZooKeeperError::NoNode)?;
                if *watch {
                    self.data_watches.insert(path.clone());
                }
                Ok(ZooKeeperReply::Data(data.clone(), *stat))
            }
            ZooKeeperOperation::GetChildren { path, watch } => {
                let (_, stat) = self.nodes.get(path).ok_or(ZooKeeperError::NoNode)?;
                if *watch {
                    self.child_watches.insert(path.clone());
                }
                let is_child = |child: &&ZnodePath| child.parent().as_ref() == Some(path);
                let names = self.nodes.keys().filter(is_child).map(|child| child.name().into());
                Ok(ZooKeeperReply::Children(names.collect(), *stat))
            }
        }
    }

    fn check(&self, path: &ZnodePath, version: Option<u32>) -> Result<(), ZooKeeperError> {
        let (_, stat) = self.nodes.get(path).ok_or(ZooKeeperError::NoNode)?;
        let good = version.is_none_or(|version| version == stat.version);
        if good { Ok(()) } else { Err(ZooKeeperError::BadVersion) }
    }

    fn insert(
        &mut self,
        path: ZnodePath,
        data: ZnodeData,
        ephemeral_owner: Option<SessionId>,
    ) -> ZnodeStat {
        let zxid = self.zxid();
        let stat = ZnodeStat { czxid: zxid, mzxid: zxid, version: 0, cversion: 0, ephemeral_owner };
        self.fire(&path, WatchEventKind::NodeCreated);
        self.nodes.insert(path, (data, stat));
        stat
    }

    fn set(&mut self, path: &ZnodePath, data: ZnodeData) -> ZnodeStat {
        let mzxid = self.zxid();
        let (held, stat) = self.nodes.get_mut(path).expect("a znode");
        *held = data;
        stat.mzxid = mzxid;
        stat.version += 1;
        let stat = *stat;
        self.fire(path, WatchEventKind::NodeDataChanged);
        stat
    }

    fn remove(&mut self, path: &ZnodePath) {
        self.nodes.remove(path);
        self.fire(path, WatchEventKind::NodeDeleted);
    }

    fn fire(&mut self, path: &ZnodePath, kind: WatchEventKind) {
        if self.data_watches.remove(path) {
            self.fired.push(WatchEvent { kind, path: path.clone() });
        }
        let parent = path.parent().expect("not the root");
        if kind != WatchEventKind::NodeDataChanged && self.child_watches.remove(&parent) {
            let kind = WatchEventKind::NodeChildrenChanged;
            self.fired.push(WatchEvent { kind, path: parent });
        }
    }
}

fn is_write(operation: &ZooKeeperOperation) -> bool {
    matches!(
        operation,
        ZooKeeperOperation::Create { .. }
            | ZooKeeperOperation::Delete { .. }
            | ZooKeeperOperation::SetData { .. }
    )
}
