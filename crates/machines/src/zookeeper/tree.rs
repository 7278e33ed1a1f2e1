//! The tree of znodes and the sessions (`DataTree`, `ZKDatabase`), and the leader's check of what a
//! request would do to it (`PrepRequestProcessor`).

use acklab_vocab::api::{
    ZooKeeperChange, ZooKeeperOperation, ZooKeeperReply, ZooKeeperTransaction,
};
use acklab_vocab::ids::NodeId;
use acklab_vocab::time::SimDuration;
use acklab_vocab::zookeeper::{
    CreateMode, SessionId, ZnodeData, ZnodePath, ZnodeStat, ZooKeeperError, Zxid,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A znode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Znode {
    /// What it holds.
    pub data: ZnodeData,
    /// What is known of it.
    pub stat: ZnodeStat,
    /// The transaction by which a child came or went last (`pzxid`).
    children_zxid: Zxid,
    /// How many children have ever been created: the number of the next sequential one.
    created: u32,
    children: BTreeSet<Arc<str>>,
}

/// A session that has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// The timeout agreed on.
    pub timeout: SimDuration,
    /// The client's process.
    pub client: NodeId,
}

/// What a transaction has done to the tree, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TreeEvent {
    SessionOpened(SessionId, Session),
    SessionEnded(SessionId, Session),
    /// A znode was created.
    Created(ZnodePath),
    /// A znode was deleted, and held this.
    Deleted(ZnodePath, ZnodeData),
    /// A znode was written.
    Written(ZnodePath),
}

/// What a transaction came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Applied {
    pub events: Vec<TreeEvent>,
    /// One for each operation.
    pub replies: Result<Vec<ZooKeeperReply>, (ZooKeeperError, u32)>,
}

/// The tree after some transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataTree {
    nodes: BTreeMap<ZnodePath, Znode>,
    ephemerals: BTreeMap<SessionId, BTreeSet<ZnodePath>>,
    sessions: BTreeMap<SessionId, Session>,
    last_zxid: Zxid,
}

impl Default for DataTree {
    fn default() -> Self {
        let root = Znode::new(ZnodeData::Empty, Zxid::default(), None);
        DataTree {
            nodes: BTreeMap::from([(ZnodePath::root(), root)]),
            ephemerals: BTreeMap::new(),
            sessions: BTreeMap::new(),
            last_zxid: Zxid::default(),
        }
    }
}

impl Znode {
    fn new(data: ZnodeData, zxid: Zxid, ephemeral_owner: Option<SessionId>) -> Znode {
        Znode {
            data,
            stat: ZnodeStat { czxid: zxid, mzxid: zxid, version: 0, cversion: 0, ephemeral_owner },
            children_zxid: zxid,
            created: 0,
            children: BTreeSet::new(),
        }
    }

    pub(super) const fn children_zxid(&self) -> Zxid {
        self.children_zxid
    }

    fn child_changed(&mut self, zxid: Zxid) {
        self.children_zxid = zxid;
        self.stat.cversion += 1;
    }
}

impl DataTree {
    /// The last transaction in it.
    #[must_use]
    pub const fn last_zxid(&self) -> Zxid {
        self.last_zxid
    }

    /// A znode.
    #[must_use]
    pub fn get(&self, path: &ZnodePath) -> Option<&Znode> {
        self.nodes.get(path)
    }

    /// Every znode, by path.
    pub fn iter(&self) -> impl Iterator<Item = (&ZnodePath, &Znode)> {
        self.nodes.iter()
    }

    /// The sessions that have not ended.
    pub fn sessions(&self) -> impl Iterator<Item = (SessionId, Session)> {
        self.sessions.iter().map(|(&id, &session)| (id, session))
    }

    /// Whether a session has not ended.
    #[must_use]
    pub fn has_session(&self, session: SessionId) -> bool {
        self.sessions.contains_key(&session)
    }

    /// Answers a read.
    ///
    /// # Panics
    /// If the operation writes.
    pub(super) fn read(
        &self,
        operation: &ZooKeeperOperation,
    ) -> Result<ZooKeeperReply, ZooKeeperError> {
        let find = |path| self.get(path).ok_or(ZooKeeperError::NoNode);
        match operation {
            ZooKeeperOperation::Exists { path, .. } => {
                Ok(ZooKeeperReply::Exists(self.get(path).map(|node| node.stat)))
            }
            ZooKeeperOperation::GetData { path, .. } => {
                find(path).map(|node| ZooKeeperReply::Data(node.data.clone(), node.stat))
            }
            ZooKeeperOperation::GetChildren { path, .. } => find(path).map(|node| {
                ZooKeeperReply::Children(node.children.iter().cloned().collect(), node.stat)
            }),
            ZooKeeperOperation::Create { .. }
            | ZooKeeperOperation::Delete { .. }
            | ZooKeeperOperation::SetData { .. }
            | ZooKeeperOperation::Check { .. } => unreachable!("{operation:?} is no read"),
        }
    }

