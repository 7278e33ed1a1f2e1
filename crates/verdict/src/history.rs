//! What happened to batches on their way: requests, retries, refusals, errors. One note per fact,
//! sharing the batch's records. Read at the end only, for the records that need a cause.

use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{BrokerId, NodeId, RecordId};
use acklab_vocab::record::Record;
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::RetryReason;
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::world::{Append, AppendId};

/// One fact about a batch on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// When.
    pub at: SimTime,
    /// Dense index of the partition, or [`NO_PARTITION`](crate::records::NO_PARTITION).
    pub partition: u32,
    /// Where it became true.
    pub node: NodeId,
    /// What.
    pub kind: NoteKind,
    /// About which records.
    pub records: Arc<[Record]>,
}

/// What a [`Note`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteKind {
    /// Put into a request to this broker.
    Sent(BrokerId),
    /// To be sent again.
    Retried(RetryReason),
    /// A broker refused to append it.
    Refused(ErrorCode),
    /// A broker answered with an error.
    Answered(ErrorCode),
    /// A broker recognised it as appended before.
    Deduplicated,
    /// The producer reported an error for it.
    Failed(ErrorCode),
    /// The application sent it again.
    Resent,
}

/// All notes of a run, in the order of the trace.
#[derive(Debug, Default)]
pub struct Notes(Vec<Note>);

/// What is known about one record, in the order of the trace.
#[derive(Clone, Debug, Default)]
pub struct RecordHistory {
    /// Indices of its notes.
    notes: SmallVec<[u32; 6]>,
    /// Its appends by leaders.
    pub appends: SmallVec<[AppendId; 2]>,
}

impl Notes {
    /// Adds a note.
    pub fn push(&mut self, note: Note) {
        self.0.push(note);
    }

    /// Every note.
    pub fn iter(&self) -> impl Iterator<Item = &Note> {
        self.0.iter()
    }

    /// The notes of one record.
    pub fn of<'a>(&'a self, history: &'a RecordHistory) -> impl Iterator<Item = &'a Note> + Clone {
        history.notes.iter().map(|&index| &self.0[index as usize])
    }

    /// The histories of the records in `wanted`, in one pass over all notes and appends.
    #[must_use]
    pub fn histories(
        &self,
        wanted: impl Iterator<Item = RecordId>,
        appends: &[Append],
    ) -> BTreeMap<RecordId, RecordHistory> {
        let mut histories: BTreeMap<RecordId, RecordHistory> =
            wanted.map(|id| (id, RecordHistory::default())).collect();
        if histories.is_empty() {
            return histories;
        }
        for (index, note) in self.0.iter().enumerate() {
            for record in note.records.iter() {
                if let Some(history) = histories.get_mut(&record.id) {
                    history.notes.push(index as u32);
                }
            }
        }
        for (index, append) in appends.iter().enumerate().filter(|(_, append)| !append.foreign) {
            for record in append.batch.records() {
                if let Some(history) = histories.get_mut(&record.id) {
                    history.appends.push(AppendId(index as u32));
                }
            }
        }
        histories
    }
}
