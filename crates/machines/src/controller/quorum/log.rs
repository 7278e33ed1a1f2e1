//! Questions about a metadata log that need nothing but its entries (`ReplicatedLog`,
//! `KafkaMetadataLog`).
//!
//! Offsets are indexes and epochs never fall along the log, so every answer is a binary search.
//! There are no snapshots: the log of a run is short, and a reader that starts at 0 finds
//! everything.

use acklab_vocab::ids::{ControllerEpoch, MetadataOffset};
use acklab_vocab::metadata_log::MetadataEntry;
use std::sync::Arc;

/// Epoch of the last entry; 0 for an empty log.
#[must_use]
pub fn last_epoch(entries: &[Arc<MetadataEntry>]) -> ControllerEpoch {
    entries.last().map_or(ControllerEpoch(0), |entry| entry.epoch)
}

/// The largest epoch up to `epoch` that has entries, and the offset after its last one; `(0, 0)` if
/// there is none.
#[must_use]
pub fn end_offset_for_epoch(
    entries: &[Arc<MetadataEntry>],
    epoch: ControllerEpoch,
) -> (ControllerEpoch, MetadataOffset) {
    let end = entries.partition_point(|entry| entry.epoch <= epoch);
    (last_epoch(&entries[..end]), MetadataOffset(end as u64))
}

/// Whether a log that ends at `offset` with an entry of `epoch` is a prefix of this one; if not,
/// where the two part as far as this log can tell (`ReplicatedLog.validateOffsetAndEpoch`).
#[must_use]
pub fn diverging(
    entries: &[Arc<MetadataEntry>],
    offset: MetadataOffset,
    epoch: ControllerEpoch,
) -> Option<(ControllerEpoch, MetadataOffset)> {
    if offset == MetadataOffset(0) {
        return None;
    }
    let (known_epoch, end) = end_offset_for_epoch(entries, epoch);
    (known_epoch != epoch || end < offset).then_some((known_epoch, end))
}

/// Where a follower cuts its log when the leader names `diverging`
/// (`ReplicatedLog.truncateToEndOffset`).
#[must_use]
pub fn truncation_offset(
    entries: &[Arc<MetadataEntry>],
    diverging: (ControllerEpoch, MetadataOffset),
) -> MetadataOffset {
    let (leader_epoch, leader_end) = diverging;
    let (own_epoch, own_end) = end_offset_for_epoch(entries, leader_epoch);
    if own_epoch == leader_epoch { own_end.min(leader_end) } else { own_end }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(epochs: &[u32]) -> Vec<Arc<MetadataEntry>> {
        let entry = |(offset, &epoch): (usize, &u32)| {
            Arc::new(MetadataEntry {
                offset: MetadataOffset(offset as u64),
                epoch: ControllerEpoch(epoch),
                records: Vec::new(),
            })
        };
        epochs.iter().enumerate().map(entry).collect()
    }

    #[test]
    fn a_fetch_is_told_where_its_log_parts() {
        let leader = log(&[1, 1, 3, 3]);
        let cases = [
            // (fetch offset, last fetched epoch, diverging)
            (0, 0, None),
            (2, 1, None),
            (3, 3, None),
            (4, 3, None),
            (5, 3, Some((3, 4))),
            (3, 1, Some((1, 2))),
            (3, 2, Some((1, 2))),
            (1, 0, Some((0, 0))),
        ];
        for (offset, epoch, expected) in cases {
            let answer = diverging(&leader, MetadataOffset(offset), ControllerEpoch(epoch));
            let expected = expected.map(|(e, o)| (ControllerEpoch(e), MetadataOffset(o)));
            assert_eq!(answer, expected, "fetch at {offset} in epoch {epoch}");
        }
    }

    #[test]
    fn a_follower_cuts_what_the_leader_cannot_have() {
        let cases: [(&[u32], (u32, u64), u64); 4] = [
            (&[1, 1, 1], (1, 2), 2),
            (&[1, 1, 2, 2], (1, 2), 2),
            (&[1, 2, 2], (3, 5), 3),
            (&[2, 2], (0, 0), 0),
        ];
        for (epochs, (epoch, end), expected) in cases {
            let named = (ControllerEpoch(epoch), MetadataOffset(end));
            assert_eq!(truncation_offset(&log(epochs), named), MetadataOffset(expected));
        }
    }
}
