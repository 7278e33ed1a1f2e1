//! From facts to causes: one file per kind of anomaly, each a lookup of facts and a pure decision.

pub mod balanced;
pub mod duplicate;
pub mod groups;
pub mod loss;
pub mod order;
pub mod phantom;
pub mod reprocessing;
pub mod skipping;
pub mod unlearned;
