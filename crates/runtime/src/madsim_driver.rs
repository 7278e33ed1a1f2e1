//! The driver on madsim: every process of the cluster is a madsim node, and its machine runs in a task on it.
//!
//! One task at a time holds the baton. It handles the events at the head of the queue for as long as they are its own; when
//! the next one belongs to another process, it hands the baton over, wakes that process's task and parks. So the order of
//! events is that of the queue alone, whatever madsim's scheduler does. The supervisor, madsim's main task, handles what the
//! world does by itself, and tells madsim to kill, restart, pause and resume nodes.

use crate::stage::Stage;
use crate::world::{DriverOrder, RunOptions, RunResult, Turn, World};
use acklab_scenario::model::Scenario;
use acklab_vocab::ids::NodeId;
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::Observer;
use madsim::runtime::{Handle, Runtime};
use madsim::time::TimeHandle;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Who may handle events: a process, or the supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    Supervisor,
    Node(NodeId),
}

/// What the tasks of a run share.
struct Shared<S> {
    /// `None` once the run is over and the stage taken.
    stage: Option<S>,
    holder: Holder,
    supervisor: Option<Waker>,
    wakers: Vec<Option<Waker>>,
    clock: Clock,
}

/// madsim's clock, moved along with the world's: one simulated nanosecond is one madsim millisecond, because madsim rounds
/// to milliseconds and adds some nanoseconds of its own for every poll.
struct Clock {
    handle: TimeHandle,
    at: SimTime,
}

impl Clock {
    fn follow(&mut self, now: SimTime) {
        if now > self.at {
            self.handle.advance(Duration::from_millis(now.since(self.at).0));
            self.at = now;
        }
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic of a machine ends the run; the world is then only taken apart.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs one history.
///
/// # Panics
///
/// If a machine breaks one of its own invariants: a defect of the simulator. Everything is torn down before.
pub fn run<O: Observer + Send + 'static>(
    scenario: &Arc<Scenario>,
    seed: u64,
    options: RunOptions,
    observer: O,
) -> RunResult<O> {
    drive(World::new(scenario.clone(), seed, options, observer), seed).finish()
}

/// Drives a stage to its end, each of its processes as a madsim node.
pub(crate) fn drive<S: Stage + 'static>(stage: S, seed: u64) -> S {
    let runtime = Runtime::with_seed_and_config(seed, madsim::Config::default());
    let nodes = stage.processes();
    let shared = Arc::new(Mutex::new(Shared {
        clock: Clock { handle: clock_of(&runtime), at: stage.now() },
        stage: Some(stage),
        holder: Holder::Supervisor,
        supervisor: None,
        wakers: vec![None; nodes],
    }));
    let handles: Vec<madsim::task::NodeId> = (0..nodes)
        .map(|index| {
            let shared = shared.clone();
            let node = NodeId(index as u16);
            let life = move || {
                let shared = shared.clone();
                async move { poll_fn(|context| node_task(&shared, node, context)).await }
            };
            runtime.create_node().name(format!("node-{index}")).init(life).build().id()
        })
        .collect();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(poll_fn(|context| supervisor_task(&shared, &handles, context)));
    }));
    tear_down(&runtime, &handles);
    let stage = lock(&shared).stage.take();
    match (outcome, stage) {
        (Ok(()), Some(stage)) => stage,
        (Ok(()), None) => unreachable!("the stage is taken only here"),
        (Err(panic), stage) => {
            drop(stage);
            resume_unwind(panic)
        }
    }
}

/// madsim gives out its clock only from inside.
fn clock_of(runtime: &Runtime) -> TimeHandle {
    runtime.block_on(async { TimeHandle::current() })
}

/// Dropping a madsim runtime frees nothing that a living task holds: every node is killed, and the executor runs once more
/// so that it drops their tasks.
fn tear_down(runtime: &Runtime, nodes: &[madsim::task::NodeId]) {
    runtime.block_on(async {
        for &node in nodes {
            Handle::current().kill(node);
        }
        madsim::task::yield_now().await;
    });
}

fn node_task<S: Stage>(shared: &Mutex<Shared<S>>, node: NodeId, context: &Context<'_>) -> Poll<()> {
    let mut shared = lock(shared);
    let slot = &mut shared.wakers[usize::from(node.0)];
    if !slot.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
        *slot = Some(context.waker().clone());
    }
    if shared.holder == Holder::Node(node) {
        hold_baton(&mut shared, Holder::Node(node));
    }
    Poll::Pending
}

fn supervisor_task<S: Stage>(
    shared: &Mutex<Shared<S>>,
    nodes: &[madsim::task::NodeId],
    context: &Context<'_>,
) -> Poll<()> {
    let mut shared = lock(shared);
    shared.supervisor = Some(context.waker().clone());
    if shared.holder != Holder::Supervisor {
        return Poll::Pending;
    }
    loop {
        carry_out_orders(&mut shared, nodes);
        let Shared { stage: Some(stage), clock, .. } = &mut *shared else { return Poll::Ready(()) };
        match stage.turn() {
            Turn::Over => return Poll::Ready(()),
            Turn::World => {
                stage.step();
                clock.follow(stage.now());
            }
            Turn::Node(node) => {
                hand_over(&mut shared, Holder::Node(node));
                return Poll::Pending;
            }
        }
    }
}

/// Handles events for as long as they are the holder's. Whoever handed the baton over has seen that the first one is.
fn hold_baton<S: Stage>(shared: &mut Shared<S>, me: Holder) {
    let next = loop {
        let Shared { stage: Some(stage), clock, .. } = shared else { return };
        stage.step();
        clock.follow(stage.now());
        if !stage.orders().is_empty() {
            // Only the supervisor may tell madsim what has become of a node, this one perhaps.
            break Holder::Supervisor;
        }
        let next = match stage.turn() {
            Turn::Node(node) => Holder::Node(node),
            Turn::World | Turn::Over => Holder::Supervisor,
        };
        if next != me {
            break next;
        }
    };
    hand_over(shared, next);
}

fn hand_over<S>(shared: &mut Shared<S>, next: Holder) {
    shared.holder = next;
    let waker = match next {
        Holder::Supervisor => &shared.supervisor,
        Holder::Node(node) => &shared.wakers[usize::from(node.0)],
    };
    // A task that has not been polled yet has left no waker; it is ready to run already, and finds that it holds the baton.
    if let Some(waker) = waker {
        waker.wake_by_ref();
    }
}

fn carry_out_orders<S: Stage>(shared: &mut Shared<S>, nodes: &[madsim::task::NodeId]) {
    let Some(stage) = &mut shared.stage else { return };
    if stage.orders().is_empty() {
        return;
    }
    let handle = Handle::current();
    for order in std::mem::take(stage.orders()) {
        match order {
            DriverOrder::Kill(node) => {
                shared.wakers[usize::from(node.0)] = None;
                handle.kill(nodes[usize::from(node.0)]);
            }
            DriverOrder::Start(node) => {
                shared.wakers[usize::from(node.0)] = None;
                handle.restart(nodes[usize::from(node.0)]);
            }
            DriverOrder::Pause(node) => handle.pause(nodes[usize::from(node.0)]),
            DriverOrder::Resume(node) => handle.resume(nodes[usize::from(node.0)]),
        }
    }
}
