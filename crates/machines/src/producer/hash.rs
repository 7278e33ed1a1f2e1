//! Hashes that choose a partition: murmur2 as in Kafka's `Utils.murmur2`, CRC-32 as in librdkafka's
//! `rd_crc32`.

const MURMUR2_SEED: u32 = 0x9747_b28c;
const MURMUR2_MULTIPLIER: u32 = 0x5bd1_e995;
const MURMUR2_SHIFT: u32 = 24;

/// Kafka's 32-bit murmur2: little-endian words, fixed seed, as a Java `int`.
#[must_use]
pub fn murmur2(key: &[u8]) -> i32 {
    let mut hash = MURMUR2_SEED ^ key.len() as u32;
    let (words, tail) = key.as_chunks::<4>();
    for word in words {
        let mut mixed = u32::from_le_bytes(*word).wrapping_mul(MURMUR2_MULTIPLIER);
        mixed ^= mixed >> MURMUR2_SHIFT;
        hash = hash.wrapping_mul(MURMUR2_MULTIPLIER) ^ mixed.wrapping_mul(MURMUR2_MULTIPLIER);
    }
    if !tail.is_empty() {
        for (index, &byte) in tail.iter().enumerate() {
            hash ^= u32::from(byte) << (8 * index);
        }
        hash = hash.wrapping_mul(MURMUR2_MULTIPLIER);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MURMUR2_MULTIPLIER);
    hash ^= hash >> 15;
    hash as i32
}

/// Kafka's `Utils.toPositive`: clears the sign bit.
#[must_use]
pub const fn to_positive(number: i32) -> u32 {
    (number & 0x7fff_ffff) as u32
}

/// CRC-32 (IEEE 802.3).
#[must_use]
pub fn crc32(key: &[u8]) -> u32 {
    let step = |crc: u32, &byte: &u8| (crc >> 8) ^ CRC32_TABLE[usize::from(crc as u8 ^ byte)];
    !key.iter().fold(u32::MAX, step)
}

const CRC32_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn murmur2_agrees_with_kafkas_own_vectors() {
        // UtilsTest.testMurmur2
        let vectors = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ];
        for (key, expected) in vectors {
            assert_eq!(murmur2(key.as_bytes()), expected, "{key}");
        }
    }

    #[test]
    fn keys_land_where_a_real_producer_puts_them() {
        let partition = |key: &str, count: u32| to_positive(murmur2(key.as_bytes())) % count;
        assert_eq!(["key-0", "key-1", "key-2"].map(|key| partition(key, 3)), [1, 0, 2]);
        assert_eq!(to_positive(murmur2(b"user-42")), 1_459_644_460);
        assert_eq!((partition("user-42", 3), partition("user-42", 6)), (1, 4));
    }

    #[test]
    fn crc32_agrees_with_the_standard_check_value() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b""), 0);
    }
}
