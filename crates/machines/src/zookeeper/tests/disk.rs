//! The transaction log on disk: what a loss of power leaves of it.

use crate::disk::{Disk, FlushTarget};
use acklab_vocab::api::{ZooKeeperChange, ZooKeeperTransaction};
use acklab_vocab::ids::ZooKeeperServerId;
use acklab_vocab::time::SimTime;
use acklab_vocab::zookeeper::{SessionId, Zxid};
use std::sync::Arc;

fn transaction(counter: u32) -> Arc<ZooKeeperTransaction> {
    Arc::new(ZooKeeperTransaction {
        zxid: Zxid::new(1, counter),
        session: SessionId(1),
        origin: (ZooKeeperServerId(1), 0),
        change: ZooKeeperChange::CloseSession { expired: false },
    })
}

#[test]
fn power_loss_keeps_what_was_flushed() {
    let mut disk = Disk::default();
    disk.zookeeper_log.append(transaction(1));
    disk.zookeeper_log.append(transaction(2));
    let extent = disk.extent(FlushTarget::ZooKeeperLog);
    disk.zookeeper_log.append(transaction(3));
    disk.mark_flushed(FlushTarget::ZooKeeperLog, extent);
    assert_eq!(disk.zookeeper_log.flushed_zxid(), Zxid::new(1, 2));
    disk.zookeeper_epochs.accepted = 4;
    disk.lose_power(SimTime::NEVER);
    assert_eq!(
        disk.zookeeper_log.last_zxid(),
        Zxid::new(1, 2),
        "nothing is written back by itself"
    );
    assert_eq!(disk.zookeeper_epochs.accepted, 4);
}

#[test]
fn a_flush_does_not_cover_what_was_written_after_a_truncation() {
    let mut disk = Disk::default();
    (1..=3).for_each(|counter| disk.zookeeper_log.append(transaction(counter)));
    let extent = disk.extent(FlushTarget::ZooKeeperLog);
    disk.zookeeper_log.truncate(Zxid::new(1, 1));
    disk.zookeeper_log.append(transaction(5));
    disk.mark_flushed(FlushTarget::ZooKeeperLog, extent);
    assert_eq!(disk.zookeeper_log.flushed_zxid(), Zxid::new(1, 1));
    let after: Vec<_> = disk.zookeeper_log.after(Zxid::new(1, 0)).map(|entry| entry.zxid).collect();
    assert_eq!(after, [Zxid::new(1, 1), Zxid::new(1, 5)]);
    assert_eq!(disk.zookeeper_log.last_up_to(Zxid::new(1, 4)), Zxid::new(1, 1));
    disk.lose_power(SimTime::NEVER);
    assert_eq!(disk.zookeeper_log.last_zxid(), Zxid::new(1, 1));
}
