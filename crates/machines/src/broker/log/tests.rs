//! The log over a disk: appends, reads, truncation, recovery, and what must agree among replicas.

mod transactions;

use super::leader_epochs::EpochEntry;
use super::*;
use crate::disk::FlushTarget;
use acklab_vocab::ids::{BaseSequence, ProducerEpoch, ProducerId, RecordId};
use acklab_vocab::record::Record;
use acklab_vocab::version::KafkaVersion;
use proptest::prelude::*;

const ORDERS: TopicPartition = TopicPartition::new(0, 0);
const NOW: SimTime = SimTime::ZERO;
const EXPIRATION: SimDuration = SimDuration::from_secs(60);
const RECORD_BYTES: u32 = 100;

fn config() -> TopicConfig {
    TopicConfig {
        min_insync_replicas: 1,
        unclean_leader_election: false,
        max_message_bytes: 1_000,
        segment_bytes: 1 << 30,
        flush_messages: u64::MAX,
        flush_interval: SimDuration::MAX,
    }
}

fn rules() -> ProtocolRules {
    ProtocolRules::of(KafkaVersion::new(3, 9, 0))
}

/// A log with its disk.
#[derive(Clone, Debug)]
struct Replica {
    disk: Disk,
    log: Log,
}

impl Replica {
    fn new() -> Self {
        Replica::with(&config(), rules())
    }

    fn with(config: &TopicConfig, rules: ProtocolRules) -> Self {
        let mut disk = Disk::default();
        let log = Log::open(&mut disk, ORDERS, rules, config, EXPIRATION, NOW);
        Replica { disk, log }
    }

    /// Opens the log anew, as a restarted broker does.
    fn reopen(&mut self) {
        self.log = Log::open(&mut self.disk, ORDERS, rules(), &config(), EXPIRATION, NOW);
    }

    fn lead(&mut self, epoch: u32, batch: &ProducerBatch) -> Result<Append, ErrorCode> {
        self.log.append_as_leader(&mut self.disk, NOW, LeaderEpoch(epoch), batch, None)
    }

    /// Appends batches of so many records each, without producer ids, and returns them.
    fn write(&mut self, epoch: u32, counts: &[usize]) -> Vec<Arc<RecordBatch>> {
        let appended = counts.iter().map(|&count| match self.lead(epoch, &plain(count)) {
            Ok(Append::Appended(batch)) => batch,
            other => panic!("{other:?}"),
        });
        appended.collect()
    }

    fn follow(&mut self, batch: &Arc<RecordBatch>) -> Arc<RecordBatch> {
        self.log.append_as_follower(&mut self.disk, NOW, Arc::clone(batch))
    }

    fn become_leader(&mut self, epoch: u32) {
        let start = self.log.end_offset();
        self.log.assign_epoch_start(&mut self.disk, LeaderEpoch(epoch), start);
    }

    fn truncate(&mut self, to: u64) -> Option<Offset> {
        self.log.truncate_to(&mut self.disk, Offset(to), NOW)
    }

    fn epochs(&self) -> Vec<(u32, u64)> {
        let entries = &self.disk.log(self.log.id()).leader_epochs;
        entries.iter().map(|&(epoch, start)| (epoch.0, start.0)).collect()
    }

    /// What the log's file holds: batches and epochs.
    fn content(&self) -> (&[Arc<RecordBatch>], &[EpochEntry]) {
        let file = self.disk.log(self.log.id());
        (file.batches(), &file.leader_epochs)
    }

    /// Offset ranges of the batches read.
    fn read(&self, from: u64, below: u64, max_bytes: u32, min_one: bool) -> Vec<(u64, u64)> {
        let read = self.log.read(&self.disk, Offset(from), Offset(below), max_bytes, min_one);
        read.iter().map(|batch| (batch.base_offset.0, batch.next_offset().0)).collect()
    }

    /// Start, high watermark and end.
    fn offsets(&self) -> (u64, u64, u64) {
        let log = &self.log;
        assert_eq!(log.end_offset(), self.disk.log(log.id()).end_offset());
        assert_eq!(log.start_offset(), self.disk.log(log.id()).start_offset());
        (log.start_offset().0, log.high_watermark().0, log.end_offset().0)
    }
}

fn plain(count: usize) -> ProducerBatch {
    let record = Record { id: RecordId::default(), attempt: 0, size: RECORD_BYTES };
    ProducerBatch {
        transactional: false,
        records: vec![record; count].into(),
        stamp: None,
        size: RECORD_BYTES * count as u32,
        max_timestamp: NOW,
    }
}

