//! `acklab explain --inevitable`: from which moment on was it certain?

use crate::args::ExplainArgs;
use crate::commands::jobs;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::output;
use crate::progress::Progress;
use crate::request::Request;
use crate::text::{Align, BAD, BOLD, DIM, Rows, quoted, styled, width, wrapped};
use acklab_experiment::inevitable::{
    Answer, Certainty, Instant, Known, Method, NoAnswer, Question, Tally, inevitable,
};
use acklab_runtime::ForkedFaults;
use acklab_verdict::explain::LifeLine;
use acklab_verdict::names;
use acklab_vocab::ids::RecordId;
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::RunHeader;
use serde_json::{Value, json};
use std::fmt::Write;
use std::ops::ControlFlow;

/// Asks about what is wrong with the chosen records, and prints the answers; those that there are, if
/// somebody has lost patience.
pub fn execute(
    args: &ExplainArgs,
    request: &Request,
    known: Known<'_>,
    questions: &[Question],
) -> Result<(), Failure> {
    let header = &known.outcome.verdict.header;
    let faults = match args.redraw_faults {
        true => ForkedFaults::Redrawn,
        false => ForkedFaults::AsDrawn,
    };
    let method = Method { futures: args.futures, faults, jobs: jobs(args.jobs) };
    let interrupt = Interrupt::listen()?;
    let mut answers = Vec::new();
    let mut interrupted = None;
    let mut progress = Progress::new();
    for (done, &question) in questions.iter().enumerate() {
        let (before, all) = (done as u64, questions.len() as u64);
        let mut ran = 0;
        let told = |runs, of| {
            ran = runs;
            match interrupt.is_asked() {
                true => ControlFlow::Break(()),
                false => progress.update(before * of + runs, all * of),
            }
        };
        match inevitable(known, question, method, told) {
            Ok(answer) => answers.extend(answer),
            Err(NoAnswer::Defect(defect)) => return Err(defect.into()),
            Err(NoAnswer::BrokenOff) => {
                interrupted = Some(broken_off(&names::record(header, question.record), ran));
                break;
            }
        }
    }
    drop(progress);
    if args.json && interrupted.is_none() {
        output::print_json(&in_json(args, header, &answers))?;
    } else if !args.json {
        let pages = answers.iter().map(|answer| Page { args, request, header, answer });
        let pages: Vec<String> = pages.map(|page| page.render(width())).collect();
        output::print(&pages.join("\n"))?;
    }
    interrupted.map_or(Ok(()), Err)
}

