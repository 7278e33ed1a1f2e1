//! Everything the world draws: ChaCha, one stream per seed, purpose and entity; integers, and libm where a logarithm is
//! needed, so that every machine draws the same.

use acklab_machines::rng::NodeRng;
use acklab_scenario::model::Span;
use acklab_vocab::ids::NodeId;
use acklab_vocab::time::{SimDuration, SimTime};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// What a stream is for. A new purpose moves no other stream's draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A machine's own draws; the entity is the node and its life.
    Node = 1,
    /// When and with what keys an application sends; the entity is the node.
    Workload = 2,
    /// When, whom and how long a fault strikes; the entity is the fault.
    Fault = 3,
    /// Delay of packets; the entity is the link.
    LinkDelay = 4,
    /// Loss of packets; the entity is the link.
    LinkLoss = 5,
    /// Delay that a fault adds; the entity is the link.
    LinkExtra = 6,
    /// Responses that a fault drops; the entity is the link.
    DropResponse = 7,
    /// How long flushes take; the entity is the node.
    Disk = 8,
    /// When processes start; the entity is the node.
    Start = 9,
    /// In which order a server that resumes takes up what has waited; the entity is the node.
    Resume = 10,
    /// How long an application works on a record; the entity is the node.
    Processing = 11,
    /// Which transactions an application aborts; the entity is the node.
    Abort = 12,
}

/// The key of a stream.
fn key(seed: u64, purpose: Purpose, entity: u64) -> [u8; 32] {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&(purpose as u64).to_le_bytes());
    key[16..24].copy_from_slice(&entity.to_le_bytes());
    key
}

/// The stream of a purpose and entity, drawn from in turn.
pub(crate) fn stream(seed: u64, purpose: Purpose, entity: u64) -> NodeRng {
    NodeRng::from_seed(key(seed, purpose, entity))
}

/// The stream of one life of a process.
pub(crate) fn node_stream(seed: u64, node: NodeId, incarnation: u32) -> NodeRng {
    stream(seed, Purpose::Node, u64::from(node.0) << 32 | u64::from(incarnation))
}

/// Draws by position, not by turn: the n-th packet that a link carries in a given millisecond draws the same number, however
/// many packets there were before. So two settings meet the same weather.
#[derive(Clone, Debug)]
pub(crate) struct Weather {
    rng: ChaCha8Rng,
    /// The first draws of each slot.
    regular: Words,
    /// The further draws of a busy slot.
    further: Words,
    slot: u64,
    ordinal: u32,
}

/// One ChaCha buffer.
#[derive(Clone, Debug)]
struct Words {
    group: u64,
    /// Each word little-endian.
    words: [[u8; 4]; WORDS],
}

impl Words {
    const NONE: Words = Words { group: u64::MAX, words: [[0; 4]; WORDS] };

    fn word(&mut self, rng: &mut ChaCha8Rng, group: u64, index: usize) -> u32 {
        if group != self.group {
            self.group = group;
            rng.set_word_pos(u128::from(group) * WORDS as u128);
            rng.fill_bytes(self.words.as_flattened_mut());
        }
        u32::from_le_bytes(self.words[index])
    }
}

/// Words of one ChaCha buffer: what is generated at once.
const WORDS: usize = 64;
/// Draws of a slot that are found in the regular sequence; further ones come from a region of their own.
const DRAWS_PER_SLOT: u64 = 2;
/// Slots that share a buffer.
const SLOTS_PER_GROUP: u64 = WORDS as u64 / DRAWS_PER_SLOT;
/// Groups at and above this one hold the further draws of busy slots, [`GROUPS_PER_BUSY_SLOT`] for each slot.
const BUSY_REGION: u64 = 1 << 48;
/// A busy slot has this many groups to itself; a slot with more draws than they hold begins again.
const GROUPS_PER_BUSY_SLOT: u64 = 1 << 10;

impl Weather {
    pub(crate) fn new(seed: u64, purpose: Purpose, entity: u64) -> Self {
        let rng = ChaCha8Rng::from_seed(key(seed, purpose, entity));
        Weather { rng, regular: Words::NONE, further: Words::NONE, slot: 0, ordinal: 0 }
    }

    /// 32 uniform bits for the next packet at `now`.
    pub(crate) fn draw(&mut self, now: SimTime) -> u32 {
        // Shifted so that formation, before time zero, has slots of its own.
        let slot = (now.0.wrapping_add(1 << 60) as u64) / 1_000_000;
        if slot == self.slot {
            self.ordinal += 1;
        } else {
            self.slot = slot;
            self.ordinal = 0;
        }
        let ordinal = u64::from(self.ordinal);
        if ordinal < DRAWS_PER_SLOT {
            let index = (slot % SLOTS_PER_GROUP) * DRAWS_PER_SLOT + ordinal;
            return self.regular.word(&mut self.rng, slot / SLOTS_PER_GROUP, index as usize);
        }
        let further = ordinal - DRAWS_PER_SLOT;
        let group = (further / WORDS as u64) % GROUPS_PER_BUSY_SLOT;
        let region = BUSY_REGION + (slot & 0xf_ffff_ffff) * GROUPS_PER_BUSY_SLOT;
        let index = (further % WORDS as u64) as usize;
        self.further.word(&mut self.rng, region + group, index)
    }
}

