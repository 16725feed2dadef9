//! The last of what a node printed, on a strip of paper of fixed length; and how it reads as lines. Firmware paints screens with cursor movements:
//! those become ends of lines, colours become nothing, and whatever else does not print is shown as `\xNN`.

use std::collections::VecDeque;

/// Bytes that are kept: a panic of Linux with its registers and trace is 4 to 8 KiB.
const KEPT: usize = 16 << 10;
/// Longest line that is shown, in characters.
const LONGEST: usize = 160;

/// The strip.
#[derive(Debug, Default)]
pub(super) struct Paper {
    bytes: VecDeque<u8>,
    printed: u64,
}

impl Paper {
    pub(super) fn print(&mut self, bytes: &[u8]) {
        self.printed += bytes.len() as u64;
        let news = bytes.get(bytes.len().saturating_sub(KEPT)..).unwrap_or_default();
        let over = (self.bytes.len() + news.len()).saturating_sub(KEPT);
        self.bytes.drain(..over);
        self.bytes.extend(news);
    }

    /// Bytes printed in all.
    pub(super) fn printed(&self) -> u64 {
        self.printed
    }

    /// The last lines that say something, the oldest first.
    pub(super) fn last(&self, lines: usize) -> Vec<String> {
        let cut = self.printed > self.bytes.len() as u64;
        let mut all = read(self.bytes.iter().copied());
        // The first began before what is kept.
        if cut && all.len() > 1 {
            all.remove(0);
        }
        let first = all.len().saturating_sub(lines);
        all.split_off(first)
    }
}

#[derive(Clone, Copy)]
enum At {
    Text,
    Escape,
    /// In `ESC [ … letter`.
    Sequence,
    /// In a control string (OSC, DCS, SOS, PM, APC).
    Swallow,
    SwallowEscape,
}

fn read(bytes: impl Iterator<Item = u8>) -> Vec<String> {
    let (mut lines, mut line, mut at) = (Vec::<String>::new(), Vec::<u8>::new(), At::Text);
    for byte in bytes {
        at = match (at, byte) {
            (At::Text | At::Escape | At::Sequence, 0x1b) => At::Escape,
            (At::Text, b'\n' | b'\r' | 0x0b | 0x0c) | (At::Sequence | At::Escape | At::Swallow | At::SwallowEscape, b'\n') => {
                end(&mut lines, &mut line);
                At::Text
            }
            (At::Text, _) => {
                if line.len() < LONGEST * 4 {
                    line.push(byte);
                }
                At::Text
            }
            (At::Escape, b'[') => At::Sequence,
            (At::Escape, b']' | b'P' | b'X' | b'^' | b'_') => At::Swallow,
            // `ESC ( B` and its like have one byte more before their last.
            (At::Escape, 0x20..=0x2f) => At::Escape,
            (At::Escape, _) => At::Text,
            (At::Sequence, 0x20..=0x3f) => At::Sequence,
            (At::Sequence, last) => {
                // To another place, or over what is there: whatever comes is no part of this line.
                if matches!(last, b'A' | b'B' | b'E' | b'F' | b'G' | b'H' | b'J' | b'f' | b'd') {
                    end(&mut lines, &mut line);
                }
                At::Text
            }
            (At::Swallow, 0x07) | (At::SwallowEscape, b'\\') => At::Text,
            (At::Swallow | At::SwallowEscape, 0x1b) => At::SwallowEscape,
            (At::Swallow | At::SwallowEscape, _) => At::Swallow,
        };
    }
    end(&mut lines, &mut line);
    lines
}

fn end(lines: &mut Vec<String>, line: &mut Vec<u8>) {
    let mut shown = String::new();
    for chunk in line.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\t' => shown.push(' '),
                c if c.is_control() => shown.extend(c.escape_default()),
                // Invisible and direction-changing characters are written out.
                c if c == '\'' || c == '"' || c == '\\' => shown.push(c),
                c => shown.extend(c.escape_debug()),
            }
        }
        shown.extend(chunk.invalid().iter().flat_map(|b| format!("\\x{b:02x}").into_bytes()).map(char::from));
    }
    line.clear();
    let text = shown.trim();
    // A screen that is painted again and again says nothing new.
    if text.is_empty() || lines.last().is_some_and(|last| last == text) {
        return;
    }
    let fit =
        if text.chars().count() > LONGEST { text.chars().take(LONGEST - 1).chain(['…']).collect() } else { text.to_owned() };
    lines.push(fit);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(text: &[u8]) -> Vec<String> {
        let mut paper = Paper::default();
        paper.print(text);
        paper.last(100)
    }

    #[test]
    fn screens_become_lines() {
        let text = b"\x1b[2J\x1b[01;01HBdsDxe: loading\x1b[02;01H>>Start PXE\x1b[0m\x1b[35m\r\n\r\n\x1b]0;title\x07a\x1b(Bb\tc\x07\xff\r\nlast";
        assert_eq!(lines(text), ["BdsDxe: loading", ">>Start PXE", "ab c\\u{7}\\xff", "last"]);
        assert_eq!(lines(b"same\r\nsame\r\nsame\r\nother\r\n"), ["same", "other"]);
        assert_eq!(lines("온도 42 °C \"x\\y\"\r\n\u{202e}evil".as_bytes()), ["온도 42 °C \"x\\y\"", "\\u{202e}evil"]);
    }

    #[test]
    fn it_keeps_the_end() {
        let mut paper = Paper::default();
        for n in 0..10_000 {
            paper.print(format!("line {n}\r\n").as_bytes());
        }
        assert_eq!(paper.last(2), ["line 9998", "line 9999"]);
        assert!(paper.bytes.len() <= KEPT && paper.printed() > 100_000);
        assert!(paper.last(usize::MAX).iter().all(|line| line.starts_with("line ")), "no half line");
        paper.print(&vec![b'x'; 3 * KEPT]);
        assert_eq!(paper.last(5).concat().chars().count(), LONGEST);
    }

    proptest! {
        #[test]
        fn whatever_comes_is_bounded_and_printable(bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(0x1b), Just(b'['), Just(b'\n')], 0..2000), most in 0usize..20) {
            let mut paper = Paper::default();
            paper.print(&bytes);
            let lines = paper.last(most);
            prop_assert!(lines.len() <= most);
            for line in lines {
                prop_assert!(!line.is_empty() && line.chars().count() <= LONGEST && !line.chars().any(char::is_control), "{line:?}");
            }
        }
    }
}
