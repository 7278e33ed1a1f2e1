//! Balanced consumers in a world of their own: a real ZooKeeper server, brokers played by the test.

mod brokers;
mod high_level;
mod history;
mod pykafka;
mod random;
mod world;
