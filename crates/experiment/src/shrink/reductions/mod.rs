//! Ways to make a scenario smaller. Each proposes; the [search](super::search) decides.

pub(super) mod faults;
pub(super) mod processes;
pub(super) mod roles;
pub(super) mod rounding;
pub(super) mod settings;
pub(super) mod workload;

/// Smaller numbers, the smallest first: `least`, then ever smaller parts cut off.
fn ladder(value: u64, least: u64) -> Vec<u64> {
    let steps = [least, value / 100, value / 10, value / 4, value / 2, value - value / 4];
    let mut rungs: Vec<u64> = steps.into_iter().filter(|&n| n >= least && n < value).collect();
    rungs.sort_unstable();
    rungs.dedup();
    rungs
}

#[cfg(test)]
mod tests {
    use super::ladder;

    #[test]
    fn ladders_descend_to_the_least() {
        assert_eq!(ladder(1_000, 1), [1, 10, 100, 250, 500, 750]);
        assert_eq!(ladder(3, 1), [1]);
        assert_eq!(ladder(5, 1), [1, 2, 4]);
        assert!(ladder(1, 1).is_empty() && ladder(0, 1).is_empty());
    }
}
