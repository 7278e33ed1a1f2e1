//! Events to machines, effects to the world.

use crate::draws;
use crate::network::{End, Packet, Way};
use crate::node::{AnyCall, AnyMachine, AnyReport, AnyTimer, Due};
use crate::world::{Body, World};
use acklab_machines::consumer::ConsumerReport;
use acklab_machines::disk::{Disk, FlushId, FlushTarget};
use acklab_machines::machine::{Cx, Effect, Input, Machine, Outbox};
use acklab_machines::producer::ProducerReport;
use acklab_machines::rng::NodeRng;
use acklab_vocab::api::{Frame, Request, Response};
use acklab_vocab::ids::{ConnectionId, CorrelationId, NodeId};
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::{CloseReason, Observer, Stamped, TraceEvent};

/// An input for a machine of any kind.
#[derive(Debug)]
pub(crate) enum AnyInput {
    Connected(ConnectionId),
    Request {
        connection: ConnectionId,
        correlation: CorrelationId,
        from: NodeId,
        request: Box<Request>,
    },
    Response {
        connection: ConnectionId,
        correlation: CorrelationId,
        response: Box<Response>,
    },
    Closed(ConnectionId, CloseReason),
    WriteBlocked(ConnectionId),
    WriteResumed(ConnectionId),
    Timer(AnyTimer),
    Flushed(FlushId),
    Call(AnyCall),
}

/// An input of one kind of machine, or nothing where the two do not belong together.
macro_rules! input_for {
    ($input:expr, $variant:ident, $call:ident => $call_value:expr) => {
        match $input {
            AnyInput::Connected(id) => Some(Input::Connected(id)),
            AnyInput::Request { connection, correlation, from, request } => {
                Some(Input::Request { connection, correlation, from, request })
            }
            AnyInput::Response { connection, correlation, response } => {
                Some(Input::Response { connection, correlation, response })
            }
            AnyInput::Closed(id, reason) => Some(Input::Closed(id, reason)),
            AnyInput::WriteBlocked(id) => Some(Input::WriteBlocked(id)),
            AnyInput::WriteResumed(id) => Some(Input::WriteResumed(id)),
            AnyInput::Timer(AnyTimer::$variant(timer)) => Some(Input::Timer(timer)),
            AnyInput::Timer(_) => None,
            AnyInput::Flushed(id) => Some(Input::Flushed(id)),
            AnyInput::Call($call) => $call_value,
        }
    };
}

/// An effect of a machine of any kind.
enum AnyEffect {
    Connect(ConnectionId, acklab_vocab::api::Endpoint),
    Send(ConnectionId, Frame),
    NoResponse(ConnectionId),
    Close(ConnectionId),
    SetTimer(AnyTimer, SimTime),
    CancelTimer(AnyTimer),
    Flush(FlushId, FlushTarget),
    Reported(AnyReport),
    Exit { clean: bool },
}

/// What a report of a machine means to the world.
trait Reports {
    fn into_effect(self) -> Option<AnyEffect>;
}

impl Reports for acklab_machines::broker::NoReport {
    fn into_effect(self) -> Option<AnyEffect> {
        match self {}
    }
}

impl Reports for acklab_machines::controller::NoReport {
    fn into_effect(self) -> Option<AnyEffect> {
        match self {}
    }
}

impl Reports for acklab_machines::zookeeper::NoReport {
    fn into_effect(self) -> Option<AnyEffect> {
        match self {}
    }
}

impl Reports for acklab_machines::reader::ReaderReport {
    fn into_effect(self) -> Option<AnyEffect> {
        match self {}
    }
}

impl Reports for ProducerReport {
    fn into_effect(self) -> Option<AnyEffect> {
        Some(AnyEffect::Reported(AnyReport::Producer(self)))
    }
}

impl Reports for ConsumerReport {
    fn into_effect(self) -> Option<AnyEffect> {
        Some(AnyEffect::Reported(AnyReport::Consumer(self)))
    }
}

