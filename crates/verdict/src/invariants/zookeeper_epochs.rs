//! One leader per epoch of the ZooKeeper ensemble, and epochs rise.
//!
//! Mirrors the discovery phase of ZAB (`Leader.getEpochToPropose`, `waitForEpochAck`): a new leader
//! takes an epoch that no quorum has accepted before.

use acklab_vocab::ids::ZooKeeperServerId;

use super::Invariant;

/// See the module.
pub static INVARIANT: Invariant = Invariant {
    name: "zookeeper_epochs",
    claim: "an epoch of the ensemble has at most one leader, and each leader's epoch is newer than the ones before",
    source: "ZAB (Junqueira, Reed, Serafini 2011); Leader.getEpochToPropose",
    suspended_by: &[],
};

/// `server` leads `epoch`; `earlier` led before it.
#[must_use]
pub fn check(
    earlier: &[(u32, ZooKeeperServerId)],
    epoch: u32,
    server: ZooKeeperServerId,
) -> Option<String> {
    let (newest, other) = earlier.iter().max_by_key(|(epoch, _)| *epoch)?;
    (epoch <= *newest).then(|| {
        format!("server {server} leads epoch {epoch} of the ensemble, after server {other} led epoch {newest}")
    })
}
