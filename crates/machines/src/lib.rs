//! acklab's machines: broker, controller, producer and reader as pure state machines.
//!
//! A machine has one way in ([`Input`]) and one way out ([`Effect`]), both plain data. It has no clock, no network, no
//! disk and no randomness of its own: all four are handed to it in [`Cx`]. The same inputs give the same effects, so a
//! test compares them with `==`.

pub mod balanced;
pub mod broker;
pub mod client;
pub mod consumer;
pub mod controller;
pub mod disk;
pub mod group_consumer;
pub mod machine;
pub mod producer;
pub mod reader;
pub mod rng;
pub mod zookeeper;

pub use machine::{Cx, Effect, Input, Machine, Outbox};
