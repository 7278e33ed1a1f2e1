//! Partitions over time: the logs of their replicas, who led, and who was in sync.

use super::super::super::Html;
use super::{HEIGHT, at, how_many, listed, merged_bar, stepped};
use crate::plot::{
    Bar, Figure, Fill, Ink, Panel, Scale, Shape, SpanRow, Unit, instant, panel_over_rows,
};
use crate::run::model::{PartitionPanel, ReplicaPanel, RunPage};
use acklab_verdict::names::grouped;

/// One figure for each partition that is shown.
pub fn figures(page: &RunPage, end: i64, all: &mut Html) {
    if page.partitions.shown.is_empty() {
        return;
    }
    let shown = page.partitions.shown.len();
    all.heading("Partitions");
    if page.partitions.left_out > 0 {
        all.paragraph(&format!(
            "The {} to which most happened; {} more are in the table of partitions.",
            how_many(shown, "partition"),
            grouped(page.partitions.left_out)
        ));
    }
    let brokers = brokers(page);
    for (index, partition) in page.partitions.shown.iter().enumerate() {
        all.push(&figure(partition, &brokers, end, index));
    }
}

/// Every broker that has a replica: its ink is that of its place.
fn brokers(page: &RunPage) -> Vec<u16> {
    let replicas = page.partitions.shown.iter().flat_map(|partition| &partition.replicas);
    let mut brokers: Vec<u16> = replicas.map(|replica| replica.broker).collect();
    brokers.sort_unstable();
    brokers.dedup();
    brokers
}

fn ink_of(broker: u16, brokers: &[u16]) -> Ink {
    Ink::of_series(brokers.iter().position(|&other| other == broker).unwrap_or(0))
}

/// The logs, and below them who led and who was in sync.
fn figure(partition: &PartitionPanel, brokers: &[u16], end: i64, index: usize) -> Figure {
    let logs = logs(partition, brokers, end);
    let mut rows = vec![leaders(partition, brokers), isr(partition)];
    if !partition.marks.shown.is_empty() {
        rows.push(cuts(partition, brokers));
    }
    let ends = partition.replicas.iter().map(end_in_words);
    let spans = rows.iter().flat_map(|row| row.bars.iter().map(|bar| bar.title.clone()));
    let marks = rows.iter().flat_map(|row| row.marks.iter().map(|(_, _, title)| title.clone()));
    let said = listed(ends.chain(spans).chain(marks));
    let how = match index {
        0 => {
            "LEO of each replica, its HW dashed while its broker runs; a line that drops was \
             truncated. Below, as the controller has it, the leader and the ISR, orange where it is \
             not full."
        }
        _ => "LEO and HW of each replica; below, leader and ISR.",
    };
    let how = match partition.marks.left_out {
        0 => how.to_owned(),
        more => format!("{how} {} more cuts are not drawn.", grouped(more)),
    };
    Figure::new(&format!("fig-partition-{}", index + 1), &partition.name, |width| {
        panel_over_rows(end, &logs, &rows, width)
    })
    .read(&how)
    .instead(&said)
    .beside()
}

fn logs(partition: &PartitionPanel, brokers: &[u16], until: i64) -> Panel {
    let mut layers = Vec::new();
    for replica in &partition.replicas {
        let ink = ink_of(replica.broker, brokers);
        let (end, known) = (&replica.log_end_offset, &replica.high_watermark);
        layers.push(stepped(Shape::DashedSteps, ink, "", known, until));
        let label = format!("broker {}", replica.broker);
        layers.push(stepped(Shape::Steps, ink, &label, end, until));
    }
    let values = partition.replicas.iter().flat_map(|replica| &replica.log_end_offset.values);
    let greatest = values.copied().flatten().max().unwrap_or(0);
    let scale = Scale::from_zero(Unit::Count, at(greatest));
    Panel { scale, height: HEIGHT, layers, has_time: false }
}

fn end_in_words(replica: &ReplicaPanel) -> String {
    let last = |values: &[Option<u64>]| {
        values.last().copied().flatten().map_or_else(|| "unknown".to_owned(), grouped)
    };
    format!(
        "broker {} ends at LEO {}, HW {}",
        replica.broker,
        last(&replica.log_end_offset.values),
        last(&replica.high_watermark.values)
    )
}

fn cuts(partition: &PartitionPanel, brokers: &[u16]) -> SpanRow {
    let marks = partition.marks.shown.iter().map(|mark| {
        let broker = mark.broker.map(|broker| format!("broker {broker} ")).unwrap_or_default();
        let ink = mark.broker.map_or(Ink::Text, |broker| ink_of(broker, brokers));
        (at(mark.at_us), ink, format!("{} {broker}{}", instant(mark.at_us), mark.text))
    });
    SpanRow { label: "log cut".to_owned(), marks: marks.collect(), ..SpanRow::default() }
}

fn leaders(partition: &PartitionPanel, brokers: &[u16]) -> SpanRow {
    let bars = partition.leaders.shown.iter().map(|span| {
        let during = format!("from {} to {}", instant(span.from_us), instant(span.to_us));
        let (fill, words, who) = match span.leader {
            Some(broker) => (
                Fill::tint(ink_of(broker, brokers), 45),
                format!("broker {broker}, epoch {}", span.epoch),
                format!("broker {broker} leads {} in epoch {}", partition.name, span.epoch),
            ),
            None => (
                Fill::tint(Ink::Outage, 80),
                "nobody".to_owned(),
                format!("{} has no leader", partition.name),
            ),
        };
        Bar {
            from: at(span.from_us),
            to: at(span.to_us),
            fill,
            words,
            may_stand_beside: false,
            title: format!("{who} {during}"),
        }
    });
    let merged = partition.leaders.merged.iter().map(|of| merged_bar(of, "changes of the leader"));
    let bars = bars.chain(merged).collect();
    SpanRow { label: "leader".to_owned(), bars, ..SpanRow::default() }
}

fn isr(partition: &PartitionPanel) -> SpanRow {
    let full = partition.replicas.len();
    let bars = partition.isr.shown.iter().map(|span| {
        let words: Vec<String> = span.isr.iter().map(u16::to_string).collect();
        let words = words.join(" ");
        let fill = match span.isr.len() {
            0 => Fill::tint(Ink::Outage, 80),
            some if some < full => Fill::tint(Ink::Orange, 45),
            _ => Fill::tint(Ink::Grey, 25),
        };
        Bar {
            from: at(span.from_us),
            to: at(span.to_us),
            fill,
            title: format!("ISR {words} from {} to {}", instant(span.from_us), instant(span.to_us)),
            words,
            may_stand_beside: false,
        }
    });
    let merged = partition.isr.merged.iter().map(|of| merged_bar(of, "changes of the ISR"));
    SpanRow { label: "ISR".to_owned(), bars: bars.chain(merged).collect(), ..SpanRow::default() }
}
