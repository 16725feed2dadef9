//! What of the keys is for `bringup` itself: `~.` and its like at the beginning of a line, as in ssh. Pure: keys in, deeds out.

/// What keys ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// These are for the node.
    Type(Vec<u8>),
    /// Leave the console.
    Leave,
    /// Make a break on the node's serial port.
    Break,
    /// Tell which keys there are.
    Help,
}

/// What can be typed after `~`, for people.
pub const KEYS: &str = "~. leave · ~B break · ~? these keys · ~~ one ~ (each at the beginning of a line)";

/// Where in a line the typist is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum At {
    /// At its beginning.
    #[default]
    Start,
    /// After a `~` at its beginning.
    Tilde,
    /// Anywhere else.
    Within,
}

/// Watches the keys.
#[derive(Debug, Default)]
pub struct Escape {
    at: At,
}

impl Escape {
    /// Sorts keys.
    pub fn feed(&mut self, keys: &[u8]) -> Vec<Deed> {
        let mut deeds = Vec::new();
        let mut typed = Vec::new();
        for &key in keys {
            let deed = match (self.at, key) {
                (At::Start, b'~') => {
                    self.at = At::Tilde;
                    continue;
                }
                (At::Tilde, b'.') => Some(Deed::Leave),
                (At::Tilde, b'B') => Some(Deed::Break),
                (At::Tilde, b'?') => Some(Deed::Help),
                (At::Tilde, b'~') => {
                    typed.push(key);
                    self.at = At::Within;
                    continue;
                }
                (At::Tilde, _) => {
                    typed.push(b'~');
                    None
                }
                _ => None,
            };
            self.at = match deed {
                Some(_) => At::Start,
                None if matches!(key, b'\r' | b'\n') => At::Start,
                None => At::Within,
            };
            match deed {
                None => typed.push(key),
                Some(deed) => {
                    if !typed.is_empty() {
                        deeds.push(Deed::Type(std::mem::take(&mut typed)));
                    }
                    deeds.push(deed);
                }
            }
        }
        if !typed.is_empty() {
            deeds.push(Deed::Type(typed));
        }
        deeds
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn typed(text: &str) -> Deed {
        Deed::Type(text.into())
    }

    #[test]
    fn a_tilde_counts_at_the_beginning_of_a_line_only() {
        let mut keys = Escape::default();
        assert_eq!(keys.feed(b"~."), [Deed::Leave]);
        assert_eq!(keys.feed(b"ls ~.\r~"), [typed("ls ~.\r")]);
        assert_eq!(keys.feed(b"."), [Deed::Leave], "also when the two come apart");
        assert_eq!(keys.feed(b"a\r~Bb"), [typed("a\r"), Deed::Break, typed("b")]);
        assert_eq!(keys.feed(b"\r~~.x"), [typed("\r~.x")]);
        assert_eq!(keys.feed(b"\r~/bin\r~?"), [typed("\r~/bin\r"), Deed::Help]);
    }

    proptest! {
        /// Without a tilde at the beginning of a line, what is typed is what is sent, however it is cut.
        #[test]
        fn other_keys_pass(parts in prop::collection::vec(prop::collection::vec(any::<u8>().prop_filter("no tilde", |b| *b != b'~'), 0..20), 0..10)) {
            let mut keys = Escape::default();
            let mut out = Vec::new();
            for part in &parts {
                for deed in keys.feed(part) {
                    match deed {
                        Deed::Type(bytes) => out.extend(bytes),
                        other => prop_assert!(false, "{other:?}"),
                    }
                }
            }
            prop_assert_eq!(out, parts.concat());
        }
    }
}