fn broken_off(record: &str, runs: u64) -> Failure {
    Failure::with_help(
        format!(
            "interrupted after {}: since when it was certain of {record} is not known",
            names::counted(runs, "future")
        ),
        "fewer futures take less time: --futures 20",
    )
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
                let _ = writeln!(text, "  {}", line.replace(NO_BREAK, " "));
            }
        };
        paragraph(&styled(BAD, &self.since()));
        paragraph(&self.confidence());
        if let Some(setback) = self.setback() {
            paragraph(&setback);
        }
        if let Some(left_out) = self.left_out() {
            paragraph(&left_out);
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
        for instant in self.answer.telling() {
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
            if tally.futures > self.args.futures.get() {
                let _ = write!(what, " (here of {} futures)", tally.futures);
            }
            rows.add([
                format!("{:#}", instant.at),
                tally.same.to_string(),
                format!(
                    "{} % [{}, {}]",
                    whole(share.estimate),
                    at_least(share.low),
                    at_most(share.high)
                ),
                what,
            ]);
        }
        rows.render(width)
    }

    fn since(&self) -> String {
        let at = |at| self.answer.instants.iter().find(|instant| instant.at == at);
        let Certainty { since, not_at, .. } = self.answer.certain;
        let what = at(since).map_or_else(String::new, |instant| steps(instant, self.answer));
        let before = not_at.and_then(at).map(|before| {
            let Tally { same, futures, .. } = before.tally;
            format!("at {:#} {same} of {futures} futures had it", before.at)
        });
        let is_step = at(since).is_some_and(|instant| !instant.steps.is_empty());
        match before {
            None => "Certain from the start: no future was without it.".to_owned(),
            Some(before) if is_step => format!("Certain since {since:#} ({what}); {before}."),
            Some(before) => format!("Certain since {since:#} {what}; {before}."),
        }
    }

    fn confidence(&self) -> String {
        let fresh = self.answer.certain.fresh;
        let futures = names::counted(u64::from(fresh.futures), "future");
        let later = match self.answer.later() {
            0 => String::new(),
            1 => " or from a later one".to_owned(),
            later => format!(" or from {later} later ones"),
        };
        let set = match fresh.futures {
            1 => "nor was 1 fresh future".to_owned(),
            futures => format!("nor was any of {} fresh futures", names::grouped(futures.into())),
        };
        format!(
            "\"Certain\" means: none of {futures} from this instant{later} was without it; {set}, \
             which had no part in finding the instant. With 95{NO_BREAK}% confidence at least \
             {}{NO_BREAK}% of all futures have it.",
            at_least(fresh.share().low)
        )
    }

    /// A share that fell, for whoever takes it that what has come closer stays close.
    fn setback(&self) -> Option<String> {
        let (higher, lower) = self.answer.setback()?;
        let told = |instant: &Instant| {
            format!("{} of {} futures", instant.tally.same, instant.tally.futures)
        };
        Some(format!(
            "It did not only become more likely: from {:#} on {} had it, from {:#} on {}.",
            higher.at,
            told(higher),
            lower.at,
            told(lower)
        ))
    }

    fn left_out(&self) -> Option<String> {
        let of_it = match self.answer.steps_left_out {
            0 => return None,
            1 => "1 moment of its life was".to_owned(),
            moments => format!("{} moments of its life were", names::grouped(moments as u64)),
        };
        Some(format!("{of_it} not asked about."))
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

/// A space at which no line breaks.
const NO_BREAK: &str = "\u{a0}";

const BETWEEN: &str = "(between two steps of its life)";

/// Whole percent: so few futures tell no more. Only nothing is 0, and only all are 100.
fn whole(share: f64) -> String {
    match (share * 100.0).round() {
        0.0 if share > 0.0 => "1".to_owned(),
        100.0 if share < 1.0 => "99".to_owned(),
        percent => format!("{percent:.0}"),
    }
}

/// The lower end of an interval in whole percent, rounded so that it stays one.
fn at_least(share: f64) -> String {
    format!("{:.0}", (share * 100.0).floor())
}

/// The upper end.
fn at_most(share: f64) -> String {
    format!("{:.0}", (share * 100.0).ceil())
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
    let Answer { question, cause, instants, certain, steps_left_out, runs } = answer;
    let tally = |tally: &Tally| {
        let share = tally.share();
        json!({
            "futures": tally.futures,
            "same": tally.same,
            "same_cause": tally.same_cause,
            "record_missing": tally.missing,
            "share": share.estimate,
            "low": share.low,
            "high": share.high,
        })
    };
    let instant = |instant: &Instant| {
        let steps = instant.steps.iter();
        let steps = steps.map(|step| json!({ "place": step.place, "text": step.text }));
        let mut of = tally(&instant.tally);
        of["at_ns"] = instant.at.0.into();
        of["steps"] = steps.collect();
        of
    };
    let setback = answer
        .setback()
        .map(|(higher, lower)| json!({ "from_ns": higher.at.0, "to_ns": lower.at.0 }));
    json!({
        "record": names::record(header, question.record),
        "anomaly": question.kind.name(),
        "group": question.group.map(|group| names::application(header, group)),
        "cause": cause.name(),
        "instants": instants.iter().map(instant).collect::<Vec<_>>(),
        "certain": {
            "since_ns": certain.since.0,
            "not_at_ns": certain.not_at.map(|at| at.0),
            "fresh": tally(&certain.fresh),
        },
        "setback": setback,
        "steps_left_out": steps_left_out,
        "runs": runs,
    })
}
