//! How much happens: rates, bursts, how many records, for how long, and how early things go wrong.

use super::faults::with_faults;
use super::ladder;
use super::rounding::plain;
use crate::shrink::search::{Best, Proposal, Search};
use acklab_scenario::model::{Span, When};
use acklab_scenario::write_duration;
use acklab_verdict::names::grouped;
use acklab_vocab::time::SimDuration;

/// Lowers rates, then the duration, then the number of records.
pub(in crate::shrink) fn lower(search: &mut Search<'_>) {
    search.descend(rates);
    search.descend(durations);
    search.descend(earlier);
    search.descend(durations);
    search.descend(limits);
    search.descend(bursts);
}

/// All rates by the same factor, then one after the other.
fn rates(best: &Best) -> Vec<Proposal> {
    let producers = &best.scenario().producers;
    let total = |rates: &[u64]| {
        let all = producers.iter().zip(rates).map(|(of, rate)| rate * u64::from(of.count));
        let total: u64 = all.sum();
        match total % 1_000 {
            0 => grouped(total / 1_000),
            _ => hertz(total),
        }
    };
    let rates: Vec<u64> = producers.iter().map(|of| of.rate_millihertz).collect();
    let one_by_one = if producers.len() > 1 { 0..producers.len() } else { 0..0 };
    let who = std::iter::once(0..producers.len()).chain(one_by_one.map(|at| at..at + 1));
    let mut proposals = Vec::new();
    for (who, by) in who.flat_map(|who| [100, 10, 4, 2].map(|by| (who.clone(), by))) {
        let mut lower = rates.clone();
        for rate in &mut lower[who] {
            *rate = plain_rate(*rate / by).max((*rate).min(1_000));
        }
        let draft = lower.iter().enumerate().try_fold(best.draft.clone(), |draft, (at, rate)| {
            draft.with(&format!("producers/{at}/rate"), &hertz(*rate))
        });
        let (from, to) = (total(&rates), total(&lower));
        proposals.extend(Proposal::new(draft, "records per second", from, to));
    }
    proposals
}

/// Above one a second, a whole number.
const fn plain_rate(millihertz: u64) -> u64 {
    if millihertz < 1_000 { millihertz } else { millihertz - millihertz % 1_000 }
}

fn hertz(millihertz: u64) -> String {
    let (whole, thousandths) = (millihertz / 1_000, millihertz % 1_000);
    let decimals = format!("{thousandths:03}");
    match decimals.trim_end_matches('0') {
        "" => whole.to_string(),
        decimals => format!("{whole}.{decimals}"),
    }
}

fn durations(best: &Best) -> Vec<Proposal> {
    let duration = best.scenario().duration;
    let parts = [(1, 10), (1, 4), (1, 2), (3, 4), (9, 10)];
    let shorter = parts.iter().filter_map(|&(part, of)| {
        let shorter = plain(duration * part / of);
        let draft = best.draft.with_text("duration", &write_duration(shorter));
        Proposal::new(draft, "duration", duration.to_string(), shorter.to_string())
    });
    shorter.collect()
}

/// Everything sooner, by as much as the first fault can come sooner: the faults, the end, and the
/// producers that begin or end at some moment.
fn earlier(best: &Best) -> Vec<Proposal> {
    let scenario = best.scenario();
    let at = |when: &When| match when {
        When::At(Span::Exactly(at)) => Some(*at),
        When::At(_) | When::Every { .. } | When::After { .. } => None,
    };
    let Some(first) = scenario.faults.iter().filter_map(|spec| at(&spec.when)).min() else {
        return Vec::new();
    };
    let soonest = [10, 100, 500, 1_000, 2_000, 5_000].map(SimDuration::from_millis);
    let sooner = soonest.into_iter().chain([first / 2, first * 3 / 4]);
    let proposals = sooner.filter(|&sooner| sooner < first).filter_map(|sooner| {
        let by = first.saturating_sub(sooner);
        let mut faults = scenario.faults.clone();
        for spec in &mut faults {
            if let When::At(Span::Exactly(at)) = &mut spec.when {
                *at = at.saturating_sub(by);
            }
        }
        let duration = write_duration(scenario.duration.saturating_sub(by));
        let mut draft = with_faults(&best.draft, &faults, scenario)?;
        draft = draft.with_text("duration", &duration)?;
        for (position, producer) in scenario.producers.iter().enumerate() {
            for (field, moment) in [("from", producer.from), ("until", producer.until)] {
                let path = format!("producers/{position}/{field}");
                if draft.value(&path).is_some() {
                    draft = draft.with_text(&path, &write_duration(moment.saturating_sub(by)))?;
                }
            }
        }
        Proposal::new(Some(draft), "first fault", first.to_string(), sooner.to_string())
    });
    proposals.collect()
}

fn limits(best: &Best) -> Vec<Proposal> {
    let mut proposals = Vec::new();
    for (position, producer) in best.scenario().producers.iter().enumerate() {
        let span = producer.until.saturating_sub(producer.from);
        let by_rate = u128::from(producer.rate_millihertz) * u128::from(span.0) / 1_000_000_000_000;
        let records = u64::try_from(by_rate).unwrap_or(u64::MAX);
        let records = records.min(producer.limit.map_or(u64::MAX, u64::from));
        for fewer in ladder(records, 1).into_iter().filter(|&fewer| fewer <= records / 2) {
            let draft = best.draft.with(&format!("producers/{position}/limit"), &fewer.to_string());
            let what = format!("records of each {}", producer.name);
            proposals.extend(Proposal::new(draft, what, grouped(records), grouped(fewer)));
        }
    }
    proposals
}

fn bursts(best: &Best) -> Vec<Proposal> {
    let mut proposals = Vec::new();
    for (position, producer) in best.scenario().producers.iter().enumerate() {
        for fewer in ladder(producer.burst.into(), 1) {
            let draft = best.draft.with(&format!("producers/{position}/burst"), &fewer.to_string());
            let what = format!("burst of {}", producer.name);
            let (from, to) = (grouped(producer.burst.into()), grouped(fewer));
            proposals.extend(Proposal::new(draft, what, from, to));
        }
    }
    proposals
}

#[cfg(test)]
mod tests {
    use super::{hertz, plain_rate};

    #[test]
    fn rates_are_written_as_a_person_would() {
        assert_eq!(
            [hertz(1_000), hertz(2_500), hertz(1), hertz(10_010)],
            ["1", "2.5", "0.001", "10.01"]
        );
        assert_eq!(
            [plain_rate(156_250), plain_rate(2_500), plain_rate(250)],
            [156_000, 2_000, 250]
        );
    }
}
