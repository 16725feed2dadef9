//! What of a node's output may reach a terminal. A console needs its colours and cursor movements; it needs nothing that sets the clipboard or the
//! title, downloads a file or makes the terminal type an answer that the node has written. Those sequences are left out; the record keeps every byte.

/// Longest control string that is swallowed; a longer one is no control string but a node that hangs in the middle of one.
const LONGEST: usize = 4096;
/// Longest control sequence (`ESC [ … letter`) that is held back until its last letter is known.
const SEQUENCE: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq)]
enum At {
    Text,
    /// After ESC.
    Escape,
    /// In `ESC [ …`, held back.
    Sequence(Vec<u8>),
    /// In a control string (OSC, DCS, APC, PM, SOS) of so many bytes.
    Swallow(usize),
    /// After ESC inside a control string.
    SwallowEscape(usize),
    /// After C2h, the first byte of a control character of two bytes in UTF-8.
    C2,
}

/// Watches the output.
#[derive(Debug)]
pub struct Guard {
    at: At,
}

impl Default for Guard {
    fn default() -> Self {
        Self { at: At::Text }
    }
}

impl Guard {
    /// What of these bytes may be shown.
    pub fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            self.step(byte, &mut out);
        }
        out
    }

    fn step(&mut self, byte: u8, out: &mut Vec<u8>) {
        let at = std::mem::replace(&mut self.at, At::Text);
        self.at = match (at, byte) {
            (At::Swallow(_) | At::SwallowEscape(_), 0x07 | 0x18 | 0x1a) => At::Text,
            (At::SwallowEscape(_), b'\\') => At::Text,
            (At::Swallow(length) | At::SwallowEscape(length), _) if length >= LONGEST => At::Text,
            (At::Swallow(length) | At::SwallowEscape(length), 0x1b) => At::SwallowEscape(length + 1),
            (At::Swallow(length) | At::SwallowEscape(length), _) => At::Swallow(length + 1),
            (At::Text | At::Escape, 0x1b) => At::Escape,
            (At::Sequence(_), 0x1b) => At::Escape,
            // Enquiry: some terminals type a stored answer.
            (At::Text, 0x05) => At::Text,
            (At::Text, 0xc2) => At::C2,
            (At::Text, _) => {
                out.push(byte);
                At::Text
            }
            (At::Escape, b'[') => At::Sequence(Vec::new()),
            // OSC, DCS, SOS, PM, APC (ECMA-48 §8.3).
            (At::Escape, b']' | b'P' | b'X' | b'^' | b'_') => At::Swallow(0),
            // "Identify yourself", the old way.
            (At::Escape, b'Z') => At::Text,
            (At::Escape, _) => {
                out.extend([0x1b, byte]);
                At::Text
            }
            (At::C2, 0x9b) => At::Sequence(Vec::new()),
            (At::C2, 0x90 | 0x98 | 0x9d | 0x9e | 0x9f) => At::Swallow(0),
            (At::C2, 0x80..=0x9f) => At::Text,
            (At::C2, 0x1b) => At::Escape,
            (At::C2, _) => {
                out.extend([0xc2, byte]);
                At::Text
            }
            (At::Sequence(mut held), 0x20..=0x3f) if held.len() < SEQUENCE => {
                held.push(byte);
                At::Sequence(held)
            }
            (At::Sequence(held), 0x40..=0x7e) => {
                if !answered(byte, &held) {
                    out.extend([0x1b, b'[']);
                    out.extend(held);
                    out.push(byte);
                }
                At::Text
            }
            // Not a sequence after all: none of it is shown.
            (At::Sequence(_), _) => At::Text,
        };
    }
}

/// Sequences to which a terminal types an answer, or that handle its window: status and identity reports, mode reports, window reports (xterm's
/// "Control Sequences": DSR, DA, DECRQM, XTWINOPS, XTVERSION). The cursor's place is left in, since a login asks for it to learn the size.
fn answered(last: u8, held: &[u8]) -> bool {
    match last {
        b'c' | b't' => true,
        b'n' => held != b"6",
        b'p' => held.contains(&b'$'),
        b'q' => held.first() == Some(&b'>'),
        b'x' => !held.contains(&b'$'),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(bytes: &[u8]) -> Vec<u8> {
        Guard::default().pass(bytes)
    }

    #[test]
    fn colours_pass_and_control_strings_do_not() {
        let screen = b"\x1b[2J\x1b[1;31mBIOS\x1b[0m \x1b(B\x1b[6n\r\n".as_slice();
        assert_eq!(shown(screen), screen);
        assert_eq!(shown("온도 42 °C\r\n".as_bytes()), "온도 42 °C\r\n".as_bytes());
        for hostile in [
            "\x1b]0;title\x07",
            "\x1b]52;c;cm0gLXJm\x1b\\",
            "\x1bP$q\"p\x1b\\",
            "\x1b_G\x1b\\",
            "\x1b[21t",
            "\x1b[c",
            "\x1b[>0q",
            "\x05",
            "\u{9d}52;c;eA==\x07",
            "\u{9b}21t",
        ] {
            assert_eq!(shown(format!("a{hostile}b").as_bytes()), b"ab", "{hostile:?}");
        }
    }

    #[test]
    fn an_endless_control_string_hides_no_more_than_its_bound() {
        let text = format!("\x1b]0;{}visible", "x".repeat(LONGEST));
        assert!(shown(text.as_bytes()).ends_with(b"visible"));
    }

    proptest! {
        /// However it is cut, it is judged alike; nothing is added; no control string is ever opened.
        #[test]
        fn cuts_do_not_matter(bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(0x1b), Just(b']'), Just(b'['), Just(0xc2)], 0..200), at in 0usize..200) {
            let whole = shown(&bytes);
            let (first, second) = bytes.split_at(at.min(bytes.len()));
            let mut guard = Guard::default();
            let mut apart = guard.pass(first);
            apart.extend(guard.pass(second));
            prop_assert_eq!(&whole, &apart);
            prop_assert!(whole.len() <= bytes.len() + 1);
            prop_assert!(!whole.windows(2).any(|w| w[0] == 0x1b && matches!(w[1], b']' | b'P' | b'X' | b'^' | b'_')));
        }
    }
}
