//! The network and the disks. Defaults: failure-cases.md, calibration constants.

use crate::decode::{Fields, drawn, duration, fixed_point, scaled};
use crate::diagnostic::{Finding, Report};
use crate::model::{DiskModel, Network, Span};
use crate::syntax::{Node, Value};
use acklab_vocab::time::SimDuration;

pub(crate) const NETWORK: &[&str] =
    &["latency", "client_latency", "bandwidth", "loss", "retransmission_timeout"];

pub(crate) const DISK: &[&str] = &["flush", "write_back"];

pub(super) fn network(node: Option<&Node>, report: &mut Report) -> Option<Network> {
    let Some(node) = node else {
        return Some(Network {
            latency: DEFAULT_LATENCY,
            client_latency: DEFAULT_LATENCY,
            bytes_per_second: DEFAULT_BANDWIDTH,
            loss_millionths: 0,
            retransmission_timeout: DEFAULT_RETRANSMISSION_TIMEOUT,
        });
    };
    let fields = Fields::of(node, "a network", NETWORK, report)?;
    let latency =
        fields.or("latency", DEFAULT_LATENCY, report, |n, report| drawn(n, "a latency", report));
    let client_latency = fields
        .or("client_latency", latency?, report, |node, report| drawn(node, "a latency", report));
    let bandwidth = fields.or("bandwidth", DEFAULT_BANDWIDTH, report, bytes_per_second);
    let loss = fields.or("loss", 0, report, loss);
    let timeout = DEFAULT_RETRANSMISSION_TIMEOUT;
    let retransmission_timeout =
        fields.or("retransmission_timeout", timeout, report, |node, report| {
            duration(node, "the retransmission timeout", report)
        });
    Some(Network {
        latency: latency?,
        client_latency: client_latency?,
        bytes_per_second: bandwidth?,
        loss_millionths: loss?,
        retransmission_timeout: retransmission_timeout?,
    })
}

pub(super) fn disk(node: Option<&Node>, report: &mut Report) -> Option<DiskModel> {
    let Some(node) = node else {
        return Some(DiskModel { flush: DEFAULT_FLUSH, write_back: DEFAULT_WRITE_BACK });
    };
    let fields = Fields::of(node, "a disk", DISK, report)?;
    let flush = fields.or("flush", DEFAULT_FLUSH, report, |n, report| drawn(n, "a flush", report));
    let write_back = fields.or("write_back", DEFAULT_WRITE_BACK, report, |node, report| {
        drawn(node, "the age of a dirty page", report)
    });
    Some(DiskModel { flush: flush?, write_back: write_back? })
}

/// A share of packets that is lost for good by nobody: below one, or nothing would ever arrive.
fn loss(node: &Node, report: &mut Report) -> Option<u32> {
    let share = scaled(node, "the share of packets lost", 6, 0..=900_000, report)?;
    u32::try_from(share).ok()
}

/// `"1Gbit/s"`, `"125MB/s"`, `"unlimited"`.
pub(super) fn bytes_per_second(node: &Node, report: &mut Report) -> Option<u64> {
    let parsed = match &node.value {
        Value::Text(text) => parse_bandwidth(text),
        _ => None,
    };
    if parsed.is_none() {
        let finding = Finding::new(format!("expected a bandwidth, found {}", node.value))
            .help("write it like \"1Gbit/s\", \"125MB/s\" or \"unlimited\"");
        report.error(node.span, finding);
    }
    parsed
}

fn parse_bandwidth(text: &str) -> Option<u64> {
    let text = text.trim();
    if text == "unlimited" {
        return Some(0);
    }
    let split = text.find(|c: char| c.is_alphabetic())?;
    let (number, unit) = (fixed_point(text[..split].trim(), 3)?, &text[split..]);
    let (prefix, per_byte) = match (unit.strip_suffix("bit/s"), unit.strip_suffix("B/s")) {
        (Some(prefix), _) => (prefix, 8),
        (None, Some(prefix)) => (prefix, 1),
        (None, None) => return None,
    };
    let factor = match prefix {
        "" => 1,
        "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        _ => return None,
    };
    let bytes = number.checked_mul(factor)? / 1_000 / per_byte;
    (bytes > 0).then_some(bytes)
}

/// Round trips within a data centre have a median of 0.25 to 0.5 ms and a 99th percentile of
/// about 1.5 ms.
const DEFAULT_LATENCY: Span =
    Span::LogNormal { median: SimDuration::from_micros(180), p99: SimDuration::from_micros(750) };

/// 10 Gbit/s.
const DEFAULT_BANDWIDTH: u64 = 1_250_000_000;

/// Linux.
const DEFAULT_RETRANSMISSION_TIMEOUT: SimDuration = SimDuration::from_millis(200);

/// An SSD's fsync.
const DEFAULT_FLUSH: Span =
    Span::LogNormal { median: SimDuration::from_micros(500), p99: SimDuration::from_millis(2) };

/// Linux writes dirty pages back when they are 5 to 30 seconds old.
const DEFAULT_WRITE_BACK: Span =
    Span::Uniform(SimDuration::from_secs(5), SimDuration::from_secs(30));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bandwidths_are_in_bits_or_bytes() {
        assert_eq!(parse_bandwidth("1Gbit/s"), Some(125_000_000));
        assert_eq!(parse_bandwidth("1.5 MB/s"), Some(1_500_000));
        assert_eq!(parse_bandwidth("unlimited"), Some(0));
        for text in ["1", "fast", "0bit/s", "-1MB/s", "1TB/s", ""] {
            assert_eq!(parse_bandwidth(text), None, "{text}");
        }
    }
}
