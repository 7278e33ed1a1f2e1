//! Whatever the brokers answer, and whenever: the reader neither breaks nor skips.

use super::*;
use proptest::prelude::*;

/// What happens next to a reader of two partitions.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// The oldest request, modulo the number waiting, is answered.
    Answer { which: usize, error: Option<ErrorCode>, records: usize },
    /// The connection of that request is lost.
    Close { which: usize },
    /// A partition gets another leader.
    Elect { partition: usize, leader: Option<u16> },
    /// Time passes until the next timer.
    Wake,
}

fn event() -> impl Strategy<Value = Event> {
    let errors = prop::sample::select(vec![
        ErrorCode::NotLeaderOrFollower,
        ErrorCode::FencedLeaderEpoch,
        ErrorCode::UnknownLeaderEpoch,
        ErrorCode::OffsetOutOfRange,
        ErrorCode::OffsetNotAvailable,
        ErrorCode::UnknownTopicOrPartition,
    ]);
    prop_oneof![
        8 => (0..9_usize, prop::option::weighted(0.3, errors), 0..3_usize)
            .prop_map(|(which, error, records)| Event::Answer { which, error, records }),
        1 => (0..9_usize).prop_map(|which| Event::Close { which }),
        1 => (0..2_usize, prop::option::weighted(0.8, 1..3_u16))
            .prop_map(|(partition, leader)| Event::Elect { partition, leader }),
        3 => Just(Event::Wake),
    ]
}

impl World {
    fn happen(&mut self, event: Event) {
        match event {
            Event::Answer { which, error, records } if !self.waiting.is_empty() => {
                self.answer_oldest(which, error.unwrap_or_default(), records);
            }
            Event::Close { which } if !self.waiting.is_empty() => {
                let (connection, ..) = self.waiting[which % self.waiting.len()];
                self.waiting.retain(|entry| entry.0 != connection);
                self.input(Input::Closed(connection, CloseReason::Reset));
            }
            Event::Answer { .. } | Event::Close { .. } => {}
            Event::Elect { partition, leader } => {
                let entry = &mut self.leaders[partition];
                *entry = (entry.0, leader.map(BrokerId), entry.2.next());
            }
            Event::Wake => {
                if self.wake_at.is_some() {
                    self.wake();
                }
            }
        }
    }

    /// Answers the oldest request on the connection of request number `which`.
    fn answer_oldest(&mut self, which: usize, error: ErrorCode, records: usize) {
        let (connection, ..) = self.waiting[which % self.waiting.len()];
        let mut waiting = self.waiting.iter();
        let place = waiting.position(|entry| entry.0 == connection).expect("it was chosen");
        if matches!(self.waiting[place].2, Request::Metadata(_)) {
            return self.answer_metadata();
        }
        let (connection, correlation, request) = self.waiting.remove(place);
        let response = match request {
            Request::Fetch(fetch) => answer_to_fetch(&fetch, error, records).into_response(),
            Request::ListOffsets(list) => {
                let answer = |&(partition, ..): &(TopicPartition, _, _)| {
                    let (offset, leader_epoch) = (Offset(records as u64), LeaderEpoch(4));
                    PartitionListOffsetsResponse { partition, error, offset, leader_epoch }
                };
                let partitions = list.partitions.iter().map(answer).collect();
                ListOffsetsResponse { partitions }.into_response()
            }
            Request::OffsetsForLeaderEpoch(asked) => {
                let answer = |&(partition, _, leader_epoch): &(TopicPartition, _, LeaderEpoch)| {
                    let end_offset = Offset(10 * records as u64);
                    let end = EpochEndOffset { leader_epoch, end_offset };
                    (partition, error, Some(end).filter(|_| records > 0))
                };
                let partitions = asked.partitions.iter().map(answer).collect();
                OffsetsForLeaderEpochResponse { partitions }.into_response()
            }
            other => panic!("{other:?}"),
        };
        let response = Box::new(response);
        self.input(Input::Response { connection, correlation, response });
    }

    fn fetches_in_flight_per_broker(&self) -> usize {
        let fetches = |broker: u16| {
            let is_one =
                |entry: &&(u16, Request)| entry.0 == broker && matches!(entry.1, Request::Fetch(_));
            self.waiting().iter().filter(is_one).count()
        };
        fetches(1).max(fetches(2))
    }
}

fn answer_to_fetch(request: &FetchRequest, error: ErrorCode, records: usize) -> FetchResponse {
    let answers = request.partitions.iter().filter(|_| records > 0).map(|asked| {
        let epoch = asked.current_leader_epoch.map_or(0, |epoch| epoch.0);
        match error {
            ErrorCode::None => {
                let batch = batch(asked.fetch_offset.0, records, epoch);
                fetched(asked.partition, &[batch])
            }
            error => refused(asked.partition, error),
        }
    });
    FetchResponse { partitions: answers.collect() }
}

/// Every record returned begins where the last one, or the last reset, left off.
fn check_continuity(facts: &[TraceEvent], next: &mut [Option<Offset>; 2]) {
    for fact in facts {
        match fact {
            TraceEvent::RecordsRead { partition, from, batch, .. } => {
                let next = &mut next[usize::from(partition.partition.0)];
                assert_eq!(*next, Some(*from));
                assert!((batch.base_offset..batch.next_offset()).contains(from));
                *next = Some(batch.next_offset());
            }
            TraceEvent::PositionReset { partition, from, to, .. } => {
                let next = &mut next[usize::from(partition.partition.0)];
                assert_eq!(next, from);
                *next = Some(*to);
            }
            other => panic!("{other:?}"),
        }
    }
}

proptest! {
    #[test]
    fn records_are_returned_without_gaps(
        events in prop::collection::vec(event(), 0..200),
        old in any::<bool>(),
    ) {
        let version = if old { KafkaVersion::new(2, 0, 0) } else { MODERN };
        let mut world = World::new(config(version), &[P0, P1]);
        let mut next = [None; 2];
        for event in events {
            world.happen(event);
            check_continuity(&world.facts(), &mut next);
            prop_assert!(world.fetches_in_flight_per_broker() <= 1);
        }
    }

    /// Brokers that answer well again are all it takes: nothing stays stuck.
    #[test]
    fn a_reader_recovers(events in prop::collection::vec(event(), 0..100)) {
        let mut world = World::new(config(MODERN), &[P0, P1]);
        for event in events {
            world.happen(event);
        }
        for entry in &mut world.leaders {
            *entry = (entry.0, Some(BrokerId(1)), entry.2.next());
        }
        world.facts();
        for _ in 0..40 {
            while let Some(place) = world.waiting.iter().position(is_no_fetch) {
                world.answer_oldest(place, ErrorCode::None, 1);
            }
            for place in 0..world.waiting.len().min(2) {
                world.answer_oldest(place, ErrorCode::None, 1);
            }
            world.wake();
        }
        let read = world.facts().iter().rev().take(60).fold([false; 2], |mut read, fact| {
            if let TraceEvent::RecordsRead { partition, .. } = fact {
                read[usize::from(partition.partition.0)] = true;
            }
            read
        });
        prop_assert_eq!(read, [true; 2]);
    }
}

fn is_no_fetch(entry: &(ConnectionId, CorrelationId, Request)) -> bool {
    !matches!(entry.2, Request::Fetch(_))
}
