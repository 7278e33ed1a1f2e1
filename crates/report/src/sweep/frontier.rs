//! Which cells nothing beats.
//!
//! Whoever chooses settings weighs four things: how probable a loss is (or what else the sweep is
//! about), how many records it takes, how long writers wait, and how many records the cluster does
//! not take at all. Settings that lose in every history are not equal if one loses ten times as
//! many; settings that refuse records are not fast because the rest was.

/// What is held against a cell: less is better in everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// What it costs: microseconds of latency.
    pub cost: u64,
    /// How probably a history goes wrong, in millionths.
    pub risk: u64,
    /// How many records a history has that went wrong, on average, in thousandths.
    pub mean: u64,
    /// Which share of the records is not acked, in millionths.
    pub refused: u64,
}

impl Position {
    fn weighed(&self, cost: u64) -> [u64; 4] {
        [cost, self.risk, self.mean, self.refused]
    }
}

/// A cell that takes so many millionths less of the records than the one that takes most says
/// nothing about latency: those that wait longest are missing.
const COMPARABLE: u64 = 10_000;

/// For each position the first one that beats it: better in something, and worse in nothing.
/// `None` for those on Pareto's frontier. Equal positions do not beat each other.
#[must_use]
pub fn beaten_by(positions: &[Position]) -> Vec<Option<usize>> {
    let least = positions.iter().map(|of| of.refused).min().unwrap_or(0);
    let weighed = |of: &Position| {
        of.weighed(if of.refused > least + COMPARABLE { u64::MAX } else { of.cost })
    };
    let beats = |one: &Position, other: &Position| {
        let (one, other) = (weighed(one), weighed(other));
        one != other && one.iter().zip(&other).all(|(one, other)| one <= other)
    };
    positions.iter().map(|of| positions.iter().position(|other| beats(other, of))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(positions: &[(u64, u64, u64, u64)]) -> Vec<Option<usize>> {
        let position = |&(cost, risk, mean, refused): &(u64, u64, u64, u64)| Position {
            cost,
            risk,
            mean,
            refused,
        };
        beaten_by(&positions.iter().map(position).collect::<Vec<_>>())
    }

    #[test]
    fn nothing_beats_what_is_on_the_frontier() {
        assert_eq!(of(&[]), []);
        assert_eq!(of(&[(5, 5, 5, 5)]), [None]);
        // Cheap and risky, dear and safe: a choice. Dear and risky: none.
        assert_eq!(of(&[(1, 900, 9, 0), (9, 0, 0, 0), (9, 900, 9, 0)]), [None, None, Some(0)]);
        // As safe and dearer, or as dear and riskier.
        assert_eq!(of(&[(1, 0, 0, 0), (2, 0, 0, 0)]), [None, Some(0)]);
        assert_eq!(of(&[(1, 6, 1, 0), (1, 5, 1, 0)]), [Some(1), None]);
        assert_eq!(of(&[(3, 3, 3, 3), (3, 3, 3, 3)]), [None, None], "equals");
    }

    #[test]
    fn how_many_are_lost_counts_where_all_lose() {
        // acks=0 is no cheaper, and loses ten times as many.
        assert_eq!(of(&[(5, 1_000_000, 90, 0), (5, 1_000_000, 9, 0)]), [Some(1), None]);
        // It is cheaper: a choice.
        assert_eq!(of(&[(4, 1_000_000, 90, 0), (5, 1_000_000, 9, 0)]), [None, None]);
    }

    #[test]
    fn refusing_records_is_not_fast() {
        // Safe and fast, as it refuses a fifth: beaten by the one that takes all, as safely.
        assert_eq!(of(&[(1, 0, 0, 200_000), (9, 0, 0, 0)]), [Some(1), None]);
        // Safer than the one that takes all: a choice.
        assert_eq!(of(&[(1, 0, 0, 200_000), (9, 500_000, 3, 0)]), [None, None]);
        // Where all refuse as much, latency says as much of each.
        assert_eq!(of(&[(1, 0, 0, 200_000), (9, 0, 0, 200_000)]), [None, Some(0)]);
    }
}
