//! From nodes to plain values: fields of a struct, names of a variant, durations with their unit,
//! shares, counts.
//!
//! Every function returns `None` after it has reported what is wrong, so that one pass finds all
//! mistakes.

use crate::diagnostic::{Finding, Report, Span};
use crate::model::Span as DrawnSpan;
use crate::syntax::{Argument, Call, Node, Value, Word};
use acklab_vocab::time::SimDuration;

/// The fields of a struct, each known and given once.
pub(crate) struct Fields<'n> {
    /// What the struct is, for messages: `a producer`.
    what: &'static str,
    /// The whole struct.
    pub(crate) span: Span,
    given: Vec<(&'static str, &'n Node)>,
}

impl<'n> Fields<'n> {
    /// The fields of a node that must be a struct. `valid` are their names; values without names
    /// take the first ones.
    pub(crate) fn of(
        node: &'n Node,
        what: &'static str,
        valid: &'static [&'static str],
        report: &mut Report,
    ) -> Option<Fields<'n>> {
        match &node.value {
            Value::Call(Call { arguments: Some(arguments), .. }) => {
                Fields::of_arguments(arguments, node.span, what, valid, report)
            }
            other => {
                let example = valid.first().map_or(String::new(), |name| format!("{name}: …"));
                let message = format!("expected {what}, found {other}");
                let help = format!("write it as a struct: ({example}, …)");
                report.error(node.span, Finding::new(message).help(help));
                None
            }
        }
    }

    pub(crate) fn of_arguments(
        arguments: &'n [Argument],
        span: Span,
        what: &'static str,
        valid: &'static [&'static str],
        report: &mut Report,
    ) -> Option<Fields<'n>> {
        let mut given: Vec<(&'static str, &'n Node)> = Vec::with_capacity(arguments.len());
        let mut sound = true;
        for (position, argument) in arguments.iter().enumerate() {
            let name = match &argument.name {
                None => valid.get(position).copied(),
                Some(word) => valid.iter().copied().find(|&name| name == word.text),
            };
            let Some(name) = name else {
                report.error(misplaced(argument), unknown_field(argument, what, valid));
                sound = false;
                continue;
            };
            if given.iter().any(|&(other, _)| other == name) {
                let finding = Finding::new(format!("`{name}` is given twice"));
                report.error(misplaced(argument), finding);
                sound = false;
            }
            given.push((name, &argument.value));
        }
        sound.then_some(Fields { what, span, given })
    }

    pub(crate) fn get(&self, name: &'static str) -> Option<&'n Node> {
        self.given.iter().find(|&&(other, _)| other == name).map(|&(_, node)| node)
    }

    pub(crate) fn required(&self, name: &'static str, report: &mut Report) -> Option<&'n Node> {
        let found = self.get(name);
        if found.is_none() {
            let message = format!("{} needs a field `{name}`", self.what);
            report.error(first_byte(self.span), Finding::new(message));
        }
        found
    }

    /// Decodes a field, or takes its default where it is not given; `None` if it is wrong.
    pub(crate) fn or<T>(
        &self,
        name: &'static str,
        default: T,
        report: &mut Report,
        decode: impl FnOnce(&'n Node, &mut Report) -> Option<T>,
    ) -> Option<T> {
        match self.get(name) {
            None => Some(default),
            Some(node) => decode(node, report),
        }
    }
}

fn misplaced(argument: &Argument) -> Span {
    argument.name.as_ref().map_or(argument.value.span, |word| word.span)
}

fn unknown_field(argument: &Argument, what: &'static str, valid: &[&str]) -> Finding {
    match &argument.name {
        Some(word) => Finding::new(format!("{what} has no field `{}`", word.text))
            .did_you_mean(&word.text, valid.iter().copied()),
        None => {
            let found = format!("{what} takes no further value, found {}", argument.value.value);
            Finding::new(found).did_you_mean("", valid.iter().copied())
        }
    }
}

/// Where a long struct begins: marking all of it would hide the message.
pub(crate) fn first_byte(span: Span) -> Span {
    Span { end: span.start + 1, ..span }
}

/// A name with or without parentheses, such as a variant of an enum.
pub(crate) struct Variant<'n> {
    pub(crate) name: &'static str,
    pub(crate) word: &'n Word,
    pub(crate) arguments: &'n [Argument],
    pub(crate) span: Span,
}

impl<'n> Variant<'n> {
    /// A node that must be one of the names in `valid`.
    pub(crate) fn of(
        node: &'n Node,
        what: &str,
        valid: &[&'static str],
        report: &mut Report,
    ) -> Option<Variant<'n>> {
        let Value::Call(Call { name: Some(word), arguments }) = &node.value else {
            let names: Vec<String> = valid.iter().map(|name| format!("`{name}`")).collect();
            let message = format!("expected {what}, found {}", node.value);
            let mut finding = Finding::new(message);
            if names.len() <= 24 {
                finding =
                    finding.help(format!("it is {}", crate::diagnostic::alternatives(&names)));
            }
            report.error(node.span, finding);
            return None;
        };
        let Some(&name) = valid.iter().find(|&&name| name == word.text) else {
            let finding = Finding::new(format!("unknown {} `{}`", article_free(what), word.text))
                .did_you_mean(&word.text, valid.iter().copied());
            report.error(word.span, finding);
            return None;
        };
        let arguments = arguments.as_deref().unwrap_or(&[]);
        Some(Variant { name, word, arguments, span: node.span })
    }

    /// Its arguments by name or position.
    pub(crate) fn fields(
        &self,
        valid: &'static [&'static str],
        report: &mut Report,
    ) -> Option<Fields<'n>> {
        Fields::of_arguments(self.arguments, self.span, self.name, valid, report)
    }

    /// It must stand alone.
    pub(crate) fn bare<T>(&self, value: T, report: &mut Report) -> Option<T> {
        self.fields(&[], report).map(|_| value)
    }
}

