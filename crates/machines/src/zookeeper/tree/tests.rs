use super::*;
use acklab_vocab::ids::{BrokerId, ZooKeeperServerId};

/// A tree to which one session's requests are prepared and applied, one after another.
#[derive(Default)]
struct Log {
    tree: DataTree,
}

const SESSION: SessionId = SessionId(7);

fn path(text: &str) -> ZnodePath {
    ZnodePath::new(text)
}

fn create(text: &str, mode: CreateMode) -> ZooKeeperOperation {
    ZooKeeperOperation::Create { path: path(text), data: ZnodeData::Empty, mode }
}

fn delete(text: &str, version: Option<u32>) -> ZooKeeperOperation {
    ZooKeeperOperation::Delete { path: path(text), version }
}

fn set(text: &str, version: Option<u32>) -> ZooKeeperOperation {
    let data = ZnodeData::Controller { broker: BrokerId(1) };
    ZooKeeperOperation::SetData { path: path(text), data, version }
}

fn check(text: &str, version: u32) -> ZooKeeperOperation {
    ZooKeeperOperation::Check { path: path(text), version }
}

use CreateMode::{Ephemeral, Persistent, PersistentSequential};
use ZooKeeperError::{BadVersion, NoChildrenForEphemerals, NoNode, NodeExists, NotEmpty};

impl Log {
    fn change(&mut self, change: ZooKeeperChange) -> Applied {
        let zxid = Zxid(self.tree.last_zxid().0 + 1);
        let origin = (ZooKeeperServerId(1), 0);
        self.tree.apply(&ZooKeeperTransaction { zxid, session: SESSION, origin, change })
    }

    fn all(
        &mut self,
        operations: &[ZooKeeperOperation],
    ) -> Result<Vec<ZooKeeperReply>, (ZooKeeperError, u32)> {
        let prepared = self.tree.prepare(SESSION, operations)?;
        self.change(ZooKeeperChange::Write(prepared)).replies
    }

    fn one(&mut self, operation: ZooKeeperOperation) -> Result<ZooKeeperReply, ZooKeeperError> {
        match self.all(&[operation]) {
            Ok(mut replies) => Ok(replies.remove(0)),
            Err((error, operation)) => {
                assert_eq!(operation, 0);
                Err(error)
            }
        }
    }

    fn stat(&self, text: &str) -> ZnodeStat {
        self.tree.get(&path(text)).expect("it exists").stat
    }
}

#[test]
fn every_operation_fails_as_it_must() {
    let mut log = Log::default();
    assert!(log.one(create("/a", Persistent)).is_ok());
    assert!(log.one(create("/a/b", Persistent)).is_ok());
    assert!(log.one(create("/e", Ephemeral)).is_ok());
    let table = [
        (create("/a", Persistent), Err(NodeExists)),
        (create("/", Persistent), Err(NodeExists)),
        (create("/x/y", Persistent), Err(NoNode)),
        (create("/e/child", Persistent), Err(NoChildrenForEphemerals)),
        (delete("/x", None), Err(NoNode)),
        (delete("/a", None), Err(NotEmpty)),
        (delete("/a/b", Some(1)), Err(BadVersion)),
        (set("/x", None), Err(NoNode)),
        (set("/a", Some(3)), Err(BadVersion)),
        (check("/a", 1), Err(BadVersion)),
        (check("/x", 0), Err(NoNode)),
        (check("/a", 0), Ok(ZooKeeperReply::Ok)),
        (delete("/a/b", Some(0)), Ok(ZooKeeperReply::Ok)),
        (delete("/a", None), Ok(ZooKeeperReply::Ok)),
    ];
    for (operation, expected) in table {
        assert_eq!(log.one(operation.clone()), expected, "{operation:?}");
    }
}

