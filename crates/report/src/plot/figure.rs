//! A figure on a page: two drawings, a caption, and words in their place.

use super::canvas::{Drawing, PIXEL, escaped};
use std::fmt::{self, Display, Write};

/// For which screens a drawing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// Screens of 900 pixels and more.
    Wide,
    /// Less, down to 400 pixels.
    Narrow,
}

impl Width {
    /// How wide a drawing over the whole column is, in tenths of a pixel.
    #[must_use]
    pub fn full(self) -> i32 {
        match self {
            Width::Wide => 1_080 * PIXEL,
            Width::Narrow => 400 * PIXEL,
        }
    }

    /// How wide a drawing is that has its caption beside it where there is room.
    #[must_use]
    pub fn beside_caption(self) -> i32 {
        match self {
            Width::Wide => 840 * PIXEL,
            Width::Narrow => 400 * PIXEL,
        }
    }
}

/// A figure: displayed, it is HTML, and everything in it is escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// Unique within its page: letters, digits and hyphens.
    pub id: String,
    /// What it shows, in some words.
    pub title: String,
    /// How to read it, in one sentence.
    pub how_to_read: String,
    /// The figure in words, for those who do not see it.
    pub alternative: String,
    /// For wide screens.
    pub wide: Drawing,
    /// For narrow ones.
    pub narrow: Drawing,
    /// The caption stands beside it where there is room, else above.
    pub is_beside: bool,
}

impl Figure {
    /// Draws a figure for both widths. The caption stands above it.
    #[must_use]
    pub fn new(id: &str, title: &str, draw: impl Fn(Width) -> Drawing) -> Figure {
        Figure {
            id: id.to_owned(),
            title: title.to_owned(),
            how_to_read: String::new(),
            alternative: String::new(),
            wide: draw(Width::Wide),
            narrow: draw(Width::Narrow),
            is_beside: false,
        }
    }

    /// How to read it, in one sentence.
    #[must_use]
    pub fn read(self, how_to_read: &str) -> Figure {
        Figure { how_to_read: how_to_read.to_owned(), ..self }
    }

    /// The figure in words.
    #[must_use]
    pub fn instead(self, alternative: &str) -> Figure {
        Figure { alternative: alternative.to_owned(), ..self }
    }

    /// The caption stands beside it where there is room.
    #[must_use]
    pub fn beside(self) -> Figure {
        Figure { is_beside: true, ..self }
    }
}

impl Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figure { id, title, how_to_read, alternative, wide, narrow, is_beside } = self;
        let class = if *is_beside { "beside" } else { "above" };
        let id = escaped(id);
        write!(f, "<figure id=\"{id}\" class=\"{class}\">")?;
        write!(f, "<figcaption><b>{}</b>", escaped(title))?;
        if !how_to_read.is_empty() {
            write!(f, " <span class=\"how\">{}</span>", escaped(how_to_read))?;
        }
        f.write_str("</figcaption><div class=\"plot\">")?;
        let words = if alternative.is_empty() { title } else { alternative };
        write_drawing(f, wide, "wide", words)?;
        write_drawing(f, narrow, "narrow", words)?;
        f.write_str("</div></figure>")
    }
}

impl askama::filters::HtmlSafe for Figure {}

/// One `<svg>`. Only one of the two is shown, and so only one is read out.
fn write_drawing(f: &mut impl Write, drawing: &Drawing, class: &str, words: &str) -> fmt::Result {
    let Drawing { width, height, body } = drawing;
    write!(f, "<svg class=\"{class}\" viewBox=\"0 0 {width} {height}\" role=\"img\" ")?;
    write!(f, "aria-label=\"{}\"", escaped(words))?;
    // Its natural size, for readers without a style sheet.
    write!(f, " width=\"{}\" height=\"{}\">{body}</svg>", width / PIXEL, height / PIXEL)
}