fn article_free(what: &str) -> &str {
    what.strip_prefix("a ").or_else(|| what.strip_prefix("an ")).unwrap_or(what)
}

fn wrong<T>(node: &Node, what: &str, help: &str, report: &mut Report) -> Option<T> {
    let mut finding = Finding::new(format!("expected {what}, found {}", node.value));
    if !help.is_empty() {
        finding = finding.help(help);
    }
    report.error(node.span, finding);
    None
}

/// A string.
pub(crate) fn text<'n>(node: &'n Node, what: &str, report: &mut Report) -> Option<&'n str> {
    match &node.value {
        Value::Text(text) => Some(text),
        Value::Number(number) => {
            wrong(node, what, &format!("put it in quotes: \"{number}\""), report)
        }
        Value::Call(Call { name: Some(word), arguments: None }) => {
            wrong(node, what, &format!("put it in quotes: \"{}\"", word.text), report)
        }
        Value::Boolean(_) | Value::List(_) | Value::Map(_) | Value::Call(_) => {
            wrong(node, what, "", report)
        }
    }
}

/// `true` or `false`.
pub(crate) fn boolean(node: &Node, report: &mut Report) -> Option<bool> {
    match &node.value {
        Value::Boolean(value) => Some(*value),
        _ => wrong(node, "true or false", "", report),
    }
}

/// The items of a list.
pub(crate) fn list<'n>(node: &'n Node, what: &str, report: &mut Report) -> Option<&'n [Node]> {
    match &node.value {
        Value::List(items) => Some(items),
        _ => wrong(node, what, "a list stands in [ ]", report),
    }
}

/// The items of a list, or the one value that stands alone.
pub(crate) fn one_or_more(node: &Node) -> &[Node] {
    match &node.value {
        Value::List(items) => items,
        _ => std::slice::from_ref(node),
    }
}

