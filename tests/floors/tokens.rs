//! Rust source to words and signs, comments and literals left out: enough to see who names whom. It does not parse Rust.

/// A word or a sign, and the line that it stands on (from 1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub text: String,
    pub line: usize,
}

/// Splits a source text. `::` is one token; every other sign stands alone; a literal becomes the token `"`.
pub fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let (mut i, mut line, mut found) = (0, 1, Vec::new());
    while i < chars.len() {
        let start = i;
        match at(i) {
            '/' if at(i + 1) == '/' => {
                while i < chars.len() && at(i) != '\n' {
                    i += 1;
                }
            }
            '/' if at(i + 1) == '*' => i = after_block_comment(&chars, i),
            '"' => {
                i = after_string(&chars, i);
                found.push(Token { text: "\"".to_owned(), line });
            }
            // `'a'` and `'\n'` are characters, `'a` is a lifetime.
            '\'' if at(i + 1) == '\\' || at(i + 2) == '\'' => {
                i += if at(i + 1) == '\\' { 3 } else { 2 };
                while i < chars.len() && at(i) != '\'' {
                    i += 1;
                }
                i += 1;
            }
            c if c.is_alphanumeric() || c == '_' => {
                while at(i).is_alphanumeric() || at(i) == '_' {
                    i += 1;
                }
                let word: String = chars[start..i].iter().collect();
                let hashes = chars[i..].iter().take_while(|c| **c == '#').count();
                if matches!(word.as_str(), "r" | "br" | "cr") && at(i + hashes) == '"' {
                    i = after_raw_string(&chars, i + hashes + 1, hashes);
                    found.push(Token { text: "\"".to_owned(), line });
                } else if word == "r" && hashes == 1 {
                    // A raw identifier: `r#type`.
                    i += 1;
                } else {
                    found.push(Token { text: word, line });
                }
            }
            ':' if at(i + 1) == ':' => {
                i += 2;
                found.push(Token { text: "::".to_owned(), line });
            }
            c => {
                i += 1;
                if !c.is_whitespace() {
                    found.push(Token { text: c.to_string(), line });
                }
            }
        }
        line += chars[start..i.min(chars.len())].iter().filter(|c| **c == '\n').count();
    }
    found
}

fn after_block_comment(chars: &[char], start: usize) -> usize {
    let (mut i, mut depth) = (start + 2, 1);
    while i < chars.len() && depth > 0 {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => (i, depth) = (i + 2, depth + 1),
            ('*', Some('/')) => (i, depth) = (i + 2, depth - 1),
            _ => i += 1,
        }
    }
    i
}

fn after_string(chars: &[char], start: usize) -> usize {
    let mut i = start + 1;
    while i < chars.len() && chars[i] != '"' {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    (i + 1).min(chars.len())
}

fn after_raw_string(chars: &[char], start: usize, hashes: usize) -> usize {
    let mut i = start;
    while i < chars.len() {
        if chars[i] == '"' && chars[i + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes {
            return i + 1 + hashes;
        }
        i += 1;
    }
    i
}

#[test]
fn literals_and_comments_name_nobody() {
    let source =
        "a /* crate::x /* */ crate::y */ \"crate::z \\\" crate::w\" r#\"crate::\"v\"# '\"' 'b' &'c crate::d // crate::e\nf";
    let texts: Vec<_> = tokens(source).into_iter().map(|t| t.text).collect();
    assert_eq!(texts, ["a", "\"", "\"", "&", "'", "c", "crate", "::", "d", "f"]);
    assert_eq!(tokens(source).last().map(|t| t.line), Some(2));
}
