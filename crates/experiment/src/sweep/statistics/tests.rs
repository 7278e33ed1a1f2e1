//! Against tables that others have computed.

use super::*;
use proptest::prelude::*;

fn ends(of: Interval) -> (String, String) {
    (format!("{:.4}", of.low), format!("{:.4}", of.high))
}

#[test]
fn wilson_intervals_are_those_of_newcombes_table() {
    // Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3.
    for (part, whole, low, high) in [
        (81, 263, "0.2553", "0.3662"),
        (15, 148, "0.0624", "0.1605"),
        (0, 20, "0.0000", "0.1611"),
        (1, 29, "0.0061", "0.1718"),
    ] {
        assert_eq!(ends(wilson(part, whole)), (low.to_owned(), high.to_owned()), "{part}/{whole}");
    }
    assert_eq!(wilson(20, 20).high, 1.0);
    assert_eq!(wilson(0, 0), Interval { estimate: 0.0, low: 0.0, high: 1.0 });
}

#[test]
fn paired_intervals_are_those_of_newcombes_table() {
    // Newcombe 1998, "Improved confidence intervals for the difference between binomial proportions
    // based on paired data", table II, method 10: first minus second there.
    for ([both, first_only, second_only, neither], low, high) in
        [([36, 12, 2, 0], "0.0569", "0.3404"), ([0, 0, 0, 54], "-0.0664", "0.0664")]
    {
        let interval = paired_difference(both, second_only, first_only, neither);
        assert_eq!(ends(interval), (low.to_owned(), high.to_owned()), "{both} {first_only}");
    }
    assert_eq!(paired_difference(10, 3, 3, 4).estimate, 0.0);
    assert_eq!(paired_difference(0, 0, 0, 0), Interval { estimate: 0.0, low: -1.0, high: 1.0 });
}

#[test]
fn mcnemar_is_the_exact_binomial_test() {
    for (first, second, p) in [
        (0, 0, 1.0),
        (4, 4, 1.0),
        (0, 5, 0.0625),
        (9, 1, 0.021_484),
        (1, 2, 1.0),
        (2, 8, 0.109_375),
        // 2 · P(X ≤ 40), X ~ B(100, 1/2)
        (40, 60, 0.056_888),
        // Far below what six digits show, and below what a double could hold as 2^-n.
        (0, 5_000, 0.0),
    ] {
        assert_eq!(mcnemar(first, second), p, "{first} against {second}");
        assert_eq!(mcnemar(second, first), p, "{second} against {first}");
    }
    // 2 · P(X ≤ 49,900), X ~ B(100,000, 1/2): the normal approximation says 0.529…
    let many = mcnemar(49_900, 50_100);
    assert!((0.52..0.54).contains(&many), "{many}");
}

#[test]
fn students_t_is_that_of_the_tables() {
    for (degrees, t) in [
        (1, "12.7062"),
        (2, "4.3027"),
        (10, "2.2281"),
        (11, "2.2010"),
        (12, "2.1788"),
        (20, "2.0860"),
        (30, "2.0423"),
        (100, "1.9840"),
        (1_000, "1.9623"),
        (1_000_000, "1.9600"),
    ] {
        assert_eq!(format!("{:.4}", student_t(degrees)), t, "{degrees} degrees of freedom");
    }
}

#[test]
fn a_mean_difference_needs_two_seeds() {
    let of = |differences: &[f64]| mean_difference(differences.iter().copied());
    assert_eq!(of(&[]), None);
    assert_eq!(of(&[3.0]), None);
    assert_eq!(of(&[2.0, 2.0]), Some(Interval { estimate: 2.0, low: 2.0, high: 2.0 }));
    // Student's own sleep data: 1.58 hours more, 0.70 to 2.46.
    let sleep = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4];
    let interval = of(&sleep).unwrap();
    assert_eq!(interval.estimate, 1.58);
    assert_eq!(ends(interval), ("0.7001".to_owned(), "2.4599".to_owned()));
}

#[test]
fn percentiles_are_values_that_occurred() {
    let values: Vec<u64> = (1..=200).collect();
    assert_eq!([500, 900, 990, 1_000].map(|at| percentile(&values, at)), [100, 180, 198, 200]);
    assert_eq!(percentile(&[7], 500), 7);
    let spread = spread([9, 0, 3, 3, 10_061].into_iter());
    assert_eq!((spread.min, spread.p50, spread.p90, spread.max), (0, 3, 10_061, 10_061));
    assert_eq!(spread.mean, 2_015.2);
}

