//! `acklab explain --inevitable`: from which moment on was it certain?

use crate::args::ExplainArgs;
use crate::commands::jobs;
use crate::failure::Failure;
use crate::output;
use crate::progress::Progress;
use crate::request::Request;
use crate::text::{Align, BAD, BOLD, DIM, Rows, quoted, styled, width, wrapped};
use acklab_experiment::inevitable::{Answer, Certainty, Instant, Method, Question, inevitable};
use acklab_runtime::ForkedFaults;
use acklab_verdict::explain::LifeLine;
use acklab_verdict::names;
use acklab_vocab::ids::RecordId;
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::RunHeader;
use serde_json::{Value, json};
use std::fmt::Write;

/// Asks about what is wrong with the chosen records, and prints the answers.
pub fn execute(
    args: &ExplainArgs,
    request: &Request,
    questions: &[Question],
    header: &RunHeader,
) -> Result<(), Failure> {
    let faults = match args.redraw_faults {
        true => ForkedFaults::Redrawn,
        false => ForkedFaults::AsDrawn,
    };
    let method = Method { futures: args.futures, faults, jobs: jobs(args.jobs) };
    let mut answers = Vec::new();
    let mut progress = Progress::new();
    for (done, &question) in questions.iter().enumerate() {
        let (before, all) = (done as u64, questions.len() as u64);
        let told = |runs, of| progress.update(before * of + runs, all * of);
        answers.extend(inevitable(&request.case, args.seed, question, method, told)?);
    }
    drop(progress);
    if args.json {
        return output::print_json(&in_json(args, header, &answers));
    }
    let mut text = String::new();
    for answer in &answers {
        let space = if text.is_empty() { "" } else { "\n" };
        let _ = write!(text, "{space}{}", Page { args, request, header, answer }.render(width()));
    }
    output::print(&text)
}

/// One answer, for a person.
struct Page<'a> {
    args: &'a ExplainArgs,
    request: &'a Request,
    header: &'a RunHeader,
    answer: &'a Answer,
}

impl Page<'_> {
    fn render(&self, width: usize) -> String {
        let mut text = format!("{}\n\n", styled(BOLD, &self.title()));
        text.push_str(&self.table(width));
        text.push('\n');
        let mut paragraph = |words: &str| {
            for line in wrapped(words, width - 2) {
                let _ = writeln!(text, "  {line}");
            }
        };
        if let Some(certain) = &self.answer.certain {
            paragraph(&styled(BAD, &self.since(certain)));
            paragraph(&self.confidence(certain));
        }
        paragraph(self.given());
        let record = self.record(self.answer.question.record);
        let group = self.answer.question.group.map(|group| names::application(self.header, group));
        let group = group.map_or_else(String::new, |name| format!(" --group {}", quoted(&name)));
        let more = format!("--record {}{group}", quoted(&record));
        let _ = writeln!(
            text,
            "  its life: {}",
            styled(DIM, &self.request.command("explain", self.args.seed, &more))
        );
        text
    }

    fn record(&self, record: RecordId) -> String {
        names::record(self.header, record)
    }

    fn title(&self) -> String {
        let Answer { question, cause, .. } = self.answer;
        let by = question.group.map(|group| names::application(self.header, group));
        let by = by.map_or_else(String::new, |name| format!(" by {name}"));
        let kind = question.kind.name().to_uppercase();
        format!("{}: {kind}{by}, {}", self.record(question.record), cause.sentence())
    }

    fn table(&self, width: usize) -> String {
        let futures =
            format!("of {}", names::counted(u64::from(self.args.futures.get()), "future"));
        let kind = self.answer.question.kind.name();
        let mut rows = Rows::with_header(&[
            ("as it was until", Align::Right),
            (kind, Align::Right),
            (&futures, Align::Left),
            ("what happened then", Align::Left),
        ]);
        for instant in &self.answer.instants {
            let tally = &instant.tally;
            let share = tally.share();
            let mut what = steps(instant, self.answer);
            if tally.same_cause < tally.same {
                let other = tally.same - tally.same_cause;
                let _ = write!(what, " ({other} for another cause)");
            }
            if tally.missing > 0 {
                let _ = write!(what, " (in {} there was no such record)", tally.missing);
            }
            rows.add([
                format!("{:#}", instant.at),
                tally.same.to_string(),
                format!(
                    "{} [{}, {}]",
                    percent(share.estimate),
                    whole(share.low),
                    whole(share.high)
                ),
                what,
            ]);
        }
        rows.render(width)
    }

    fn since(&self, certain: &Certainty) -> String {
        let at = |at| self.answer.instants.iter().find(|instant| instant.at == at);
        let since = certain.since;
        let what = at(since).map_or_else(String::new, |instant| steps(instant, self.answer));
        let before = certain.not_at.and_then(at).map(|before| {
            let tally = before.tally;
            format!("at {:#} {} of {} futures had it", before.at, tally.same, tally.futures)
        });
        let is_step = at(since).is_some_and(|instant| !instant.steps.is_empty());
        match before {
            None => "Certain from the start: no future was without it.".to_owned(),
            Some(before) if is_step => format!("Certain since {since:#} ({what}); {before}."),
            Some(before) => format!("Certain since {since:#} {what}; {before}."),
        }
    }

    fn confidence(&self, certain: &Certainty) -> String {
        let futures = self.args.futures;
        let none = format!(
            "\"Certain\" means that none of {} was without it, at this and every later instant asked:",
            names::counted(u64::from(futures.get()), "future")
        );
        match certain.at_least_percent {
            0 => format!("{none} too few to tell a share of all."),
            percent => {
                format!(
                    "{none} had the instant been chosen beforehand, at least {percent} % of all \
                     futures would have it, with 95 % confidence."
                )
            }
        }
    }

    fn given(&self) -> &'static str {
        match self.args.redraw_faults {
            true => "Faults that had not struck by then were drawn anew.",
            false => {
                "Given these faults: those that had not struck by then strike as this seed drew them \
                 (--redraw-faults draws them anew)."
            }
        }
    }
}

