//! How long a client waits before it tries again: `ExponentialBackoff` (KIP-144 for connections,
//! KIP-580 for requests).
//!
//! Integers only: Kafka computes with doubles, and rounds to whole milliseconds; here the same
//! curve in nanoseconds.

use crate::rng::NodeRng;
use acklab_vocab::config::ClientConfig;
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::time::SimDuration;

/// `min(max, initial * 2^attempts * U(0.8, 1.2))`; always `initial`, without jitter, where `max` is
/// not larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExponentialBackoff {
    initial: SimDuration,
    max: SimDuration,
}

impl ExponentialBackoff {
    /// Doubles from `initial` up to `max`.
    #[must_use]
    pub const fn new(initial: SimDuration, max: SimDuration) -> Self {
        ExponentialBackoff { initial, max }
    }

    /// Between attempts of a request: `retry.backoff.ms` to `retry.backoff.max.ms`, constant before
    /// KIP-580.
    #[must_use]
    pub fn of_retries(config: &ClientConfig) -> Self {
        let exponential = config.rules.has(ProtocolRule::ExponentialRetryBackoff);
        let max = if exponential { config.retry_backoff_max } else { config.retry_backoff };
        ExponentialBackoff::new(config.retry_backoff, max)
    }

    /// Between attempts to connect: `reconnect.backoff.ms` to `reconnect.backoff.max.ms`.
    #[must_use]
    pub const fn of_reconnects(config: &ClientConfig) -> Self {
        ExponentialBackoff::new(config.reconnect_backoff, config.reconnect_backoff_max)
    }

    /// For how long an attempt to connect may last: `socket.connection.setup.timeout.ms` to its
    /// `.max.ms`.
    #[must_use]
    pub const fn of_connection_setup(config: &ClientConfig) -> Self {
        ExponentialBackoff::new(
            config.connection_setup_timeout,
            config.connection_setup_timeout_max,
        )
    }

    /// The wait after `attempts` earlier failures, from 0.
    pub fn backoff(self, attempts: u32, rng: &mut NodeRng) -> SimDuration {
        if self.max <= self.initial {
            return self.initial;
        }
        self.max.min(rng.jittered(self.term(attempts)))
    }

    /// The curve without jitter.
    fn term(self, attempts: u32) -> SimDuration {
        let factor = 1_u64.checked_shl(attempts).unwrap_or(u64::MAX);
        self.max.min(self.initial * factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(millis: u64) -> SimDuration {
        SimDuration::from_millis(millis)
    }

    #[test]
    fn the_wait_doubles_up_to_the_maximum() {
        let backoff = ExponentialBackoff::new(millis(100), millis(1_000));
        let terms = [0, 1, 2, 3, 4, 63, 64, u32::MAX].map(|attempts| backoff.term(attempts));
        assert_eq!(terms, [100, 200, 400, 800, 1_000, 1_000, 1_000, 1_000].map(millis));
    }

    #[test]
    fn jitter_never_exceeds_the_maximum() {
        let backoff = ExponentialBackoff::new(millis(100), millis(1_000));
        let mut rng = NodeRng::for_test(1);
        for _ in 0..1_000 {
            let first = backoff.backoff(0, &mut rng);
            assert!(first >= millis(80) && first <= millis(120), "{first}");
            let last = backoff.backoff(9, &mut rng);
            assert!(last >= millis(800) && last <= millis(1_000), "{last}");
        }
    }

    #[test]
    fn a_constant_wait_has_no_jitter() {
        let backoff = ExponentialBackoff::new(millis(100), millis(100));
        assert_eq!(backoff.backoff(5, &mut NodeRng::for_test(1)), millis(100));
    }
}