#[test]
fn so_many_seeds_show_a_share() {
    // All of n hold: level^n is to be 5 % at the most.
    assert_eq!(seeds_to_show(10, 10, 0.95), Some(59));
    assert_eq!(seeds_to_show(10, 10, 0.99), Some(299));
    assert_eq!(seeds_to_show(10, 10, 0.999), Some(2_995));
    // 97 of 100 is more than 95 %, but only just.
    let many = seeds_to_show(97, 100, 0.95).unwrap();
    assert!(shows_at_least(many * 97 / 100, many, 0.95), "{many}");
    assert!((300..500).contains(&many), "{many}");
    // What is not so cannot be shown.
    assert_eq!(seeds_to_show(90, 100, 0.95), None);
    assert_eq!(seeds_to_show(0, 0, 0.95), None);
}

#[test]
fn exact_bounds_are_those_of_clopper_and_pearson() {
    // Where all or none hold they are the n-th root of 0.05; between, those of the beta distribution
    // in R: qbeta(0.05, k, n - k + 1) and qbeta(0.95, k + 1, n - k).
    for (part, whole, low, high) in [
        (59, 59, "0.9505", "1.0000"),
        (58, 58, "0.9497", "1.0000"),
        (0, 10, "0.0000", "0.2589"),
        (10, 10, "0.7411", "1.0000"),
        (1, 10, "0.0051", "0.3942"),
        (5, 10, "0.2224", "0.7776"),
        (0, 0, "0.0000", "1.0000"),
    ] {
        let (low_end, high_end) = exact_bounds(part, whole);
        let shown = (format!("{low_end:.4}"), format!("{high_end:.4}"));
        assert_eq!(shown, (low.to_owned(), high.to_owned()), "{part} of {whole}");
    }
    // Far more seeds than a double has powers for.
    let (low, high) = exact_bounds(900_000, 1_000_000);
    assert!((0.8995..0.9).contains(&low) && (0.9..0.9005).contains(&high), "{low} {high}");
    assert_eq!(at_most(1, 1_000_000, 0.9), 0.0);
    assert_eq!(at_most(999_999, 1_000_000, 0.1), 1.0);
}

#[test]
fn rounding_keeps_six_digits_and_no_negative_zero() {
    assert_eq!(rounded(0.123_456_49), 0.123_456);
    assert!(rounded(-1e-9).is_sign_positive());
}

proptest! {
    #[test]
    fn intervals_hold_their_estimate(counts in prop::array::uniform4(0_u64..2_000)) {
        let [both, first, second, neither] = counts;
        let paired = paired_difference(both, first, second, neither);
        prop_assert!(paired.low <= paired.estimate && paired.estimate <= paired.high, "{paired:?}");
        let single = wilson(both, both + first);
        prop_assert!(single.low <= single.estimate && single.estimate <= single.high, "{single:?}");
        prop_assert!((0.0..=1.0).contains(&single.low) && (0.0..=1.0).contains(&single.high));
    }

    #[test]
    fn a_bound_is_wrong_once_in_twenty(part in 0_u64..300, more in 0_u64..300) {
        let whole = part + more;
        let (low, high) = exact_bounds(part, whole);
        prop_assert!(low <= high, "{low} {high}");
        if part > 0 {
            let tail = at_least(part, whole, low);
            prop_assert!((0.0499..0.0501).contains(&tail) || low < 0.01, "{tail}");
        }
        // The same the other way round.
        let (low_of_others, _) = exact_bounds(more, whole);
        if whole > 0 {
            prop_assert!((low_of_others - (1.0 - high)).abs() < 2e-6, "{low_of_others} {high}");
        }
    }

    #[test]
    fn more_discordant_seeds_on_one_side_are_less_probable(less in 0_u64..200, more in 1_u64..200) {
        let (few, many) = (mcnemar(less, less + more), mcnemar(less, less + more + 1));
        prop_assert!(many <= few, "{few} {many}");
        prop_assert!((0.0..=1.0).contains(&few));
    }
}
