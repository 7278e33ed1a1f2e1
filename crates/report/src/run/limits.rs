//! How much of a run its page shows: less of everything where a page would be too large.

/// Divides every limit of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    divisor: usize,
}

impl Limits {
    /// What a page shows of an ordinary run.
    pub const FULL: Limits = Limits { divisor: 1 };
    /// With these, every limit is one or two.
    const LEAST: usize = 1 << 16;

    /// So much of a list that may hold so many in full; one at least.
    #[must_use]
    pub const fn of(self, most: usize) -> usize {
        let part = most / self.divisor;
        if part == 0 { 1 } else { part }
    }

    /// Half of it; `None` if there is no less.
    #[must_use]
    pub const fn half(self) -> Option<Limits> {
        if self.divisor >= Limits::LEAST {
            return None;
        }
        Some(Limits { divisor: self.divisor * 2 })
    }

    /// By how much every limit is divided.
    #[must_use]
    pub const fn divisor(self) -> usize {
        self.divisor
    }
}

/// The beginning of a text that may be as long as somebody likes.
#[must_use]
pub fn clipped(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{} …", text[..end].trim_end()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_shrink_to_one_and_end() {
        let mut limits = Limits::FULL;
        assert_eq!([limits.of(600), limits.of(0)], [600, 1]);
        let mut halves = 0;
        while let Some(half) = limits.half() {
            assert!(half.of(600) <= limits.of(600));
            (limits, halves) = (half, halves + 1);
        }
        assert_eq!((limits.of(30_000), halves), (1, 16));
    }

    #[test]
    fn long_texts_end_with_an_ellipsis() {
        assert_eq!(clipped("öäü", 3), "öäü");
        assert_eq!(clipped("öä üß", 3), "öä …");
    }
}
