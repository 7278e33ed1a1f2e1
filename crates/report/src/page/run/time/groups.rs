//! Consumer applications over time: lag, owners, rebalances and commits.

use super::super::super::{Cell, Html, Table};
use super::super::backdrop;
use super::{at, bucketed, listed, merged_bar, stepped};
use crate::plot::{
    Bar, Figure, Fill, Ink, Panel, Scale, Shape, SpanRow, Strip, Unit, instant, panel, span_rows,
    strips,
};
use crate::run::model::{GroupPanel, OwnerSpan, RunPage, SharingPanel};
use acklab_verdict::names::{counted, grouped};

/// Three figures for each application.
pub fn figures(page: &RunPage, end: i64, all: &mut Html) {
    for (index, group) in page.groups.shown.iter().enumerate() {
        all.heading(&format!("Consumer group {}", name_of(group)));
        if !group.behaviour.is_empty() {
            all.paragraph(&group.behaviour);
        }
        all.open("panels");
        all.push(&backdrop::of_group(&page.axis, &group.rebalances.shown));
        all.push(&lag(group, end, index));
        all.push(&commits(page, group, end, index));
        all.push(&owners(group, end, index));
        if let Some(sharing) = &group.sharing {
            all.push(&claims(group, sharing, end, index));
        }
        all.close();
        if let Some(sharing) = &group.sharing {
            all.push(&numbers(group, sharing));
        }
    }
    if page.groups.left_out > 0 {
        all.paragraph(&format!("and {} more", counted(page.groups.left_out, "application")));
    }
}

fn name_of(group: &GroupPanel) -> String {
    if group.application == group.group_id {
        return group.application.clone();
    }
    format!("{} (group.id {})", group.application, group.group_id)
}

fn lag(group: &GroupPanel, end: i64, index: usize) -> Figure {
    let mut layers = Vec::new();
    if group.lag_by_partition.shown.len() > 1 {
        for series in &group.lag_by_partition.shown {
            layers.push(stepped(Shape::Steps, Ink::Grey, "", series, end));
        }
    }
    let greatest = at(group.lag.values.iter().copied().flatten().max().unwrap_or(0));
    layers.push(stepped(Shape::Steps, Ink::Blue, "in total", &group.lag, end));
    let shown = Panel {
        scale: Scale::from_zero(Unit::Count, greatest),
        height: 700,
        layers,
        has_time: false,
    };
    let last = group.lag.values.last().copied().flatten().unwrap_or(0);
    let said = format!(
        "Lag of {}: at most {}, {} at the end",
        group.application,
        Unit::Count.label(greatest),
        grouped(last)
    );
    let how = match index {
        0 => {
            "High watermark less committed offset, in total and by partition (grey). Sky-blue \
             bands are rebalances."
        }
        _ => "High watermark less committed offset, in total and by partition.",
    };
    Figure::new(&format!("fig-lag-{}", index + 1), "Lag", |width| panel(end, &shown, width))
        .read(how)
        .instead(&said)
        .beside()
}

fn commits(page: &RunPage, group: &GroupPanel, end: i64, index: usize) -> Figure {
    let accepted = &group.commits_accepted;
    let refused = group.commits_refused.total;
    let mut rows = vec![Strip {
        label: format!("{} accepted", grouped(accepted.total)),
        ink: Ink::Green,
        data: bucketed(&page.axis, &accepted.counts),
    }];
    if refused > 0 {
        let label = format!("{} refused", grouped(refused));
        let data = bucketed(&page.axis, &group.commits_refused.counts);
        rows.push(Strip { label, ink: Ink::Vermillion, data });
    }
    let errors: Vec<String> = group
        .refused_by_error
        .iter()
        .map(|(error, count)| format!("{} {error}", grouped(*count)))
        .collect();
    let why =
        if errors.is_empty() { String::new() } else { format!(" Refused: {}.", errors.join(", ")) };
    let how = format!("Commits that the coordinator took in each interval.{why}");
    let said =
        format!("{} commits accepted, {} refused.{why}", grouped(accepted.total), grouped(refused));
    Figure::new(&format!("fig-commits-{}", index + 1), "Commits", |width| {
        strips(end, &rows, false, width)
    })
    .read(&how)
    .instead(&said)
    .beside()
}

