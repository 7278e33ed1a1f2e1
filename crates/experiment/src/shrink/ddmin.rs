//! Delta debugging: the items that are needed, found by leaving out large chunks before small
//! ones.
//!
//! After A. Zeller and R. Hildebrandt, "Simplifying and isolating failure-inducing input" (IEEE
//! TSE 28, 2002), by complements only: nothing of the result can be left out alone, though two
//! items that stand and fall together may remain.

/// Leaves out of `items` what is not needed. `first` is shown what remains when each of several
/// chunks is left out, and names the first that will do.
pub(super) fn ddmin<T: Clone>(
    items: Vec<T>,
    mut first: impl FnMut(&[Vec<T>]) -> Option<usize>,
) -> Vec<T> {
    if items.is_empty() || first(&[Vec::new()]).is_some() {
        return Vec::new();
    }
    let mut items = items;
    let mut chunk = items.len().div_ceil(2);
    while items.len() > 1 {
        let left_out = sweep(&mut items, chunk, &mut first);
        if chunk > 1 {
            chunk = chunk.min(items.len()).div_ceil(2);
        } else if !left_out {
            break;
        }
    }
    items
}

/// Leaves out chunk after chunk, once through the list. Whether any could be.
fn sweep<T: Clone>(
    items: &mut Vec<T>,
    chunk: usize,
    first: &mut impl FnMut(&[Vec<T>]) -> Option<usize>,
) -> bool {
    let mut from = 0;
    let mut left_out = false;
    while from < items.len() && chunk < items.len() {
        let remaining: Vec<Vec<T>> =
            (from..items.len()).step_by(chunk).map(|at| without(items, at, chunk)).collect();
        let Some(position) = first(&remaining) else { break };
        from += position * chunk;
        items.clone_from(&remaining[position]);
        left_out = true;
    }
    left_out
}

fn without<T: Clone>(items: &[T], from: usize, count: usize) -> Vec<T> {
    let until = (from + count).min(items.len());
    [&items[..from], &items[until..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What remains of `0..count` where `shows` decides, and how often it was asked.
    fn minimal(count: u32, shows: impl Fn(&[u32]) -> bool) -> (Vec<u32>, usize) {
        let mut asked = 0;
        let remaining = ddmin((0..count).collect(), |candidates| {
            let found = candidates.iter().position(|candidate| shows(candidate));
            asked += found.map_or(candidates.len(), |position| position + 1);
            found
        });
        (remaining, asked)
    }

    #[test]
    fn what_is_needed_remains() {
        let needs = |needed: &'static [u32]| {
            move |items: &[u32]| needed.iter().all(|item| items.contains(item))
        };
        let table: [(u32, &'static [u32]); 9] = [
            (0, &[]),
            (1, &[]),
            (1, &[0]),
            (6, &[3]),
            (6, &[0, 5]),
            (7, &[2, 3, 4]),
            (8, &[7]),
            (64, &[13, 50]),
            (5, &[0, 1, 2, 3, 4]),
        ];
        for (count, needed) in table {
            assert_eq!(minimal(count, needs(needed)).0, needed, "of {count}");
        }
    }

    #[test]
    fn one_of_many_is_found_in_few_questions() {
        let (remaining, asked) = minimal(64, |items| items.contains(&41));
        assert_eq!(remaining, [41]);
        assert!(asked <= 16, "{asked}");
    }

    #[test]
    fn two_that_mask_each_other_may_remain_but_nothing_that_can_go_alone() {
        // Either both or neither: as when one fault undoes what the other has done.
        let (remaining, _) =
            minimal(8, |items| items.contains(&6) && items.contains(&2) == items.contains(&3));
        assert_eq!(remaining, [6]);
        let odd = |items: &[u32]| items.len() % 2 == 1;
        assert_eq!(minimal(9, odd).0.len() % 2, 1);
    }

    proptest! {
        #[test]
        fn the_result_shows_it_and_nothing_can_be_left_out(
            count in 0_u32..24,
            clauses in prop::collection::vec(prop::collection::vec(0_u32..24, 1..4), 0..5),
        ) {
            // Any formula of this shape that holds for the whole list, monotone or not.
            let shows = |items: &[u32]| clauses.iter().all(|clause| {
                clause.iter().any(|item| items.contains(item) || *item >= count)
            });
            prop_assume!(shows(&(0..count).collect::<Vec<_>>()));
            let (remaining, _) = minimal(count, shows);
            prop_assert!(shows(&remaining));
            for position in 0..remaining.len() {
                prop_assert!(!shows(&without(&remaining, position, 1)));
            }
        }
    }
}
