//! Leader epochs of a log: where the records of each leader begin.
//!
//! Mirrors `LeaderEpochFileCache` (KIP-101, KIP-279). The entries live in the log's file on the
//! [`Disk`](crate::disk::Disk), as `leader-epoch-checkpoint` does; here are only the decisions
//! about them. Entries ascend strictly in both epoch and offset.
//!
//! Left out: the file's asynchronous flush after a truncation (3.8+). An entry that outlives its
//! records is cut when the log is opened, so nobody can tell the difference.

use acklab_vocab::api::EpochEndOffset;
use acklab_vocab::ids::{LeaderEpoch, Offset};

/// One entry: an epoch and the offset of the first record that its leader wrote or could write.
pub type EpochEntry = (LeaderEpoch, Offset);

/// Records that `epoch` begins at `start` (`LeaderEpochFileCache.assign`).
///
/// Nothing changes if the latest entry is of the same epoch and does not begin later. Otherwise
/// entries at the end that conflict, of the same or a newer epoch or beginning at or after
/// `start`, give way to the new one.
pub fn assign(entries: &mut Vec<EpochEntry>, epoch: LeaderEpoch, start: Offset) {
    if let Some(&(latest, latest_start)) = entries.last()
        && latest == epoch
        && latest_start <= start
    {
        return;
    }
    while entries.last().is_some_and(|&(other, begins)| other >= epoch || begins >= start) {
        entries.pop();
    }
    entries.push((epoch, start));
}

/// Drops entries that begin at or after `end` (`truncateFromEnd`).
pub fn truncate_from_end(entries: &mut Vec<EpochEntry>, end: Offset) {
    while entries.last().is_some_and(|&(_, begins)| begins >= end) {
        entries.pop();
    }
}

/// Drops entries that end at or before `start`; the one that spans it begins there from now on
/// (`truncateFromStart`).
pub fn truncate_from_start(entries: &mut Vec<EpochEntry>, start: Offset) {
    let passed = entries.partition_point(|&(_, begins)| begins <= start);
    if passed > 0 {
        entries[passed - 1].1 = start;
        entries.drain(..passed - 1);
    }
}

/// The largest epoch that is not above `requested`, and its end: the start of the next epoch, or
/// `log_end` for the latest (`endOffsetFor`, 2.0+).
///
/// `None` if `requested` is newer than every epoch known, or none is known. An epoch older than
/// every known one ends where the first known begins: its own records are gone.
#[must_use]
pub fn end_offset_for(
    entries: &[EpochEntry],
    log_end: Offset,
    requested: LeaderEpoch,
) -> Option<EpochEndOffset> {
    let &(latest, _) = entries.last()?;
    if requested == latest {
        return Some(EpochEndOffset { leader_epoch: latest, end_offset: log_end });
    }
    let higher = entries.partition_point(|&(epoch, _)| epoch <= requested);
    let &(_, end_offset) = entries.get(higher)?;
    let leader_epoch = if higher == 0 { requested } else { entries[higher - 1].0 };
    Some(EpochEndOffset { leader_epoch, end_offset })
}