impl AnyEffect {
    fn of<T: Into<AnyTimer>, R: Reports>(effect: Effect<T, R>) -> Option<AnyEffect> {
        Some(match effect {
            Effect::Connect(id, endpoint) => AnyEffect::Connect(id, endpoint),
            Effect::Send(id, frame) => AnyEffect::Send(id, frame),
            Effect::NoResponse(id) => AnyEffect::NoResponse(id),
            Effect::Close(id) => AnyEffect::Close(id),
            Effect::SetTimer(timer, at) => AnyEffect::SetTimer(timer.into(), at),
            Effect::CancelTimer(timer) => AnyEffect::CancelTimer(timer.into()),
            Effect::Flush(id, target) => AnyEffect::Flush(id, target),
            Effect::Report(report) => return report.into_effect(),
            Effect::Exit { clean } => AnyEffect::Exit { clean },
        })
    }
}

/// Runs one machine on one input.
fn run<M: Machine>(
    machine: &mut M,
    outbox: &mut Outbox<M::Timer, M::Report>,
    input: Input<M::Timer, M::Call>,
    host: (SimTime, NodeId, &mut NodeRng, &mut Disk),
) {
    let (now, node, rng, disk) = host;
    let mut cx = Cx::new(now, node, rng, disk, outbox);
    machine.handle(&mut cx, input);
}

impl<O: Observer> World<O> {
    /// Handles an event of a running process.
    pub(crate) fn handle_node_event(&mut self, body: Body) {
        match body {
            Body::Packet { connection, way, packet } => {
                self.packet_arrives(connection, way, packet);
            }
            Body::Serve { connection, correlation, request } => {
                self.hand_over(connection, correlation, request);
            }
            Body::Write { connection, blocked } => self.socket_changes(connection, blocked),
            Body::Timer { node, role, timer, generation, incarnation } => {
                let now = self.now;
                let slot = &mut self.nodes[usize::from(node.0)].machines[usize::from(role)];
                match slot.timers.due(timer, generation, now) {
                    Due::Now => self.deliver(node, role, AnyInput::Timer(timer)),
                    Due::Later(at) => {
                        self.push(at, Body::Timer { node, incarnation, role, timer, generation });
                    }
                    Due::Never => {}
                }
            }
            Body::Flushed { node, role, id, target, extent, .. } => {
                self.nodes[usize::from(node.0)].disk.mark_flushed(target, extent);
                self.deliver(node, role, AnyInput::Flushed(id));
            }
            Body::Burst { node, .. } => self.burst(node),
            Body::Resend { node, records, .. } => self.resend(node, &records),
            Body::Application { node, wake, .. } => self.wake_application(node, wake),
            Body::Call { node, role, call, .. } => self.deliver(node, role, AnyInput::Call(call)),
            Body::Start { node, .. } => self.start_process(node),
            Body::World(_) => {}
        }
    }

    /// Hands an input to a machine and applies what it asks for; then the application takes up what it has been told.
    pub(crate) fn deliver(&mut self, node: NodeId, role: u8, input: AnyInput) {
        self.deliver_to_machine(node, role, input);
        self.run_application(node);
    }