/// The entries of a map with string keys, each key once.
pub(crate) fn map<'n>(
    node: &'n Node,
    what: &str,
    report: &mut Report,
) -> Option<Vec<(Word, &'n Node)>> {
    let entries = match &node.value {
        Value::Map(entries) => entries,
        // `()` and `{}` read alike.
        Value::Call(Call { name: None, arguments: Some(arguments) }) if arguments.is_empty() => {
            return Some(Vec::new());
        }
        _ => return wrong(node, what, "a map stands in { }: {\"key\": …}", report),
    };
    let mut words: Vec<(Word, &Node)> = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let text = text(key, "a key in quotes", report)?;
        if words.iter().any(|(word, _)| word.text == text) {
            report.error(key.span, Finding::new(format!("`{text}` is given twice")));
            return None;
        }
        words.push((Word { text: text.to_owned(), span: key.span }, value));
    }
    Some(words)
}

/// A whole number in a range.
pub(crate) fn integer<T>(
    node: &Node,
    what: &str,
    range: std::ops::RangeInclusive<u64>,
    report: &mut Report,
) -> Option<T>
where
    T: TryFrom<u64>,
{
    let Value::Number(number) = &node.value else {
        return wrong(node, &format!("{what}, a whole number"), "", report);
    };
    let in_range = ron::from_str(number).ok().filter(|number: &u64| range.contains(number));
    let fitting = in_range.and_then(|number| T::try_from(number).ok());
    if fitting.is_none() {
        let (least, most) = (range.start(), range.end());
        let message = format!("{what} must be a whole number from {least} to {most}, not {number}");
        report.error(node.span, Finding::new(message));
    }
    fitting
}

/// A number with at most so many decimals, as an integer scaled by that power of ten.
pub(crate) fn scaled(
    node: &Node,
    what: &str,
    decimals: u32,
    range: std::ops::RangeInclusive<u64>,
    report: &mut Report,
) -> Option<u64> {
    let Value::Number(number) = &node.value else {
        return wrong(node, &format!("{what}, a number"), "", report);
    };
    // Exact up to 15 digits, and whatever the notation: 0.5, 5e-1, 1_000.
    let decimal = ron::from_str::<f64>(number).ok().map(|number| number.to_string());
    let value = decimal
        .and_then(|decimal| fixed_point(&decimal, decimals))
        .filter(|value| range.contains(value));
    if value.is_none() {
        let show = |value: u64| unscaled(value, decimals);
        let (least, most) = (show(*range.start()), show(*range.end()));
        let message = format!("{what} must be from {least} to {most}, not {number}");
        report.error(node.span, Finding::new(message));
    }
    value
}

