//! Writes facts: each into the row that the node has, or into `facts/first-contact.csv` when it has none. Everything else in the file stays as it
//! was, byte by byte; the file is replaced in one step or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::failure::{Exit, Failure, Result};
use crate::model::{Digest, NodeId};

/// Column of a BMC's certificate.
pub const CERTIFICATE: &str = "bmc_cert_sha256";
const NEW_FILE: &str = "first-contact.csv";

/// Facts by column, for one node.
pub type Cells = BTreeMap<&'static str, String>;

/// A facts file could not be written.
#[derive(Debug, thiserror::Error)]
#[error("record facts in {}", file.display())]
struct RecordError {
    file: PathBuf,
    source: std::io::Error,
}

/// Records certificates; see [`facts`].
///
/// # Errors
/// As [`facts`].
pub fn certificates<'a>(
    inventory: &Path,
    inputs: impl Iterator<Item = &'a String>,
    new: &BTreeMap<NodeId, Digest>,
) -> Result<Vec<(PathBuf, usize)>> {
    let cells = new.iter().map(|(node, digest)| (node.clone(), Cells::from([(CERTIFICATE, digest.to_string())]))).collect();
    facts(inventory, inputs, &cells)
}

/// Records facts. `inputs` are the files that the inventory was read from. Gives each changed file and how many rows changed.
///
/// # Errors
/// A file cannot be read or written, is quoted in a way that cannot be edited safely, or a fact holds what a cell cannot.
pub fn facts<'a>(
    inventory: &Path,
    inputs: impl Iterator<Item = &'a String>,
    new: &BTreeMap<NodeId, Cells>,
) -> Result<Vec<(PathBuf, usize)>> {
    for (node, text) in new.iter().flat_map(|(node, cells)| cells.values().map(move |text| (node, text))) {
        if text.contains(['"', ',', '\n', '\r']) {
            let shown = super::output::escape(text);
            return Err(Failure::new(
                Exit::ERROR,
                format!("{node} says `{shown}`, which does not fit into a cell; nothing was written"),
            ));
        }
    }
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
        let mut text = if fresh.exists() { read(&fresh)? } else { "node\n".to_owned() };
        if !text.ends_with('\n') {
            text.push('\n');
        }
        // A row for each, then the rows are filled like any other.
        let width = header(&text).map_or(1, |columns| columns.len());
        let place = header(&text).and_then(|columns| columns.iter().position(|c| c == "node")).unwrap_or(0);
        let there = rows_of(&text, place);
        for node in left.keys().filter(|node| !there.contains(*node)) {
            let mut cells = vec![""; width];
            if let Some(cell) = cells.get_mut(place) {
                *cell = node.as_str();
            }
            text.push_str(&cells.join(","));
            text.push('\n');
        }
        if let Some((text, count)) = merge(&fresh, &text, &mut left)? {
            replace(&fresh, &text)?;
            out.push((fresh, count));
        }
    }
    Ok(out)
}

