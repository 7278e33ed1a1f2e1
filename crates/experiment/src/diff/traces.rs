//! Two traces beside each other: the first fact that differs, and the first of each stream.
//!
//! Both are read in the order of time, so what has to be remembered is only by how much one side's
//! stream is ahead of the other's.

use super::streams::{InBatch, Key, Splitter, Stream, Value};
use acklab_verdict::{names, sentences};
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::{RunHeader, SendOutcome, Stamped, TraceEvent};
use std::collections::{BTreeMap, VecDeque};
use std::iter::Peekable;
use std::sync::Arc;

/// Where two histories part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parting {
    /// In which kind of fact; `None` if any counts.
    pub stream: Option<Stream>,
    /// When: the earlier of both sides' facts.
    pub at: SimTime,
    /// What happened on the first side; `None` if nothing more did.
    pub first: Option<Told>,
    /// What happened on the second side; `None` if nothing more did.
    pub second: Option<Told>,
}

/// A fact in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// When it happened.
    pub at: SimTime,
    /// What, with its subject.
    pub text: String,
}

/// What comparing two traces comes to.
#[derive(Clone, Debug, Default)]
pub(super) struct Traces {
    /// So many facts at the beginning are the same.
    pub(super) same: u64,
    /// The first that is not.
    pub(super) divergence: Option<Parting>,
    /// The first of each kind that is not, in the order of time.
    pub(super) partings: Vec<Parting>,
}

/// Compares two traces, to their ends.
pub(super) fn compare(
    first: impl Iterator<Item = Stamped>,
    second: impl Iterator<Item = Stamped>,
    headers: (Option<RunHeader>, Option<RunHeader>),
) -> Traces {
    let (first, second) = (first.peekable(), second.peekable());
    match headers {
        (Some(one), Some(other)) => {
            let splitters = [Splitter::new(one), Splitter::new(other)];
            Comparison { splitters, tracks: BTreeMap::new(), parted: BTreeMap::new() }
                .run(first, second)
        }
        // Neither side may wait for a listener for ever.
        _ => {
            first.for_each(drop);
            second.for_each(drop);
            Traces::default()
        }
    }
}

/// A fact on one side, and the record of it that counts.
#[derive(Clone, Debug)]
struct Item {
    value: Value,
    fact: Arc<Stamped>,
    place: Option<InBatch>,
}

/// One stream: what one side has stated and the other has not yet.
#[derive(Debug, Default)]
struct Track {
    /// The second side is the one ahead.
    second_is_ahead: bool,
    ahead: VecDeque<Item>,
    /// The sides differ here; what comes after does not count.
    has_parted: bool,
}

struct Comparison {
    splitters: [Splitter; 2],
    tracks: BTreeMap<Key, Track>,
    parted: BTreeMap<Stream, Parting>,
}

impl Comparison {
    fn run(
        mut self,
        mut first: Peekable<impl Iterator<Item = Stamped>>,
        mut second: Peekable<impl Iterator<Item = Stamped>>,
    ) -> Traces {
        let mut same = 0;
        let divergence = loop {
            match (first.next(), second.next()) {
                (None, None) => return Traces { same, ..Traces::default() },
                (Some(one), Some(other)) if is_same(&one, &other) => {
                    // Streams only need to know how partitions stand.
                    self.splitters[0].split(&one, |_, _, _| {});
                    self.splitters[1].split(&other, |_, _, _| {});
                    same += 1;
                }
                (one, other) => break (one, other),
            }
        };
        let (one, other) = divergence;
        let tell = |side: usize, fact: &Option<Stamped>| {
            fact.as_ref().map(|fact| told(&self.splitters[side], fact, None))
        };
        let divergence = parting(None, tell(0, &one), tell(1, &other));
        let mut held = [one, other];
        loop {
            for (side, held) in held.iter_mut().enumerate() {
                if held.is_none() {
                    *held = if side == 0 { first.next() } else { second.next() };
                }
            }
            let side = match &held {
                [Some(one), Some(other)] => usize::from(other.at < one.at),
                [Some(_), None] => 0,
                [None, Some(_)] => 1,
                [None, None] => break,
            };
            if let Some(fact) = held[side].take() {
                self.take(side, fact);
            }
        }
        self.finish(same, divergence)
    }