/// What happened at an instant, in a few words. Whom the record is not about says nothing, unless
/// nobody else does.
fn steps(instant: &Instant, answer: &Answer) -> String {
    let has_place = |step: &&LifeLine| !step.place.is_empty();
    let own = instant.steps.iter().filter(has_place).count();
    let told = instant.steps.iter().filter(|step| own == 0 || has_place(step));
    let mut by_place: Vec<(&str, Vec<&str>)> = Vec::new();
    for step in told {
        match by_place.last_mut() {
            Some((place, texts)) if *place == step.place => texts.push(&step.text),
            _ => by_place.push((&step.place, vec![&step.text])),
        }
    }
    let told = by_place.iter().map(|(place, texts)| match *place {
        "" | "the world" => texts.join("; "),
        place => format!("{place}: {}", texts.join("; ")),
    });
    let told: Vec<String> = told.collect();
    if told.is_empty() { between(instant.at, answer).to_owned() } else { told.join("; ") }
}

/// What an instant is that is no step of the record's life.
fn between(at: SimTime, answer: &Answer) -> &'static str {
    let mut steps = answer.instants.iter().filter(|instant| !instant.steps.is_empty());
    let end = answer.instants.last().map(|instant| instant.at);
    match steps.next() {
        _ if at == SimTime::ZERO => "time zero",
        _ if Some(at) == end => "the run ends",
        Some(first) if at < first.at => "(before it exists)",
        _ => BETWEEN,
    }
}

const BETWEEN: &str = "(between two steps of its life)";

/// `34 %`
fn percent(share: f64) -> String {
    format!("{} %", whole(share))
}

/// Whole percent: so few futures tell no more. Only nothing is 0, and only all are 100.
fn whole(share: f64) -> String {
    match (share * 100.0).round() {
        0.0 if share > 0.0 => "1".to_owned(),
        100.0 if share < 1.0 => "99".to_owned(),
        percent => format!("{percent:.0}"),
    }
}

fn in_json(args: &ExplainArgs, header: &RunHeader, answers: &[Answer]) -> Value {
    json!({
        "schema": 1,
        "scenario": header.scenario,
        "variant": header.variant,
        "seed": args.seed,
        "kafka": header.kafka.to_string(),
        "futures": args.futures,
        "faults": if args.redraw_faults { "redrawn" } else { "as_drawn" },
        "answers": answers.iter().map(|answer| answer_in_json(header, answer)).collect::<Vec<_>>(),
    })
}

fn answer_in_json(header: &RunHeader, answer: &Answer) -> Value {
    let Answer { question, cause, instants, certain, runs } = answer;
    let instant = |instant: &Instant| {
        let share = instant.tally.share();
        let steps = instant.steps.iter();
        let steps = steps.map(|step| json!({ "place": step.place, "text": step.text }));
        json!({
            "at_ns": instant.at.0,
            "steps": steps.collect::<Vec<_>>(),
            "futures": instant.tally.futures,
            "same": instant.tally.same,
            "same_cause": instant.tally.same_cause,
            "record_missing": instant.tally.missing,
            "share": share.estimate,
            "low": share.low,
            "high": share.high,
        })
    };
    let certainty = |certain: &Certainty| {
        json!({
            "since_ns": certain.since.0,
            "not_at_ns": certain.not_at.map(|at| at.0),
            "at_least_percent": certain.at_least_percent,
        })
    };
    json!({
        "record": names::record(header, question.record),
        "anomaly": question.kind.name(),
        "group": question.group.map(|group| names::application(header, group)),
        "cause": cause.name(),
        "instants": instants.iter().map(instant).collect::<Vec<_>>(),
        "certain": certain.as_ref().map(certainty),
        "runs": runs,
    })
}