#[test]
fn versions_count_writes_and_changes_of_children() {
    let mut log = Log::default();
    assert!(log.one(create("/a", Persistent)).is_ok());
    let stat = log.stat("/a");
    assert_eq!((stat.czxid, stat.mzxid, stat.version), (Zxid(1), Zxid(1), 0));
    assert!(log.one(set("/a", Some(0))).is_ok());
    assert!(log.one(set("/a", Some(1))).is_ok());
    assert_eq!(log.one(set("/a", Some(1))), Err(BadVersion));
    assert!(log.one(create("/a/b", Persistent)).is_ok());
    assert!(log.one(delete("/a/b", None)).is_ok());
    let stat = log.stat("/a");
    assert_eq!((stat.czxid, stat.mzxid, stat.version), (Zxid(1), Zxid(3), 2));
    assert_eq!(stat.cversion, 2);
    let node = log.tree.get(&path("/a")).unwrap();
    assert_eq!(node.children_zxid(), log.tree.last_zxid());
}

#[test]
fn sequential_names_never_come_twice() {
    let mut log = Log::default();
    assert!(log.one(create("/q", Persistent)).is_ok());
    for number in 0..3 {
        let reply = log.one(create("/q/n_", PersistentSequential)).unwrap();
        let ZooKeeperReply::Created(made, _) = reply else { panic!("{reply:?}") };
        assert_eq!(made, path(&format!("/q/n_{number:010}")));
        assert!(log.one(delete(made.as_str(), None)).is_ok());
    }
    let pair = [create("/q/n_", PersistentSequential), create("/q/n_", PersistentSequential)];
    let Ok(made) = log.all(&pair) else { panic!() };
    let names: Vec<_> = made
        .iter()
        .map(|reply| match reply {
            ZooKeeperReply::Created(path, _) => path.name().to_owned(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(names, ["n_0000000003", "n_0000000004"]);
}

#[test]
fn a_multi_sees_what_it_has_done_so_far_and_leaves_nothing_if_it_fails() {
    let mut log = Log::default();
    assert!(log.one(create("/a", Persistent)).is_ok());
    let before = log.tree.clone();
    let table = [
        (vec![set("/a", Some(0)), set("/a", Some(0))], (BadVersion, 1)),
        (vec![create("/a/b", Persistent), delete("/a", None)], (NotEmpty, 1)),
        (vec![delete("/a", None), create("/a/b", Persistent)], (NoNode, 1)),
        (vec![create("/e", Ephemeral), create("/e/x", Persistent)], (NoChildrenForEphemerals, 1)),
        (vec![check("/a", 0), create("/b", Persistent), create("/b", Persistent)], (NodeExists, 2)),
    ];
    for (operations, expected) in table {
        assert_eq!(log.all(&operations), Err(expected), "{operations:?}");
        assert_eq!(log.tree, before);
    }
    let works = [
        set("/a", Some(0)),
        set("/a", Some(1)),
        create("/a/b", Persistent),
        delete("/a/b", None),
        delete("/a", Some(2)),
        create("/a", Ephemeral),
    ];
    assert_eq!(log.all(&works).map(|replies| replies.len()), Ok(6));
    assert_eq!(log.stat("/a").ephemeral_owner, Some(SESSION));
    assert_eq!(log.stat("/a").czxid, log.tree.last_zxid());
}

#[test]
fn a_session_takes_its_ephemeral_znodes_along_in_one_transaction() {
    let mut log = Log::default();
    let opened = Session { timeout: SimDuration::from_secs(6), client: NodeId(9) };
    let Session { timeout, client } = opened;
    let applied = log.change(ZooKeeperChange::CreateSession { timeout, client });
    assert_eq!(applied.events, [TreeEvent::SessionOpened(SESSION, opened)]);
    for (text, mode) in [("/p", Persistent), ("/p/1", Ephemeral), ("/p/2", Ephemeral)] {
        assert!(log.one(create(text, mode)).is_ok());
    }
    assert!(log.one(delete("/p/1", None)).is_ok());
    let applied = log.change(ZooKeeperChange::CloseSession { expired: true });
    let gone = TreeEvent::Deleted(path("/p/2"), ZnodeData::Empty);
    assert_eq!(applied.events, [gone, TreeEvent::SessionEnded(SESSION, opened)]);
    assert_eq!(log.stat("/p").cversion, 4);
    let again = log.change(ZooKeeperChange::CloseSession { expired: false });
    assert_eq!(again.events, [], "a session ends once");
}
