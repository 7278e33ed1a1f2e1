//! A group's committed offset is the last one in its coordinator's log.
//!
//! Source: `OffsetMetadataManager.replay`, `GroupMetadataManager.putCacheCallback`; KIP-98 for
//! offsets in a transaction, which count from its commit marker on and never if it is aborted. A new
//! coordinator has what its log has: what the log lost is lost, which is another matter.

use acklab_vocab::ids::Offset;

use super::Invariant;

/// The property of an offset that becomes visible.
pub static INVARIANT: Invariant = Invariant {
    name: "committed_offset_explained",
    claim: "committed offsets become visible in the order of the coordinator's log",
    source: "OffsetMetadataManager.replay; KIP-98",
    suspended_by: &[],
};

/// The property of a new coordinator.
pub static LOADED: Invariant = Invariant {
    name: "committed_offset_loaded",
    claim: "a coordinator that has read its log has the offsets of that log",
    source: "CoordinatorLoaderImpl, GroupMetadataManager.loadGroupsAndOffsets",
    suspended_by: &[],
};

/// Whether the log explains an offset that became visible.
#[must_use]
pub fn check(offset: Offset, is_in_log: bool) -> Option<String> {
    let text = || format!("{offset} is committed, which is not in the log behind the last one");
    (!is_in_log).then(text)
}

/// What a coordinator has read, against what its log may be taken for.
#[must_use]
pub fn check_loaded(stated: Option<Offset>, possible: &[Option<Offset>]) -> Option<String> {
    let show = |offset: Option<Offset>| {
        offset.map_or_else(|| "nothing".to_owned(), |offset| offset.to_string())
    };
    let is_possible = possible.contains(&stated) || (possible.is_empty() && stated.is_none());
    (!is_possible).then(|| {
        let log = possible.last().copied().flatten();
        format!("loaded {} as committed, the log says {}", show(stated), show(log))
    })
}
