//! Server-sent events (WHATWG HTML §9.2.6) out of bytes: lines, fields, events. Bounded; it knows nothing of Redfish.

/// Longest line, and longest data of one event, in bytes. bmcweb's events are under 4 KiB; metric reports of an HGX board reach some 300 KiB.
const MOST: usize = 1 << 20;

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// The last id that the stream named.
    pub(super) id: Option<String>,
    /// Its data, lines joined by line feeds.
    pub(super) data: String,
}

/// More than the limits allow.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMuch;

/// The state between two pieces of a stream.
#[derive(Debug, Default)]
pub(super) struct Parser {
    line: Vec<u8>,
    data: String,
    any: bool,
    id: Option<String>,
    /// The last byte was a carriage return: a line feed behind it ends no other line.
    returned: bool,
    begun: bool,
}

impl Parser {
    /// Takes a piece and gives the events that it ends.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Said>, TooMuch> {
        let mut said = Vec::new();
        for byte in bytes {
            let after_return = std::mem::replace(&mut self.returned, *byte == b'\r');
            match byte {
                b'\n' if after_return => {}
                b'\r' | b'\n' => {
                    let line = std::mem::take(&mut self.line);
                    said.extend(self.end_line(&line)?);
                }
                byte => {
                    if self.line.len() >= MOST {
                        return Err(TooMuch);
                    }
                    self.line.push(*byte);
                }
            }
        }
        Ok(said)
    }

    fn end_line(&mut self, line: &[u8]) -> Result<Option<Said>, TooMuch> {
        let line = if self.begun { line } else { line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line) };
        self.begun = true;
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            return Ok(std::mem::take(&mut self.any).then(|| Said { id: self.id.clone(), data }));
        }
        let line = String::from_utf8_lossy(line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                if self.data.len() + value.len() >= MOST {
                    return Err(TooMuch);
                }
                if self.any {
                    self.data.push('\n');
                }
                self.any = true;
                self.data.push_str(value);
            }
            "id" if !value.contains('\0') && value.len() <= 256 => self.id = Some(value.to_owned()),
            // A comment, or a field that says nothing here.
            _ => {}
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(text: &str) -> Vec<(Option<String>, String)> {
        Parser::default().push(text.as_bytes()).unwrap().into_iter().map(|s| (s.id, s.data)).collect()
    }

    #[test]
    fn events_are_taken_apart_as_the_standard_says() {
        let id = |text: &str| Some(text.to_owned());
        assert_eq!(all("id: 5\ndata: {\"a\":\ndata: 1}\n\n"), [(id("5"), "{\"a\":\n1}".to_owned())]);
        assert_eq!(all(":keep-alive\n\n: x\n\ndata\n\n"), [(None, String::new())], "comments are none, empty data is one");
        assert_eq!(all("data: a\r\n\r\ndata:b\r\rdata:  c\n\n"), [(None, "a".into()), (None, "b".into()), (None, " c".into())]);
        assert_eq!(all("\u{feff}data: a\nevent: x\nretry: 5\nfoo: bar\n\n"), [(None, "a".to_owned())]);
        assert_eq!(all("id: 1\ndata: a\n\ndata: b\n\n").last(), Some(&(id("1"), "b".to_owned())), "an id lasts");
        assert_eq!(all("data: never ended\n"), []);
    }

    #[test]
    fn endless_lines_and_events_are_refused() {
        let mut parser = Parser::default();
        assert_eq!(parser.push(&vec![b'x'; MOST + 1]), Err(TooMuch));
        let mut parser = Parser::default();
        let line = [b"data: ".as_slice(), &vec![b'x'; MOST / 2], b"\n"].concat();
        assert!(parser.push(&line).is_ok());
        assert_eq!(parser.push(&line).and_then(|_| parser.push(&line)), Err(TooMuch));
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_say_the_same(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in 0_usize..300) {
            let whole = Parser::default().push(&bytes).unwrap();
            let (head, tail) = bytes.split_at(cut.min(bytes.len()));
            let mut parser = Parser::default();
            let mut pieces = parser.push(head).unwrap();
            pieces.extend(parser.push(tail).unwrap());
            prop_assert_eq!(whole, pieces);
        }

        #[test]
        fn lines_like_those_of_a_stream_say_the_same(text in "((data|id|event|retry|): ?.{0,8}|)(\r\n|\n|\r)", cut in 0_usize..60) {
            let bytes = text.repeat(3).into_bytes();
            let (head, tail) = bytes.split_at(cut.min(bytes.len()));
            let mut parser = Parser::default();
            let mut pieces = parser.push(head).unwrap();
            pieces.extend(parser.push(tail).unwrap());
            prop_assert_eq!(Parser::default().push(&bytes).unwrap(), pieces);
        }
    }
}
