//! The space-time diagram as data: a column for each process that takes part, a row for each
//! instant at which something happens, messages between them.

use acklab_verdict::names;
use acklab_vocab::ids::{EventId, NodeId};
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::{EdgeKind, RunHeader};
use serde::Serialize;

use super::deed::Deed;
use super::edges::{Causality, WORLD};
use super::story::{Mark, Story, Told};
use super::witness::{Seen, Step, Turn};

/// So many messages in a row are followed back from a step to the step that they come from.
const HOPS_SHOWN: usize = 4;
/// So far a chain of messages is followed at all.
const HOPS_FOLLOWED: usize = 400;

/// A record's life in space and time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Diagram {
    /// The processes that take part, from left to right.
    pub columns: Vec<Column>,
    /// Instants, from top to bottom.
    pub rows: Vec<Row>,
    /// Messages.
    pub messages: Vec<Message>,
    /// While a broker holds the record.
    pub copies: Vec<Stretch>,
    /// While a process is dead.
    pub deaths: Vec<Stretch>,
    /// While a process stands still.
    pub pauses: Vec<Stretch>,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its part.
    pub role: Role,
}

/// The part that a process has; columns stand in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It creates records.
    Producer,
    /// It stores them.
    Broker,
    /// It reads them.
    Consumer,
    /// It chooses leaders.
    Controller,
}

/// What happens at one instant in one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// When.
    pub at: SimTime,
    /// In which column; none for faults, which concern everybody.
    pub column: Option<usize>,
    /// The step; none where a message merely comes or goes.
    pub step: Option<RowStep>,
}

/// A step on a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RowStep {
    /// Its number in the list, from 1.
    pub number: usize,
    /// In a word.
    pub word: String,
    /// In words, with who holds the record afterwards.
    pub text: String,
    /// Why it stands out.
    pub mark: Option<Mark>,
    /// So many messages of a chain that led here are not drawn.
    pub unseen_messages: usize,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Message {
    /// Row of the event that sent it; its column is the sender's.
    pub from: usize,
    /// Row of the event that it led to.
    pub to: usize,
    /// Kafka's name of the API.
    pub api: String,
    /// It is an answer.
    pub is_response: bool,
}

/// Part of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Stretch {
    /// Which column.
    pub column: usize,
    /// From this row on; none if it had begun before the first one.
    pub from: Option<usize>,
    /// To this row; none if it lasts.
    pub to: Option<usize>,
}

/// A line of the life as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TextLine {
    /// The number of the step; none for how things stand, and for what is left out.
    pub number: Option<usize>,
    /// When.
    pub at: SimTime,
    /// Who; empty for how things stand.
    pub place: String,
    /// What, with who holds the record afterwards.
    pub text: String,
    /// Why it stands out, and in what word.
    pub mark: Option<(Mark, String)>,
}

/// The life as text: what the figure shows, in order.
#[must_use]
pub fn text(seen: &Seen, story: &Story) -> Vec<TextLine> {
    let mut number = 0;
    let mut at = seen.steps.first().map(|step| step.at).unwrap_or_default();
    let line = |told: &Told| match told {
        Told::Step(index, mark) => {
            let step = &seen.steps[*index];
            number += 1;
            at = step.at;
            TextLine {
                number: Some(number),
                at,
                place: step.place.clone(),
                text: with_holders(step),
                mark: mark.map(|(mark, word)| (mark, word.to_owned())),
            }
        }
        Told::Setting(index) => {
            let step = &seen.steps[*index];
            at = step.at;
            let (place, text) = (String::new(), with_holders(step));
            TextLine { number: None, at, place, text, mark: None }
        }
        Told::LeftOut(count) => {
            let text = format!("{} not shown", names::counted(*count as u64, "smaller step"));
            TextLine { number: None, at, place: String::new(), text, mark: None }
        }
    };
    story.told.iter().map(line).collect()
}

fn with_holders(step: &Step) -> String {
    match &step.holders {
        Some(holders) => format!("{} [{holders}]", step.text),
        None => step.text.clone(),
    }
}

