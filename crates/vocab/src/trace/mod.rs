//! The trace: typed facts in the past tense, in the order in which they became true.
//!
//! Machines state facts about themselves, the runtime states facts about the world. The verdict is a fold over this stream
//! and knows nothing else. A fact about records is stated per batch and shares the batch.

mod event;
mod header;
mod words;

pub use event::TraceEvent;
pub use header::*;
pub use words::*;

use crate::api::ApiKey;
use crate::ids::{EventId, NodeId};
use crate::time::SimTime;
use serde::{Deserialize, Serialize};

/// A fact with its place in the history.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stamped {
    /// The queue event that was being handled when the fact became true. Several facts of one event share it.
    pub cause: EventId,
    /// When.
    pub at: SimTime,
    /// Where.
    pub node: NodeId,
    /// What.
    pub event: TraceEvent,
}

/// One edge between queue events: event `id` happened because event `cause` had sent a message, set a timer or asked for a
/// flush. Together the edges give every event its causal past.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Edge {
    /// The event that is handled now.
    pub id: EventId,
    /// The event that scheduled it.
    pub cause: EventId,
    /// When it is handled.
    pub at: SimTime,
    /// Where.
    pub node: NodeId,
    /// What kind of event it is.
    pub kind: EdgeKind,
}

/// What an [`Edge`] stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EdgeKind {
    /// A request arrived.
    Request {
        /// From which process.
        from: NodeId,
        /// Of which API.
        api: ApiKey,
    },
    /// A response arrived.
    Response {
        /// From which process.
        from: NodeId,
        /// Of which API.
        api: ApiKey,
    },
    /// A connection was opened, refused or closed.
    Connection {
        /// The other end.
        peer: NodeId,
    },
    /// A timer was due.
    Timer,
    /// A flush was done.
    Flush,
    /// The application acted.
    Application,
    /// The world acted: a fault, a process start.
    World,
}

/// Receives the history. An observer that does nothing costs nothing.
pub trait Observer {
    /// The run begins.
    fn begin(&mut self, header: &RunHeader) {
        let _ = header;
    }

    /// A fact became true.
    fn observe(&mut self, stamped: &Stamped);

    /// An event is about to be handled. Called only if [`Observer::WANTS_EDGES`].
    fn edge(&mut self, edge: &Edge) {
        let _ = edge;
    }

    /// Whether [`Observer::edge`] is to be called.
    const WANTS_EDGES: bool = false;
}

impl Observer for () {
    fn observe(&mut self, _: &Stamped) {}
}

impl<A: Observer, B: Observer> Observer for (A, B) {
    fn begin(&mut self, header: &RunHeader) {
        self.0.begin(header);
        self.1.begin(header);
    }

    fn observe(&mut self, stamped: &Stamped) {
        self.0.observe(stamped);
        self.1.observe(stamped);
    }

    fn edge(&mut self, edge: &Edge) {
        self.0.edge(edge);
        self.1.edge(edge);
    }

    const WANTS_EDGES: bool = A::WANTS_EDGES || B::WANTS_EDGES;
}