fn stamped(id: u64, epoch: u16, sequence: u32, count: usize) -> ProducerBatch {
    let base_sequence = BaseSequence(sequence);
    let stamp = ProducerStamp { id: ProducerId(id), epoch: ProducerEpoch(epoch), base_sequence };
    ProducerBatch { stamp: Some(stamp), ..plain(count) }
}

fn end(epoch: u32, offset: u64) -> Option<EpochEndOffset> {
    Some(EpochEndOffset { leader_epoch: LeaderEpoch(epoch), end_offset: Offset(offset) })
}

#[test]
fn a_leader_assigns_offsets_and_its_epoch() {
    let mut replica = Replica::new();
    let batches = replica.write(3, &[2, 5]);
    let places: Vec<_> = batches.iter().map(|b| (b.base_offset.0, b.leader_epoch.0)).collect();
    assert_eq!(places, [(0, 3), (2, 3)]);
    assert_eq!(replica.offsets(), (0, 0, 7));
    assert_eq!(replica.epochs(), [(3, 0)]);
    assert_eq!(replica.disk.log(replica.log.id()).batches(), batches);
}

#[test]
fn size_is_checked_before_the_producer() {
    let mut replica = Replica::new();
    // Eleven records are 1,100 bytes; max.message.bytes is 1,000.
    assert_eq!(replica.lead(0, &plain(11)), Err(ErrorCode::MessageTooLarge));
    assert!(replica.lead(0, &stamped(7, 1, 0, 1)).is_ok());
    assert_eq!(replica.lead(0, &stamped(7, 0, 1, 11)), Err(ErrorCode::MessageTooLarge));
    assert_eq!(replica.lead(0, &stamped(7, 0, 1, 1)), Err(ErrorCode::InvalidProducerEpoch));
    assert_eq!(replica.offsets(), (0, 0, 1));

    let small_segments = TopicConfig { segment_bytes: 500, ..config() };
    let mut replica = Replica::with(&small_segments, rules());
    assert_eq!(replica.lead(0, &plain(6)), Err(ErrorCode::RecordListTooLarge));
    assert!(replica.lead(0, &plain(5)).is_ok());
}

#[test]
fn a_duplicate_is_answered_with_its_first_offsets() {
    let mut replica = Replica::new();
    replica.write(0, &[4]);
    for sequence in [0, 3, 6] {
        assert!(matches!(replica.lead(0, &stamped(7, 0, sequence, 3)), Ok(Append::Appended(_))));
    }
    let (base_offset, next_offset) = (Offset(7), Offset(10));
    let first = Ok(Append::Duplicate { base_offset, next_offset });
    assert_eq!(replica.lead(1, &stamped(7, 0, 3, 3)), first);
    assert_eq!(replica.offsets(), (0, 0, 13));
    assert_eq!(replica.epochs(), [(0, 0)]);
}

#[test]
fn reads_return_whole_batches_within_bounds() {
    let mut replica = Replica::new();
    // Batches 0..2, 2..5, 5..6, of 200, 300 and 100 bytes.
    replica.write(0, &[2, 3, 1]);
    let all: &[(u64, u64)] = &[(0, 2), (2, 5), (5, 6)];
    type Read = (u64, u64, u32, bool);
    let cases: &[(Read, &[(u64, u64)])] = &[
        ((0, 6, 1_000, true), all),
        ((1, 6, 1_000, true), all),
        ((2, 6, 1_000, true), &all[1..]),
        ((4, 6, 1_000, true), &all[1..]),
        ((5, 6, 1_000, true), &all[2..]),
        ((6, 6, 1_000, true), &[]),
        ((9, 9, 1_000, true), &[]),
        // Up to the high watermark: a batch that it splits is not returned.
        ((0, 5, 1_000, true), &all[..2]),
        ((0, 4, 1_000, true), &all[..1]),
        ((2, 4, 1_000, true), &[]),
        ((3, 2, 1_000, true), &[]),
        // Bytes.
        ((0, 6, 600, true), all),
        ((0, 6, 599, true), &all[..2]),
        ((0, 6, 500, true), &all[..2]),
        ((0, 6, 499, true), &all[..1]),
        ((2, 6, 299, true), &all[1..2]),
        ((2, 6, 299, false), &[]),
        ((2, 6, 300, false), &all[1..2]),
        ((2, 6, 0, true), &all[1..2]),
        ((2, 6, 0, false), &[]),
    ];
    for &(read, expected) in cases {
        let (from, below, max_bytes, min_one) = read;
        assert_eq!(replica.read(from, below, max_bytes, min_one), expected, "{read:?}");
    }
    assert_eq!(Replica::new().read(0, 1, 1_000, true), []);
}