/// `text` times ten to the power of `decimals`; further decimals must be zero.
pub(crate) fn fixed_point(text: &str, decimals: u32) -> Option<u64> {
    let text = text.strip_prefix('+').unwrap_or(text);
    if !is_decimal(text) {
        return None;
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let fraction = fraction.trim_end_matches('0');
    let places = usize::try_from(decimals).ok()?;
    let padded = format!("{fraction:0<places$}");
    if padded.len() > places {
        return None;
    }
    let fraction: u64 = if padded.is_empty() { 0 } else { padded.parse().ok()? };
    whole.parse::<u64>().ok()?.checked_mul(10_u64.checked_pow(decimals)?)?.checked_add(fraction)
}

/// Digits, a point, digits.
fn is_decimal(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    all_digits(whole) && all_digits(fraction)
}

/// The decimal number of which `value` is the multiple by a power of ten.
pub(crate) fn unscaled(value: u64, decimals: u32) -> String {
    let factor = 10_u64.pow(decimals);
    let places = decimals as usize;
    let fraction = format!("{:0>places$}", value % factor);
    let fraction = fraction.trim_end_matches('0');
    match fraction.is_empty() {
        true => (value / factor).to_string(),
        false => format!("{}.{fraction}", value / factor),
    }
}

/// A duration with its unit: `"2s"`, `"1.5ms"`, `"250us"`, `"10min"`, `"1h"`.
pub(crate) fn duration(node: &Node, what: &str, report: &mut Report) -> Option<SimDuration> {
    match &node.value {
        Value::Text(text) => match parse_duration(text) {
            Ok(duration) => Some(duration),
            Err(problem) => {
                let finding = Finding::new(format!("`{text}` is not a duration: {problem}"));
                report.error(node.span, finding.help(DURATIONS));
                None
            }
        },
        Value::Number(number) => {
            let finding = Finding::new(format!("{what} needs a unit"));
            let help =
                format!("write \"{number}s\" for seconds or \"{number}ms\" for milliseconds");
            report.error(node.span, finding.help(help));
            None
        }
        _ => wrong(node, &format!("{what}, a duration"), DURATIONS, report),
    }
}

/// The duration that a text is: `250ms`, `1.5 s`.
///
/// # Errors
/// What is wrong with the text.
pub fn parse_duration(text: &str) -> Result<SimDuration, &'static str> {
    let text = text.trim();
    let split = text.find(|c: char| c.is_alphabetic() || c == 'µ').unwrap_or(text.len());
    let (number, unit) = (text[..split].trim(), &text[split..]);
    let decimals = match unit {
        "ns" => 0,
        "us" | "µs" | "μs" => 3,
        "ms" => 6,
        "s" | "min" | "h" => 9,
        "" => return Err("it has no unit"),
        _ => return Err("its unit is unknown"),
    };
    let factor = match unit {
        "min" => 60,
        "h" => 3_600,
        _ => 1,
    };
    let nanos = fixed_point(&number.replace('_', ""), decimals).ok_or("its number is wrong")?;
    let nanos = nanos.checked_mul(factor).filter(|&nanos| nanos <= LONGEST_NANOS);
    nanos.map(SimDuration::from_nanos).ok_or("it is longer than a year")
}

/// A duration as it is written in a scenario, exactly: `1500us` and not `1.5 ms`.
#[must_use]
pub fn write_duration(duration: SimDuration) -> String {
    let units = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")];
    let fitting = units.iter().find(|&&(factor, _)| duration.0.is_multiple_of(factor));
    let (factor, unit) = fitting.copied().unwrap_or((1, "ns"));
    format!("{}{unit}", duration.0 / factor)
}

/// A duration that may be drawn: `"1ms"`, `Uniform("1ms", "2ms")`, `LogNormal(median: …, p99:
/// …)`, …
pub(crate) fn drawn(node: &Node, what: &str, report: &mut Report) -> Option<DrawnSpan> {
    if !matches!(node.value, Value::Call(_)) {
        return duration(node, what, report).map(DrawnSpan::Exactly);
    }
    let variant = Variant::of(node, "a distribution", DISTRIBUTIONS, report)?;
    let two = |names: &'static [&'static str], report: &mut Report| {
        let fields = variant.fields(names, report)?;
        let [first, second] =
            [fields.required(names[0], report), fields.required(names[1], report)];
        Some((first?, second?))
    };
    match variant.name {
        "Exactly" => {
            let fields = variant.fields(&["always"], report)?;
            duration(fields.required("always", report)?, what, report).map(DrawnSpan::Exactly)
        }
        "Exponential" => {
            let fields = variant.fields(&["mean"], report)?;
            duration(fields.required("mean", report)?, what, report).map(DrawnSpan::Exponential)
        }
        "Uniform" => {
            let (from, to) = two(&["from", "to"], report)?;
            let (least, most) = (duration(from, what, report)?, duration(to, what, report)?);
            ordered(node, least, most, report)?;
            Some(DrawnSpan::Uniform(least, most))
        }
        "LogNormal" => {
            let (median, p99) = two(&["median", "p99"], report)?;
            let (median, p99) = (duration(median, what, report)?, duration(p99, what, report)?);
            ordered(node, median, p99, report)?;
            if median == SimDuration::ZERO {
                report.error(node.span, Finding::new("the median must be longer than zero"));
                return None;
            }
            Some(DrawnSpan::LogNormal { median, p99 })
        }
        "Pareto" => {
            let (scale, shape) = two(&["scale", "shape"], report)?;
            let scale = duration(scale, what, report)?;
            let shape = scaled(shape, "the shape", 3, 100..=1_000_000, report)?;
            let shape_thousandths = u32::try_from(shape).ok()?;
            Some(DrawnSpan::Pareto { scale, shape_thousandths })
        }
        other => unreachable!("{other} is in DISTRIBUTIONS"),
    }
}