    fn take(&mut self, side: usize, fact: Stamped) {
        let fact = Arc::new(fact);
        let mut items = Vec::new();
        self.splitters[side].split(&fact, |key, value, place| {
            items.push((key, Item { value, fact: Arc::clone(&fact), place }));
        });
        for (key, item) in items {
            self.follow(side, key, item);
        }
    }

    fn follow(&mut self, side: usize, key: Key, item: Item) {
        let track = self.tracks.entry(key).or_default();
        if track.has_parted {
            return;
        }
        let is_second = side == 1;
        if track.ahead.is_empty() || track.second_is_ahead == is_second {
            track.second_is_ahead = is_second;
            track.ahead.push_back(item);
            return;
        }
        let Some(awaited) = track.ahead.pop_front() else { return };
        if awaited.value != item.value {
            track.has_parted = true;
            track.ahead = VecDeque::new();
            let pair =
                if is_second { [Some(awaited), Some(item)] } else { [Some(item), Some(awaited)] };
            self.part(key.0, pair);
        }
    }

    /// Of each kind, the earliest counts.
    fn part(&mut self, stream: Stream, pair: [Option<Item>; 2]) {
        let tell = |side: usize| {
            let item = pair[side].as_ref()?;
            Some(told(&self.splitters[side], &item.fact, item.place))
        };
        let Some(parting) = parting(Some(stream), tell(0), tell(1)) else { return };
        if self.parted.get(&stream).is_none_or(|known| parting.at < known.at) {
            self.parted.insert(stream, parting);
        }
    }

    fn finish(mut self, same: u64, divergence: Option<Parting>) -> Traces {
        for (key, mut track) in std::mem::take(&mut self.tracks) {
            let Some(item) = track.ahead.pop_front() else { continue };
            let pair = if track.second_is_ahead { [None, Some(item)] } else { [Some(item), None] };
            self.part(key.0, pair);
        }
        let mut partings: Vec<Parting> = self.parted.into_values().collect();
        partings.sort_by_key(|parting| (parting.at, parting.stream));
        Traces { same, divergence, partings }
    }
}

/// The numbers of queue events may differ where nothing else does.
fn is_same(one: &Stamped, other: &Stamped) -> bool {
    one.at == other.at && one.node == other.node && one.event == other.event
}

fn parting(stream: Option<Stream>, first: Option<Told>, second: Option<Told>) -> Option<Parting> {
    let at = [&first, &second].into_iter().flatten().map(|told| told.at).min()?;
    Some(Parting { stream, at, first, second })
}

/// A fact in words; of a batch's records, the one that counts.
fn told(side: &Splitter, fact: &Stamped, place: Option<InBatch>) -> Told {
    let header = side.header();
    let text = match (&fact.event, place) {
        (TraceEvent::FaultEnded { fault }, _) => {
            side.fault(*fault).map(|what| format!("over: {what}"))
        }
        (_, Some(place)) => of_one(header, fact, place),
        (_, None) => None,
    };
    Told { at: fact.at, text: text.unwrap_or_else(|| sentences::told(header, fact)) }
}

fn of_one(header: &RunHeader, fact: &Stamped, place: InBatch) -> Option<String> {
    let who = names::speaker(header, fact);
    let record = names::record(header, place.record);
    let at = |partition| {
        let offset = place.offset.map_or_else(String::new, |offset| format!("@{offset}"));
        format!("{}{offset}", names::partition(header, partition))
    };
    Some(match &fact.event {
        TraceEvent::Appended { partition, batch } => {
            format!("{who} appends {record} at {} (epoch {})", at(*partition), batch.leader_epoch)
        }
        TraceEvent::RecordsCompleted { outcome: SendOutcome::Acked(_), .. } => {
            format!("{who} reports {record} as acked")
        }
        TraceEvent::RecordsCompleted { outcome: SendOutcome::Failed(error), .. } => {
            format!("{who} reports {record} as failed: {error}")
        }
        TraceEvent::RecordsProcessed { partition, .. } => {
            format!("{who} has processed {record} at {}", at(*partition))
        }
        _ => return None,
    })
}