#[test]
fn the_high_watermark_stays_within_the_log() {
    let mut replica = Replica::new();
    replica.write(0, &[5]);
    assert_eq!(replica.log.set_high_watermark(Offset(3)), Offset(3));
    assert_eq!(replica.log.set_high_watermark(Offset(9)), Offset(5));
    assert_eq!(replica.log.set_high_watermark(Offset(2)), Offset(2));
    replica.log.truncate_fully_and_start_at(&mut replica.disk, Offset(20), NOW);
    assert_eq!(replica.offsets(), (20, 20, 20));
    assert_eq!(replica.log.set_high_watermark(Offset(3)), Offset(20));
}

#[test]
fn truncation_cuts_batches_epochs_and_the_high_watermark() {
    let mut replica = Replica::new();
    replica.write(1, &[5]);
    replica.write(2, &[5]);
    replica.log.set_high_watermark(Offset(8));
    assert_eq!(replica.truncate(10), None);
    assert_eq!(replica.offsets(), (0, 8, 10));
    // 7 lies within the batch 5..10: it goes as a whole, the log ends at 7 all the same.
    assert_eq!(replica.truncate(7), Some(Offset(10)));
    assert_eq!(replica.offsets(), (0, 7, 7));
    assert_eq!(replica.read(0, 7, 1_000, true), [(0, 5)]);
    assert_eq!(replica.epochs(), [(1, 0), (2, 5)]);
    assert_eq!(replica.truncate(5), Some(Offset(7)));
    assert_eq!(replica.epochs(), [(1, 0)]);
    assert_eq!(replica.truncate(0), Some(Offset(5)));
    assert_eq!(replica.offsets(), (0, 0, 0));
    assert_eq!(replica.epochs(), []);
}

#[test]
fn truncation_below_the_start_restarts_there() {
    let mut replica = Replica::new();
    replica.log.truncate_fully_and_start_at(&mut replica.disk, Offset(20), NOW);
    replica.write(1, &[5]);
    assert_eq!(replica.truncate(12), Some(Offset(25)));
    assert_eq!(replica.offsets(), (12, 12, 12));
    assert_eq!(replica.epochs(), []);
}

#[test]
fn a_truncation_of_nothing_drops_the_epoch_of_a_leader_that_wrote_nothing() {
    // KAFKA-10706: else the follower reports an epoch that no other log knows.
    let mut replica = Replica::new();
    replica.write(1, &[5]);
    replica.become_leader(2);
    assert_eq!(replica.epochs(), [(1, 0), (2, 5)]);
    assert_eq!(replica.log.latest_epoch(&replica.disk), Some(LeaderEpoch(2)));
    assert_eq!(replica.truncate(5), None);
    assert_eq!(replica.log.latest_epoch(&replica.disk), Some(LeaderEpoch(1)));
}

#[test]
fn truncated_batches_are_no_duplicates_any_more() {
    let mut replica = Replica::new();
    for sequence in [0, 3, 6] {
        assert!(replica.lead(0, &stamped(7, 0, sequence, 3)).is_ok());
    }
    assert_eq!(replica.truncate(3), Some(Offset(9)));
    let refused = Err(ErrorCode::OutOfOrderSequenceNumber);
    assert_eq!(replica.lead(1, &stamped(7, 0, 6, 3)), refused);
    assert!(matches!(replica.lead(1, &stamped(7, 0, 3, 3)), Ok(Append::Appended(_))));
}

#[test]
fn the_latest_epoch_ends_at_the_log_end() {
    let mut replica = Replica::new();
    assert_eq!(replica.log.end_offset_for(&replica.disk, LeaderEpoch(0)), None);
    replica.write(1, &[5]);
    replica.write(4, &[2]);
    let asked = |epoch| replica.log.end_offset_for(&replica.disk, LeaderEpoch(epoch));
    let answers = [asked(0), asked(1), asked(3), asked(4), asked(5)];
    assert_eq!(answers, [end(0, 0), end(1, 5), end(1, 5), end(4, 7), None]);

    let before_kip_279 = rules().with(ProtocolRule::EpochInOffsetsForLeaderEpoch, false);
    let mut replica = Replica::with(&config(), before_kip_279);
    replica.write(1, &[5]);
    replica.write(4, &[2]);
    let asked = |epoch| replica.log.end_offset_for(&replica.disk, LeaderEpoch(epoch));
    let answers = [asked(0), asked(1), asked(3), asked(4), asked(5)];
    assert_eq!(answers, [None, end(1, 5), end(3, 5), end(4, 7), None]);
}

