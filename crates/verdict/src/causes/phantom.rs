//! Why a record is stored although every attempt was reported an error.

use super::unlearned::{Journey, Unlearned, unlearned};
use crate::cause::{Cause, Evidence};
use crate::world::{AppendId, World};

/// Why `copy` is there.
#[must_use]
pub fn phantom_cause(world: &World, journey: &Journey<'_>, copy: AppendId) -> (Cause, Evidence) {
    let (why, given_up) = unlearned(world, journey, copy);
    let append = &world.appends[copy.index()];
    let appended = Some((append.at, world.broker_on(append.node)));
    let cause = match why {
        Unlearned::AnswerLost => Cause::AckLostButStored,
        Unlearned::TimedOut => Cause::TimedOutButStored,
        Unlearned::LeaderMoved => Cause::LeaderMovedButStored,
        Unlearned::NotEnoughReplicas => Cause::NotEnoughReplicasButStored,
        Unlearned::ExecutedLate => Cause::ExecutedAfterFailure,
        Unlearned::Unclear => Cause::Unexplained,
    };
    (cause, Evidence { appended, given_up, ..Evidence::default() })
}
