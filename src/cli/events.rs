//! Events as lines of JSON, for machines that watch a run.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use super::failure::{Exit, Failure, Result};
use crate::model::Recorded;

/// Where the lines go.
pub struct EventFile {
    sink: Box<dyn Write + Send>,
}

impl EventFile {
    /// Opens the file, or standard output for `-`.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn open(path: &Path) -> Result<Self> {
        if path == Path::new("-") {
            return Ok(Self { sink: Box::new(std::io::stdout()) });
        }
        let file = File::create(path).map_err(|e| {
            Failure::new(Exit::ERROR, format!("write events to {}: {e}", path.display())).hint("give a writable --events FILE")
        })?;
        Ok(Self { sink: Box::new(file) })
    }

    /// Writes one line.
    ///
    /// # Errors
    /// The disk is full or the pipe is closed.
    pub fn write(&mut self, line: &Recorded) -> Result<()> {
        let text = serde_json::to_string(line)?;
        writeln!(self.sink, "{text}").and_then(|()| self.sink.flush())?;
        Ok(())
    }
}