#[test]
fn a_follower_whose_log_ends_within_the_leaders_batch_takes_the_rest_of_it() {
    let mut leader = Replica::new();
    let batch = match leader.lead(2, &stamped(7, 0, 10, 5)) {
        Ok(Append::Appended(batch)) => batch,
        other => panic!("{other:?}"),
    };
    let mut follower = Replica::new();
    follower.write(1, &[3]);
    let taken = follower.follow(&batch);
    assert_eq!((taken.base_offset, taken.next_offset()), (Offset(3), Offset(5)));
    assert_eq!(taken.size, 2 * RECORD_BYTES);
    assert_eq!(taken.stamp.map(|stamp| stamp.base_sequence), Some(BaseSequence(13)));
    assert_eq!(follower.offsets(), (0, 0, 5));
    assert_eq!(follower.epochs(), [(1, 0), (2, 3)]);
}

#[test]
fn a_time_is_found_by_the_newest_record_of_a_batch() {
    let mut replica = Replica::new();
    for (second, count) in [(10, 2), (30, 1), (20, 4)] {
        let max_timestamp = SimTime::from_millis(second * 1_000);
        assert!(replica.lead(0, &ProducerBatch { max_timestamp, ..plain(count) }).is_ok());
    }
    let cases = [(0, Some(0)), (10, Some(0)), (11, Some(2)), (30, Some(2)), (31, None)];
    for (second, expected) in cases {
        let at = SimTime::from_millis(second * 1_000);
        let found = replica.log.offset_for_timestamp(&replica.disk, at);
        assert_eq!(found, expected.map(Offset), "{second}");
    }
}

#[test]
fn a_flush_is_due_by_records_or_by_a_filled_segment() {
    let mut replica = Replica::new();
    replica.write(0, &[9, 9, 9]);
    assert!(!replica.log.take_flush_due());

    let every_ten = TopicConfig { flush_messages: 10, ..config() };
    let mut replica = Replica::with(&every_ten, rules());
    replica.write(0, &[9]);
    assert!(!replica.log.take_flush_due());
    replica.write(0, &[1]);
    assert!(replica.log.take_flush_due());
    assert!(!replica.log.take_flush_due());

    let small_segments = TopicConfig { segment_bytes: 500, ..config() };
    let mut replica = Replica::with(&small_segments, rules());
    replica.write(0, &[3, 2]);
    assert!(!replica.log.take_flush_due());
    replica.write(0, &[1]);
    assert!(replica.log.take_flush_due());
    replica.write(0, &[4]);
    assert!(!replica.log.take_flush_due());
}

#[test]
fn a_killed_process_finds_its_log_and_the_checkpointed_high_watermark() {
    let mut replica = Replica::new();
    replica.write(1, &[5]);
    assert!(replica.lead(1, &stamped(7, 0, 0, 3)).is_ok());
    replica.log.set_high_watermark(Offset(8));
    replica.disk.high_watermarks.insert(ORDERS, Offset(5));
    replica.become_leader(2);
    replica.reopen();
    assert_eq!(replica.offsets(), (0, 5, 8));
    // The epoch of the leader that wrote nothing is gone.
    assert_eq!(replica.epochs(), [(1, 0)]);
    let (base_offset, next_offset) = (Offset(5), Offset(8));
    let duplicate = Ok(Append::Duplicate { base_offset, next_offset });
    assert_eq!(replica.lead(3, &stamped(7, 0, 0, 3)), duplicate);
}

#[test]
fn power_loss_leaves_the_flushed_prefix() {
    let mut replica = Replica::new();
    assert!(replica.lead(1, &stamped(7, 0, 0, 3)).is_ok());
    let target = FlushTarget::Log(replica.log.id());
    let extent = replica.disk.extent(target);
    replica.disk.mark_flushed(target, extent);
    assert!(replica.lead(2, &stamped(7, 0, 3, 3)).is_ok());
    replica.disk.high_watermarks.insert(ORDERS, Offset(6));
    let lost = replica.disk.lose_power(SimTime(i64::MIN));
    assert_eq!(lost, [(ORDERS, Offset(3), Offset(6))]);
    replica.reopen();
    assert_eq!(replica.offsets(), (0, 3, 3));
    assert_eq!(replica.epochs(), [(1, 0)]);
    // What the lost batch held is next in order again.
    assert!(matches!(replica.lead(3, &stamped(7, 0, 3, 3)), Ok(Append::Appended(_))));
}

