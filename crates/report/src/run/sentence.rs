//! The verdict in a few sentences: the gravest that happened, why, and what Kafka had promised;
//! what else happened; what was not as expected.

use acklab_verdict::AnomalyKind;
use acklab_verdict::names::{counted, grouped, percent};

use super::model::Tone;

/// What the sentences are made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Records sent.
    pub sent: u64,
    /// Records stored.
    pub stored: u64,
    /// Records that were reported as failed.
    pub failed: u64,
    /// Records of which the producer was never told.
    pub unknown: u64,
    /// Records of aborted transactions.
    pub aborted: u64,
    /// Records of partitions without a leader at rest.
    pub undecided: u64,
    /// Consumer applications.
    pub applications: u64,
    /// Each of them has processed every stored record: none was only for others.
    pub is_all_processed: bool,
    /// Records that an application has still to process, over all applications.
    pub pending: u64,
    /// Kinds of anomalies that occurred.
    pub anomalies: Vec<Finding>,
    /// Promises and invariants that were broken.
    pub violations: u64,
    /// The run did not come to rest.
    pub is_stuck: bool,
    /// Expectations that did not hold, that it comes to rest among them.
    pub unmet: u64,
}

/// One kind of anomaly, of the log or of one application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong.
    pub kind: AnomalyKind,
    /// The application that has it, if one has.
    pub application: Option<String>,
    /// How many records.
    pub count: u64,
    /// Out of how many.
    pub whole: u64,
    /// The most frequent cause in words.
    pub cause: &'static str,
    /// How many records have this cause.
    pub cause_count: u64,
    /// What Kafka had promised for it.
    pub promise: Promised,
}

