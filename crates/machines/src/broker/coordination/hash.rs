//! Which partition of an internal topic a name belongs to: Java's hash of a string.
//!
//! Mirrors `String.hashCode` and `org.apache.kafka.common.utils.Utils.abs`, by which
//! `GroupMetadataManager.partitionFor` and `TransactionStateManager.partitionFor` choose. Nothing
//! is left out.

/// Java's `String.hashCode`: over UTF-16 units, wrapping at 32 bits.
pub(super) fn java_string_hash(text: &str) -> i32 {
    let mix = |hash: i32, unit: u16| hash.wrapping_mul(31).wrapping_add(i32::from(unit));
    text.encode_utf16().fold(0, mix)
}

/// Kafka's `Utils.abs`: the absolute value, and 0 for the one number that has none.
pub(super) fn kafka_abs(value: i32) -> u32 {
    if value == i32::MIN { 0 } else { value.unsigned_abs() }
}

/// The partition, of `count`, that `name` belongs to. `count` is at least 1.
#[must_use]
pub fn partition_for(name: &str, count: u16) -> u16 {
    (kafka_abs(java_string_hash(name)) % u32::from(count)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Section 5.1: checked with a JVM.
    #[test]
    fn names_go_where_a_jvm_puts_them() {
        assert_eq!(java_string_hash("test_group_1"), -993_617_980);
        let vectors = [
            ("test_group_1", 30),
            ("test_group_2", 29),
            ("test_group_3", 28),
            ("my-group", 12),
            ("test", 48),
            ("group1", 40),
            ("console-consumer-1", 24),
            ("polygenelubricants", 0),
            ("", 0),
        ];
        for (name, partition) in vectors {
            assert_eq!(partition_for(name, 50), partition, "{name}");
        }
    }

    #[test]
    fn the_smallest_integer_has_no_absolute_value() {
        assert_eq!(java_string_hash("polygenelubricants"), i32::MIN);
        assert_eq!(kafka_abs(i32::MIN), 0);
        assert_eq!(kafka_abs(-7), 7);
    }
}
