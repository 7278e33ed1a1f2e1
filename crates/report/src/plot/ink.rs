//! What a figure draws with: named inks instead of colours.
//!
//! The page's style sheet gives every ink its colour, light and dark. Data take their inks from
//! Okabe and Ito's palette, which colour-blind eyes can tell apart. Through plotters, which knows
//! red, green and blue only, an ink travels as a number in the red channel.

use plotters::style::{Color, RGBAColor, RGBColor};

/// A colour by its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ink {
    /// Words that are to be read.
    Text,
    /// Words that stand back: ticks, units.
    Muted,
    /// Axes and ticks.
    Axis,
    /// Light rules behind data.
    Rule,
    /// The page itself, to lift a mark off what is behind it.
    Paper,
    /// The one accent: the slider's rule, links.
    Accent,
    /// A fault in force.
    Fault,
    /// A spell in which something did not work: no leader, no member.
    Outage,
    /// After the workload's end, while the cluster settles.
    Settle,
    /// Okabe and Ito's blue.
    Blue,
    /// Vermillion: what records have suffered.
    Vermillion,
    /// Bluish green.
    Green,
    /// Orange.
    Orange,
    /// Reddish purple.
    Purple,
    /// Sky blue.
    Sky,
    /// Yellow. Only for areas: as a line it is too faint.
    Yellow,
    /// Grey: what is neither good nor bad.
    Grey,
}

impl Ink {
    /// Every ink, in the order of its number.
    pub const ALL: [Ink; 17] = [
        Ink::Text,
        Ink::Muted,
        Ink::Axis,
        Ink::Rule,
        Ink::Paper,
        Ink::Accent,
        Ink::Fault,
        Ink::Outage,
        Ink::Settle,
        Ink::Blue,
        Ink::Vermillion,
        Ink::Green,
        Ink::Orange,
        Ink::Purple,
        Ink::Sky,
        Ink::Yellow,
        Ink::Grey,
    ];

    /// Inks for series that have no meaning of their own, such as replicas, in an order in which
    /// neighbours differ most.
    pub const SERIES: [Ink; 7] =
        [Ink::Blue, Ink::Orange, Ink::Green, Ink::Purple, Ink::Sky, Ink::Vermillion, Ink::Grey];

    /// It colours data, and the words that name them.
    #[must_use]
    pub fn is_of_data(self) -> bool {
        Ink::SERIES.contains(&self) || self == Ink::Yellow
    }

    /// The ink of the series at this position, from the first again when they are used up.
    #[must_use]
    pub fn of_series(position: usize) -> Ink {
        Ink::SERIES[position % Ink::SERIES.len()]
    }

    /// The name that the style sheet knows it by, after `--`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Ink::Text => "text",
            Ink::Muted => "muted",
            Ink::Axis => "axis",
            Ink::Rule => "rule",
            Ink::Paper => "paper",
            Ink::Accent => "accent",
            Ink::Fault => "fault",
            Ink::Outage => "outage",
            Ink::Settle => "settle",
            Ink::Blue => "blue",
            Ink::Vermillion => "vermillion",
            Ink::Green => "green",
            Ink::Orange => "orange",
            Ink::Purple => "purple",
            Ink::Sky => "sky",
            Ink::Yellow => "yellow",
            Ink::Grey => "grey",
        }
    }

    /// Its number: as a line it has the class `s` and this number, as an area `f`.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The ink with a number; text if there is none.
    pub(super) fn from_number(number: u8) -> Ink {
        Ink::ALL.get(usize::from(number)).copied().unwrap_or(Ink::Text)
    }
}

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stroke {
    /// With which ink.
    pub ink: Ink,
    /// How wide, in tenths of a pixel.
    pub width: u32,
    /// With gaps.
    pub is_dashed: bool,
}

impl Stroke {
    /// A thin line, as of axes and rules: one pixel.
    #[must_use]
    pub fn thin(ink: Ink) -> Stroke {
        Stroke { ink, width: 10, is_dashed: false }
    }

    /// A line that carries data: one pixel and a half.
    #[must_use]
    pub fn data(ink: Ink) -> Stroke {
        Stroke { ink, width: 15, is_dashed: false }
    }

    /// The same line with gaps.
    #[must_use]
    pub fn dashed(self) -> Stroke {
        Stroke { is_dashed: true, ..self }
    }

    /// The same line, so wide in tenths of a pixel.
    #[must_use]
    pub fn wide(self, width: u32) -> Stroke {
        Stroke { width, ..self }
    }

    pub(super) fn style(self) -> plotters::style::ShapeStyle {
        let color = RGBColor(self.ink.number(), u8::from(self.is_dashed), 0);
        color.stroke_width(self.width)
    }
}

/// How an area is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// With which ink.
    pub ink: Ink,
    /// How opaque, in hundredths.
    pub opacity: u8,
}

impl Fill {
    /// Opaque.
    #[must_use]
    pub fn solid(ink: Ink) -> Fill {
        Fill { ink, opacity: 100 }
    }

    /// As opaque as this, in hundredths.
    #[must_use]
    pub fn tint(ink: Ink, opacity: u8) -> Fill {
        Fill { ink, opacity }
    }

    pub(super) fn color(self) -> RGBAColor {
        RGBAColor(self.ink.number(), 0, 0, f64::from(self.opacity.min(100)) / 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ink_comes_back_from_its_number() {
        for ink in Ink::ALL {
            assert_eq!(Ink::from_number(ink.number()), ink);
        }
    }
}
