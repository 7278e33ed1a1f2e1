//! acklab's runtime: the world around the machines.
//!
//! It owns the clock, the network, the disks, the processes' lives, the faults and the applications, and is the only crate
//! that names madsim. A run is a discrete-event simulation: one queue of events for the whole cluster, ordered by due time
//! and then by order of scheduling. Each process is a madsim node whose task handles the events of its machine; a task that
//! finds another node's event at the head of the queue wakes that node's task and parks. [`plain`] drives the same world
//! without tasks, and must give the same history.

#[cfg(not(madsim))]
compile_error!(
    "acklab needs `--cfg madsim`. It is set in .cargo/config.toml; an environment RUSTFLAGS overrides that file, so add \
     `--cfg madsim` to it (and to RUSTDOCFLAGS)."
);

mod application;
mod dispatch;
mod draws;
mod ensemble;
mod faults;
mod fork;
mod formation;
mod groups;
mod header;
mod life;
mod madsim_driver;
mod network;
mod node;
mod operators;
pub mod plain;
mod queue;
mod rollouts;
mod settle;
pub mod skeleton;
mod sockets;
mod stage;
mod targets;
mod triggers;
pub mod view;
mod workload;
mod world;

pub use fork::{Fork, ForkedFaults};
pub use madsim_driver::run;
pub use world::{RunOptions, RunResult, Stuck};
