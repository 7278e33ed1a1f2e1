//! Whatever the coordinator and the leader answer, and whenever: the consumer neither breaks, nor
//! spins, nor skips, and every call of the application returns.

use super::*;
use acklab_vocab::config::ConsumerLibrary;
use proptest::prelude::*;

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// The oldest request on the connection of that request, modulo the number waiting, is
    /// answered.
    Answer { which: usize, error: Option<ErrorCode> },
    /// The connection of that request is lost.
    Lose { which: usize },
    /// There is another coordinator, or none.
    Elect(Option<u16>),
    /// Time passes, in milliseconds.
    Pass(u64),
    /// The application does something, if it is not waiting for a call.
    Act(usize),
}

fn event() -> impl Strategy<Value = Event> {
    let errors = prop::sample::select(vec![
        ErrorCode::NotCoordinator,
        ErrorCode::CoordinatorLoadInProgress,
        ErrorCode::CoordinatorNotAvailable,
        ErrorCode::UnknownMemberId,
        ErrorCode::IllegalGeneration,
        ErrorCode::RebalanceInProgress,
        ErrorCode::MemberIdRequired,
        ErrorCode::GroupIdNotFound,
    ]);
    prop_oneof![
        10 => (0..9_usize, prop::option::weighted(0.25, errors))
            .prop_map(|(which, error)| Event::Answer { which, error }),
        1 => (0..9_usize).prop_map(|which| Event::Lose { which }),
        1 => prop::option::weighted(0.7, 1..3_u16).prop_map(Event::Elect),
        4 => prop_oneof![1..200_u64, 200..4_000_u64, 4_000..40_000_u64].prop_map(Event::Pass),
        6 => (0..6_usize).prop_map(Event::Act),
    ]
}

fn any_config() -> impl Strategy<Value = ConsumerSetup> {
    let version = prop::sample::select(vec![
        KafkaVersion::new(0, 10, 0),
        KafkaVersion::new(1, 1, 0),
        KafkaVersion::new(2, 4, 0),
        MODERN,
    ]);
    let library = prop::sample::select(vec![
        ConsumerLibrary::Java,
        ConsumerLibrary::Java,
        ConsumerLibrary::Librdkafka,
        ConsumerLibrary::KafkaPython,
    ]);
    (version, library, any::<bool>(), any::<bool>(), prop::bool::weighted(0.1)).prop_map(
        |(version, library, auto, cooperative, assigns_itself)| {
            let assignors = match cooperative {
                true => vec![Assignor::CooperativeSticky],
                false => vec![Assignor::Range],
            };
            let auto_commit = auto.then(|| millis(5_000));
            let config = MemberConfig { library, auto_commit, assignors, ..config(version) };
            ConsumerSetup { assigns_itself, ..setup(config) }
        },
    )
}

/// The application: what it waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Waiting {
    poll: bool,
    commit: bool,
    listener: bool,
}

struct Random {
    bench: Bench,
    waiting: Waiting,
    generation: u32,
    /// Where each partition is to be read on, if that is known.
    next: [Option<u64>; 2],
}

impl Random {
    fn happen(&mut self, event: Event) -> Result<(), TestCaseError> {
        match event {
            Event::Answer { which, error } => {
                self.generation += 1;
                self.bench.answer_any(which, error, self.generation);
            }
            Event::Lose { which } => self.bench.lose_any(which),
            Event::Elect(coordinator) => self.bench.coordinator = coordinator,
            Event::Pass(duration) => {
                let woken = self.bench.pass_counting(millis(duration));
                // Retries come every 50 ms at most, on two connections.
                prop_assert!(woken < 200 + duration / 10, "{woken} in {duration} ms");
            }
            Event::Act(which) => self.act(which),
        }
        self.observe()
    }

    fn act(&mut self, which: usize) {
        let Waiting { poll, commit, listener } = self.waiting;
        if commit {
            return;
        }
        match which {
            0 => {
                self.waiting.commit = true;
                self.bench.commit_sync();
            }
            1 => self.bench.commit_async(),
            2 if !poll => self.bench.call(ConsumerCall::SeekToCommitted),
            _ if listener => {
                self.waiting.listener = false;
                self.bench.call(ConsumerCall::ListenerReturned);
            }
            _ if !poll => {
                self.waiting.poll = true;
                self.bench.poll(1_000);
            }
            _ => {}
        }
    }

    fn observe(&mut self) -> Result<(), TestCaseError> {
        for did in self.bench.did() {
            match did {
                Did::Report(ConsumerReport::Polled(_) | ConsumerReport::Failed(_)) => {
                    prop_assert!(self.waiting.poll);
                    self.waiting.poll = false;
                }
                Did::Report(ConsumerReport::Committed(_)) => {
                    prop_assert!(self.waiting.commit);
                    self.waiting.commit = false;
                }
                Did::Report(ConsumerReport::Revoked { .. } | ConsumerReport::Assigned { .. }) => {
                    prop_assert!(!self.waiting.listener);
                    self.waiting.listener = true;
                }
                Did::State(TraceEvent::RecordsRead { partition, from, to, .. }) => {
                    let next = &mut self.next[usize::from(partition.partition.0)];
                    prop_assert_eq!(*next, Some(from.0), "{}", partition.partition);
                    *next = Some(to.0);
                }
                Did::State(
                    TraceEvent::PositionFromCommitted { partition, to, .. }
                    | TraceEvent::PositionReset { partition, to, .. },
                ) => self.next[usize::from(partition.partition.0)] = Some(to.0),
                Did::State(TraceEvent::PartitionsRevoked { partitions, .. }) => {
                    for partition in &partitions[..] {
                        self.next[usize::from(partition.partition.0)] = None;
                    }
                }
                Did::Report(_) | Did::State(_) | Did::Send(_) => {}
            }
        }
        Ok(())
    }

    /// From now on everybody answers well, and time passes.
    fn calm_down(&mut self) -> Result<(), TestCaseError> {
        self.bench.coordinator = Some(2);
        for _ in 0..200 {
            let is_idle = !self.waiting.poll && !self.waiting.commit;
            if is_idle && !self.waiting.listener {
                return Ok(());
            }
            while self.bench.has_waiting() {
                self.generation += 1;
                self.bench.answer_any(0, None, self.generation);
                self.observe()?;
                if self.waiting.listener {
                    self.waiting.listener = false;
                    self.bench.call(ConsumerCall::ListenerReturned);
                }
                self.observe()?;
                if self.bench.waits_for_records_only() {
                    break;
                }
            }
            if self.waiting.listener {
                self.waiting.listener = false;
                self.bench.call(ConsumerCall::ListenerReturned);
            }
            self.bench.pass(millis(500));
            self.observe()?;
        }
        prop_assert!(false, "a call never returns: {:?} {:?}", self.waiting, self.bench.consumer);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    #[test]
    fn nothing_breaks_it(setup in any_config(), events in prop::collection::vec(event(), 1..240)) {
        let bench = Bench::new(setup);
        let waiting = Waiting::default();
        let mut random = Random { bench, waiting, generation: 0, next: [None; 2] };
        for event in events {
            random.happen(event)?;
        }
        random.calm_down()?;
        random.bench.call(ConsumerCall::Close);
        random.bench.pass(secs(31));
        for _ in 0..2 {
            random.bench.call(ConsumerCall::ListenerReturned);
            random.bench.pass(secs(31));
        }
        let reports = random.bench.reports();
        prop_assert_eq!(reports.last(), Some(&ConsumerReport::Closed));
    }
}
