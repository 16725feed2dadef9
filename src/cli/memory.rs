//! What was learned of makes of BMCs, in a file beside the journal, so that the next run begins with it. Bounded, written whole and at once; a
//! file that cannot be read is told and left out. Nothing depends on it but the number of requests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::global::Global;
use crate::bmc::quirk::{Learned, Make, Memory};

/// Its name beside the journal.
const NAME: &str = "bmc-memory.json";
/// The only version of the format.
const FORMAT: u32 = 1;
/// Most makes that are kept; a fleet has tens.
const MAKES: usize = 1_024;
/// Largest file that is read, in bytes: every make with all of its names at their longest.
const LARGEST: u64 = 1 << 20;

/// The memory of a site.
#[derive(Debug)]
pub struct FileMemory {
    path: PathBuf,
    known: Mutex<BTreeMap<Make, Learned>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format_version: u32,
    makes: Vec<Line>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    make: Make,
    learned: Learned,
}

/// Why a file was left out.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// The operating system refused.
    #[error("read {}", .0.display())]
    Io(PathBuf, #[source] std::io::Error),
    /// It is not what this program writes.
    #[error("{} is no memory of BMCs: {why}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

impl FileMemory {
    /// The memory beside the journal. What is wrong with the file is told; it is then as if there were none.
    #[must_use]
    pub fn beside_journal(global: &Global) -> Option<Self> {
        let journal = global.journal_path().ok()?;
        let folder = journal.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let (memory, wrong) = Self::at(folder.join(NAME));
        if let Some(error) = wrong {
            let mut text = format!("warning: {error}");
            if let Some(cause) = std::error::Error::source(&error) {
                text.push_str(&format!(": {cause}"));
            }
            global.talk(format!("{}; what BMCs taught is learned anew", super::output::escape(&text)));
        }
        Some(memory)
    }

    /// The memory in this file, and what is wrong with it.
    #[must_use]
    pub fn at(path: PathBuf) -> (Self, Option<MemoryError>) {
        let (known, wrong) = match read(&path) {
            Ok(known) => (known, None),
            Err(error) => (BTreeMap::new(), Some(error)),
        };
        (Self { path, known: Mutex::new(known) }, wrong)
    }

    /// Writes all of it beside the file and puts it in its place. Another process may have learned meanwhile: what it wrote is kept.
    fn write(&self, known: &mut BTreeMap<Make, Learned>) -> std::io::Result<()> {
        for (make, theirs) in read(&self.path).unwrap_or_default() {
            let ours = known.remove(&make).unwrap_or_default();
            known.insert(make, ours.over(theirs));
        }
        while known.len() > MAKES {
            known.pop_last();
        }
        let makes = known.iter().map(|(make, learned)| Line { make: make.clone(), learned: learned.clone() }).collect();
        let text = serde_json::to_vec_pretty(&Document { format_version: FORMAT, makes })?;
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let beside = self.path.with_extension(format!("{}.new", std::process::id()));
        let written = std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, &self.path));
        if written.is_err() {
            drop(std::fs::remove_file(&beside));
        }
        written
    }
}

fn read(path: &Path) -> Result<BTreeMap<Make, Learned>, MemoryError> {
    let corrupt = |why: String| MemoryError::Corrupt { path: path.to_owned(), why };
    let io = |e| MemoryError::Io(path.to_owned(), e);
    match std::fs::metadata(path) {
        Ok(meta) if meta.len() > LARGEST => return Err(corrupt(format!("it has {} bytes", meta.len()))),
        Ok(_) => {}
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(e) => return Err(io(e)),
    }
    let bytes = std::fs::read(path).map_err(io)?;
    let document: Document = serde_json::from_slice(&bytes).map_err(|e| corrupt(e.to_string()))?;
    if document.format_version != FORMAT {
        return Err(corrupt(format!("its format_version is {}, not {FORMAT}", document.format_version)));
    }
    if document.makes.len() > MAKES {
        return Err(corrupt(format!("it has {} makes; at most {MAKES} are kept", document.makes.len())));
    }
    if let Some(line) = document.makes.iter().find(|line| !line.make.is_sound() || !line.learned.is_sound()) {
        return Err(corrupt(format!("the entry of `{}` holds what no BMC can have taught", line.make.model.escape_debug())));
    }
    Ok(document.makes.into_iter().map(|line| (line.make, line.learned)).collect())
}

impl Memory for FileMemory {
    fn recall(&self, make: &Make) -> Learned {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(make).cloned().unwrap_or_default()
    }

    fn learn(&self, make: &Make, learned: Learned) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let older = known.get(make).cloned().unwrap_or_default();
        let newer = learned.over(older.clone());
        // A thousand BMCs of one make teach the same; only the first of them costs a write.
        if newer == older {
            return;
        }
        known.insert(make.clone(), newer);
        // A disk that is full costs some requests in the next run, and nothing else.
        drop(self.write(&mut known));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bmc::quirk::TagStep;

    #[test]
    fn what_is_learned_outlives_the_process_and_a_corrupt_file_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state").join(NAME);
        let make = Make::new("NVIDIA", "DGXH100", "24.09.17").unwrap();
        let (memory, wrong) = FileMemory::at(path.clone());
        assert!(wrong.is_none() && memory.recall(&make).is_empty());
        let (other, _) = FileMemory::at(path.clone());
        other.learn(&make, Learned { expand: Some(false), ..Learned::default() });
        memory.learn(&make, Learned { patch_tag: Some(TagStep::Star), ..Learned::default() });
        let (again, wrong) = FileMemory::at(path.clone());
        assert!(wrong.is_none());
        assert_eq!(again.recall(&make), Learned { patch_tag: Some(TagStep::Star), expand: Some(false), ..Learned::default() });
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no file is left beside it");
        for bad in [
            "{".to_owned(),
            r#"{"format_version": 2, "makes": []}"#.to_owned(),
            r#"{"format_version": 1, "makes": [], "more": 1}"#.to_owned(),
            r#"{"format_version": 1, "makes": [{"make": {"vendor": "", "model": "", "firmware": "1"}, "learned": {"bios_settings": "../x"}}]}"#.to_owned(),
            r#"{"format_version": 1, "makes": [{"make": {"vendor": "\u001b", "model": "", "firmware": "1"}, "learned": {}}]}"#.to_owned(),
            r#"{"format_version": 1, "makes": [{"make": {"vendor": "", "model": "", "firmware": ""}, "learned": {}}]}"#.to_owned(),
            " ".repeat(2 << 20),
        ] {
            std::fs::write(&path, &bad).unwrap();
            let (memory, wrong) = FileMemory::at(path.clone());
            assert!(wrong.is_some(), "{}", &bad[..bad.len().min(200)]);
            assert!(memory.recall(&make).is_empty());
        }
    }
}