    fn deliver_to_machine(&mut self, node: NodeId, role: u8, input: AnyInput) {
        let now = self.now;
        let host = &mut self.nodes[usize::from(node.0)];
        let Some(slot) = host.machines.get_mut(usize::from(role)) else { return };
        let place = (now, node, &mut host.rng, &mut host.disk);
        match &mut slot.machine {
            AnyMachine::Broker(machine, outbox) => {
                let input = input_for!(input, Broker, call => match call {
                    AnyCall::Broker(call) => Some(Input::Call(call)),
                    AnyCall::Controller(_) | AnyCall::Producer(_) | AnyCall::Consumer(_) => None,
                });
                let Some(input) = input else { return };
                run(&mut **machine, outbox, input, place);
            }
            AnyMachine::Controller(machine, outbox) => {
                let input = input_for!(input, Controller, call => match call {
                    AnyCall::Controller(call) => Some(Input::Call(call)),
                    AnyCall::Broker(_) | AnyCall::Producer(_) | AnyCall::Consumer(_) => None,
                });
                let Some(input) = input else { return };
                outbox.committed_facts_end = self.committed_facts_end;
                run(&mut **machine, outbox, input, place);
                self.committed_facts_end = outbox.committed_facts_end;
            }
            AnyMachine::ZooKeeper(machine, outbox) => {
                let input = input_for!(input, ZooKeeper, _call => None);
                let Some(input) = input else { return };
                outbox.committed_facts_end = self.committed_facts_end;
                run(&mut **machine, outbox, input, place);
                self.committed_facts_end = outbox.committed_facts_end;
            }
            AnyMachine::Producer(machine, outbox) => {
                let input = input_for!(input, Producer, call => match call {
                    AnyCall::Producer(call) => Some(Input::Call(call)),
                    AnyCall::Broker(_) | AnyCall::Controller(_) | AnyCall::Consumer(_) => None,
                });
                let Some(input) = input else { return };
                run(&mut **machine, outbox, input, place);
            }
            AnyMachine::Reader(machine, outbox) => {
                let input = input_for!(input, Reader, _call => None);
                let Some(input) = input else { return };
                run(&mut **machine, outbox, input, place);
            }
            AnyMachine::Consumer(machine, outbox) => {
                let input = input_for!(input, Consumer, call => match call {
                    AnyCall::Consumer(call) => Some(Input::Call(call)),
                    AnyCall::Broker(_) | AnyCall::Controller(_) | AnyCall::Producer(_) => None,
                });
                let Some(input) = input else { return };
                run(&mut **machine, outbox, input, place);
            }
        }
        self.empty_outbox(node, role);
    }

    /// States what a machine has stated and applies what it has asked for, in order, up to where a fault that waited for one
    /// of the facts strikes the machine itself.
    pub(crate) fn empty_outbox(&mut self, node: NodeId, role: u8) {
        let facts = self.take_facts(node, role);
        let cut = self.state_all(node, facts, role);
        let slot = &mut self.nodes[usize::from(node.0)].machines[usize::from(role)];
        macro_rules! apply {
            ($outbox:expr, $variant:ident) => {{
                let mut effects = std::mem::take(&mut $outbox.effects);
                for (index, effect) in effects.drain(..).enumerate() {
                    let alive = self.nodes[usize::from(node.0)].machines.len() > usize::from(role);
                    if !alive || cut.is_some_and(|cut| index >= cut) {
                        break;
                    }
                    if let Some(effect) = AnyEffect::of(effect) {
                        self.apply(node, role, effect);
                    }
                }
                let host = &mut self.nodes[usize::from(node.0)];
                if let Some(slot) = host.machines.get_mut(usize::from(role))
                    && let AnyMachine::$variant(_, outbox) = &mut slot.machine
                    && outbox.effects.is_empty()
                {
                    outbox.effects = effects;
                }
            }};
        }
        match &mut slot.machine {
            AnyMachine::Broker(_, outbox) => apply!(outbox, Broker),
            AnyMachine::Controller(_, outbox) => apply!(outbox, Controller),
            AnyMachine::ZooKeeper(_, outbox) => apply!(outbox, ZooKeeper),
            AnyMachine::Producer(_, outbox) => apply!(outbox, Producer),
            AnyMachine::Reader(_, outbox) => apply!(outbox, Reader),
            AnyMachine::Consumer(_, outbox) => apply!(outbox, Consumer),
        }
        if cut.is_some() {
            self.strike_now();
        }
    }

    fn take_facts(&mut self, node: NodeId, role: u8) -> Vec<(usize, TraceEvent)> {
        let slot = &mut self.nodes[usize::from(node.0)].machines[usize::from(role)];
        match &mut slot.machine {
            AnyMachine::Broker(_, outbox) => std::mem::take(&mut outbox.facts),
            AnyMachine::Controller(_, outbox) => std::mem::take(&mut outbox.facts),
            AnyMachine::ZooKeeper(_, outbox) => std::mem::take(&mut outbox.facts),
            AnyMachine::Producer(_, outbox) => std::mem::take(&mut outbox.facts),
            AnyMachine::Reader(_, outbox) => std::mem::take(&mut outbox.facts),
            AnyMachine::Consumer(_, outbox) => std::mem::take(&mut outbox.facts),
        }
    }