/// What may happen to a leader's log.
#[derive(Clone, Debug)]
enum Step {
    Plain { count: usize },
    Stamped { id: u64, count: usize },
    NewProducerEpoch { id: u64 },
    NewLeaderEpoch,
    Truncate { percent: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1..10_usize).prop_map(|count| Step::Plain { count }),
        6 => (0..3_u64, 1..10_usize).prop_map(|(id, count)| Step::Stamped { id, count }),
        1 => (0..3_u64).prop_map(|id| Step::NewProducerEpoch { id }),
        2 => Just(Step::NewLeaderEpoch),
        2 => (0..=100_u64).prop_map(|percent| Step::Truncate { percent }),
    ]
}

/// Where the batch ends that stands `percent` of the way through the log: logs part between
/// batches.
fn batch_end(replica: &Replica, percent: u64) -> u64 {
    let batches = replica.disk.log(replica.log.id()).batches();
    let count = batches.len() * percent as usize / 100;
    batches[..count].last().map_or(0, |batch| batch.next_offset().0)
}

/// Applies the steps to `replica`; producers forget nothing, so that after a truncation their next
/// sequence may be refused.
fn run(replica: &mut Replica, steps: &[Step]) {
    let mut leader_epoch = 0;
    let mut producers = [(0_u16, 0_u32); 3];
    for step in steps {
        match *step {
            Step::Plain { count } => assert!(replica.lead(leader_epoch, &plain(count)).is_ok()),
            Step::Stamped { id, count } => {
                let (epoch, sequence) = &mut producers[id as usize];
                let batch = stamped(id, *epoch, *sequence, count);
                if replica.lead(leader_epoch, &batch).is_ok() {
                    *sequence += count as u32;
                } else {
                    (*epoch, *sequence) = (*epoch + 1, 0);
                }
            }
            Step::NewProducerEpoch { id } => {
                let (epoch, sequence) = &mut producers[id as usize];
                (*epoch, *sequence) = (*epoch + 1, 0);
            }
            Step::NewLeaderEpoch => {
                leader_epoch += 1;
                replica.become_leader(leader_epoch);
            }
            Step::Truncate { percent } => {
                let to = batch_end(replica, percent);
                replica.truncate(to);
            }
        }
    }
}

/// Only the batches of `source`, copied as a follower copies them.
fn replicate(source: &Replica) -> Replica {
    let mut follower = Replica::new();
    for batch in source.disk.log(source.log.id()).batches() {
        follower.follow(batch);
    }
    follower
}

proptest! {
    #[test]
    fn a_follower_fed_by_the_leader_is_its_equal(steps in prop::collection::vec(step(), 0..60)) {
        let mut leader = Replica::new();
        run(&mut leader, &steps);
        let mut follower = replicate(&leader);
        // A leader may also know of its own epoch, without records yet.
        leader.truncate(leader.log.end_offset().0);
        prop_assert_eq!(&leader.log, &follower.log);
        prop_assert_eq!(leader.content(), follower.content());
        follower.reopen();
        prop_assert_eq!(leader.log, follower.log);
    }

    #[test]
    fn a_reopened_log_is_what_it_was_but_for_the_high_watermark(
        steps in prop::collection::vec(step(), 0..60),
        high_watermark in 0..100_u64,
        checkpoint in 0..100_u64,
    ) {
        let mut replica = Replica::new();
        run(&mut replica, &steps);
        replica.log.set_high_watermark(Offset(high_watermark));
        replica.disk.high_watermarks.insert(ORDERS, Offset(checkpoint));
        let end = replica.log.end_offset();
        replica.truncate(end.0);
        let before = replica.clone();
        replica.reopen();
        prop_assert_eq!(replica.log.high_watermark(), Offset(checkpoint).min(end));
        replica.log.set_high_watermark(before.log.high_watermark());
        prop_assert_eq!(&replica.log, &before.log);
        prop_assert_eq!(replica.disk, before.disk);
    }

    #[test]
    fn truncating_and_appending_again_equals_never_having_had_the_rest(
        before in prop::collection::vec(step(), 0..40),
        after in prop::collection::vec(1..10_usize, 0..10),
        percent in 0..=100_u64,
    ) {
        let mut truncated = Replica::new();
        run(&mut truncated, &before);
        let to = batch_end(&truncated, percent);
        truncated.truncate(to);
        let mut fresh = replicate(&truncated);
        truncated.write(99, &after);
        fresh.write(99, &after);
        prop_assert_eq!(&truncated.log, &fresh.log);
        prop_assert_eq!(truncated.content(), fresh.content());
    }
}
