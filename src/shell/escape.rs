//! What a node sent, made fit for an error or a terminal. It never passes control characters on.

/// Text as it may be shown: one line, escaped, cut to 300 characters.
pub(super) fn shown(bytes: &[u8]) -> String {
    let head = bytes.get(..4096).unwrap_or(bytes);
    let text = String::from_utf8_lossy(head);
    let line = text.trim().replace(['\n', '\r'], " · ");
    let mut out: String = line.escape_debug().take(300).collect();
    if out.len() < line.len() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn control_characters_do_not_pass() {
        assert_eq!(shown(b"cat: /x: No such file\n"), "cat: /x: No such file");
        assert!(!shown(b"\x1b[2Jgone\x07").contains('\x1b'));
        assert!(shown(&[0xff; 100_000]).chars().count() < 400);
    }
}