    fn give_back_facts(&mut self, node: NodeId, role: u8, facts: Vec<(usize, TraceEvent)>) {
        let Some(slot) = self.nodes[usize::from(node.0)].machines.get_mut(usize::from(role)) else {
            return;
        };
        let place = match &mut slot.machine {
            AnyMachine::Broker(_, outbox) => &mut outbox.facts,
            AnyMachine::Controller(_, outbox) => &mut outbox.facts,
            AnyMachine::ZooKeeper(_, outbox) => &mut outbox.facts,
            AnyMachine::Producer(_, outbox) => &mut outbox.facts,
            AnyMachine::Reader(_, outbox) => &mut outbox.facts,
            AnyMachine::Consumer(_, outbox) => &mut outbox.facts,
        };
        if place.is_empty() {
            *place = facts;
        }
    }

    /// Passes facts to the observer. Returns how many effects still happen if a fault that waited strikes this very process:
    /// what was stated after that point has not happened either.
    fn state_all(
        &mut self,
        node: NodeId,
        mut facts: Vec<(usize, TraceEvent)>,
        role: u8,
    ) -> Option<usize> {
        let mut cut = None;
        for (effects_before, event) in facts.drain(..) {
            if cut.is_some_and(|cut| effects_before > cut) {
                break;
            }
            let stamped = Stamped { cause: self.current, at: self.now, node, event };
            if self.observe(&stamped) && cut.is_none() {
                cut = Some(effects_before);
            }
        }
        self.give_back_facts(node, role, facts);
        cut
    }

    fn apply(&mut self, node: NodeId, role: u8, effect: AnyEffect) {
        match effect {
            AnyEffect::Connect(id, endpoint) => {
                let incarnation = self.nodes[usize::from(node.0)].incarnation;
                let client = End { node, incarnation, role, id, open: true };
                let connection = self.connect(client, endpoint);
                self.slot(node, role).bind_as(id, connection);
                self.transmit(connection, Way::ToServer, Packet::Open);
            }
            AnyEffect::Send(id, frame) => self.send_frame(node, role, id, frame),
            AnyEffect::NoResponse(id) => {
                if let Some(connection) = self.connection_of(node, role, id) {
                    self.unmute(connection);
                }
            }
            AnyEffect::Close(id) => self.close(node, role, id),
            AnyEffect::SetTimer(timer, at) => {
                if at == SimTime::NEVER {
                    self.slot(node, role).timers.cancel(timer);
                    return;
                }
                let at = at.max(self.now);
                if let Some(generation) = self.slot(node, role).timers.set(timer, at) {
                    let incarnation = self.nodes[usize::from(node.0)].incarnation;
                    self.push(at, Body::Timer { node, incarnation, role, timer, generation });
                }
            }
            AnyEffect::CancelTimer(timer) => self.slot(node, role).timers.cancel(timer),
            AnyEffect::Flush(id, target) => self.flush(node, role, id, target),
            AnyEffect::Reported(report) => self.reported(node, report),
            AnyEffect::Exit { clean } => self.process_exits(node, clean),
        }
    }

    pub(crate) fn slot(&mut self, node: NodeId, role: u8) -> &mut crate::node::Slot {
        &mut self.nodes[usize::from(node.0)].machines[usize::from(role)]
    }

    /// The world's connection behind a machine's id.
    pub(crate) fn connection_of(&self, node: NodeId, role: u8, id: ConnectionId) -> Option<u32> {
        let slot = self.nodes[usize::from(node.0)].machines.get(usize::from(role))?;
        let &connection = slot.connections.get(id.0 as usize)?;
        (connection != u32::MAX).then_some(connection)
    }

    fn flush(&mut self, node: NodeId, role: u8, id: FlushId, target: FlushTarget) {
        let slow = self.faults.disk_slowdown(node);
        let flush = self.scenario.disk.flush;
        let host = &mut self.nodes[usize::from(node.0)];
        let extent = host.disk.extent(target);
        let mut takes = draws::next_span(flush, &mut host.disk_rng);
        if let Some(extra) = slow {
            takes += draws::next_span(extra, &mut host.disk_rng);
        }
        let incarnation = host.incarnation;
        let at = self.now + takes;
        self.push(at, Body::Flushed { node, incarnation, role, id, target, extent });
    }
}
