//! Faults: when they strike, whom, for how long, and what they change.

mod in_force;
mod redraw;

use crate::draws::{self, Purpose, Weather};
use crate::network::{Disturbance, DisturbanceKind};
use crate::rollouts::{Rolling, exactly};
use crate::triggers::{Armed, fulfils};
use crate::world::{Body, World, WorldEvent};
use acklab_machines::rng::NodeRng;
use acklab_scenario::model::{
    Direction, DroppedResponse, Fault, FaultPhase, FaultSpec, Scenario, Span, Target, Trigger, When,
};
use acklab_vocab::api::ApiKey;
use acklab_vocab::ids::NodeId;
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::{Observer, Stamped, TraceEvent};
use std::collections::BTreeMap;

/// A periodic fault strikes no more often than this.
const MOST_STRIKES: usize = 1_000_000;

/// The faults of a run.
#[derive(Debug)]
pub(crate) struct Faults {
    specs: Vec<Planned>,
    /// Those that wait for a fact.
    armed: Vec<Armed>,
    active: Vec<Active>,
    /// Every fault that has struck, with nothing left to draw.
    struck: Vec<FaultSpec>,
    /// The fault that strikes the process that is being handled, between two of its effects.
    strikes_now: Option<usize>,
    seed: u64,
    /// Draws for responses dropped, by position on each link.
    drop_weather: BTreeMap<(NodeId, NodeId), Weather>,
}

#[derive(Debug)]
struct Planned {
    spec: FaultSpec,
    rng: NodeRng,
    /// What has been drawn for it when its trigger was fulfilled, if it strikes at once.
    drawn: Option<Fault>,
    /// The number of the fault that fulfilled its trigger.
    awaited: Option<u32>,
    /// Strikes of an earlier plan are off.
    plan: u32,
    /// When it has struck last.
    struck_at: Option<SimTime>,
}

/// A fault in force.
#[derive(Debug)]
struct Active {
    number: u32,
    spec: usize,
    permanent: bool,
    /// When it ends, if that is known.
    ends_at: Option<SimTime>,
    change: Change,
}

/// What a fault has done, to be undone.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// Processes were killed, shut down or lost power.
    Down(Vec<NodeId>),
    /// Processes stand still.
    Paused(Vec<NodeId>),
    /// Links are cut: from, to.
    Cut(Vec<(NodeId, NodeId)>),
    /// Packets are disturbed.
    Disturbed,
    /// Responses are dropped.
    Drops {
        apis: Vec<ApiKey>,
        from: Vec<NodeId>,
        to: Vec<NodeId>,
        millionths: u32,
        then: DroppedResponse,
    },
    /// Disks are slow.
    Slow(Vec<NodeId>, Span),
    /// Requests stall.
    Stalls(Stall),
    /// Processes are restarted one after the other.
    Rolling(Rolling),
}

/// Requests that stall on their way.
#[derive(Clone, Debug)]
pub(crate) struct Stall {
    from: Vec<NodeId>,
    to: Vec<NodeId>,
    api: ApiKey,
    by: SimDuration,
    /// How many more stall; `None` for all.
    left: Option<u16>,
}

impl Faults {
    pub(crate) fn new(scenario: &Scenario, seed: u64) -> Self {
        let plan = |(index, spec): (usize, &FaultSpec)| Planned {
            spec: spec.clone(),
            rng: draws::stream(seed, Purpose::Fault, index as u64),
            drawn: None,
            awaited: None,
            plan: 0,
            struck_at: None,
        };
        Faults {
            specs: scenario.faults.iter().enumerate().map(plan).collect(),
            armed: Vec::new(),
            active: Vec::new(),
            struck: Vec::new(),
            strikes_now: None,
            seed,
            drop_weather: BTreeMap::new(),
        }
    }

    /// The faults that struck, with nothing left to draw.
    pub(crate) fn schedule(&self) -> Vec<FaultSpec> {
        self.struck.clone()
    }

    /// The draws of a fault.
    pub(crate) fn rng(&mut self, spec: usize) -> &mut NodeRng {
        &mut self.specs[spec].rng
    }
}

impl<O: Observer> World<O> {
    /// Time zero: faults begin to count.
    pub(crate) fn plan_faults(&mut self) {
        for spec in 0..self.faults.specs.len() {
            let planned = &mut self.faults.specs[spec];
            match planned.spec.when.clone() {
                When::At(at) => {
                    let at = SimTime::ZERO + draws::next_span(at, &mut planned.rng);
                    self.plan_strike(spec, at);
                }
                When::Every { first, period, until } => {
                    let first = SimTime::ZERO + draws::next_span(first, &mut planned.rng);
                    self.plan_strikes(spec, first, period, until);
                }
                When::After { trigger, .. } => {
                    self.faults.armed.push(Armed { spec, trigger, seen: 0 });
                }
            }
        }
    }