/// The duration that 32 uniform bits select from a distribution.
pub(crate) fn span(distribution: Span, bits: u32) -> SimDuration {
    match distribution {
        Span::Exactly(duration) => duration,
        Span::Uniform(low, high) => {
            let width = u128::from(high.0.saturating_sub(low.0)) + 1;
            SimDuration(low.0 + ((width * u128::from(bits)) >> 32) as u64)
        }
        Span::Exponential(mean) => from_f64(mean.0 as f64 * -libm::log(open_unit(bits))),
        Span::LogNormal { median, p99 } => {
            let ratio = p99.0.max(1) as f64 / median.0.max(1) as f64;
            let sigma = libm::log(ratio) / NORMAL_99TH_PERCENTILE;
            from_f64(median.0 as f64 * libm::exp(sigma * normal_quantile(open_unit(bits))))
        }
        Span::Pareto { scale, shape_thousandths } => {
            let shape = f64::from(shape_thousandths.max(1)) / 1_000.0;
            from_f64(scale.0 as f64 * libm::pow(open_unit(bits), -1.0 / shape))
        }
    }
}

/// The next duration of a stream.
pub(crate) fn next_span(distribution: Span, rng: &mut NodeRng) -> SimDuration {
    match distribution {
        Span::Exactly(duration) => duration,
        other => span(other, (rng.bits() >> 32) as u32),
    }
}

/// 99th percentile of the standard normal distribution.
const NORMAL_99TH_PERCENTILE: f64 = 2.326_347_874_040_841;

/// Uniform in the open interval (0, 1).
fn open_unit(bits: u32) -> f64 {
    (f64::from(bits) + 0.5) / 4_294_967_296.0
}

/// Rounded down; one simulated hour at the most, so that a heavy tail cannot outlast every run.
fn from_f64(nanos: f64) -> SimDuration {
    const MOST: f64 = 3_600e9;
    SimDuration(nanos.clamp(0.0, MOST) as u64)
}

/// Inverse of the standard normal distribution function, relative error below 1.2e-9 (P. J. Acklam's rational approximation).
fn normal_quantile(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const B: [f64; 5] = [
        -5.447_609_879_822_406e1,
        1.615_858_368_580_409e2,
        -1.556_989_798_598_866e2,
        6.680_131_188_771_972e1,
        -1.328_068_155_288_572e1,
    ];
    const C: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 4] = [
        7.784_695_709_041_462e-3,
        3.224_671_290_700_398e-1,
        2.445_134_137_142_996,
        3.754_408_661_907_416,
    ];
    const LOW: f64 = 0.024_25;
    let polynomial =
        |coefficients: &[f64], x: f64| coefficients.iter().fold(0.0, |sum, c| sum * x + c);
    let tail = |q: f64| polynomial(&C, q) / (polynomial(&D, q) * q + 1.0);
    if p < LOW {
        tail(libm::sqrt(-2.0 * libm::log(p)))
    } else if p > 1.0 - LOW {
        -tail(libm::sqrt(-2.0 * libm::log(1.0 - p)))
    } else {
        let q = p - 0.5;
        let r = q * q;
        polynomial(&A, r) * q / (polynomial(&B, r) * r + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> SimDuration = SimDuration::from_millis;

    /// The `share` quantile of a distribution, by its own transformation.
    fn quantile(distribution: Span, share: f64) -> u64 {
        span(distribution, (share * 4_294_967_296.0) as u32).as_micros()
    }

    #[test]
    fn distributions_have_the_quantiles_that_name_them() {
        let lognormal = Span::LogNormal { median: MS(1), p99: MS(5) };
        assert_eq!(quantile(lognormal, 0.5), 1_000);
        assert_eq!(quantile(lognormal, 0.99), 5_000);
        assert_eq!(quantile(Span::Uniform(MS(1), MS(3)), 0.25), 1_500);
        assert_eq!(quantile(Span::Exponential(MS(10)), 0.5), 6_931);
        let pareto = Span::Pareto { scale: MS(1), shape_thousandths: 2_000 };
        assert_eq!(quantile(pareto, 0.249_9), 2_000, "survival 1/4 is at scale * 4^(1/2)");
        assert_eq!(span(Span::Exactly(MS(7)), 12_345), MS(7));
    }

    #[test]
    fn weather_depends_on_the_slot_and_the_ordinal_alone() {
        let at = |micros: i64| SimTime::from_micros(micros);
        let mut quiet = Weather::new(7, Purpose::LinkDelay, 3);
        let mut busy = Weather::new(7, Purpose::LinkDelay, 3);
        for micros in (0..3_000).step_by(10) {
            busy.draw(at(micros));
        }
        let expected: Vec<u32> = (0..6).map(|i| quiet.draw(at(5_000 + i))).collect();
        let drawn: Vec<u32> = (0..6).map(|i| busy.draw(at(5_100 + 7 * i))).collect();
        assert_eq!(drawn, expected);
        let mut distinct = expected.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), expected.len(), "ordinals differ");
    }

    #[test]
    fn a_busy_slot_does_not_repeat_itself() {
        let mut weather = Weather::new(1, Purpose::LinkDelay, 1);
        let mut drawn: Vec<u32> = (0..500).map(|_| weather.draw(SimTime::ZERO)).collect();
        drawn.sort_unstable();
        drawn.dedup();
        assert!(drawn.len() > 498);
    }
}
