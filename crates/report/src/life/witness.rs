//! Follows records through a run: their lives as [`explain`](acklab_verdict::explain) tells them,
//! each step with the event that it belongs to.

use acklab_verdict::{Anomaly, AnomalyKind, Biographer, Life, Verdict, names};
use acklab_vocab::ids::{EventId, NodeId, TopicPartition};
use acklab_vocab::record::RecordBatch;
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::{Edge, Observer, RunHeader, Stamped, TraceEvent};
use std::sync::Arc;

use super::deed::Deed;
use super::edges::Causality;

/// One step in a record's life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// When.
    pub at: SimTime,
    /// In which event.
    pub event: EventId,
    /// Which process states it.
    pub node: NodeId,
    /// What it is; none for what only says how things stand.
    pub deed: Option<Deed>,
    /// Who, as the life names them; empty for how things stand.
    pub place: String,
    /// What, in words.
    pub text: String,
    /// Which brokers hold the record from then on, if that has changed.
    pub holders: Option<String>,
}

/// A process ended, began, stood still or went on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// When.
    pub at: SimTime,
    /// In which event.
    pub event: EventId,
    /// Which process.
    pub node: NodeId,
    /// Which of the four.
    pub deed: Deed,
}

/// Follows several records, and the causes of all events from the first one's creation on.
#[derive(Debug)]
pub struct Witnesses {
    causality: Causality,
    is_awake: bool,
    turns: Vec<Turn>,
    all: Vec<Witness>,
}

impl Witnesses {
    /// Follows the records of these anomalies.
    #[must_use]
    pub fn new(anomalies: &[Anomaly]) -> Self {
        let all = anomalies.iter().cloned().map(Witness::new).collect();
        let (causality, turns) = (Causality::default(), Vec::new());
        Witnesses { causality, is_awake: false, turns, all }
    }

    /// What they have seen, and which event led to which.
    #[must_use]
    pub fn finish(mut self, verdict: &Verdict) -> (Causality, Vec<Seen>) {
        self.causality.finish();
        let turns: Arc<[Turn]> = self.turns.into();
        let seen = |witness: Witness| witness.finish(verdict, Arc::clone(&turns));
        (self.causality, self.all.into_iter().map(seen).collect())
    }
}

/// A record's life with its events.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What is wrong with it.
    pub anomaly: Anomaly,
    /// Its life, with its end in sentences.
    pub life: Life,
    /// The steps, each with its event.
    pub steps: Vec<Step>,
    /// Of all processes, from before the record was created.
    pub turns: Arc<[Turn]>,
}

impl Observer for Witnesses {
    fn begin(&mut self, header: &RunHeader) {
        self.all.iter_mut().for_each(|witness| witness.begin(header));
    }

    fn observe(&mut self, stamped: &Stamped) {
        self.causality.observe(stamped);
        let deed = Deed::of(&stamped.event);
        if matches!(deed, Deed::Stopped | Deed::Started | Deed::Paused | Deed::Resumed) {
            let (at, event, node) = (stamped.at, stamped.cause, stamped.node);
            self.turns.push(Turn { at, event, node, deed });
        }
        for witness in &mut self.all {
            self.is_awake |= witness.observe(stamped);
        }
    }

    fn edge(&mut self, edge: &Edge) {
        if !self.is_awake {
            // Only the event in which a record is created matters; it is the last one then.
            self.causality.forget();
        }
        self.causality.edge(edge);
    }

    const WANTS_EDGES: bool = true;
}

#[derive(Debug)]
struct Witness {
    anomaly: Anomaly,
    biographer: Biographer,
    header: Option<RunHeader>,
    steps: Vec<Step>,
}

impl Witness {
    fn new(anomaly: Anomaly) -> Self {
        let biographer = Biographer::new(anomaly.record).of_group(anomaly.group);
        Witness { anomaly, biographer, header: None, steps: Vec::new() }
    }

    fn begin(&mut self, header: &RunHeader) {
        self.biographer.begin(header);
        self.header = Some(header.clone());
    }

    /// Whether the life has begun.
    fn observe(&mut self, stamped: &Stamped) -> bool {
        let before = self.biographer.lines().len();
        self.biographer.observe(stamped);
        for line in &self.biographer.lines()[before..] {
            self.steps.push(Step {
                at: line.at,
                event: stamped.cause,
                node: stamped.node,
                deed: (!line.place.is_empty()).then(|| Deed::of(&stamped.event)),
                place: line.place.clone(),
                text: line.text.clone(),
                holders: line.holders.clone(),
            });
        }
        self.look_for_the_later_record(stamped);
        !self.steps.is_empty()
    }

    /// A reordered record stands behind a later one: how that came there is part of the story.
    fn look_for_the_later_record(&mut self, stamped: &Stamped) {
        let TraceEvent::Appended { partition, batch } = &stamped.event else { return };
        if self.anomaly.kind != AnomalyKind::Reordered || Some(*partition) != self.anomaly.partition
        {
            return;
        }
        let Some(text) = self.overtakes(batch, *partition) else { return };
        // Where several leaders wrote at that offset, the last one counts.
        self.steps.retain(|step| step.deed != Some(Deed::Overtaken));
        let header = self.header.as_ref().expect("the run has begun");
        self.steps.push(Step {
            at: stamped.at,
            event: stamped.cause,
            node: stamped.node,
            deed: Some(Deed::Overtaken),
            place: names::speaker(header, stamped),
            text,
            holders: None,
        });
    }

    /// What to say if the batch holds the later record that the anomaly names.
    fn overtakes(&self, batch: &RecordBatch, partition: TopicPartition) -> Option<String> {
        let offset = self.anomaly.evidence.other_offset?;
        let index = offset.0.checked_sub(batch.base_offset.0)?;
        let later = batch.records().get(usize::try_from(index).ok()?)?.id;
        let mine = self.anomaly.record;
        if later.producer != mine.producer || later.sequence <= mine.sequence {
            return None;
        }
        let header = self.header.as_ref()?;
        let (later, place) = (names::record(header, later), names::partition(header, partition));
        Some(format!("a later record, {later}, is appended before it, at {place}@{offset}"))
    }

    fn finish(self, verdict: &Verdict, turns: Arc<[Turn]>) -> Seen {
        let life = self.biographer.finish(verdict);
        Seen { anomaly: self.anomaly, life, steps: self.steps, turns }
    }
}