    fn plan_strike(&mut self, spec: usize, at: SimTime) {
        if at < self.workload_end() {
            self.push_strike(spec, at);
        }
    }

    fn push_strike(&mut self, spec: usize, at: SimTime) {
        let plan = self.faults.specs[spec].plan;
        self.push(at, Body::World(WorldEvent::FaultStrikes { spec, plan }));
    }

    /// All of a periodic fault's strikes, at once: so that they come before whatever else is due at the same instant, as
    /// they do when the schedule is run again.
    fn plan_strikes(&mut self, spec: usize, first: SimTime, period: Span, until: SimDuration) {
        let end = self.workload_end().min(SimTime::ZERO + until);
        let rng = &mut self.faults.specs[spec].rng;
        let mut at = first;
        let mut strikes = Vec::new();
        while at < end && strikes.len() < MOST_STRIKES {
            strikes.push(at);
            at += draws::next_span(period, rng);
        }
        for at in strikes {
            self.plan_strike(spec, at);
        }
    }

    /// Looks whether a fact is one that a fault has waited for. True if the fault kills the very process that stated it: it
    /// then strikes before the process's next effect.
    pub(crate) fn watch(&mut self, stamped: &Stamped) -> bool {
        if self.faults.armed.is_empty() {
            return false;
        }
        let header = self.header.nodes.get(usize::from(stamped.node.0));
        let by = header.and_then(|header| header.member).map(|(group, _)| group);
        let mut fulfilled = Vec::new();
        self.faults.armed.retain_mut(|armed| {
            let happened = fulfils(armed, &stamped.event, by, &self.header);
            if happened {
                fulfilled.push(armed.spec);
            }
            !happened
        });
        let mut strikes_itself = false;
        for spec in fulfilled {
            let When::After { delay, .. } = self.faults.specs[spec].spec.when else { continue };
            let immediate = delay == SimDuration::ZERO;
            if immediate {
                self.draw_now(spec);
            }
            if immediate && self.faults.strikes_now.is_none() && self.kills(spec, stamped.node) {
                self.faults.strikes_now = Some(spec);
                strikes_itself = true;
            } else {
                self.push_strike(spec, self.now + delay);
            }
        }
        strikes_itself
    }

    /// Draws which fault strikes, and whom: before it is known whether it strikes between two effects.
    fn draw_now(&mut self, spec: usize) {
        let planned = &mut self.faults.specs[spec];
        let mut fault = draw_one(&planned.spec.fault, &mut planned.rng);
        if let Fault::Kill(targets) | Fault::PowerLoss(targets) = &mut fault {
            for target in targets.iter_mut() {
                match *target {
                    Target::AnyBroker => *target = Target::Broker(self.any_broker(spec)),
                    Target::AnyMember(group) => {
                        if let Some((_, instance)) = self.any_member(spec, group) {
                            *target = Target::Member(group, Some(instance));
                        }
                    }
                    _ => {}
                }
            }
        }
        self.faults.specs[spec].drawn = Some(fault);
    }

    /// Whether a fault that has been drawn kills a process, as roles are now.
    fn kills(&mut self, spec: usize, node: NodeId) -> bool {
        let Some(fault) = &self.faults.specs[spec].drawn else { return false };
        let targets = match fault {
            Fault::Kill(targets) | Fault::PowerLoss(targets) => targets.clone(),
            Fault::Pause(_)
            | Fault::ControlledShutdown(_)
            | Fault::RollingRestart { .. }
            | Fault::Scale { .. }
            | Fault::AddPartitions { .. }
            | Fault::StallRequests { .. }
            | Fault::PreferredElection(_)
            | Fault::Partition { .. }
            | Fault::LinkDelay { .. }
            | Fault::LinkLoss { .. }
            | Fault::DropResponses { .. }
            | Fault::SlowDisk { .. }
            | Fault::OneOf(_) => return false,
        };
        self.resolve(spec, &targets, &[]).contains(&node)
    }

    /// The fault that has waited for this very moment strikes.
    pub(crate) fn strike_now(&mut self) {
        if let Some(spec) = self.faults.strikes_now.take() {
            self.fault_strikes(spec);
            self.call_driver();
        }
    }

    /// The fault that has waited for this moment strikes in an event of its own.
    pub(crate) fn strike_later(&mut self) {
        if let Some(spec) = self.faults.strikes_now.take() {
            self.push_strike(spec, self.now);
        }
    }

