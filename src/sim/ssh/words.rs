//! Splits the line of an SSH `exec` request into words as a POSIX shell would (XCU §2.2), and refuses everything that would make a shell do
//! more than run one command: the simulator has no shell.

/// Splits a line.
///
/// # Errors
/// What the simulated login shell cannot do.
pub fn split(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('\'') => break,
                        Some(c) => word.push(c),
                        None => return Err("unterminated quoted string".to_owned()),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('"') => break,
                        Some('\\') => match chars.next() {
                            Some(c @ ('"' | '\\' | '$' | '`')) => word.push(c),
                            Some('\n') => {}
                            Some(c) => word.extend(['\\', c]),
                            None => return Err("unterminated quoted string".to_owned()),
                        },
                        Some('$' | '`') => return Err("expansion is not simulated".to_owned()),
                        Some(c) => word.push(c),
                        None => return Err("unterminated quoted string".to_owned()),
                    }
                }
            }
            '\\' => match chars.next() {
                Some('\n') | None => {}
                Some(c) => word.get_or_insert_default().push(c),
            },
            '#' if word.is_none() => break,
            '|' | '&' | ';' | '<' | '>' | '(' | ')' | '$' | '`' | '*' | '?' | '[' | '\n' => {
                return Err(format!("`{}` is not simulated: one plain command only", c.escape_debug()));
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quoted_words_come_back() {
        assert_eq!(split("nvidia-smi -q  -x").unwrap(), ["nvidia-smi", "-q", "-x"]);
        assert_eq!(split(r#"a 'b c' "d\"e" f\ g '' 'it'\''s'"#).unwrap(), ["a", "b c", "d\"e", "f g", "", "it's"]);
        assert_eq!(split("sh -c 'cat > \"$1\" | x'").unwrap(), ["sh", "-c", "cat > \"$1\" | x"]);
    }

    #[test]
    fn a_shell_is_not_simulated() {
        for line in ["a; b", "a | b", "a > b", "echo $HOME", "a `b`", "'open", "\"open", "a && b", "ls *"] {
            assert!(split(line).is_err(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn single_quotes_carry_anything(words in proptest::collection::vec("[^\\x00']{0,20}", 1..5)) {
            let line: Vec<String> = words.iter().map(|w| format!("'{w}'")).collect();
            prop_assert_eq!(split(&line.join(" ")).unwrap(), words);
        }

        #[test]
        fn any_line_is_read_or_refused(line in "\\PC{0,80}") {
            drop(split(&line));
        }
    }
}