fn ordered(
    node: &Node,
    first: SimDuration,
    second: SimDuration,
    report: &mut Report,
) -> Option<()> {
    if first <= second {
        return Some(());
    }
    let message = format!("{first} is longer than {second}: the shorter comes first");
    report.error(node.span, Finding::new(message));
    None
}

pub(crate) const DISTRIBUTIONS: &[&str] =
    &["Exactly", "Uniform", "LogNormal", "Pareto", "Exponential"];

const DURATIONS: &str =
    "durations are strings with a unit: \"250us\", \"1.5ms\", \"2s\", \"10min\"";

/// One year: beyond any run, and far from overflow when spans are added up.
const LONGEST_NANOS: u64 = 366 * 86_400 * 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Source;
    use crate::syntax::parse;

    #[test]
    fn durations_have_a_unit() {
        let nanos = |text: &str| parse_duration(text).map(|duration| duration.0);
        assert_eq!(nanos("250us"), Ok(250_000));
        assert_eq!(nanos("1.5 ms"), Ok(1_500_000));
        assert_eq!(nanos("2s"), Ok(2_000_000_000));
        assert_eq!(nanos("10min"), Ok(600_000_000_000));
        assert_eq!(nanos("1h"), Ok(3_600_000_000_000));
        assert_eq!(nanos("2"), Err("it has no unit"));
        assert_eq!(nanos("2sec"), Err("its unit is unknown"));
        assert_eq!(nanos("-2s"), Err("its number is wrong"));
        assert_eq!(nanos("s"), Err("its number is wrong"));
        assert_eq!(nanos("99999999h"), Err("it is longer than a year"));
        for text in ["250us", "1500ms", "2s", "7ns", "0s"] {
            assert_eq!(write_duration(parse_duration(text).unwrap()), text);
        }
    }

    #[test]
    fn numbers_are_written_as_ron_has_them() {
        let source = Source { origin: "".into(), path: None, text: "".into() };
        let mut report = Report::new(vec![source]);
        let mut whole = |text: &str| -> Option<u64> {
            integer(&parse(text, 0, 0).unwrap(), "a count", 0..=1_000_000, &mut report)
        };
        assert_eq!([whole("1_000"), whole("0x1F"), whole("+7")], [Some(1_000), Some(31), Some(7)]);
        assert_eq!([whole("1.0"), whole("-1"), whole("1_000_001")], [None; 3]);
        let mut tenths =
            |text: &str| scaled(&parse(text, 0, 0).unwrap(), "a share", 1, 0..=50_000, &mut report);
        assert_eq!([tenths("0.5"), tenths("5e-1"), tenths(".50")], [Some(5); 3]);
        assert_eq!([tenths("1_000"), tenths("1e3")], [Some(10_000); 2]);
        assert_eq!([tenths("0.05"), tenths("-0.5"), tenths("1e300")], [None; 3]);
    }

    #[test]
    fn decimals_are_read_without_floating_point() {
        assert_eq!(fixed_point("0.8", 6), Some(800_000));
        assert_eq!(fixed_point("1", 3), Some(1_000));
        assert_eq!(fixed_point("0.0001", 3), None);
        assert_eq!(fixed_point("0.10000", 1), Some(1));
        assert_eq!(fixed_point("-1", 1), None);
        assert_eq!(fixed_point("7", 0), Some(7));
        assert_eq!(unscaled(800_000, 6), "0.8");
        assert_eq!(unscaled(1_000, 3), "1");
    }
}