    /// A fault strikes.
    pub(crate) fn fault_strikes(&mut self, spec: usize) {
        if self.workload_over {
            return;
        }
        let planned = &mut self.faults.specs[spec];
        let fault = match planned.drawn.take() {
            Some(fault) => fault,
            None => draw_one(&planned.spec.fault, &mut planned.rng),
        };
        let lasts = !matches!(
            fault,
            Fault::PreferredElection(_) | Fault::Scale { .. } | Fault::AddPartitions { .. }
        );
        let lasting = planned.spec.lasting.map(|span| draws::next_span(span, &mut planned.rng));
        let lasting = lasting.filter(|_| lasts);
        let permanent = planned.spec.permanent && lasts;
        let number = self.faults.struck.len() as u32;
        let fixed = self.fix(spec, &fault);
        let when = match &self.faults.specs[spec].spec.when {
            When::At(_) | When::Every { .. } => {
                When::At(Span::Exactly(self.now.since(SimTime::ZERO)))
            }
            // In the schedule, faults are counted as they struck.
            When::After { trigger: Trigger::Fault(listed, phase), delay } => {
                let awaited = self.faults.specs[spec].awaited;
                let number = awaited.map_or(*listed, |number| number as usize);
                When::After { trigger: Trigger::Fault(number, *phase), delay: *delay }
            }
            after @ When::After { .. } => after.clone(),
        };
        let description = self.describe(&fixed).into();
        self.state(self.supervisor(), TraceEvent::FaultBegan { fault: number, description });
        self.faults.struck.push(FaultSpec {
            when,
            fault: fixed.clone(),
            lasting: lasting.map(Span::Exactly),
            permanent,
        });
        let ends_at = lasting.map(|lasting| self.now + lasting);
        let until = match permanent {
            true => SimTime::NEVER,
            false => ends_at.unwrap_or(SimTime::NEVER).min(self.workload_end()),
        };
        let change = self.carry_out(number, &fixed, until);
        if let Some(change) = change {
            self.faults.active.push(Active { number, spec, permanent, ends_at, change });
            if let Some(at) = ends_at {
                self.push(at, Body::World(WorldEvent::FaultEnds { fault: number }));
            }
        }
        self.fault_reached(spec, number, FaultPhase::Began);
    }

    /// A fault's time has come. Those that end at the same instant end first.
    pub(crate) fn fault_is_due(&mut self, spec: usize, plan: u32) {
        let now = self.now;
        let planned = &mut self.faults.specs[spec];
        if planned.plan != plan {
            return;
        }
        planned.struck_at = Some(now);
        let over = |active: &&Active| active.ends_at.is_some_and(|ends_at| ends_at <= now);
        let over: Vec<u32> =
            self.faults.active.iter().filter(over).map(|active| active.number).collect();
        for fault in over {
            self.fault_ends(fault);
        }
        self.fault_strikes(spec);
    }

    /// The faults in force, in words.
    pub(crate) fn faults_in_force(&self) -> Vec<String> {
        let in_force = self.faults.active.iter();
        in_force
            .map(|active| self.describe(&self.faults.struck[active.number as usize].fault))
            .collect()
    }

    /// Other faults may wait for this one.
    fn fault_reached(&mut self, spec: usize, number: u32, phase: FaultPhase) {
        let mut fulfilled = Vec::new();
        self.faults.armed.retain(|armed| {
            let happened = armed.trigger == Trigger::Fault(spec, phase);
            if happened {
                fulfilled.push(armed.spec);
            }
            !happened
        });
        for next in fulfilled {
            let When::After { delay, .. } = self.faults.specs[next].spec.when else { continue };
            self.faults.specs[next].awaited = Some(number);
            self.push_strike(next, self.now + delay);
        }
    }

    /// An active fault ends.
    pub(crate) fn fault_ends(&mut self, fault: u32) {
        let Some(index) = self.faults.active.iter().position(|active| active.number == fault)
        else {
            return;
        };
        let active = self.faults.active.remove(index);
        self.state(self.supervisor(), TraceEvent::FaultEnded { fault });
        match active.change {
            Change::Down(nodes) => {
                for node in nodes {
                    if !self.faults.keeps_down(node) {
                        self.restart(node);
                    }
                }
            }
            Change::Paused(nodes) => {
                for node in nodes {
                    if !self.faults.keeps_paused(node) {
                        self.resume(node);
                    }
                }
            }
            Change::Cut(links) => self.heal_links(&links),
            Change::Disturbed => {
                self.network.disturbances.retain(|disturbance| disturbance.fault != fault);
            }
            Change::Rolling(rolling) => self.stop_rolling(&rolling),
            Change::Drops { .. } | Change::Slow(..) | Change::Stalls(_) => {}
        }
        self.fault_reached(active.spec, active.number, FaultPhase::Ended);
    }

