//! Digests of a history and of its outcome: XXH3-64 over canonical bytes.
//!
//! Facts are fed through `Hash` with every integer written in its own width, little-endian, `usize`
//! as 64 bits, so the same facts give the same digest on every platform and in every build.

use std::hash::Hasher;
use xxhash_rust::xxh3::Xxh3;

/// The two digests of a run, in hexadecimal.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Digests {
    /// Over every fact.
    pub trajectory: String,
    /// Over the fates only.
    pub verdict: String,
}

/// Bytes that are gathered before they are hashed: `Hash` writes a few at a time.
const BUFFER_BYTES: usize = 4096;

/// A hasher that gives the same value everywhere.
pub struct StableHasher {
    hasher: Xxh3,
    buffer: Box<[u8; BUFFER_BYTES]>,
    length: usize,
}

impl Default for StableHasher {
    fn default() -> Self {
        let buffer = Box::new([0; BUFFER_BYTES]);
        StableHasher { hasher: Xxh3::new(), buffer, length: 0 }
    }
}

impl StableHasher {
    /// The digest so far, in hexadecimal.
    #[must_use]
    pub fn hex(&self) -> String {
        format!("{:016x}", self.finish())
    }

    /// The digest so far, and begins anew.
    pub fn take(&mut self) -> u64 {
        let digest = self.finish();
        self.hasher.reset();
        self.length = 0;
        digest
    }

    #[inline]
    fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        match self.buffer.get_mut(self.length..self.length + N) {
            Some(slot) => {
                slot.copy_from_slice(&bytes);
                self.length += N;
            }
            None => self.put_after_flush(&bytes),
        }
    }

    #[cold]
    fn put_after_flush(&mut self, bytes: &[u8]) {
        self.flush();
        self.buffer[..bytes.len()].copy_from_slice(bytes);
        self.length = bytes.len();
    }

    fn flush(&mut self) {
        self.hasher.update(&self.buffer[..self.length]);
        self.length = 0;
    }
}

impl Hasher for StableHasher {
    fn finish(&self) -> u64 {
        let mut hasher = self.hasher.clone();
        hasher.update(&self.buffer[..self.length]);
        hasher.digest()
    }

    fn write(&mut self, bytes: &[u8]) {
        self.flush();
        self.hasher.update(bytes);
    }

    #[inline]
    fn write_u8(&mut self, value: u8) {
        self.put(value.to_le_bytes());
    }

    #[inline]
    fn write_u16(&mut self, value: u16) {
        self.put(value.to_le_bytes());
    }

    #[inline]
    fn write_u32(&mut self, value: u32) {
        self.put(value.to_le_bytes());
    }

    #[inline]
    fn write_u64(&mut self, value: u64) {
        self.put(value.to_le_bytes());
    }

    #[inline]
    fn write_u128(&mut self, value: u128) {
        self.put(value.to_le_bytes());
    }

    #[inline]
    fn write_usize(&mut self, value: usize) {
        self.put((value as u64).to_le_bytes());
    }

    #[inline]
    fn write_i8(&mut self, value: i8) {
        self.put(value.to_le_bytes());
    }

    #[inline]
    fn write_i16(&mut self, value: i16) {
        self.put(value.to_le_bytes());
    }

    #[inline]
    fn write_i32(&mut self, value: i32) {
        self.put(value.to_le_bytes());
    }

    #[inline]
    fn write_i64(&mut self, value: i64) {
        self.put(value.to_le_bytes());
    }

    #[inline]
    fn write_i128(&mut self, value: i128) {
        self.put(value.to_le_bytes());
    }

    #[inline]
    fn write_isize(&mut self, value: isize) {
        self.put((value as i64).to_le_bytes());
    }
}

impl std::fmt::Debug for StableHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("StableHasher").field(&self.hex()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::Hash;

    #[test]
    fn the_same_values_give_the_same_digest_however_they_are_buffered() {
        let mut hasher = StableHasher::default();
        for value in 0..10_000_u32 {
            (value, value as u8, "text", value as usize).hash(&mut hasher);
        }
        assert_eq!(hasher.hex(), PINNED);
    }

    /// Written down once: a different value means that every digest ever written down is void.
    const PINNED: &str = "73f2c1e303322cee";
}
