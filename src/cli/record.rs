//! Writes first contacts into the facts: the certificate goes into the row that the node has, or into `facts/first-contact.csv` when it has none.
//! Everything else in the file stays as it was, byte by byte; the file is replaced in one step or not at all.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::failure::{Exit, Failure, Result};
use crate::model::{Digest, NodeId};

const COLUMN: &str = "bmc_cert_sha256";
const NEW_FILE: &str = "first-contact.csv";

/// A facts file could not be written.
#[derive(Debug, thiserror::Error)]
#[error("record certificates in {}", file.display())]
struct RecordError {
    file: PathBuf,
    source: std::io::Error,
}

/// Records certificates. `inputs` are the files that the inventory was read from. Gives each changed file and how many rows changed.
///
/// # Errors
/// A file cannot be read or written, or is quoted in a way that cannot be edited safely.
pub fn certificates<'a>(
    inventory: &Path,
    inputs: impl Iterator<Item = &'a String>,
    new: &BTreeMap<NodeId, Digest>,
) -> Result<Vec<(PathBuf, usize)>> {
    let mut left = new.clone();
    let mut out = Vec::new();
    let mut files: Vec<PathBuf> = inputs.map(PathBuf::from).filter(|file| file.extension().is_some_and(|e| e == "csv")).collect();
    let fresh = inventory.join("facts").join(NEW_FILE);
    files.retain(|file| *file != fresh);
    for file in files {
        let text = read(&file)?;
        if let Some((text, count)) = merge(&file, &text, &mut left)? {
            replace(&file, &text)?;
            out.push((file, count));
        }
    }
    if !left.is_empty() {
        let mut text = if fresh.exists() { read(&fresh)? } else { format!("node,{COLUMN}\n") };
        let mut count = 0;
        if let Some((merged, changed)) = merge(&fresh, &text, &mut left)? {
            (text, count) = (merged, changed);
        }
        let width = header(&text).map_or(2, |columns| columns.len());
        let at = header(&text).and_then(|columns| columns.iter().position(|c| c == COLUMN)).unwrap_or(1);
        for (node, digest) in &left {
            if !text.ends_with('\n') {
                text.push('\n');
            }
            let mut cells = vec![String::new(); width.max(2)];
            cells[0] = node.to_string();
            if let Some(cell) = cells.get_mut(at) {
                *cell = digest.to_string();
            }
            text.push_str(&cells.join(","));
            text.push('\n');
            count += 1;
        }
        replace(&fresh, &text)?;
        out.push((fresh, count));
    }
    Ok(out)
}

fn read(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).map_err(|source| RecordError { file: file.to_path_buf(), source }.into())
}

fn data(line: &str) -> bool {
    !line.trim().is_empty() && !line.starts_with('#')
}

fn cells(line: &str) -> Vec<String> {
    line.trim_end_matches('\r').split(',').map(|cell| cell.trim().to_owned()).collect()
}

fn header(text: &str) -> Option<Vec<String>> {
    text.lines().find(|line| data(line)).map(cells)
}

/// Puts certificates into the rows of the nodes that have one, and takes those out of `left`. `None` when no row is of such a node.
fn merge(file: &Path, text: &str, left: &mut BTreeMap<NodeId, Digest>) -> Result<Option<(String, usize)>> {
    let Some(columns) = header(text) else { return Ok(None) };
    let Some(node_at) = columns.iter().position(|c| c == "node") else { return Ok(None) };
    let cert_at = columns.iter().position(|c| c == COLUMN);
    let mine = |line: &str, left: &BTreeMap<NodeId, Digest>| {
        cells(line)
            .get(node_at)
            .map(|c| c.trim_matches('"').to_owned())
            .and_then(|name| NodeId::new(name).ok())
            .filter(|id| left.contains_key(id))
    };
    if !text.lines().any(|line| data(line) && mine(line, left).is_some()) {
        return Ok(None);
    }
    // A quoted cell may hold commas and line ends; such a file is for a person to edit, not for this.
    if text.contains('"') {
        let hint = format!("write the fingerprints that `bringup bmc info` shows into the column {COLUMN} by hand");
        return Err(Failure::new(Exit::ERROR, format!("{} has quoted cells and is not edited", file.display())).hint(hint));
    }
    let mut out = String::with_capacity(text.len() + left.len() * 66);
    let (mut count, mut seen_header) = (0, false);
    for line in text.lines() {
        let is_data = data(line);
        let mut row = cells(line);
        let digest = if is_data { mine(line, left).and_then(|id| left.remove(&id)) } else { None };
        match (is_data, seen_header, cert_at) {
            (true, false, None) => out.push_str(&format!("{},{COLUMN}", line.trim_end())),
            (true, true, None) => out.push_str(&format!("{},{}", line.trim_end(), digest.as_ref().map_or("", Digest::as_str))),
            (true, true, Some(at)) if digest.is_some() => {
                if let (Some(cell), Some(digest)) = (row.get_mut(at), &digest) {
                    *cell = digest.to_string();
                }
                out.push_str(&row.join(","));
            }
            _ => out.push_str(line),
        }
        count += usize::from(digest.is_some());
        seen_header |= is_data;
        out.push('\n');
    }
    Ok(Some((out, count)))
}