fn rows_of(text: &str, place: usize) -> BTreeSet<NodeId> {
    let names = text.lines().filter(|line| data(line)).filter_map(|line| cells(line).get(place).cloned());
    names.filter_map(|name| NodeId::new(name.trim_matches('"')).ok()).collect()
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

/// Puts facts into the rows of the nodes that have one, and takes those out of `left`. `None` when no row is of such a node.
fn merge(file: &Path, text: &str, left: &mut BTreeMap<NodeId, Cells>) -> Result<Option<(String, usize)>> {
    let Some(mut columns) = header(text) else { return Ok(None) };
    let Some(place) = columns.iter().position(|c| c == "node") else { return Ok(None) };
    // Cabling names nodes, too, and holds no facts.
    if columns.iter().any(|c| c == "switch") {
        return Ok(None);
    }
    let mine: BTreeSet<NodeId> = rows_of(text, place).into_iter().filter(|id| left.contains_key(id)).collect();
    if mine.is_empty() {
        return Ok(None);
    }
    // A quoted cell may hold commas and line ends; such a file is for a person to edit, not for this.
    if text.contains('"') {
        let names: BTreeSet<&str> = mine.iter().filter_map(|id| left.get(id)).flat_map(|cells| cells.keys().copied()).collect();
        let names = names.into_iter().collect::<Vec<_>>().join(", ");
        return Err(Failure::new(Exit::ERROR, format!("{} has quoted cells and is not edited", file.display()))
            .hint(format!("write what was found into its columns ({names}) by hand")));
    }
    let old = columns.len();
    for name in mine.iter().filter_map(|id| left.get(id)).flat_map(|cells| cells.keys()) {
        if !columns.iter().any(|c| c == name) {
            columns.push((*name).to_owned());
        }
    }
    let added = columns.get(old..).unwrap_or_default();
    let mut out = String::with_capacity(text.len() + mine.len() * 80);
    let (mut count, mut seen_header) = (0, false);
    for line in text.lines() {
        if !data(line) {
            out.push_str(line);
        } else if !seen_header {
            seen_header = true;
            let more: String = added.iter().map(|name| format!(",{name}")).collect();
            out.push_str(if more.is_empty() { line } else { line.trim_end() });
            out.push_str(&more);
        } else {
            let mut row = cells(line);
            let id = row.get(place).and_then(|name| NodeId::new(name.as_str()).ok());
            match id.and_then(|id| left.remove(&id)) {
                Some(new) => {
                    row.resize(columns.len().max(row.len()), String::new());
                    for (name, text) in new {
                        if let Some(cell) = columns.iter().position(|c| *c == name).and_then(|at| row.get_mut(at)) {
                            *cell = text;
                        }
                    }
                    out.push_str(&row.join(","));
                    count += 1;
                }
                None => {
                    out.push_str(if added.is_empty() { line } else { line.trim_end() });
                    out.extend(std::iter::repeat_n(',', added.len()));
                }
            }
        }
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
    use super::{Cells, certificates, facts};
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
        // A table of cables comes first by its name, and is left as it is.
        let cables = dir.path().join("cabling.csv");
        std::fs::write(&cables, "node,interface,switch,port\na2,eth0,leaf1,swp1\n").unwrap();
        let inputs = [&cables, &one, &two].map(|file| file.display().to_string());
        let ab = "ab".repeat(32);
        let done = certificates(dir.path(), inputs.iter(), &new(&["a2", "a3", "a9"])).unwrap();
        assert_eq!(done.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [1, 1, 1]);
        let text = |file: &std::path::Path| std::fs::read_to_string(file).unwrap();
        assert_eq!(text(&cables), "node,interface,switch,port\na2,eth0,leaf1,swp1\n");
        assert_eq!(text(&one), format!("# rack 1\nnode,serial,bmc_cert_sha256\na1,S1,\na2,S2,{ab}\n"));
        assert_eq!(text(&two), format!("serial,bmc_cert_sha256,node\nS3,{ab},a3\nS4,,a4\n"));
        assert_eq!(text(&facts.join("first-contact.csv")), format!("node,bmc_cert_sha256\na9,{ab}\n"));
        certificates(dir.path(), inputs.iter(), &new(&["a8"])).unwrap();
        assert_eq!(text(&facts.join("first-contact.csv")), format!("node,bmc_cert_sha256\na9,{ab}\na8,{ab}\n"));
        assert!(certificates(dir.path(), inputs.iter(), &new(&[])).unwrap().is_empty());
    }

    #[test]
    fn several_facts_of_a_node_go_into_their_columns() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("one.csv");
        std::fs::write(&file, "serial,node\n,a1\nS2,a2\n").unwrap();
        let inputs = [file.display().to_string()];
        let cells = |serial: &str| Cells::from([("serial", serial.to_owned()), ("bmc_mac", "02:00:00:00:00:01".to_owned())]);
        let id = |n: &str| NodeId::new(n).unwrap();
        let new = BTreeMap::from([(id("a1"), cells("S1")), (id("a7"), cells("S7"))]);
        assert_eq!(facts(dir.path(), inputs.iter(), &new).unwrap().len(), 2);
        let text = |file: &std::path::Path| std::fs::read_to_string(file).unwrap();
        assert_eq!(text(&file), "serial,node,bmc_mac\nS1,a1,02:00:00:00:00:01\nS2,a2,\n");
        assert_eq!(text(&dir.path().join("facts/first-contact.csv")), "node,bmc_mac,serial\na7,02:00:00:00:00:01,S7\n");
        let bad = BTreeMap::from([(id("a1"), Cells::from([("serial", "S,1".to_owned())]))]);
        assert!(facts(dir.path(), inputs.iter(), &bad).is_err());
        assert_eq!(text(&file), "serial,node,bmc_mac\nS1,a1,02:00:00:00:00:01\nS2,a2,\n", "nothing was written");
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
