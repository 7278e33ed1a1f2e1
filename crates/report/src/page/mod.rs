//! The shell of every page: one HTML file that needs nothing else, its style, script and glossary.
//!
//! The style sheet and the script are part of the file; a content security policy forbids that it
//! ever asks for another. Templates escape what they are given. What comes in as [`Html`] was
//! escaped where it was made.

mod glossary;
pub mod run;
mod style;
mod table;

pub use glossary::{
    GROUP_TERMS, RECORD_TERMS, REPLICATION_TERMS, SHARING_TERMS, SWEEP_TERMS, Term,
};
pub use table::{Cell, CellKind, Column, Table};

use askama::Template;
use std::fmt::{self, Display};

/// HTML whose parts were escaped where it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Html(String);

impl Html {
    /// What a template has rendered.
    ///
    /// # Panics
    /// Never: templates render into memory, and the values in them do not fail.
    #[must_use]
    pub fn of(template: &impl Template) -> Html {
        Html(template.render().unwrap_or_else(|error| panic!("a template fails: {error}")))
    }

    /// Something that displays as HTML and is known to be, such as a
    /// [`Figure`](crate::plot::Figure).
    #[must_use]
    pub fn from_safe(safe: &(impl askama::filters::HtmlSafe + ?Sized)) -> Html {
        Html(safe.to_string())
    }

    /// The same, one after the other.
    #[must_use]
    pub fn join(parts: impl IntoIterator<Item = Html>) -> Html {
        Html(parts.into_iter().map(|part| part.0).collect())
    }

    /// Puts something that is HTML at the end.
    pub fn push(&mut self, safe: &(impl askama::filters::HtmlSafe + ?Sized)) {
        self.0.push_str(&safe.to_string());
    }

    /// Puts a heading of the third level at the end.
    pub fn heading(&mut self, words: &str) {
        self.0.push_str(&format!("<h3>{}</h3>", crate::plot::escaped(words)));
    }

    /// Puts a paragraph at the end.
    pub fn paragraph(&mut self, words: &str) {
        self.0.push_str(&format!("<p>{}</p>", crate::plot::escaped(words)));
    }

    /// Opens a division of a class of the style sheet.
    pub fn open(&mut self, class: &str) {
        self.0.push_str(&format!("<div class=\"{}\">", crate::plot::escaped(class)));
    }

    /// Closes the division that was opened last.
    pub fn close(&mut self) {
        self.0.push_str("</div>");
    }

    /// There is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text of it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Display for Html {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl askama::filters::HtmlSafe for Html {}

/// A section of a page, with a heading of the second level and a place in the contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Unique within the page: letters, digits and hyphens.
    pub id: String,
    /// Its heading.
    pub heading: String,
    /// What stands below it.
    pub body: Html,
}

impl Section {
    /// A section.
    #[must_use]
    pub fn new(id: &str, heading: &str, body: Html) -> Section {
        Section { id: id.to_owned(), heading: heading.to_owned(), body }
    }
}

/// A page: what [`shell`] puts around it is the same for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Of the window.
    pub title: String,
    /// In one sentence, for those who list pages.
    pub description: String,
    /// The first thing to be seen: the heading of the first level and the answer.
    pub top: Html,
    /// Then these.
    pub sections: Vec<Section>,
    /// The words that it uses, in the order in which they are explained.
    pub glossary: Vec<Term>,
    /// The last line.
    pub colophon: String,
    /// What an index of reports shows of this page; nothing is `Null`.
    pub summary: serde_json::Value,
    /// Data for the script, by the id of their element.
    pub data: Vec<(&'static str, serde_json::Value)>,
    /// It has a slider, and the script that moves it.
    pub has_slider: bool,
}

/// The whole file.
#[must_use]
pub fn shell(page: &Page) -> String {
    let Page { title, description, top, sections, glossary, colophon, summary, data, has_slider } =
        page;
    let summary = if summary.is_null() { String::new() } else { embedded(summary) };
    let template = Shell {
        title,
        description,
        version: env!("CARGO_PKG_VERSION"),
        style: &style::sheet(),
        top,
        sections,
        glossary,
        colophon,
        summary: &summary,
        data: data.iter().map(|(id, json)| (*id, embedded(json))).collect(),
        script: if *has_slider { style::SCRIPT } else { "" },
    };
    Html::of(&template).0
}

#[derive(Template)]
#[template(path = "shell.html")]
struct Shell<'a> {
    title: &'a str,
    description: &'a str,
    version: &'a str,
    style: &'a str,
    top: &'a Html,
    sections: &'a [Section],
    glossary: &'a [Term],
    colophon: &'a str,
    summary: &'a str,
    data: Vec<(&'static str, String)>,
    script: &'a str,
}

/// JSON within a `<script>`: no text in it can end the element or begin a comment.
fn embedded(json: &serde_json::Value) -> String {
    json.to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_escapes_what_it_is_given() {
        let evil = "</script><script>alert(1)</script>";
        let mut body = Html::default();
        body.paragraph(evil);
        let html = shell(&Page {
            title: evil.to_owned(),
            description: format!("\"{evil}"),
            sections: vec![Section::new("time", evil, body)],
            colophon: evil.to_owned(),
            summary: serde_json::json!({ "scenario": evil }),
            data: vec![("data", serde_json::json!([evil]))],
            ..Page::default()
        });
        assert!(!html.contains("<script>"), "{html}");
        assert_eq!(html.matches("</script>").count(), 2, "the summary's and the data's");
        assert!(html.contains(r#"{"scenario":"\u003c/script\u003e"#), "JSON is still JSON");
        assert!(html.contains("<html lang=\"en\">") && html.contains("default-src 'none'"));
    }

    #[test]
    fn a_page_without_a_slider_has_no_script() {
        assert!(!shell(&Page::default()).contains("<script"));
    }
}
