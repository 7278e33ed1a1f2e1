//! acklab's vocabulary: ids, simulated time, records, one struct per Kafka API, error codes, protocol rules, properties by
//! version of Kafka, and the facts of a trace. Data only: it depends on nothing else of acklab, and decides nothing.

pub mod api;
pub mod config;
pub mod error;
pub mod group;
pub mod ids;
pub mod metadata_log;
pub mod properties;
pub mod record;
pub mod rules;
pub mod time;
pub mod trace;
pub mod transaction;
pub mod version;
pub mod zookeeper;