/// The figure: where each step stands, and the messages that connect them.
#[must_use]
pub fn diagram(seen: &Seen, story: &Story, causality: &Causality, header: &RunHeader) -> Diagram {
    let steps: Vec<(usize, Option<(Mark, &'static str)>)> = story
        .told
        .iter()
        .filter_map(|told| match told {
            Told::Step(index, mark) => Some((*index, *mark)),
            Told::Setting(_) | Told::LeftOut(_) => None,
        })
        .collect();
    let mut builder = Builder::new(seen, causality);
    builder.place(&steps);
    let chains: Vec<Chain> = builder.chains();
    builder.place_messages(&chains);
    builder.finish(&steps, &chains, header)
}

/// A row in the making.
#[derive(Clone, Copy, Debug)]
struct Spot {
    /// The event's position in the history, and the step's within the life: what orders rows.
    order: (u32, usize),
    at: SimTime,
    node: NodeId,
    event: EventId,
    /// Position among the steps that are told.
    told: Option<usize>,
}

/// Messages that led to one event, the last one first.
#[derive(Clone, Debug, Default)]
struct Chain {
    hops: Vec<Hop>,
    unseen: usize,
}

#[derive(Clone, Copy, Debug)]
struct Hop {
    from: (EventId, NodeId),
    to: (EventId, NodeId),
    api: &'static str,
    is_response: bool,
}

struct Builder<'a> {
    seen: &'a Seen,
    causality: &'a Causality,
    spots: Vec<Spot>,
}

impl<'a> Builder<'a> {
    fn new(seen: &'a Seen, causality: &'a Causality) -> Self {
        Builder { seen, causality, spots: Vec::new() }
    }

    /// A row for each step.
    fn place(&mut self, steps: &[(usize, Option<(Mark, &'static str)>)]) {
        let mut position = 0;
        for (told, (index, _)) in steps.iter().enumerate() {
            let step = &self.seen.steps[*index];
            position = self.causality.position(step.event).unwrap_or(position).max(position);
            self.spots.push(Spot {
                order: (position, index + 1),
                at: step.at,
                node: step.node,
                event: step.event,
                told: Some(told),
            });
        }
    }

    /// What led to each step, as far as it is to be drawn.
    fn chains(&self) -> Vec<Chain> {
        let mut chains = Vec::new();
        let mut done: Vec<EventId> = Vec::new();
        for spot in &self.spots {
            let chain = if done.contains(&spot.event) || spot.node == WORLD {
                Chain::default()
            } else {
                self.chain_to(spot.event)
            };
            done.push(spot.event);
            chains.push(chain);
        }
        chains
    }

    fn is_told(&self, event: EventId) -> bool {
        self.spots.iter().any(|spot| spot.event == event)
    }

    /// Follows the causes of an event back to one that is told. If that is near, all messages on
    /// the way are drawn; otherwise the one that brought the news, and what had asked for it.
    fn chain_to(&self, event: EventId) -> Chain {
        let mut hops: Vec<Hop> = Vec::new();
        let mut at = event;
        // Where the message under way was taken up: a request may wait in a queue before that.
        let mut taken_up = event;
        let mut has_arrived = false;
        for _ in 0..HOPS_FOLLOWED {
            let Some(edge) = self.causality.get(at) else { break };
            let Some(cause) = self.causality.get(edge.cause) else { break };
            let message = match edge.kind {
                EdgeKind::Request { from, api } => Some((from, api, false)),
                EdgeKind::Response { from, api } => Some((from, api, true)),
                EdgeKind::Connection { .. }
                | EdgeKind::Timer
                | EdgeKind::Flush
                | EdgeKind::Application
                | EdgeKind::World => None,
            };
            match message {
                Some((from, api, is_response)) if cause.node == from => {
                    hops.push(Hop {
                        from: (cause.id, from),
                        to: (taken_up, edge.node),
                        api: api.name(),
                        is_response,
                    });
                    taken_up = cause.id;
                }
                Some(_) if cause.node == edge.node => {}
                None if cause.node == edge.node => taken_up = cause.id,
                Some(_) | None => break,
            }
            at = cause.id;
            if self.is_told(at) {
                has_arrived = true;
                break;
            }
        }
        let shown = match hops.len() {
            near @ 0..=HOPS_SHOWN if has_arrived => near,
            // The answer that brought the news, and the request that it answers.
            _ if hops.first().is_some_and(|hop| hop.is_response) => hops.len().min(2),
            _ => hops.len().min(1),
        };
        let unseen = if has_arrived { hops.len() - shown } else { 0 };
        hops.truncate(shown);
        Chain { hops, unseen }
    }

    /// A row for each event that only sends or receives a message.
    fn place_messages(&mut self, chains: &[Chain]) {
        for hop in chains.iter().flat_map(|chain| &chain.hops) {
            for (event, node) in [hop.from, hop.to] {
                let is_there = |spot: &Spot| spot.event == event && spot.node == node;
                if self.spots.iter().any(is_there) {
                    continue;
                }
                let (Some(order), Some(edge)) =
                    (self.causality.position(event), self.causality.get(event))
                else {
                    continue;
                };
                self.spots.push(Spot { order: (order, 0), at: edge.at, node, event, told: None });
            }
        }
        self.spots.sort_by_key(|spot| spot.order);
    }

    fn finish(
        &self,
        steps: &[(usize, Option<(Mark, &'static str)>)],
        chains: &[Chain],
        header: &RunHeader,
    ) -> Diagram {
        let nodes = self.nodes(header);
        let column = |node: NodeId| nodes.iter().position(|(_, _, of)| *of == node);
        let row = |spot: &Spot| Row {
            at: spot.at,
            column: column(spot.node),
            step: spot.told.map(|told| {
                let (index, mark) = steps[told];
                let step = &self.seen.steps[index];
                let word = mark.map_or(step.deed.map_or("", Deed::word), |(_, word)| word);
                RowStep {
                    number: told + 1,
                    word: word.to_owned(),
                    text: format!("{}: {}", step.place, with_holders(step)),
                    mark: mark.map(|(mark, _)| mark),
                    unseen_messages: chains.get(told).map_or(0, |chain| chain.unseen),
                }
            }),
        };
        let rows = self.spots.iter().map(row).collect();
        let columns =
            nodes.iter().map(|(role, name, _)| Column { name: name.clone(), role: *role });
        Diagram {
            columns: columns.collect(),
            rows,
            messages: self.messages(chains),
            copies: self.copies(steps, column),
            deaths: self.spells(column, Deed::Stopped, &[Deed::Started]),
            pauses: self.spells(column, Deed::Paused, &[Deed::Resumed, Deed::Stopped]),
        }
    }

    /// Everybody who has a row, by part and then in the order of the run.
    fn nodes(&self, header: &RunHeader) -> Vec<(Role, String, NodeId)> {
        let mut all: Vec<NodeId> =
            self.spots.iter().map(|spot| spot.node).filter(|node| *node != WORLD).collect();
        all.sort_unstable();
        all.dedup();
        let mut nodes: Vec<_> = all
            .into_iter()
            .map(|node| (role(header, node), names::node(header, node), node))
            .collect();
        nodes.sort_by_key(|(role, _, node)| (*role, *node));
        nodes
    }

    fn messages(&self, chains: &[Chain]) -> Vec<Message> {
        let mut messages = Vec::new();
        for hop in chains.iter().flat_map(|chain| &chain.hops) {
            let is_at = |(event, node): (EventId, NodeId), spot: &Spot| {
                spot.event == event && spot.node == node
            };
            // Of several steps in one event, the last one sends and the first one has received.
            let from = self.spots.iter().rposition(|spot| is_at(hop.from, spot));
            let to = self.spots.iter().position(|spot| is_at(hop.to, spot));
            if let (Some(from), Some(to)) = (from, to) {
                let api = hop.api.to_owned();
                let message = Message { from, to, api, is_response: hop.is_response };
                if !messages.contains(&message) {
                    messages.push(message);
                }
            }
        }
        messages.sort_by_key(|message| (message.from, message.to));
        messages
    }

    /// While a broker holds a copy, as far as the steps that are told say so.
    fn copies(
        &self,
        steps: &[(usize, Option<(Mark, &'static str)>)],
        column: impl Fn(NodeId) -> Option<usize>,
    ) -> Vec<Stretch> {
        let mut copies: Vec<Stretch> = Vec::new();
        for (row, spot) in self.spots.iter().enumerate() {
            let deed = spot.told.and_then(|told| self.seen.steps[steps[told].0].deed);
            let (Some(deed), Some(column)) = (deed, column(spot.node)) else { continue };
            let open = copies.iter_mut().find(|of| of.column == column && of.to.is_none());
            match open {
                Some(open) if deed == Deed::Dropped => open.to = Some(row),
                None if copy_begins(deed) => {
                    copies.push(Stretch { column, from: Some(row), to: None });
                }
                Some(_) | None => {}
            }
        }
        copies
    }

    /// While a process is dead or stands still, whether or not the life tells it.
    fn spells(
        &self,
        column: impl Fn(NodeId) -> Option<usize>,
        begins: Deed,
        ends: &[Deed],
    ) -> Vec<Stretch> {
        let mut spells: Vec<Stretch> = Vec::new();
        for turn in self.seen.turns.iter() {
            let Some(column) = column(turn.node) else { continue };
            let open = spells.iter().position(|of| of.column == column && of.to.is_none());
            match (open, self.row_of(turn)) {
                (None, Some(row)) if turn.deed == begins => {
                    let is_before = row == 0 && !self.is_in(turn, row);
                    let from = (!is_before).then_some(row);
                    spells.push(Stretch { column, from, to: None });
                }
                (Some(open), row) if ends.contains(&turn.deed) => spells[open].to = row,
                _ => {}
            }
        }
        // What was over before the first row is of no interest, nor is what is on no row.
        spells.retain(|of| of.to != of.from.or(Some(0)));
        spells
    }

    /// The row of an event, or else the first one that is not before it.
    fn row_of(&self, turn: &Turn) -> Option<usize> {
        let own = (0..self.spots.len()).find(|&row| self.is_in(turn, row));
        own.or_else(|| self.spots.iter().position(|spot| spot.at >= turn.at))
    }

    fn is_in(&self, turn: &Turn, row: usize) -> bool {
        let spot = &self.spots[row];
        (spot.event, spot.node) == (turn.event, turn.node)
    }
}

fn copy_begins(deed: Deed) -> bool {
    matches!(deed, Deed::Appended | Deed::Copied)
}

fn role(header: &RunHeader, node: NodeId) -> Role {
    let Some(node) = header.nodes.get(usize::from(node.0)) else { return Role::Controller };
    if node.producer.is_some() {
        Role::Producer
    } else if node.broker.is_some() {
        Role::Broker
    } else if node.controller.is_some() {
        Role::Controller
    } else {
        Role::Consumer
    }
}
