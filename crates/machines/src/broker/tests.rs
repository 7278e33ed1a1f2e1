//! One broker against a scripted world: every test compares what it asked for, and what it stated,
//! with `==`.

mod cluster;
mod following;
mod groups;
mod leading;
mod life;
mod rig;
mod sessions;
mod transaction_bench;
mod transactional_offsets;
mod transactions;
mod zookeeper;
