//! The broker as a coordinator of classic groups: requests in every state, writes that fail,
//! failover.

mod bench;
mod commits;
mod consumer_protocol;
mod failover;
mod membership;
mod random;
mod refusals;
mod static_members;
mod timers;
mod writes;