fn owners(group: &GroupPanel, end: i64, index: usize) -> Figure {
    let mut rows: Vec<SpanRow> = Vec::new();
    if !group.rebalances.shown.is_empty() {
        rows.push(rebalances(group, end));
    }
    let owned = group.owners.shown.iter().map(|row| SpanRow {
        label: row.partition.clone(),
        bars: {
            let owners = row.spans.shown.iter().map(|span| owner(group, &row.partition, span));
            let merged = row.spans.merged.iter().map(|of| merged_bar(of, "changes of the owner"));
            owners.chain(merged).collect()
        },
        ..SpanRow::default()
    });
    rows.extend(owned);
    let mut more = match group.owners.left_out {
        0 => String::new(),
        more => format!(" {} more partitions are not shown.", grouped(more)),
    };
    if group.rebalances.left_out > 0 {
        let (shown, left_out) = (group.rebalances.shown.len() as u64, group.rebalances.left_out);
        let all = grouped(shown + left_out);
        more.push_str(&format!(" The first {} of {all} rebalances are shown.", grouped(shown)));
    }
    let how = format!(
        "Who works on each partition, by its own account; a gap is nobody, red is two.{more}"
    );
    let said = listed(rows.iter().flat_map(|row| &row.bars).map(|bar| bar.title.clone()));
    Figure::new(&format!("fig-owners-{}", index + 1), "Owners", |width| {
        span_rows(end, &rows, true, width)
    })
    .read(&how)
    .instead(&said)
    .beside()
}

/// Whom ZooKeeper names the owner of each partition.
fn claims(group: &GroupPanel, sharing: &SharingPanel, end: i64, index: usize) -> Figure {
    let rows: Vec<SpanRow> = sharing
        .claims
        .shown
        .iter()
        .map(|row| SpanRow {
            label: row.partition.clone(),
            bars: {
                let owners = row.spans.shown.iter().map(|span| owner(group, &row.partition, span));
                let merged =
                    row.spans.merged.iter().map(|of| merged_bar(of, "changes of the owner"));
                owners.chain(merged).collect()
            },
            ..SpanRow::default()
        })
        .collect();
    let more = match sharing.claims.left_out {
        0 => String::new(),
        more => format!(" {} more partitions are not shown.", grouped(more)),
    };
    let how = format!(
        "Whom the znodes in ZooKeeper name the owner of each partition; a gap is nobody.{more}"
    );
    let said = listed(rows.iter().flat_map(|row| &row.bars).map(|bar| bar.title.clone()));
    Figure::new(&format!("fig-claims-{}", index + 1), "Owners by ZooKeeper", |width| {
        span_rows(end, &rows, true, width)
    })
    .read(&how)
    .instead(&said)
    .beside()
}

/// What came of sharing partitions out by ZooKeeper.
fn numbers(group: &GroupPanel, sharing: &SharingPanel) -> Html {
    let caption = format!("How the consumers of {} shared partitions out.", group.application);
    let mut table = Table::new(&caption, &["what", "how much#"]);
    for (what, value) in &sharing.numbers {
        table.add([Cell::name(what), Cell::text(value)]);
    }
    table.html()
}

fn rebalances(group: &GroupPanel, end: i64) -> SpanRow {
    let bars = group.rebalances.shown.iter().map(|row| {
        let reason = row.reason.replace('_', " ");
        let generation = row.generation.map(|number| format!(", generation {number}"));
        let until = row.to_us.map_or("not finished".to_owned(), |to| format!("to {}", instant(to)));
        Bar {
            from: at(row.from_us),
            to: row.to_us.map_or(end.min(at(row.from_us) + 1), at),
            fill: Fill::tint(Ink::Sky, 70),
            words: reason.clone(),
            may_stand_beside: false,
            title: format!(
                "rebalance, {reason}{}, from {} {until}",
                generation.unwrap_or_default(),
                instant(row.from_us)
            ),
        }
    });
    SpanRow { label: "rebalances".to_owned(), bars: bars.collect(), ..SpanRow::default() }
}

fn owner(group: &GroupPanel, partition: &str, span: &OwnerSpan) -> Bar {
    let name = |&member: &usize| group.members.get(member).map_or("?", String::as_str);
    let names: Vec<&str> = span.members.iter().map(name).collect();
    let fill = match span.members.as_slice() {
        [] => Fill::tint(Ink::Grey, 0),
        [member] => Fill::tint(Ink::of_series(*member), 40),
        _ => Fill::tint(Ink::Vermillion, 85),
    };
    let who = match names.as_slice() {
        [] => "nobody owns".to_owned(),
        [one] => format!("{one} owns"),
        several => format!("{} own", several.join(" and ")),
    };
    let generation = span.generation.map(|number| format!(", generation {number}"));
    Bar {
        from: at(span.from_us),
        to: at(span.to_us),
        fill,
        words: names.join(" and "),
        may_stand_beside: false,
        title: format!(
            "{who} {partition} from {} to {}{}",
            instant(span.from_us),
            instant(span.to_us),
            generation.unwrap_or_default()
        ),
    }
}
