//! Consumer applications: what became of the records with each, why, and what its group did.

use super::{NO_BREAK, Page};
use crate::text::{BAD, BOLD, grouped, micros, styled, wrapped};
use acklab_verdict::{Anomaly, AnomalyKind, CauseCount, Exceptions, GroupVerdict, Verdict, names};
use acklab_vocab::time::SimDuration;

impl Page<'_> {
    /// Each application with its counts, and what explains them.
    pub(super) fn groups(&mut self, verdict: &Verdict) {
        for (name, group) in &verdict.groups {
            self.fates(name, group);
            self.behaviour(group);
            self.sharing(group);
            self.refusals(group);
            self.exceptions(&group.exceptions, 10);
            self.causes_of(name, verdict);
            self.line("");
        }
    }

    fn fates(&mut self, name: &str, group: &GroupVerdict) {
        let counts = &group.counts;
        let processings = match counts.extra_processings {
            extra if extra == counts.reprocessed => String::new(),
            extra => format!(" ({} more processings)", grouped(extra)),
        };
        let cells = [
            format!("{} processed", grouped(counts.processed)),
            format!("{} reprocessed{processings}", grouped(counts.reprocessed)),
            format!("{} skipped", grouped(counts.skipped)),
            format!("{} pending", grouped(counts.pending)),
            names::counted(counts.ghost, "ghost"),
        ];
        // A line breaks between two counts only.
        let cells = cells.map(|cell| cell.replace(' ', NO_BREAK)).join(" ");
        let indent = name.chars().count() + 5;
        let lines = wrapped(&cells, self.width.saturating_sub(indent + 10).max(20));
        for (number, line) in lines.iter().enumerate() {
            let line = line.replace(' ', "   ").replace(NO_BREAK, " ");
            let label = if number == 0 { styled(BOLD, name) } else { " ".repeat(indent - 5) };
            self.line(&format!("  {label}   {line}"));
        }
        let mut more = Vec::new();
        if counts.processed_copies > 0 {
            more.push(format!("{} in several copies", grouped(counts.processed_copies)));
        }
        if counts.undone > 0 {
            let many = names::counted(counts.undone, "processing");
            more.push(format!("{many} undone with aborted transactions"));
        }
        if counts.aborted_reads > 0 {
            let many = names::counted(counts.aborted_reads, "processing");
            more.push(format!("{many} of aborted records"));
        }
        if !more.is_empty() {
            self.paragraph(&more.join(", "), 10);
        }
    }

    fn causes_of(&mut self, name: &str, verdict: &Verdict) {
        for &kind in AnomalyKind::ALL.iter().filter(|kind| kind.is_of_groups()) {
            let here = |of: &&CauseCount| {
                let group = of.group.map(|group| names::application(&verdict.header, group));
                of.kind == kind && group.as_deref() == Some(name)
            };
            let causes: Vec<&CauseCount> = verdict.causes.iter().filter(here).collect();
            if causes.is_empty() {
                continue;
            }
            self.line("");
            self.line(&format!("  {}", styled(BAD, kind.name())));
            for cause in causes {
                let of_it = |anomaly: &&Anomaly| {
                    (anomaly.kind, anomaly.group, anomaly.cause) == (kind, cause.group, cause.cause)
                };
                self.cause(cause, verdict.anomalies.iter().find(of_it), verdict);
            }
        }
    }

    /// Rebalances, commits, standstill, lag: what a person looks at first when a group is slow.
    fn behaviour(&mut self, group: &GroupVerdict) {
        let counts = &group.counts;
        let mut parts = vec![names::counted(counts.rebalances, "rebalance")];
        if group.rebalance_longest > SimDuration::ZERO {
            let longest = micros(group.rebalance_longest.as_micros());
            parts[0].push_str(&format!(" (longest {longest})"));
        }
        parts.push(names::counted(counts.evictions, "eviction"));
        parts.push(names::counted(counts.commits, "commit"));
        parts.push(format!("{} failed", grouped(counts.commit_failures)));
        if group.resets > 0 {
            parts.push(names::counted(group.resets, "reset"));
        }
        let total = micros(group.standstill_total().as_micros());
        let longest = micros(group.standstill_longest().as_micros());
        parts.push(format!("stood still {total} over all partitions (longest {longest})"));
        parts.push(format!("largest lag {}", grouped(group.lag.max)));
        self.paragraph(&parts.join(" · "), 10);
    }

    /// How consumers shared partitions out by ZooKeeper, if they did.
    fn sharing(&mut self, group: &GroupVerdict) {
        let Some(sharing) = &group.sharing else { return };
        let time = |total: SimDuration, longest: SimDuration| match total {
            SimDuration::ZERO => "never".to_owned(),
            _ => format!("{} (longest {})", micros(total.as_micros()), micros(longest.as_micros())),
        };
        let parts = [
            format!(
                "no owner by ZooKeeper: {}",
                time(sharing.no_owner_total(), sharing.no_owner_longest())
            ),
            format!(
                "two owners by their own account: {}",
                time(sharing.two_owners_total(), sharing.two_owners_longest())
            ),
            names::counted(sharing.sessions_expired, "expired session"),
        ];
        self.paragraph(&parts.join(" · "), 10);
        let attempts = sharing.attempts.iter();
        let attempts = attempts
            .map(|(how, count)| format!("{} {}", grouped(*count), how.replace('_', " ")))
            .collect::<Vec<_>>();
        if !attempts.is_empty() {
            self.paragraph(&format!("attempts to take a share: {}", attempts.join(", ")), 10);
        }
    }

    /// Exceptions of a client library: those that reached the application, then the others.
    fn exceptions(&mut self, of: &Exceptions, indent: usize) {
        let raised = of.0.iter().map(|(exception, raised)| (exception.name(), raised.application));
        let logged = of.0.iter().map(|(exception, raised)| (exception.name(), raised.logged));
        self.named_counts("raised to the application", raised, indent);
        self.named_counts("logged by the library", logged, indent);
    }

    fn named_counts(
        &mut self,
        what: &str,
        counts: impl Iterator<Item = (&'static str, u64)>,
        indent: usize,
    ) {
        let all = counts.filter(|(_, count)| *count > 0);
        let all = all.map(|(name, count)| format!("{} {name}", grouped(count)));
        let all = all.collect::<Vec<_>>().join(", ");
        if !all.is_empty() {
            self.paragraph(&format!("{what}: {all}"), indent);
        }
    }

    /// Exceptions of producers, by their name.
    pub(super) fn producer_exceptions(&mut self, verdict: &Verdict) {
        for (name, exceptions) in &verdict.producer_exceptions {
            self.line(&format!("  {}", styled(BOLD, name)));
            self.exceptions(exceptions, 10);
            self.line("");
        }
    }

    fn refusals(&mut self, group: &GroupVerdict) {
        let refused = group.refused.iter();
        let refused = refused.map(|(error, count)| format!("{} {}", grouped(*count), error.name()));
        let refused: Vec<String> = refused.collect();
        if !refused.is_empty() {
            self.paragraph(&format!("refused by the coordinator: {}", refused.join(", ")), 10);
        }
        let failures = group.failures.iter();
        let failures = failures.map(|(what, count)| format!("{} {what}", grouped(*count)));
        let failures: Vec<String> = failures.collect();
        if !failures.is_empty() {
            self.paragraph(&format!("as its client saw it: {}", failures.join(", ")), 10);
        }
    }

    /// How transactions ended.
    pub(super) fn transactions(&mut self, verdict: &Verdict) {
        let counts = &verdict.transactions;
        if counts.begun == 0 {
            return;
        }
        self.paragraph(
            &format!(
                "transactions  {} begun · {} committed · {} aborted ({} by a coordinator) · {} unknown",
                grouped(counts.begun),
                grouped(counts.committed),
                grouped(counts.aborted),
                grouped(counts.aborted_by_coordinator),
                grouped(counts.unknown)
            ),
            2,
        );
        self.line("");
    }
}
