//! Numbers, durations, tables and commands as people read them.

use acklab_vocab::time::SimTime;
use anstyle::Style;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

pub use acklab_verdict::names::{grouped, micros, percent, quoted, share};

/// How many columns to use: the terminal's if there is one, otherwise as many as `COLUMNS` says,
/// within 80 and 100.
pub fn width() -> usize {
    let terminal = terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
    let asked = || std::env::var("COLUMNS").ok()?.parse().ok();
    terminal.or_else(asked).map_or(WIDEST, |width: usize| width.clamp(NARROWEST, WIDEST))
}

const NARROWEST: usize = 80;
const WIDEST: usize = 100;

/// Headings and what stands out.
pub const BOLD: Style = Style::new().bold();
/// What is less important.
pub const DIM: Style = Style::new().dimmed();
/// What held.
pub const GOOD: Style =
    Style::new().fg_color(Some(anstyle::Color::Ansi(anstyle::AnsiColor::Green)));
/// What did not hold, and what records have suffered.
pub const BAD: Style =
    Style::new().bold().fg_color(Some(anstyle::Color::Ansi(anstyle::AnsiColor::Red)));

/// A text in a style.
pub fn styled(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// `45.2 s`
pub fn seconds(at: SimTime) -> String {
    let tenths = at.0.unsigned_abs() / 100_000_000;
    let sign = if at.0 < 0 { "-" } else { "" };
    format!("{sign}{}.{} s", grouped(tenths / 10), tenths % 10)
}

/// Where a column's text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Rows of cells, aligned, without lines. Wide texts are wrapped so that the table fits.
#[derive(Debug)]
pub struct Rows {
    align: Vec<Align>,
    header: Option<Vec<String>>,
    rows: Vec<Vec<String>>,
    /// By row.
    remarks: Vec<Option<String>>,
    indent: usize,
    tight: bool,
}

impl Rows {
    /// A table with columns aligned like this.
    pub fn new(align: &[Align]) -> Rows {
        Rows {
            align: align.to_vec(),
            header: None,
            rows: Vec::new(),
            remarks: Vec::new(),
            indent: 2,
            tight: false,
        }
    }

    /// A table whose columns have headings.
    pub fn with_header(columns: &[(&str, Align)]) -> Rows {
        let align: Vec<Align> = columns.iter().map(|&(_, align)| align).collect();
        let header = columns.iter().map(|&(name, _)| name.to_owned()).collect();
        Rows { header: Some(header), ..Rows::new(&align) }
    }

    /// Stands further to the right.
    pub fn indented(self, indent: usize) -> Rows {
        Rows { indent, ..self }
    }

    /// Numbers stand close to the words that follow them.
    pub fn tight(self) -> Rows {
        Rows { tight: true, ..self }
    }

    /// Adds a row.
    pub fn add<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        let cells: Vec<String> = cells.into_iter().map(Into::into).collect();
        assert!(cells.len() <= self.align.len(), "a cell without a column");
        self.rows.push(cells);
        self.remarks.push(None);
    }

    /// The same table without some columns, by position.
    pub fn without(mut self, columns: &[usize]) -> Rows {
        fn keep<T>(of: Vec<T>, columns: &[usize]) -> Vec<T> {
            let kept = of.into_iter().enumerate().filter(|(at, _)| !columns.contains(at));
            kept.map(|(_, of)| of).collect()
        }
        self.align = keep(self.align, columns);
        self.header = self.header.map(|of| keep(of, columns));
        self.rows = self.rows.into_iter().map(|of| keep(of, columns)).collect();
        self
    }

    /// Says something below the last row, over the whole width.
    pub fn remark(&mut self, text: &str) {
        *self.remarks.last_mut().expect("a remark is on a row") = Some(text.to_owned());
    }

    /// There are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table, each line with a line break; nothing at all if there are no rows.
    pub fn render(&self, width: usize) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        if self.remarks.iter().all(Option::is_none) {
            table.set_content_arrangement(ContentArrangement::Dynamic);
            table.set_width(u16::try_from(width - self.indent).unwrap_or(u16::MAX));
        }
        if let Some(header) = &self.header {
            table.set_header(header.clone());
        }
        for row in &self.rows {
            let cells = row.iter().zip(&self.align);
            let mut row: Vec<String> = cells.map(|(cell, align)| unbroken(cell, *align)).collect();
            row.resize(self.align.len(), String::new());
            table.add_row(row);
        }
        for (column, align) in table.column_iter_mut().zip(&self.align) {
            let (alignment, space) = match align {
                Align::Left => (CellAlignment::Left, if self.tight { 4 } else { 2 }),
                Align::Right => (CellAlignment::Right, if self.tight { 1 } else { 2 }),
            };
            column.set_padding((0, space));
            column.set_cell_alignment(alignment);
        }
        let indent = " ".repeat(self.indent);
        let mut text = String::new();
        let mut line = |line: &str| {
            text.push_str(&indent);
            text.push_str(line.replace(NO_BREAK, " ").trim_end());
            text.push('\n');
        };
        let mut lines = table.lines();
        if self.header.is_some() {
            let header = lines.next().expect("a header is a line");
            line(&styled(DIM, header.trim_end()));
        }
        if self.remarks.iter().all(Option::is_none) {
            lines.for_each(|it| line(&it));
            return text;
        }
        // Below rows with remarks the table must not wrap: it has one line for each.
        for (it, remark) in lines.zip(&self.remarks) {
            line(&it);
            let remark = remark.iter().flat_map(|it| wrapped(it, width - self.indent - REMARK));
            remark.for_each(|it| line(&styled(DIM, &format!("{:REMARK$}{it}", ""))));
        }
        text
    }
}

