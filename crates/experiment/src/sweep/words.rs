//! Lists on the command line: values with commas in them stand in double quotes.

/// Splits at a separator outside of brackets and quotes, so that `Uniform("1ms", "2ms")` is one
/// value, and so is `"range, sticky"`.
pub(super) fn split<'t>(text: &'t str, separator: &str) -> Vec<&'t str> {
    let (mut parts, mut start, mut depth, mut quoted) = (Vec::new(), 0, 0_u32, false);
    let mut escaped = false;
    for (at, character) in text.char_indices() {
        if at < start {
            continue;
        }
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '(' | '[' | '{' if !quoted => depth += 1,
            ')' | ']' | '}' if !quoted => depth = depth.saturating_sub(1),
            _ if !quoted && depth == 0 && text[at..].starts_with(separator) => {
                parts.push(&text[start..at]);
                start = at + separator.len();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// Without the quotes around it, if it stands in some as a whole: `\"` within them is a quote.
pub(super) fn unquoted(text: &str) -> String {
    let text = text.trim();
    let Some(inner) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return text.to_owned();
    };
    let (mut plain, mut escaped) = (String::new(), false);
    for character in inner.chars() {
        match character {
            '\\' if !escaped => escaped = true,
            // A quote in between: these are several values, not one.
            '"' if !escaped => return text.to_owned(),
            _ => {
                plain.push(character);
                escaped = false;
            }
        }
    }
    if escaped { text.to_owned() } else { plain }
}

/// As [`split`] and [`unquoted`] read it back.
pub(super) fn quoted(value: &str) -> String {
    let is_plain = split(value, ",") == [value] && unquoted(value) == value;
    match is_plain {
        true => value.to_owned(),
        false => format!("\"{}\"", value.replace('\\', r"\\").replace('"', "\\\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_split_at_commas_that_nothing_encloses() {
        let values = |text| split(text, ",");
        assert_eq!(values("0,1,all"), ["0", "1", "all"]);
        assert_eq!(values(r#"Uniform("1ms", "2ms"),5ms"#), [r#"Uniform("1ms", "2ms")"#, "5ms"]);
        assert_eq!(values(r#""a, b",base"#), [r#""a, b""#, "base"]);
        assert_eq!(values(r#""a\", b",base"#), [r#""a\", b""#, "base"]);
        assert_eq!(split(r#"variant="a: b": lost"#, ": "), [r#"variant="a: b""#, "lost"]);
    }

    #[test]
    fn what_is_quoted_is_read_back() {
        for value in ["all", "a, b", r#"it "is""#, r"c:\d, e", "\"", " x", "Uniform(\"1ms\", 2)"] {
            let written = quoted(value);
            assert_eq!(unquoted(&written), value, "{written}");
            assert_eq!(split(&written, ","), [written.as_str()]);
        }
        assert_eq!(quoted("range,sticky"), "\"range,sticky\"");
        assert_eq!(unquoted(r#""1ms" or "2ms""#), r#""1ms" or "2ms""#);
    }
}
