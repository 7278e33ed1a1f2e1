//! How many records met which fate, by producer, topic, application and reader; partitions in a
//! line each.

use super::super::{Cell, Html, Table};
use crate::plot::micros;
use crate::run::model::{CountTable, PartitionRow, RunPage};
use acklab_verdict::names::grouped;

/// All tables of counts.
#[must_use]
pub fn counts(page: &RunPage) -> Html {
    let fates = &page.fates;
    Html::join([
        of(&fates.producers, "Records by producer."),
        of(&fates.topics, "Records by topic."),
        of(&fates.groups, "Records as each consumer application sees them."),
        of(&fates.readers, "Records as each reader sees them."),
        of(&fates.transactions, "How transactions ended."),
        partitions(page),
    ])
}

/// Fates that nobody wants.
const BAD: [&str; 8] = [
    "lost",
    "phantom",
    "duplicated",
    "extra copies",
    "reordered",
    "reprocessed",
    "skipped",
    "ghosts",
];

fn of(counts: &CountTable, caption: &str) -> Html {
    let mut headings: Vec<String> = vec![counts.of.clone()];
    headings.extend(counts.words.iter().map(|word| format!("{word}#")));
    let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    let mut table = Table::new(caption, &headings);
    for row in &counts.rows.shown {
        let cells = row.counts.iter().zip(&counts.words).map(|(&count, word)| {
            if BAD.contains(&word.as_str()) { Cell::bad_count(count) } else { Cell::count(count) }
        });
        table.add([Cell::name(&row.name)].into_iter().chain(cells));
    }
    table.and_more(counts.rows.left_out, "rows").html()
}

fn partitions(page: &RunPage) -> Html {
    let headings = [
        "partition",
        "leader#",
        "epoch#",
        "ISR",
        "LEO#",
        "elections#",
        "without a working leader#",
        "longest#",
        "longest without a write#",
    ];
    let mut table = Table::new("Partitions, as they are at the end.", &headings);
    for row in &page.partition_table.shown {
        table.add(partition(row));
    }
    table.and_more(page.partition_table.left_out, "partitions").html()
}

fn partition(row: &PartitionRow) -> [Cell; 9] {
    let isr: Vec<String> = row.isr.iter().map(u16::to_string).collect();
    let duration = |value: u64| match value {
        0 => Cell::or_dash::<String>(None),
        value => Cell::text(micros(value)),
    };
    [
        Cell::name(&row.name),
        Cell::or_dash(row.leader.map(|leader| leader.to_string())),
        Cell::text(row.epoch.to_string()),
        Cell::text(isr.join(" ")),
        Cell::text(grouped(row.log_end_offset)),
        Cell::count(row.elections),
        duration(row.leaderless_total_us),
        duration(row.leaderless_longest_us),
        row.write_gap_longest_us.map_or_else(|| duration(0), duration),
    ]
}
