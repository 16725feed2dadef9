//! Turns an argument vector into the one line that SSH's `exec` request carries, so that a POSIX shell splits it back into the same vector.
//! It never interprets: no expansion, no globbing, no assignment and no keyword survives it.

/// Why an argument vector cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuoteError {
    /// There is no program to run.
    #[error("the argument vector is empty")]
    Empty,
    /// No process can be given such an argument.
    #[error("an argument holds a NUL byte")]
    Nul,
    /// Linux refuses a single argument over 128 KiB (`MAX_ARG_STRLEN`), and the whole line becomes one argument of the login shell.
    #[error("the command line is longer than 120 KiB")]
    TooLong,
}

/// Longest line, in bytes.
const LONGEST: usize = 120 << 10;

/// Words that a shell reads as grammar when they stand first (POSIX.1-2017 XCU 2.4, and bash's additions).
const KEYWORDS: [&str; 20] = [
    "case", "coproc", "do", "done", "elif", "else", "esac", "exec", "fi", "for", "function", "if", "in", "select", "then",
    "time", "trap", "until", "while", "alias",
];

/// Quotes a vector for a POSIX shell.
///
/// # Errors
/// [`QuoteError`] when no line can stand for the vector.
pub fn quote(argv: &[String]) -> Result<String, QuoteError> {
    if argv.first().is_none_or(String::is_empty) {
        return Err(QuoteError::Empty);
    }
    let mut line = String::new();
    for (at, word) in argv.iter().enumerate() {
        if word.contains('\0') {
            return Err(QuoteError::Nul);
        }
        if at > 0 {
            line.push(' ');
        }
        if is_plain(word) && !(at == 0 && KEYWORDS.contains(&word.as_str())) {
            line.push_str(word);
        } else {
            line.push('\'');
            line.push_str(&word.replace('\'', r"'\''"));
            line.push('\'');
        }
        if line.len() > LONGEST {
            return Err(QuoteError::TooLong);
        }
    }
    Ok(line)
}

/// True for words that mean themselves in every shell. `=` is not among the letters: a first word with it would be an assignment.
fn is_plain(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"_@%+:,./-".contains(&b))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn argv(words: &[&str]) -> Vec<String> {
        words.iter().map(|w| (*w).to_owned()).collect()
    }

    #[test]
    fn plain_words_stay_plain_and_the_rest_is_quoted() {
        assert_eq!(quote(&argv(&["nvidia-smi", "-q", "-x"])).unwrap(), "nvidia-smi -q -x");
        assert_eq!(quote(&argv(&["A=b", "it's", "", "$(reboot)"])).unwrap(), r"'A=b' 'it'\''s' '' '$(reboot)'");
        assert_eq!(quote(&argv(&["if", "if"])).unwrap(), "'if' if");
    }

    #[test]
    fn what_no_process_can_be_given_is_refused() {
        assert_eq!(quote(&[]), Err(QuoteError::Empty));
        assert_eq!(quote(&argv(&[""])), Err(QuoteError::Empty));
        assert_eq!(quote(&argv(&["a", "b\0c"])), Err(QuoteError::Nul));
        assert_eq!(quote(&argv(&["a", &"x".repeat(LONGEST)])), Err(QuoteError::TooLong));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
        /// A real shell gives back the very words.
        #[test]
        fn a_real_shell_splits_it_back(words in proptest::collection::vec("[^\0]{0,12}|[ \t\n'\"\\\\$`*?~#!=;&|<>(){}\\[\\]-]{0,8}", 0..6)) {
            let mut argv = vec!["printf".to_owned(), "%s\\0".to_owned()];
            argv.extend(words.iter().cloned());
            let out = std::process::Command::new("sh").arg("-c").arg(quote(&argv).unwrap()).output().unwrap();
            prop_assert!(out.status.success());
            // printf with no operand prints its format once.
            let want: String = if words.is_empty() { "\0".into() } else { words.iter().flat_map(|w| [w.as_str(), "\0"]).collect() };
            prop_assert_eq!(String::from_utf8(out.stdout).unwrap(), want);
        }
    }
}
