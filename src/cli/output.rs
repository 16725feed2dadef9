//! Data to standard output, talk to standard error. The only file that prints.

use std::io::{IsTerminal as _, Write as _};

use serde::Serialize;

/// What a verb prints as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON document.
    Json,
    /// One JSON document a line.
    Ndjson,
    /// Markdown.
    Md,
    /// HTML.
    Html,
    /// Comma-separated values.
    Csv,
    /// `JUnit` XML.
    Junit,
}

/// Standard output and how it may look.
#[derive(Debug, Clone)]
pub struct Out {
    /// What a verb prints as.
    pub format: Format,
    /// Colours are allowed on standard output.
    pub colour: bool,
    /// Colours are allowed on standard error.
    pub colour_err: bool,
    /// Standard error is a terminal where bars may be drawn.
    pub bars: bool,
    /// Columns of the terminal, or 100.
    pub width: u16,
    quiet: bool,
}

impl Out {
    /// Looks at the terminal and the environment (`NO_COLOR`, `CI`, `TERM=dumb`).
    #[must_use]
    pub fn new(format: Format, no_colour: bool, quiet: bool) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty() && v != "false" && v != "0");
        let plain = no_colour || set("NO_COLOR") || set("CI") || std::env::var_os("TERM").is_some_and(|t| t == "dumb");
        let (out_tty, err_tty) = (std::io::stdout().is_terminal(), std::io::stderr().is_terminal());
        let width = comfy_table::Table::new().width().unwrap_or(100).max(40);
        Self {
            format,
            colour: !plain && out_tty,
            colour_err: !plain && err_tty,
            bars: !quiet && err_tty && !set("CI") && std::env::var_os("TERM").is_none_or(|t| t != "dumb"),
            width: if out_tty { width } else { 100 },
            quiet,
        }
    }

    /// True when JSON in one document was asked for.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// One line of data. A closed pipe ends the program quietly, as for any filter.
    pub fn line(&self, text: impl AsRef<str>) {
        let mut stdout = std::io::stdout().lock();
        if let Err(error) = writeln!(stdout, "{}", text.as_ref()) {
            let code = if error.kind() == std::io::ErrorKind::BrokenPipe { 0 } else { 1 };
            std::process::exit(code);
        }
    }

    /// One JSON document, indented.
    pub fn json(&self, value: &impl Serialize) {
        match serde_json::to_string_pretty(value) {
            Ok(text) => self.line(text),
            Err(error) => self.talk(format!("error: cannot write JSON: {error}")),
        }
    }

    /// A table that fits the terminal; cells are escaped, and cells headed `nodes` are folded names.
    pub fn table(&self, headers: &[&str], rows: Vec<Vec<String>>) {
        self.line(self.render_table(headers, rows));
    }

    /// The table as text.
    #[must_use]
    pub fn render_table(&self, headers: &[&str], rows: Vec<Vec<String>>) -> String {
        let rows = rows.into_iter().map(|row| row.into_iter().map(|cell| escape(&cell)).collect()).collect();
        super::fit::table(headers, rows, self.width)
    }

    /// Talk for people, on standard error; silent with `-q`.
    pub fn talk(&self, text: impl AsRef<str>) {
        if !self.quiet {
            self.complain(text);
        }
    }

    /// An error, on standard error, even with `-q`.
    pub fn complain(&self, text: impl AsRef<str>) {
        // Nothing sensible is left to do when standard error is closed.
        drop(writeln!(std::io::stderr().lock(), "{}", text.as_ref()));
    }
}

/// Makes text that hardware sent safe for a terminal: control characters, bidirectional overrides and the like become escapes.
#[must_use]
pub fn escape(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let hostile = (c.is_control() && c != '\n')
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
            if hostile { c.escape_default().collect::<Vec<_>>() } else { vec![c] }
        })
        .collect()
}