    /// What `operations` of a session may be logged as: all of them, names complete, or why not and
    /// which.
    pub(super) fn prepare(
        &self,
        session: SessionId,
        operations: &[ZooKeeperOperation],
    ) -> Result<Vec<ZooKeeperOperation>, (ZooKeeperError, u32)> {
        let mut draft = Draft { tree: self, changed: BTreeMap::new() };
        let mut prepared = Vec::with_capacity(operations.len());
        for (index, operation) in operations.iter().enumerate() {
            let one = draft.prepare(session, operation).map_err(|error| (error, index as u32))?;
            prepared.push(one);
        }
        Ok(prepared)
    }

    /// Applies the next transaction.
    pub(super) fn apply(&mut self, transaction: &ZooKeeperTransaction) -> Applied {
        assert!(transaction.zxid > self.last_zxid, "transactions are applied once and in order");
        self.last_zxid = transaction.zxid;
        let mut events = Vec::new();
        let session = transaction.session;
        let mut replies = Ok(Vec::new());
        match &transaction.change {
            ZooKeeperChange::CreateSession { timeout, client } => {
                let opened = Session { timeout: *timeout, client: *client };
                self.sessions.insert(session, opened);
                events.push(TreeEvent::SessionOpened(session, opened));
            }
            ZooKeeperChange::CloseSession { .. } => self.end_session(session, &mut events),
            ZooKeeperChange::Write(operations) => {
                let each = |operation| self.write(transaction, operation, &mut events);
                replies = Ok(operations.iter().map(each).collect());
            }
            ZooKeeperChange::Error { error, operation } => replies = Err((*error, *operation)),
        }
        Applied { events, replies }
    }

    fn end_session(&mut self, session: SessionId, events: &mut Vec<TreeEvent>) {
        for path in self.ephemerals.remove(&session).unwrap_or_default() {
            self.delete(&path, events);
        }
        if let Some(ended) = self.sessions.remove(&session) {
            events.push(TreeEvent::SessionEnded(session, ended));
        }
    }

    fn write(
        &mut self,
        transaction: &ZooKeeperTransaction,
        operation: &ZooKeeperOperation,
        events: &mut Vec<TreeEvent>,
    ) -> ZooKeeperReply {
        let zxid = transaction.zxid;
        match operation {
            ZooKeeperOperation::Create { path, data, mode } => {
                let ephemeral = *mode == CreateMode::Ephemeral;
                let owner = ephemeral.then_some(transaction.session);
                let node = Znode::new(data.clone(), zxid, owner);
                let stat = node.stat;
                let parent = path.parent().and_then(|parent| self.nodes.get_mut(&parent));
                let parent = parent.expect("the leader has found the parent");
                parent.children.insert(path.name().into());
                parent.created += 1;
                parent.child_changed(zxid);
                if ephemeral {
                    self.ephemerals.entry(transaction.session).or_default().insert(path.clone());
                }
                self.nodes.insert(path.clone(), node);
                events.push(TreeEvent::Created(path.clone()));
                ZooKeeperReply::Created(path.clone(), stat)
            }
            ZooKeeperOperation::Delete { path, .. } => {
                self.delete(path, events);
                ZooKeeperReply::Ok
            }
            ZooKeeperOperation::SetData { path, data, .. } => {
                let node = self.nodes.get_mut(path).expect("the leader has found it");
                node.data = data.clone();
                node.stat.version += 1;
                node.stat.mzxid = zxid;
                events.push(TreeEvent::Written(path.clone()));
                ZooKeeperReply::Stat(node.stat)
            }
            ZooKeeperOperation::Check { .. } => ZooKeeperReply::Ok,
            ZooKeeperOperation::Exists { .. }
            | ZooKeeperOperation::GetData { .. }
            | ZooKeeperOperation::GetChildren { .. } => unreachable!("{operation:?} is no write"),
        }
    }