/// Numbers with their unit, and intervals, are not broken into lines.
fn unbroken(cell: &str, align: Align) -> String {
    match align == Align::Right || cell.starts_with('[') {
        true => cell.replace(' ', NO_BREAK),
        false => cell.to_owned(),
    }
}

const NO_BREAK: &str = "\u{a0}";

/// A command in lines that a shell reads as one: broken before options where it is too wide.
pub fn command_lines(command: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut quoted = false;
    // Options with their values; what stands in quotes is not looked into.
    let mut parts = vec![String::new()];
    for word in command.split(' ') {
        if !quoted && word.starts_with("--") {
            parts.push(String::new());
        }
        let part = parts.last_mut().expect("there is a part");
        if !part.is_empty() {
            part.push(' ');
        }
        part.push_str(word);
        quoted ^= word.matches('\'').count() % 2 == 1;
    }
    for part in parts {
        let line = lines.last_mut().expect("there is a line");
        if line.is_empty() {
            line.push_str(&part);
        } else if columns(line) + 1 + columns(&part) + 2 <= width {
            line.push(' ');
            line.push_str(&part);
        } else {
            line.push_str(" \\");
            lines.push(format!("  {part}"));
        }
    }
    lines
}

/// Remarks stand so much further to the right.
const REMARK: usize = 4;

/// Breaks a text into lines of at most `width` characters, at spaces where there are any.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is a line");
        if line.is_empty() {
            line.push_str(word);
        } else if columns(line) + 1 + columns(word) <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// How many columns a text takes on a terminal: styles take none.
fn columns(text: &str) -> usize {
    anstream::adapter::strip_str(text).to_string().chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_name_what_they_are_of() {
        assert_eq!(share(3, 29_993, "acked"), "3 of 29,993 acked (0.010 %)");
        assert_eq!(percent(1, 3), "33.3 %");
        assert_eq!(percent(1, 80), "1.25 %");
        assert_eq!(percent(1, 10_000_000), "< 0.001 %");
        assert_eq!(percent(2, 30_000), "0.007 %");
        assert_eq!(percent(5, 5), "100 %");
        assert_eq!(percent(9_999, 10_000), "> 99.9 %");
        assert_eq!(percent(8, 9), "88.9 %");
        assert_eq!(percent(0, 0), "0 %");
    }

    #[test]
    fn durations_have_a_unit_and_few_digits() {
        assert_eq!(micros(1_523), "1.523 ms");
        assert_eq!(micros(45_678), "45.7 ms");
        assert_eq!(micros(999_960), "1 s");
        assert_eq!(micros(9_123_456), "9.12 s");
        assert_eq!(micros(0), "0 ms");
        assert_eq!(seconds(SimTime::from_millis(45_249)), "45.2 s");
    }

    #[test]
    fn words_survive_a_shell() {
        assert_eq!(quoted("shop#19873"), "shop#19873");
        assert_eq!(quoted("acks=all"), "acks=all");
        assert_eq!(quoted("my scenario.ron"), "'my scenario.ron'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("#x"), "'#x'");
    }

    #[test]
    fn tables_align_and_shrink() {
        let mut rows = Rows::with_header(&[("count", Align::Right), ("cause", Align::Left)]);
        rows.add(["3", "acked before replication, leader failed over"]);
        rows.add(["12,000", "short"]);
        let plain = |text: String| anstream::adapter::strip_str(&text).to_string();
        assert_eq!(
            plain(rows.render(80)),
            "   count  cause\n       3  acked before replication, leader failed over\n  12,000  short\n"
        );
        assert!(plain(rows.render(30)).lines().all(|line| line.chars().count() <= 30));
    }

    #[test]
    fn numbers_and_intervals_stay_whole_where_tables_shrink() {
        let mut rows = Rows::new(&[Align::Left, Align::Right, Align::Left]);
        rows.add(["some long name of a cell that can be broken", "9.13 s", "[75.7, 100]"]);
        let text = rows.render(40);
        assert!(text.contains("9.13 s  [75.7, 100]"), "{text}");
    }

    #[test]
    fn commands_break_before_options_as_a_shell_reads_them() {
        let command = "acklab run x --seed 4 --set 'producers/a b --c=0' --set linger.ms=0";
        assert_eq!(command_lines(command, 80), [command]);
        assert_eq!(
            command_lines(command, 40),
            [r"acklab run x --seed 4 \", r"  --set 'producers/a b --c=0' \", "  --set linger.ms=0"]
        );
    }

    #[test]
    fn texts_wrap_at_spaces() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("extraordinarily", 7), ["extraordinarily"]);
        assert_eq!(wrapped(&format!("{} two", styled(BAD, "one")), 7).len(), 1);
    }
}
