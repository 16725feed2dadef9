//! Fits text into columns: folded names break between groups, sentences at spaces. It changes no character of what it breaks.

use comfy_table::Table;

/// Breaks folded names, such as `a[001-003]-s[01-04],b001-s01`, into lines of at most `width` characters: between groups, and inside the
/// brackets of a group only when the group alone is longer than a line.
#[must_use]
pub fn names(folded: &str, width: usize) -> String {
    let mut lines: Vec<String> = vec![String::new()];
    for group in pieces(folded, 0) {
        let parts = if length(&group) > width { pieces(&group, 1) } else { vec![group] };
        for part in parts {
            match lines.last_mut() {
                Some(last) if last.is_empty() || length(last) + length(&part) <= width => last.push_str(&part),
                _ => lines.push(part),
            }
        }
    }
    lines.join("\n")
}

/// Cuts behind every comma that stands inside `depth` brackets or fewer; the commas stay.
fn pieces(text: &str, depth: usize) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut open = 0_usize;
    for c in text.chars() {
        if let Some(last) = pieces.last_mut() {
            last.push(c);
        }
        match c {
            '[' => open += 1,
            ']' => open = open.saturating_sub(1),
            ',' if open <= depth => pieces.push(String::new()),
            _ => {}
        }
    }
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

/// Breaks each line of `text` at spaces into lines of at most `width` characters; what continues a line is indented by `indent`. A word
/// that is longer than a line stays whole, so that a path can be copied.
#[must_use]
pub fn words(text: &str, width: usize, indent: usize) -> String {
    let mut out = Vec::new();
    for line in text.lines() {
        let mut current = String::new();
        let mut fresh = true;
        for word in line.split_inclusive(' ') {
            if !fresh && length(&current) + length(word.trim_end()) > width {
                out.push(current.trim_end().to_owned());
                current = " ".repeat(indent);
            }
            current.push_str(word);
            fresh = fresh && word.trim().is_empty();
        }
        out.push(current.trim_end().to_owned());
    }
    out.join("\n")
}

/// A table without lines, as wide as `width` at most. Columns headed `nodes` hold folded names.
#[must_use]
pub fn table(headers: &[&str], rows: Vec<Vec<String>>, width: u16) -> String {
    let mut table = Table::new();
    table
        .load_style(comfy_table::presets::NOTHING)
        .set_content_arrangement(comfy_table::ContentArrangement::Dynamic)
        .set_width(width)
        .set_header(headers.iter().map(|h| h.to_uppercase()));
    // Two fifths for the names leave a sentence beside them its room.
    let room = usize::from(width) * 2 / 5;
    for row in rows {
        let cell = |(at, cell): (usize, String)| if headers.get(at) == Some(&"nodes") { names(&cell, room) } else { cell };
        table.add_row(row.into_iter().enumerate().map(cell));
    }
    if let Some(first) = table.column_mut(0) {
        first.set_padding((0, 1));
        if headers.first() == Some(&"nodes") {
            // They are broken where they may be; the sentences beside them give way.
            first.set_constraint(comfy_table::ColumnConstraint::ContentWidth);
        }
    }
    table.to_string().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

fn length(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_break_between_groups_and_only_then_inside() {
        assert_eq!(names("a[001-003]-s[01-04],b001-s01", 40), "a[001-003]-s[01-04],b001-s01");
        assert_eq!(names("a[001-003]-s[01-04],b001-s01", 20), "a[001-003]-s[01-04],\nb001-s01");
        assert_eq!(names("a[01-02,04-05,08-09],b1", 12), "a[01-02,\n04-05,\n08-09],b1");
        assert_eq!(names("", 10), "");
    }

    #[test]
    fn sentences_break_at_spaces_and_continue_under_an_indent() {
        assert_eq!(words("a001-s01  its BMC was not heard", 20, 4), "a001-s01  its BMC\n    was not heard");
        assert_eq!(words("    /a/path/that/is/long\nsecond", 10, 2), "    /a/path/that/is/long\nsecond");
    }

    #[test]
    fn a_table_keeps_names_whole() {
        let row = vec!["a001-s[01-02,04-05,08],a002-s[01-04,06-08]".to_owned(), "why ".repeat(30)];
        let text = table(&["nodes", "why"], vec![row], 80);
        assert!(text.lines().any(|l| l.starts_with("a001-s[01-02,04-05,08], ")), "{text}");
        assert!(text.lines().any(|l| l.starts_with("a002-s[01-04,06-08] ")), "{text}");
        assert!(text.lines().all(|l| l.chars().count() <= 80), "{text}");
        // A name stays whole beside three columns of sentences.
        let words = |n: usize| "why ".repeat(n);
        let row = vec!["a001-s[01-04,06-07],a002-s[01-07]".to_owned(), words(8), words(8), words(20)];
        let text = table(&["nodes", "row", "at", "why"], vec![row], 100);
        assert!(text.lines().any(|l| l.starts_with("a001-s[01-04,06-07],a002-s[01-07] ")), "{text}");
        assert!(text.lines().all(|l| l.chars().count() <= 100), "{text}");
    }
}
