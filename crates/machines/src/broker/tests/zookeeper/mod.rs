//! One broker in ZooKeeper mode against a scripted world.

mod control;
mod isr;
mod life;
mod rig;
mod shut_down;
mod truncation;
