//! Tables, with a caption, headings and what was left out.

use super::Html;
use askama::Template;

/// A table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// What it shows, in a sentence.
    pub caption: String,
    /// Its columns.
    pub columns: Vec<Column>,
    /// Its rows: one cell for each column.
    pub rows: Vec<Vec<Cell>>,
    /// Command lines, each below the row with this position.
    pub commands: Vec<(usize, String)>,
    /// What is not shown: `and 312 more partitions`; nothing if empty.
    pub left_out: String,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its heading.
    pub heading: String,
    /// It holds numbers, which stand right.
    pub is_number: bool,
}

/// What a cell holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Its text.
    pub text: String,
    /// How it stands out.
    pub kind: CellKind,
}

/// How a cell stands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellKind {
    /// Not at all.
    Plain,
    /// It names its row.
    Name,
    /// It stands back: a zero, nothing.
    Faint,
    /// What records have suffered, what did not hold.
    Bad,
    /// What held.
    Good,
    /// A command line.
    Command,
}

impl Table {
    /// A table without rows yet. Headings that end in `#` are of numbers.
    #[must_use]
    pub fn new(caption: &str, headings: &[&str]) -> Table {
        let column = |heading: &&str| Column {
            heading: heading.trim_end_matches('#').to_owned(),
            is_number: heading.ends_with('#'),
        };
        let columns = headings.iter().map(column).collect();
        Table { caption: caption.to_owned(), columns, ..Table::default() }
    }

    /// Adds a row.
    pub fn add(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Puts a command line below the last row.
    pub fn command(&mut self, line: impl Into<String>) {
        self.commands.push((self.rows.len().saturating_sub(1), line.into()));
    }

    /// Says how many are not shown, if any.
    #[must_use]
    pub fn and_more(self, count: u64, what: &str) -> Table {
        let left_out = match count {
            0 => String::new(),
            _ => format!("and {} more {what}", acklab_verdict::names::grouped(count)),
        };
        Table { left_out, ..self }
    }

    /// As HTML; nothing if it has no rows.
    #[must_use]
    pub fn html(&self) -> Html {
        if self.rows.is_empty() {
            Html::default()
        } else {
            Html::of(&TableTemplate { table: self })
        }
    }

    /// The command line below a row.
    fn command_below(&self, row: &usize) -> Option<&str> {
        let (_, line) = self.commands.iter().find(|(position, _)| position == row)?;
        Some(line)
    }

    /// Cells with the column they stand in.
    fn cells<'a>(&'a self, row: &'a [Cell]) -> impl Iterator<Item = (&'a Cell, &'a Column)> {
        row.iter().zip(&self.columns)
    }
}

impl Cell {
    fn of(text: impl Into<String>, kind: CellKind) -> Cell {
        Cell { text: text.into(), kind }
    }

    /// Plain text.
    pub fn text(text: impl Into<String>) -> Cell {
        Cell::of(text, CellKind::Plain)
    }

    /// The name of the row.
    pub fn name(text: impl Into<String>) -> Cell {
        Cell::of(text, CellKind::Name)
    }

    /// A number, in groups of thousands; zero stands back.
    #[must_use]
    pub fn count(count: u64) -> Cell {
        let kind = if count == 0 { CellKind::Faint } else { CellKind::Plain };
        Cell::of(acklab_verdict::names::grouped(count), kind)
    }

    /// A number that nobody wants to be above zero.
    #[must_use]
    pub fn bad_count(count: u64) -> Cell {
        let kind = if count == 0 { CellKind::Faint } else { CellKind::Bad };
        Cell::of(acklab_verdict::names::grouped(count), kind)
    }

    /// What held stands out as good, what did not as bad.
    pub fn held(text: impl Into<String>, held: bool) -> Cell {
        Cell::of(text, if held { CellKind::Good } else { CellKind::Bad })
    }

    /// A command line.
    pub fn command(line: impl Into<String>) -> Cell {
        Cell::of(line, CellKind::Command)
    }

    /// A dash where there is nothing.
    pub fn or_dash<T: Into<String>>(text: Option<T>) -> Cell {
        match text {
            Some(text) => Cell::text(text),
            None => Cell::of("–", CellKind::Faint),
        }
    }

    fn class(&self, column: &Column) -> &'static str {
        match (self.kind, column.is_number) {
            (CellKind::Faint, true) => "n zero",
            (CellKind::Faint, false) => "zero",
            (CellKind::Bad, true) => "n bad",
            (CellKind::Bad, false) => "bad",
            (CellKind::Good, true) => "n good",
            (CellKind::Good, false) => "good",
            (_, true) => "n",
            (_, false) => "",
        }
    }
}

#[derive(Template)]
#[template(path = "table.html")]
struct TableTemplate<'a> {
    table: &'a Table,
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn a_table_has_a_caption_scopes_and_nothing_unescaped() {
        let mut table = Table::new("Records by <topic>", &["topic", "sent#", "lost#"]);
        table.add([Cell::name("a&b"), Cell::count(12_000), Cell::bad_count(0)]);
        let table = table.and_more(312, "topics");
        expect![[r#"
            <div class="scroll" role="region" tabindex="0" aria-label="Records by &#60;topic&#62;"><table>
            <caption>Records by &#60;topic&#62;</caption>
            <thead><tr><th scope="col">topic</th><th scope="col" class="n">sent</th><th scope="col" class="n">lost</th></tr></thead>
            <tbody>
            <tr><th scope="row">a&#38;b</th><td class="n">12,000</td><td class="n zero">0</td></tr>
            </tbody>
            </table>
            <p class="muted">and 312 more topics</p></div>"#]].assert_eq(table.html().as_str());
        assert!(Table::new("nothing", &["x"]).html().is_empty());
    }
}
