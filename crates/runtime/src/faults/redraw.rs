//! Faults of a history that forks: those that have not struck are drawn anew.

use crate::draws::{self, Purpose};
use crate::faults::Faults;
use crate::world::World;
use acklab_machines::rng::NodeRng;
use acklab_scenario::model::{Span, When};
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::Observer;

impl Faults {
    /// Draws for dropped responses come from another seed.
    pub(crate) fn change_weather(&mut self, seed: u64) {
        self.seed = seed;
        self.drop_weather.clear();
    }
}

impl<O: Observer> World<O> {
    /// Everything that faults have not drawn by `after` comes from another seed. A strike that was planned for later is
    /// planned again, on the condition that it has not come by then; one that follows on a fact is drawn when it strikes.
    pub(crate) fn redraw_faults(&mut self, after: SimTime, seed: u64) {
        for spec in 0..self.faults.specs.len() {
            let planned = &mut self.faults.specs[spec];
            planned.rng = draws::stream(seed, Purpose::Fault, spec as u64);
            if after < SimTime::ZERO {
                // Nothing has been planned yet.
                continue;
            }
            let struck_at = planned.struck_at;
            match planned.spec.when.clone() {
                When::At(at) if struck_at.is_none() && has_choice(at) => {
                    if let Some(at) = draw_later(SimTime::ZERO, at, after, &mut planned.rng) {
                        planned.plan += 1;
                        self.plan_strike(spec, at);
                    }
                }
                When::Every { first, period, until } => {
                    let (last, next) = match struck_at {
                        Some(last) => (last, period),
                        None => (SimTime::ZERO, first),
                    };
                    if !has_choice(next) && !has_choice(period) {
                        continue;
                    }
                    if let Some(next) = draw_later(last, next, after, &mut planned.rng) {
                        planned.plan += 1;
                        self.plan_strikes(spec, next, period, until);
                    }
                }
                When::At(_) | When::After { .. } => {}
            }
        }
    }
}

/// A span that is always the same leaves nothing to draw.
fn has_choice(span: Span) -> bool {
    !matches!(span, Span::Exactly(_))
}

/// An instant behind `after`, drawn as a span from `since`; `None` if that is next to impossible.
fn draw_later(since: SimTime, span: Span, after: SimTime, rng: &mut NodeRng) -> Option<SimTime> {
    (0..MOST_TRIES).map(|_| since + draws::next_span(span, rng)).find(|at| *at > after)
}

/// An instant this unlikely stays as it was drawn.
const MOST_TRIES: u32 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use acklab_vocab::time::SimDuration;

    #[test]
    fn what_is_drawn_again_is_still_to_come() {
        let mut rng = NodeRng::for_test(1);
        let (after, second) = (SimTime::from_millis(900), SimDuration::from_millis(1_000));
        let uniform = Span::Uniform(SimDuration::ZERO, second);
        for _ in 0..100 {
            let at = draw_later(SimTime::ZERO, uniform, after, &mut rng).unwrap();
            assert!(at > after && at <= SimTime::from_millis(1_000), "{at}");
        }
        let exactly = Span::Exactly(second);
        assert_eq!(
            draw_later(SimTime::ZERO, exactly, after, &mut rng),
            Some(SimTime::ZERO + second)
        );
        assert_eq!(draw_later(SimTime::ZERO, exactly, SimTime::from_millis(1_000), &mut rng), None);
    }
}
