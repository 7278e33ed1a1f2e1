//! Short lists as numbers: an ISR, the owners of a partition.

/// Lists, each known by its place.
#[derive(Clone, Debug, Default)]
pub struct Lists {
    all: Vec<Vec<u16>>,
}

impl Lists {
    /// The place of a list; it is added if it is new.
    pub fn place_of(&mut self, list: Vec<u16>) -> i64 {
        let known = self.all.iter().position(|other| *other == list);
        let place = known.unwrap_or_else(|| {
            self.all.push(list);
            self.all.len() - 1
        });
        place as i64
    }

    /// The list at a place; empty if there is none.
    #[must_use]
    pub fn get(&self, place: i64) -> &[u16] {
        let list = usize::try_from(place).ok().and_then(|place| self.all.get(place));
        list.map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_one_place() {
        let mut lists = Lists::default();
        let places = [vec![], vec![1, 2], vec![2], vec![1, 2]].map(|list| lists.place_of(list));
        assert_eq!(places, [0, 1, 2, 1]);
        assert_eq!(lists.get(1), [1, 2]);
        assert_eq!(lists.get(-1), [0_u16; 0]);
    }
}
