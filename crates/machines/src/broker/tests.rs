//! One broker against a scripted world: every test compares what it asked for, and what it stated,
//! with `==`.

mod cluster;
mod following;
mod leading;
mod life;
mod rig;
