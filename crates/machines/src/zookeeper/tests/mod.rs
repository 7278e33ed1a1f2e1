//! Servers and clients on a plain network: latencies drawn, connections that hold back what a cut
//! keeps them from delivering, processes that are killed, paused and lose their power.

mod disk;
mod ensemble;
mod machine;
mod network;
mod random;
mod sessions;
mod told;
