//! Fates as tables, causes, and a record that stands for each cause.

use acklab_verdict::cause::Promise;
use acklab_verdict::names::{self, grouped, percent};
use acklab_verdict::transactions::TransactionCounts;
use acklab_verdict::{Anomaly, CauseCount, GroupCounts, ReaderCounts, RecordCounts, Verdict};

use super::head::{Commands, explain_options, of_kind};
use super::ledger::Ledger;
use super::limits::Limits;
use super::model::{CauseRow, CountRow, CountTable, Fates, Listed, PromiseWord, Representative};

/// So many rows of a table are shown.
const ROWS: usize = 50;
/// So many records are shown one by one.
const REPRESENTATIVES: usize = 12;

type Column<T> = (&'static str, fn(&T) -> u64);

const RECORDS: [Column<RecordCounts>; 13] = [
    ("sent", |of| of.sent),
    ("acked", |of| of.acked),
    ("failed", |of| of.failed),
    ("unknown", |of| of.unknown),
    ("aborted", |of| of.aborted),
    ("stored", |of| of.stored),
    ("lost", |of| of.lost),
    ("phantom", |of| of.phantom),
    ("duplicated", |of| of.duplicated),
    ("extra copies", |of| of.extra_copies),
    ("reordered", |of| of.reordered),
    ("expired", |of| of.expired),
    ("undecided", |of| of.undecided),
];

const GROUPS: [Column<GroupCounts>; 11] = [
    ("processed", |of| of.processed),
    ("reprocessed", |of| of.reprocessed),
    ("extra processings", |of| of.extra_processings),
    ("processed copies", |of| of.processed_copies),
    ("skipped", |of| of.skipped),
    ("pending", |of| of.pending),
    ("ghosts", |of| of.ghost),
    ("rebalances", |of| of.rebalances),
    ("evictions", |of| of.evictions),
    ("commits", |of| of.commits),
    ("failed commits", |of| of.commit_failures),
];

const READERS: [Column<ReaderCounts>; 5] = [
    ("read", |of| of.read),
    ("read again", |of| of.reread),
    ("resets", |of| of.resets),
    ("truncations", |of| of.truncations),
    ("stopped", |of| of.stopped),
];

const TRANSACTIONS: [Column<TransactionCounts>; 5] = [
    ("begun", |of| of.begun),
    ("committed", |of| of.committed),
    ("aborted", |of| of.aborted),
    ("of these, by a coordinator", |of| of.aborted_by_coordinator),
    ("unknown", |of| of.unknown),
];

/// The counts of a run as tables.
#[must_use]
pub fn fates(verdict: &Verdict, limits: Limits) -> Fates {
    let all = ("all".to_owned(), verdict.records);
    let producers = verdict.producers.iter().filter(|_| verdict.producers.len() > 1);
    let producers =
        std::iter::once(all).chain(producers.map(|(name, counts)| (name.clone(), *counts)));
    let topics = verdict.topics.iter().map(|(name, counts)| (name.clone(), *counts));
    let groups = verdict.groups.iter().map(|(name, group)| (name.clone(), group.counts));
    let transactions = Some(verdict.transactions).filter(|of| of.begun > 0);
    let transactions = transactions.into_iter().map(|of| ("all".to_owned(), of));
    let readers = verdict.readers.iter().map(|(name, counts)| (name.clone(), *counts));
    Fates {
        producers: table("producer", &RECORDS, producers, limits),
        topics: table("topic", &RECORDS, topics, limits),
        groups: table("application", &GROUPS, groups, limits),
        readers: table("reader", &READERS, readers, limits),
        transactions: table("transactions", &TRANSACTIONS, transactions, limits),
    }
}

fn table<T>(
    of: &str,
    columns: &[Column<T>],
    rows: impl Iterator<Item = (String, T)>,
    limits: Limits,
) -> CountTable {
    let rows = rows.map(|(name, all)| CountRow {
        name,
        counts: columns.iter().map(|(_, count)| count(&all)).collect(),
    });
    CountTable {
        of: of.to_owned(),
        words: columns.iter().map(|(word, _)| (*word).to_owned()).collect(),
        rows: Listed::first(rows.collect(), limits.of(ROWS)),
    }
}

/// The causes, each with a record that shows it.
#[must_use]
pub fn causes(verdict: &Verdict, say: Commands<'_>, limits: Limits) -> Listed<CauseRow> {
    let rows = verdict.causes.iter().map(|of| {
        let example = verdict.anomalies.iter().find(|anomaly| is_of(anomaly, of));
        let (_, whole) = of_kind(verdict, of.kind, of.group);
        CauseRow {
            kind: of.kind.name().to_owned(),
            group: of.group.map(|group| names::application(&verdict.header, group)),
            cause: of.cause.name().to_owned(),
            words: of.cause.sentence().to_owned(),
            promise: match of.promise {
                Promise::Kept => PromiseWord::Kept,
                Promise::KnownViolation(_) => PromiseWord::Known,
                Promise::Broken => PromiseWord::Broken,
            },
            promise_words: promise(of),
            prevented_by: of.cause.prevention().to_owned(),
            count: of.count,
            of: grouped(whole),
            share: percent(of.count, whole),
            representative: example.map(|of| names::record(&verdict.header, of.record)),
            explain: example.map(|of| say("explain", &explain_options(verdict, of))),
        }
    });
    Listed::first(rows.collect(), limits.of(ROWS))
}

fn is_of(anomaly: &Anomaly, cause: &CauseCount) -> bool {
    (anomaly.kind, anomaly.group, anomaly.cause, anomaly.promise)
        == (cause.kind, cause.group, cause.cause, cause.promise)
}

fn promise(of: &CauseCount) -> String {
    match of.promise {
        Promise::Kept if of.why_kept.is_empty() => "promise kept".to_owned(),
        Promise::Kept => format!("promise kept: {}", of.why_kept),
        Promise::KnownViolation(issue) => {
            format!("promise broken, as documented for this version: {issue}")
        }
        Promise::Broken => "promise broken".to_owned(),
    }
}

/// One record for each cause, in the order of the causes.
#[must_use]
pub fn representatives(
    verdict: &Verdict,
    ledger: &Ledger,
    say: Commands<'_>,
    limits: Limits,
) -> Listed<Representative> {
    let examples = verdict
        .causes
        .iter()
        .filter_map(|cause| verdict.anomalies.iter().find(|anomaly| is_of(anomaly, cause)));
    let all = examples.map(|of| {
        let place = of.partition.map(|id| {
            let partition = verdict.partition_name(id);
            let offset =
                of.offset.map_or(String::new(), |offset| format!("@{}", grouped(offset.0)));
            let epoch = of.epoch.map_or(String::new(), |epoch| format!(", epoch {epoch}"));
            format!("{partition}{offset}{epoch}")
        });
        Representative {
            id: of.record,
            group: of.group,
            record: names::record(&verdict.header, of.record),
            kind: of.kind.name().to_owned(),
            application: of.group.map(|group| names::application(&verdict.header, group)),
            cause: of.cause.name().to_owned(),
            words: of.cause.sentence().to_owned(),
            place,
            created_us: ledger.first_created.get(&(of.kind, of.group, of.cause)).copied(),
            explain: say("explain", &explain_options(verdict, of)),
        }
    });
    Listed::first(all.collect(), limits.of(REPRESENTATIVES))
}
