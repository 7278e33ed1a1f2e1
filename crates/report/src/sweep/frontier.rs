//! Which cells nothing beats: cost against safety.

/// A cell's cost and risk: less is better in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// What it costs: microseconds of latency.
    pub cost: u64,
    /// How probably it goes wrong, in millionths.
    pub risk: u64,
}

/// For each position, whether no other one is better in one respect and at least as good in the
/// other (Pareto's frontier). Equal positions are all on it, or none is.
#[must_use]
pub fn frontier(positions: &[Position]) -> Vec<bool> {
    let beats = |one: &Position, other: &Position| {
        one.cost <= other.cost && one.risk <= other.risk && one != other
    };
    positions.iter().map(|of| !positions.iter().any(|other| beats(other, of))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(positions: &[(u64, u64)]) -> Vec<bool> {
        let positions: Vec<Position> =
            positions.iter().map(|&(cost, risk)| Position { cost, risk }).collect();
        frontier(&positions)
    }

    #[test]
    fn nothing_beats_what_is_on_the_frontier() {
        assert_eq!(of(&[]), [false; 0]);
        assert_eq!(of(&[(5, 5)]), [true]);
        // Cheap and risky, dear and safe: a choice. Dear and risky: none.
        assert_eq!(of(&[(1, 900), (9, 0), (9, 900)]), [true, true, false]);
        // As safe and dearer, or as dear and riskier.
        assert_eq!(of(&[(1, 0), (2, 0)]), [true, false]);
        assert_eq!(of(&[(1, 5), (1, 6)]), [true, false]);
        assert_eq!(of(&[(3, 3), (3, 3)]), [true, true], "equals do not beat each other");
        assert_eq!(of(&[(3, 3), (3, 3), (2, 3)]), [false, false, true]);
    }
}
