//! Lists of words inside the files beside the inventory: argument vectors and kernel arguments. Refuses what would end as a secret in a
//! process list or as a hole in a script.

use super::code;
use super::decode::{self, Spanned};
use super::diagnostic::{Diagnostic, Diagnostics, quote};
use super::yaml::Tree;

/// Options whose value is a secret: everybody on a machine can read a process's arguments and `/proc/cmdline`.
const SECRETIVE: [&str; 6] = ["password=", "passwd=", "token=", "secret=", "passphrase=", "api-key="];

/// All single values of a list.
pub(super) fn texts(items: &[Tree], what: &str, out: &mut Diagnostics) -> Vec<Spanned<String>> {
    items.iter().enumerate().filter_map(|(i, item)| decode::text(item, &format!("{what}[{i}]"), out)).collect()
}

/// An argument vector: no shell will read it, so `|`, `>` and `$VAR` would be plain words.
pub(super) fn argv(items: &[Tree], what: &str, out: &mut Diagnostics) -> Vec<String> {
    let words = texts(items, what, out);
    for word in &words {
        if word.value.chars().any(|c| c == '\0' || c == '\n') {
            out.push(Diagnostic::error(code::BAD_VALUE, format!("{what}: an argument holds a line feed or NUL")).at(word.span));
        }
        no_secret(word, what, out);
    }
    if let Some(program) = words.first() {
        let shellish = program.value.is_empty() || program.value.contains(char::is_whitespace);
        if shellish {
            let message = format!("{what}: `{}` is not a program", quote(&program.value));
            out.push(
                Diagnostic::error(code::STACK, message)
                    .at(program.span)
                    .hint("write each word as an item: [dpkg, --install, FILE]"),
            );
        }
        if let Some(word) = words.iter().find(|w| matches!(w.value.as_str(), "|" | ">" | ">>" | "&&" | "||" | ";" | "<")) {
            let message = format!("{what}: `{}` would reach the program as a plain word, since no shell reads this", word.value);
            out.push(Diagnostic::error(code::STACK, message).at(word.span).hint("push a script and run that"));
        }
    }
    words.into_iter().map(|w| w.value).collect()
}

/// Refuses a word that carries a secret; it is not shown.
pub(super) fn no_secret(word: &Spanned<String>, what: &str, out: &mut Diagnostics) {
    let lower = word.value.to_ascii_lowercase();
    let Some(option) = SECRETIVE.iter().find(|s| lower.contains(**s)) else { return };
    out.sources.conceal(word.span);
    let message = format!("{what}: an argument with `{option}` would show a secret to everybody on the node");
    out.push(
        Diagnostic::error(code::PLAINTEXT_SECRET, message).at(word.span).hint("let the program read it from a file on the node"),
    );
}