    /// The workload is over: what is not permanent heals, what has not struck does not.
    pub(crate) fn heal_faults(&mut self) {
        self.faults.armed.clear();
        let temporary: Vec<u32> = self
            .faults
            .active
            .iter()
            .filter(|active| !active.permanent)
            .map(|active| active.number)
            .collect();
        for fault in temporary {
            self.fault_ends(fault);
        }
    }

    fn carry_out(&mut self, number: u32, fault: &Fault, until: SimTime) -> Option<Change> {
        match fault {
            Fault::Kill(targets) => {
                let nodes = self.resolve(0, targets, &[]);
                for &node in &nodes {
                    self.kill(node);
                }
                Some(Change::Down(nodes))
            }
            Fault::PowerLoss(targets) => {
                let nodes = self.resolve(0, targets, &[]);
                for &node in &nodes {
                    self.lose_power(node);
                }
                Some(Change::Down(nodes))
            }
            Fault::Pause(targets) => {
                let nodes = self.resolve(0, targets, &[]);
                for &node in &nodes {
                    self.pause(node);
                }
                Some(Change::Paused(nodes))
            }
            Fault::ControlledShutdown(targets) => {
                let nodes = self.resolve(0, targets, &[]);
                for &node in &nodes {
                    self.shut_down(node);
                }
                Some(Change::Down(nodes))
            }
            Fault::PreferredElection(partition) => {
                self.elect_preferred(*partition);
                None
            }
            Fault::Partition { first, second, direction } => {
                let first = self.resolve(0, first, second);
                let links = self.cut_links(&first, second, *direction);
                Some(Change::Cut(links))
            }
            Fault::LinkDelay { first, second, extra } => {
                let kind = DisturbanceKind::Delay(*extra);
                self.disturb(number, [first, second], kind, until);
                Some(Change::Disturbed)
            }
            Fault::LinkLoss { first, second, millionths } => {
                let kind = DisturbanceKind::Loss { millionths: *millionths };
                self.disturb(number, [first, second], kind, until);
                Some(Change::Disturbed)
            }
            Fault::RollingRestart { group, down, between } => {
                Some(self.begin_rolling_restart(number, *group, *down, *between))
            }
            Fault::Scale { group, members } => {
                self.scale(*group, *members);
                None
            }
            Fault::AddPartitions { topic, count } => {
                self.add_partitions(*topic, *count);
                None
            }
            Fault::StallRequests { from, to, api, by, first: left } => {
                let (from, to) = (self.resolve(0, from, to), self.resolve(0, to, from));
                let (api, by, left) = (*api, exactly(*by), *left);
                Some(Change::Stalls(Stall { from, to, api, by, left }))
            }
            Fault::DropResponses { apis, from, to, millionths, then } => {
                let (first, second) = (self.resolve(0, from, to), self.resolve(0, to, from));
                Some(Change::Drops {
                    apis: apis.clone(),
                    from: first,
                    to: second,
                    millionths: *millionths,
                    then: *then,
                })
            }
            Fault::SlowDisk { targets, extra } => {
                Some(Change::Slow(self.resolve(0, targets, &[]), *extra))
            }
            Fault::OneOf(_) => None,
        }
    }

    fn disturb(
        &mut self,
        fault: u32,
        sides: [&[Target]; 2],
        kind: DisturbanceKind,
        until: SimTime,
    ) {
        let [first, second] = sides;
        let (first, second) = (self.resolve(0, first, second), self.resolve(0, second, first));
        self.network.disturbances.push(Disturbance { fault, first, second, kind, until });
    }

    fn cut_links(
        &mut self,
        first: &[NodeId],
        second: &[Target],
        direction: Direction,
    ) -> Vec<(NodeId, NodeId)> {
        let second = self.resolve_nodes(second, first);
        let mut links = Vec::new();
        for &from in first {
            for &to in second.iter().filter(|&&to| to != from) {
                links.push((from, to));
                if direction == Direction::Both {
                    links.push((to, from));
                }
            }
        }
        for &(from, to) in &links {
            self.network.cut(from, to);
        }
        links
    }

    pub(crate) fn resolve_nodes(&mut self, targets: &[Target], others: &[NodeId]) -> Vec<NodeId> {
        if targets.contains(&Target::Rest) {
            let all = (0..self.nodes.len() as u16).map(NodeId);
            return all.filter(|node| !others.contains(node)).collect();
        }
        self.resolve(0, targets, &[])
    }
}

/// The fault itself, or one drawn from those that it stands for.
fn draw_one(fault: &Fault, rng: &mut NodeRng) -> Fault {
    match fault {
        Fault::OneOf(faults) if !faults.is_empty() => {
            let drawn = rng.below(faults.len() as u64);
            draw_one(&faults[drawn as usize], rng)
        }
        other => other.clone(),
    }
}