    fn delete(&mut self, path: &ZnodePath, events: &mut Vec<TreeEvent>) {
        let Some(node) = self.nodes.remove(path) else { return };
        if let Some(owned) = node.stat.ephemeral_owner.and_then(|s| self.ephemerals.get_mut(&s)) {
            owned.remove(path);
        }
        if let Some(parent) = path.parent().and_then(|parent| self.nodes.get_mut(&parent)) {
            parent.children.remove(path.name());
            parent.child_changed(self.last_zxid);
        }
        events.push(TreeEvent::Deleted(path.clone(), node.data));
    }
}

/// A znode as a multi has left it so far (`ChangeRecord`).
#[derive(Clone, Copy, Debug)]
struct Sketch {
    version: u32,
    created: u32,
    children: usize,
    ephemeral: bool,
}

/// The tree as a multi has left it so far. `None`: deleted.
struct Draft<'a> {
    tree: &'a DataTree,
    changed: BTreeMap<ZnodePath, Option<Sketch>>,
}

impl Draft<'_> {
    fn find(&self, path: &ZnodePath) -> Result<Sketch, ZooKeeperError> {
        if let Some(sketch) = self.changed.get(path) {
            return sketch.ok_or(ZooKeeperError::NoNode);
        }
        let node = self.tree.get(path).ok_or(ZooKeeperError::NoNode)?;
        Ok(Sketch {
            version: node.stat.version,
            created: node.created,
            children: node.children.len(),
            ephemeral: node.stat.ephemeral_owner.is_some(),
        })
    }

    fn check(&self, path: &ZnodePath, version: Option<u32>) -> Result<Sketch, ZooKeeperError> {
        let sketch = self.find(path)?;
        match version {
            Some(version) if version != sketch.version => Err(ZooKeeperError::BadVersion),
            _ => Ok(sketch),
        }
    }

    fn prepare(
        &mut self,
        session: SessionId,
        operation: &ZooKeeperOperation,
    ) -> Result<ZooKeeperOperation, ZooKeeperError> {
        match operation {
            ZooKeeperOperation::Create { path, data, mode } => {
                let path = self.create(path, *mode)?;
                Ok(ZooKeeperOperation::Create { path, data: data.clone(), mode: *mode })
            }
            ZooKeeperOperation::Delete { path, version } => {
                let sketch = self.check(path, *version)?;
                if sketch.children > 0 {
                    return Err(ZooKeeperError::NotEmpty);
                }
                let parent = path.parent().ok_or(ZooKeeperError::NotEmpty)?;
                let above = self.find(&parent)?;
                let children = above.children.saturating_sub(1);
                self.changed.insert(parent, Some(Sketch { children, ..above }));
                self.changed.insert(path.clone(), None);
                Ok(operation.clone())
            }
            ZooKeeperOperation::SetData { path, version, .. } => {
                let sketch = self.check(path, *version)?;
                let written = Sketch { version: sketch.version + 1, ..sketch };
                self.changed.insert(path.clone(), Some(written));
                Ok(operation.clone())
            }
            ZooKeeperOperation::Check { path, version } => {
                self.check(path, Some(*version))?;
                Ok(operation.clone())
            }
            ZooKeeperOperation::Exists { .. }
            | ZooKeeperOperation::GetData { .. }
            | ZooKeeperOperation::GetChildren { .. } => {
                unreachable!("session {session} asks for {operation:?} in a multi")
            }
        }
    }

    fn create(&mut self, path: &ZnodePath, mode: CreateMode) -> Result<ZnodePath, ZooKeeperError> {
        let parent = path.parent().ok_or(ZooKeeperError::NodeExists)?;
        let above = self.find(&parent)?;
        let path = match mode {
            CreateMode::PersistentSequential => {
                ZnodePath::new(format!("{path}{:010}", above.created))
            }
            CreateMode::Persistent | CreateMode::Ephemeral => path.clone(),
        };
        if self.find(&path).is_ok() {
            return Err(ZooKeeperError::NodeExists);
        }
        if above.ephemeral {
            return Err(ZooKeeperError::NoChildrenForEphemerals);
        }
        let (created, children) = (above.created + 1, above.children + 1);
        self.changed.insert(parent, Some(Sketch { created, children, ..above }));
        let ephemeral = mode == CreateMode::Ephemeral;
        let new = Sketch { version: 0, created: 0, children: 0, ephemeral };
        self.changed.insert(path.clone(), Some(new));
        Ok(path)
    }
}

#[cfg(test)]
mod tests;