/// What Kafka had promised, gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promised {
    /// More.
    More,
    /// More, but the version is documented to break it: KIP or issue.
    Known(&'static str),
    /// No more, for this reason; may be empty.
    NoMore(&'static str),
}

/// How grave it is.
#[must_use]
pub fn tone(findings: &Findings) -> Tone {
    let is_broken = findings.violations > 0 || findings.unmet > 0 || findings.is_stuck;
    match (is_broken, findings.anomalies.is_empty()) {
        (true, _) => Tone::Broken,
        (false, false) => Tone::Anomalies,
        (false, true) => Tone::Clean,
    }
}

/// The sentences.
#[must_use]
pub fn sentence(findings: &Findings) -> String {
    let mut anomalies: Vec<&Finding> = findings.anomalies.iter().collect();
    anomalies.sort_by_key(|of| {
        let why = match of.promise {
            Promised::More => 0,
            Promised::Known(_) => 1,
            Promised::NoMore(_) => 2,
        };
        (why, gravity(of.kind), std::cmp::Reverse(of.count), of.application.clone())
    });
    let mut sentences = match anomalies[..] {
        [] => vec![without_anomalies(findings)],
        [gravest, ref others @ ..] => {
            let mut sentences = vec![of_anomaly(gravest), of_promise(gravest.promise)];
            let others = others.iter().map(|of| format!("{} {}", grouped(of.count), met(of)));
            sentences.extend(list(others).map(|others| format!("Besides, {others}.")));
            sentences.extend(of_the_rest(findings).map(|rest| format!("{rest}.")));
            sentences
        }
    };
    if findings.violations > 0 {
        sentences.push(format!("The judge found {}.", counted(findings.violations, "violation")));
    }
    if findings.is_stuck {
        sentences.push("The cluster did not come to rest.".to_owned());
    }
    let unmet = findings.unmet - u64::from(findings.is_stuck).min(findings.unmet);
    if unmet > 0 {
        sentences.push(format!("{} did not hold.", counted(unmet, "expectation")));
    }
    sentences.join(" ")
}

const fn gravity(kind: AnomalyKind) -> u8 {
    match kind {
        AnomalyKind::Lost => 0,
        AnomalyKind::Skipped => 1,
        AnomalyKind::Ghost => 2,
        AnomalyKind::Phantom => 3,
        AnomalyKind::Duplicated => 4,
        AnomalyKind::Reprocessed => 5,
        AnomalyKind::Reordered => 6,
    }
}

fn without_anomalies(findings: &Findings) -> String {
    let Findings { sent, stored, applications, pending, is_all_processed, .. } = findings;
    if *sent == 0 {
        return "No record was sent.".to_owned();
    }
    let what = match (applications, pending) {
        (0, _) | (_, 1..) => "stored once and in order",
        (_, 0) if !is_all_processed => {
            "stored once and in order, and those that consumers read were processed once"
        }
        (1, 0) => "stored once, in order, and processed once",
        (_, 0) => "stored once, in order, and processed once by each application",
    };
    let mut text = match *stored {
        0 => format!("None of {} is stored", counted(*sent, "record")),
        stored if stored == *sent && stored == 1 => format!("The only record is {what}"),
        stored if stored == *sent => format!("All {} are {what}", counted(stored, "record")),
        stored => {
            let is = if stored == 1 { "is" } else { "are" };
            format!("{} of {} {is} {what}", grouped(stored), counted(*sent, "record"))
        }
    };
    if let Some(rest) = of_the_rest(findings) {
        text.push_str(&format!("; {rest}"));
    }
    text.push('.');
    text
}

/// What became of records that are not stored, and yet are no anomaly.
fn of_the_rest(findings: &Findings) -> Option<String> {
    let rest = [
        (
            findings.failed,
            "failed, and the producer was told so",
            "failed, and the producers were told so",
        ),
        (findings.unknown, "was never reported on", "were never reported on"),
        (
            findings.aborted,
            "was aborted with its transaction",
            "were aborted with their transactions",
        ),
        (
            findings.undecided,
            "is undecided: no leader came back",
            "are undecided: no leader came back",
        ),
        (findings.pending, "is still to be processed", "are still to be processed"),
    ];
    let rest = rest.into_iter().filter(|(count, ..)| *count > 0);
    list(rest.map(|(count, one, many)| {
        format!("{} {}", grouped(count), if count == 1 { one } else { many })
    }))
}

fn of_anomaly(finding: &Finding) -> String {
    let Finding { kind, count, whole, cause, cause_count, .. } = finding;
    let of = match kind {
        AnomalyKind::Lost => "acked",
        AnomalyKind::Duplicated | AnomalyKind::Reordered | AnomalyKind::Skipped => "stored",
        AnomalyKind::Phantom => "failed or aborted",
        AnomalyKind::Reprocessed | AnomalyKind::Ghost => "processed",
    };
    let records = if *whole == 1 { "record" } else { "records" };
    let why = if cause_count == count {
        format!(": {cause}")
    } else if cause_count * 2 > *count {
        format!(", most of them ({}) for this reason: {cause}", grouped(*cause_count))
    } else {
        format!(", for several reasons; the most frequent one ({}): {cause}", grouped(*cause_count))
    };
    let (shown, share) = (grouped(*count), percent(*count, *whole));
    format!("{shown} of {} {of} {records} ({share}) {}{why}.", grouped(*whole), met(finding))
}

/// What happened to the records of a finding: `are lost`, `were skipped by billing`.
fn met(finding: &Finding) -> String {
    let (is, was) = if finding.count == 1 { ("is", "was") } else { ("are", "were") };
    let by = finding.application.as_deref().unwrap_or("a consumer");
    match finding.kind {
        AnomalyKind::Lost => format!("{is} lost"),
        AnomalyKind::Phantom => format!("{is} stored all the same"),
        AnomalyKind::Duplicated => format!("{is} stored more than once"),
        AnomalyKind::Reordered => format!("{is} out of order"),
        AnomalyKind::Reprocessed => format!("{was} processed again by {by}"),
        AnomalyKind::Skipped => format!("{was} skipped by {by}"),
        AnomalyKind::Ghost => format!("{was} processed by {by} and then lost"),
    }
}

fn of_promise(promise: Promised) -> String {
    match promise {
        Promised::NoMore("") => "Kafka had promised no more.".to_owned(),
        Promised::NoMore(why) => format!("Kafka had promised no more: {why}."),
        Promised::Known(issue) => {
            format!(
                "Kafka had promised otherwise, and this version is known to break it ({issue})."
            )
        }
        Promised::More => "Kafka had promised otherwise.".to_owned(),
    }
}

/// `a`, `a and b`, `a, b and c`
fn list(items: impl Iterator<Item = String>) -> Option<String> {
    let mut items: Vec<String> = items.collect();
    let last = items.pop()?;
    Some(if items.is_empty() { last } else { format!("{} and {last}", items.join(", ")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLEAN: fn() -> Findings =
        || Findings { sent: 30_000, stored: 30_000, ..Findings::default() };

    fn lost(count: u64) -> Finding {
        Finding {
            kind: AnomalyKind::Lost,
            application: None,
            count,
            whole: 30_000,
            cause: "acked before replication, leader failed over",
            cause_count: count,
            promise: Promised::NoMore("acks=1 promises the leader's copy only"),
        }
    }

    fn again(application: &str, count: u64) -> Finding {
        let application = Some(application.to_owned());
        let (cause, promise) = ("crash before commit", Promised::NoMore(""));
        Finding { kind: AnomalyKind::Reprocessed, application, cause, promise, ..lost(count) }
    }

    #[test]
    fn a_run_without_anomalies() {
        let cases = [
            (Findings::default(), "No record was sent."),
            (CLEAN(), "All 30,000 records are stored once and in order."),
            (
                Findings { applications: 1, is_all_processed: true, ..CLEAN() },
                "All 30,000 records are stored once, in order, and processed once.",
            ),
            (
                Findings { applications: 1, ..CLEAN() },
                "All 30,000 records are stored once and in order, and those that consumers read \
                 were processed once.",
            ),
            (
                Findings { applications: 2, pending: 7, ..CLEAN() },
                "All 30,000 records are stored once and in order; 7 are still to be processed.",
            ),
            (
                Findings { stored: 29_000, failed: 999, unknown: 1, ..CLEAN() },
                "29,000 of 30,000 records are stored once and in order; 999 failed, and the \
                 producers were told so and 1 was never reported on.",
            ),
            (
                Findings { sent: 5, undecided: 5, ..Findings::default() },
                "None of 5 records is stored; 5 are undecided: no leader came back.",
            ),
        ];
        for (findings, expected) in cases {
            assert_eq!(sentence(&findings), expected);
            assert_eq!(tone(&findings), Tone::Clean);
        }
    }

    #[test]
    fn the_gravest_anomaly_with_its_cause_and_promise_and_then_the_others() {
        let both = Findings { anomalies: vec![again("billing", 12), lost(2)], ..CLEAN() };
        assert_eq!(
            sentence(&both),
            "2 of 30,000 acked records (0.007 %) are lost: acked before replication, leader \
             failed over. Kafka had promised no more: acks=1 promises the leader's copy only. \
             Besides, 12 were processed again by billing."
        );
        let broken = Finding { promise: Promised::More, ..again("billing", 12) };
        let broken = Findings { anomalies: vec![lost(2), broken], ..CLEAN() };
        let begins = "12 of 30,000 processed records (0.040 %) were processed again by billing: \
                      crash before commit. Kafka had promised otherwise. Besides, 2 are lost.";
        assert_eq!(sentence(&broken), begins);
        let several = Finding { cause_count: 7, ..lost(10) };
        let several = Findings { anomalies: vec![several], ..CLEAN() };
        assert!(sentence(&several).contains("are lost, most of them (7) for this reason: acked"));
        assert_eq!(tone(&several), Tone::Anomalies);
    }

    #[test]
    fn what_did_not_hold_is_said_last() {
        let stuck = Findings { is_stuck: true, unmet: 1, ..CLEAN() };
        let ends = "in order. The cluster did not come to rest.";
        assert!(sentence(&stuck).ends_with(ends), "{}", sentence(&stuck));
        let unmet = Findings { violations: 1, unmet: 2, ..CLEAN() };
        let ends = "in order. The judge found 1 violation. 2 expectations did not hold.";
        assert!(sentence(&unmet).ends_with(ends), "{}", sentence(&unmet));
        assert_eq!([tone(&stuck), tone(&unmet)], [Tone::Broken; 2]);
    }
}
