//! One controller against a scripted ZooKeeper, answer by answer.

mod bench;
mod brokers;
mod channels;
mod race;
mod random;
mod requests;
mod topics;
mod tree;
mod zombie;