/// Writes beside the file, then renames over it: a crash or a full disk leaves the old file whole.
fn replace(file: &Path, text: &str) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let dir = file.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(dir)?;
        let beside = file.with_extension("csv.new");
        let mut new = std::fs::File::create(&beside)?;
        if let Ok(old) = std::fs::metadata(file) {
            new.set_permissions(old.permissions())?;
        }
        let done = new.write_all(text.as_bytes()).and_then(|()| new.sync_all()).and_then(|()| std::fs::rename(&beside, file));
        if done.is_err() {
            // The half-written neighbour is no use to anybody; the first error is the one to tell.
            drop(std::fs::remove_file(&beside));
        }
        done
    };
    write().map_err(|source| RecordError { file: file.to_path_buf(), source }.into())
}

#[cfg(test)]
mod tests {
    use super::certificates;
    use crate::model::{Digest, NodeId};
    use std::collections::BTreeMap;

    fn new(names: &[&str]) -> BTreeMap<NodeId, Digest> {
        names.iter().map(|n| (NodeId::new(*n).unwrap(), Digest::from_bytes(&[0xab; 32]))).collect()
    }

    #[test]
    fn a_certificate_goes_into_the_row_that_the_node_has_or_into_a_new_file() {
        let dir = tempfile::tempdir().unwrap();
        let facts = dir.path().join("facts");
        std::fs::create_dir(&facts).unwrap();
        let one = facts.join("one.csv");
        let two = facts.join("two.csv");
        std::fs::write(&one, "# rack 1\nnode,serial\na1,S1\na2,S2\n").unwrap();
        std::fs::write(&two, "serial,bmc_cert_sha256,node\nS3,,a3\nS4,,a4\n").unwrap();
        let inputs = [one.display().to_string(), two.display().to_string()];
        let ab = "ab".repeat(32);
        let done = certificates(dir.path(), inputs.iter(), &new(&["a2", "a3", "a9"])).unwrap();
        assert_eq!(done.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [1, 1, 1]);
        let text = |file: &std::path::Path| std::fs::read_to_string(file).unwrap();
        assert_eq!(text(&one), format!("# rack 1\nnode,serial,bmc_cert_sha256\na1,S1,\na2,S2,{ab}\n"));
        assert_eq!(text(&two), format!("serial,bmc_cert_sha256,node\nS3,{ab},a3\nS4,,a4\n"));
        assert_eq!(text(&facts.join("first-contact.csv")), format!("node,bmc_cert_sha256\na9,{ab}\n"));
        certificates(dir.path(), inputs.iter(), &new(&["a8"])).unwrap();
        assert_eq!(text(&facts.join("first-contact.csv")), format!("node,bmc_cert_sha256\na9,{ab}\na8,{ab}\n"));
        assert!(certificates(dir.path(), inputs.iter(), &new(&[])).unwrap().is_empty());
    }

    #[test]
    fn a_quoted_file_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("q.csv");
        std::fs::write(&file, "node,serial\na1,\"S,1\"\n").unwrap();
        let inputs = [file.display().to_string()];
        assert!(certificates(dir.path(), inputs.iter(), &new(&["a1"])).is_err());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "node,serial\na1,\"S,1\"\n");
    }
}