/// As [`end_offset_for`], but as 0.11 to 1.x answered, before KIP-279: the answer does not name
/// the epoch, so the asker takes it for its own, and there is none for an epoch older than every
/// known one.
#[must_use]
pub fn end_offset_without_epoch(
    entries: &[EpochEntry],
    log_end: Offset,
    requested: LeaderEpoch,
) -> Option<EpochEndOffset> {
    let &(first, _) = entries.first()?;
    if requested < first {
        return None;
    }
    let end = end_offset_for(entries, log_end, requested)?;
    Some(EpochEndOffset { leader_epoch: requested, ..end })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(of: &[(u32, u64)]) -> Vec<EpochEntry> {
        of.iter().map(|&(epoch, start)| (LeaderEpoch(epoch), Offset(start))).collect()
    }

    fn answer(epoch: u32, end: u64) -> Option<EpochEndOffset> {
        Some(EpochEndOffset { leader_epoch: LeaderEpoch(epoch), end_offset: Offset(end) })
    }

    #[test]
    fn assign_appends_ignores_or_replaces() {
        type Entries = &'static [(u32, u64)];
        let cases: &[(Entries, (u32, u64), Entries)] = &[
            (&[], (3, 0), &[(3, 0)]),
            (&[], (3, 10), &[(3, 10)]),
            (&[(1, 0)], (2, 10), &[(1, 0), (2, 10)]),
            // The same epoch goes on.
            (&[(1, 0), (2, 10)], (2, 15), &[(1, 0), (2, 10)]),
            (&[(1, 0), (2, 10)], (2, 10), &[(1, 0), (2, 10)]),
            // The same epoch from further back, as after a truncation.
            (&[(1, 0), (2, 10)], (2, 7), &[(1, 0), (2, 7)]),
            // A leader that wrote nothing leaves an entry; the next one begins at the same offset.
            (&[(1, 0), (2, 10)], (3, 10), &[(1, 0), (3, 10)]),
            // A newer epoch that begins before older ones replaces them.
            (&[(1, 0), (2, 10), (3, 20)], (4, 5), &[(1, 0), (4, 5)]),
            // An older epoch at a higher offset: the log moved back to an older leader's records.
            (&[(1, 0), (3, 10)], (2, 12), &[(1, 0), (2, 12)]),
            (&[(3, 10)], (1, 0), &[(1, 0)]),
        ];
        for &(before, (epoch, start), after) in cases {
            let mut cache = entries(before);
            assign(&mut cache, LeaderEpoch(epoch), Offset(start));
            assert_eq!(cache, entries(after), "{before:?} + ({epoch}, {start})");
        }
    }

    #[test]
    fn an_epoch_ends_where_the_next_begins() {
        let cache = entries(&[(2, 5), (4, 10), (7, 20)]);
        let cases = [
            (0, answer(0, 5), None),
            (1, answer(1, 5), None),
            (2, answer(2, 10), answer(2, 10)),
            (3, answer(2, 10), answer(3, 10)),
            (4, answer(4, 20), answer(4, 20)),
            (6, answer(4, 20), answer(6, 20)),
            (7, answer(7, 33), answer(7, 33)),
            (8, None, None),
        ];
        for (epoch, named, unnamed) in cases {
            let requested = LeaderEpoch(epoch);
            assert_eq!(end_offset_for(&cache, Offset(33), requested), named, "{epoch}");
            assert_eq!(end_offset_without_epoch(&cache, Offset(33), requested), unnamed, "{epoch}");
        }
        assert_eq!(end_offset_for(&[], Offset(33), LeaderEpoch(0)), None);
        assert_eq!(end_offset_without_epoch(&[], Offset(33), LeaderEpoch(0)), None);
    }

    #[test]
    fn truncation_drops_what_begins_at_or_after_the_end() {
        let all: &[(u32, u64)] = &[(2, 5), (4, 10), (7, 20)];
        for (end, kept) in [(21, 3), (20, 2), (11, 2), (10, 1), (6, 1), (5, 0), (0, 0)] {
            let mut cache = entries(all);
            truncate_from_end(&mut cache, Offset(end));
            assert_eq!(cache, entries(&all[..kept]), "{end}");
        }
    }

    #[test]
    fn a_start_within_an_epoch_becomes_its_start() {
        let cases: &[(u64, &[(u32, u64)])] = &[
            (0, &[(2, 5), (4, 10)]),
            (5, &[(2, 5), (4, 10)]),
            (7, &[(2, 7), (4, 10)]),
            (10, &[(4, 10)]),
            (15, &[(4, 15)]),
        ];
        for &(start, after) in cases {
            let mut cache = entries(&[(2, 5), (4, 10)]);
            truncate_from_start(&mut cache, Offset(start));
            assert_eq!(cache, entries(after), "{start}");
        }
    }
}
