//! The site's own quirks: `quirks.yaml` beside `site.yaml`, read after those that ship. A missing file is none; a mistake in it is a mistake in
//! the input.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::bmc::quirk::{QuirkError, Quirks};
use crate::spec::{Diagnostic, Diagnostics, Span, code};

/// The file's name in the inventory's directory.
const NAME: &str = "quirks.yaml";

fn file(inventory: &Path) -> PathBuf {
    inventory.join(NAME)
}

/// All quirks of a site.
///
/// # Errors
/// The file cannot be read, or holds a mistake.
pub fn of(inventory: &Path) -> std::result::Result<Arc<Quirks>, QuirkError> {
    let shipped = Quirks::built_in()?;
    let path = file(inventory);
    let name = path.display().to_string();
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Arc::new(shipped.then(Quirks::read(&name, &text)?))),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(shipped),
        Err(e) => Err(QuirkError { file: name, line: None, column: 0, entry: None, what: e.to_string() }),
    }
}

/// Checks the site's file, for `validate`: its text joins the files that were read, its mistake the others.
pub fn check(inventory: &Path, found: &mut Diagnostics) {
    let path = file(inventory);
    if !path.exists() {
        return;
    }
    let Some(id) = crate::spec::inventory::read(&path, None, found) else { return };
    let text = found.sources.text(id);
    let Err(error) = Quirks::read(&path.display().to_string(), &text) else { return };
    let entry = error.entry.map_or_else(String::new, |name| format!("entry `{name}`: "));
    let mut mistake = Diagnostic::error(code::BAD_VALUE, format!("{entry}{}", error.what));
    if let Some(line) = error.line.and_then(|line| usize::try_from(line).ok()) {
        let whole = found.sources.line_range(id, line);
        let column = usize::try_from(error.column.saturating_sub(1)).unwrap_or(0);
        let start = text
            .get(whole.clone())
            .map_or(whole.start, |shown| whole.start + shown.chars().take(column).map(char::len_utf8).sum::<usize>());
        mistake = mistake.at(Span::new(id, start, whole.end.max(start)));
    }
    found.push(mistake.hint("the habits and their words: bringup schema quirks"));
}
