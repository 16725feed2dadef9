//! What will be in the ramdisk: names, contents, links, in memory and nowhere else. `bin`, `sbin`, `lib` and `lib64` are links into `usr`, as in
//! Debian since 12, so that a file has one place whichever of its two names a package uses.

use std::collections::BTreeMap;

use super::cpio::{Archive, Content, CpioError};

/// One thing in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Thing {
    Folder,
    File { bytes: Vec<u8>, executable: bool },
    Link(String),
}

/// Why something cannot be put into the tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// No path below `/`.
    #[error("`{0}` is not a path inside an image")]
    Path(String),
    /// Two different things of one name.
    #[error("`{path}` of {second} is another one than that of {first}")]
    Twice {
        /// Where.
        path: String,
        /// Who put it there.
        first: String,
        /// Who wanted to.
        second: String,
    },
    /// A link that leads nowhere inside the image.
    #[error("the link `{path}` of {from} leads to `{to}`, which is not in the image")]
    Dangling {
        /// The link.
        path: String,
        /// Who put it there.
        from: String,
        /// Where it leads.
        to: String,
    },
    /// A program without a library that it needs.
    #[error("`{path}` of {from} needs {library}, which is not in the image")]
    Library {
        /// The program.
        path: String,
        /// Who put it there.
        from: String,
        /// What is missing.
        library: String,
    },
}

/// Folders that are links into `usr`.
const MERGED: [&str; 4] = ["bin", "lib", "lib64", "sbin"];
/// Longest chain of links that is followed: the kernel's own bound (`MAXSYMLINKS`).
const LINKS: usize = 40;

/// The tree: path without the first `/` → thing and who put it there.
#[derive(Debug, Default)]
pub(super) struct Tree {
    things: BTreeMap<String, (Thing, String)>,
}

impl Tree {
    /// A tree with the links into `usr`.
    pub fn new() -> Self {
        let mut tree = Self::default();
        for name in MERGED {
            tree.things.insert(format!("usr/{name}"), (Thing::Folder, "bringup".to_owned()));
            tree.things.insert(name.to_owned(), (Thing::Link(format!("usr/{name}")), "bringup".to_owned()));
        }
        tree.things.insert("usr".to_owned(), (Thing::Folder, "bringup".to_owned()));
        tree
    }

    /// Puts a thing under a path. The same thing may come twice; another one of the same name may not.
    pub fn put(&mut self, path: &str, thing: Thing, from: &str) -> Result<(), TreeError> {
        let path = place(path)?;
        let mut above = path.as_str();
        while let Some((parent, _)) = above.rsplit_once('/') {
            let folder = self.things.entry(parent.to_owned()).or_insert_with(|| (Thing::Folder, from.to_owned()));
            if folder.0 != Thing::Folder {
                return Err(TreeError::Twice { path: parent.to_owned(), first: folder.1.clone(), second: from.to_owned() });
            }
            above = parent;
        }
        match self.things.get(&path) {
            Some((there, _)) if *there == thing => Ok(()),
            Some((_, first)) => Err(TreeError::Twice { path, first: first.clone(), second: from.to_owned() }),
            None => {
                self.things.insert(path, (thing, from.to_owned()));
                Ok(())
            }
        }
    }

    /// The file behind a path, links followed inside the tree.
    #[cfg(test)]
    pub fn file(&self, path: &str) -> Option<&[u8]> {
        match self.things.get(&self.follow(path)?)? {
            (Thing::File { bytes, .. }, _) => Some(bytes),
            _ => None,
        }
    }

    /// True when a path leads to something.
    pub fn has(&self, path: &str) -> bool {
        self.follow(path).is_some()
    }

    /// Every link leads somewhere, and every program has its libraries. Paths that only exist at run time may be linked to.
    pub fn check(&self) -> Result<(), TreeError> {
        let libraries = self.libraries();
        for (path, (thing, from)) in &self.things {
            match thing {
                Thing::Link(to)
                    if !["/proc/", "/run/", "/dev/", "/sys/"].iter().any(|p| to.starts_with(p)) && !self.has(path) =>
                {
                    return Err(TreeError::Dangling { path: path.clone(), from: from.clone(), to: to.clone() });
                }
                Thing::File { bytes, .. } if !path.starts_with("usr/lib/modules/") => {
                    let missing = super::object::needs(bytes)
                        .into_iter()
                        .find(|need| if need.starts_with('/') { !self.has(need) } else { !libraries.contains(&need.as_str()) });
                    if let Some(library) = missing {
                        let library = library.escape_debug().take(80).collect();
                        return Err(TreeError::Library { path: path.clone(), from: from.clone(), library });
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Names of what lies in the folders that glibc's loader searches by itself.
    fn libraries(&self) -> Vec<&str> {
        let searched = |folder: &str| {
            matches!(folder, "usr/lib" | "usr/lib64")
                || folder.strip_prefix("usr/lib/").is_some_and(|t| t.ends_with("-linux-gnu"))
        };
        self.things
            .keys()
            .filter_map(|p| p.rsplit_once('/'))
            .filter(|(folder, _)| searched(folder))
            .map(|(_, name)| name)
            .collect()
    }

    /// Where a path leads, without links.
    fn follow(&self, path: &str) -> Option<String> {
        let mut left: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let (mut at, mut links): (Vec<String>, usize) = (Vec::new(), 0);
        while let Some(part) = left.pop() {
            match part.as_str() {
                "" | "." => continue,
                // As the kernel does: above the root is the root.
                ".." => {
                    at.pop();
                    continue;
                }
                _ => at.push(part),
            }
            match &self.things.get(&at.join("/"))?.0 {
                Thing::Link(to) => {
                    links += 1;
                    if links > LINKS {
                        return None;
                    }
                    at.pop();
                    if to.starts_with('/') {
                        at.clear();
                    }
                    left.extend(to.split('/').rev().map(str::to_owned));
                }
                Thing::File { .. } if left.iter().any(|p| !p.is_empty()) => return None,
                _ => {}
            }
        }
        Some(at.join("/"))
    }

    /// Bytes of all files.
    pub fn size(&self) -> u64 {
        self.things.values().map(|(t, _)| if let Thing::File { bytes, .. } = t { bytes.len() as u64 } else { 0 }).sum()
    }

    /// The archive: names in order, each folder before what is in it.
    pub fn archive(&self, mtime: u32) -> Result<Vec<u8>, CpioError> {
        let mut archive = Archive::new(mtime);
        for (path, (thing, _)) in &self.things {
            match thing {
                // SSH keys lie below it, and dropbear wants nobody else to write there.
                Thing::Folder if path == "root" => archive.add(path, 0o700, &Content::Folder)?,
                Thing::Folder => archive.add(path, 0o755, &Content::Folder)?,
                Thing::File { bytes, executable } => {
                    archive.add(path, if *executable { 0o755 } else { 0o644 }, &Content::File(bytes))?;
                }
                Thing::Link(to) => archive.add(path, 0o777, &Content::Link(to))?,
            }
        }
        Ok(archive.finish())
    }
}

/// A path as the tree names it: no `/` first, no empty part, no `.` or `..`, no control sign, and `bin/x` as `usr/bin/x`.
fn place(path: &str) -> Result<String, TreeError> {
    let plain = path.strip_prefix("./").or_else(|| path.strip_prefix('/')).unwrap_or(path);
    let plain = plain.strip_suffix('/').unwrap_or(plain);
    let bad = |part: &str| matches!(part, "" | "." | "..") || part.len() > 255 || part.chars().any(char::is_control);
    if plain.split('/').any(bad) || plain.len() > 1024 {
        return Err(TreeError::Path(path.escape_debug().take(120).collect()));
    }
    let first = plain.split('/').next().unwrap_or_default();
    let merged = plain != first && MERGED.contains(&first);
    Ok(if merged { format!("usr/{plain}") } else { plain.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Thing {
        Thing::File { bytes: text.as_bytes().to_vec(), executable: false }
    }

    #[test]
    fn both_names_of_a_merged_folder_are_one_place() {
        let mut tree = Tree::new();
        tree.put("./bin/busybox", file("b"), "busybox").unwrap();
        tree.put("lib/x/ld.so", file("l"), "libc6").unwrap();
        tree.put("lib64/ld.so", Thing::Link("/lib/x/ld.so".into()), "libc6").unwrap();
        assert_eq!((tree.file("/usr/bin/busybox"), tree.file("bin/busybox")), (Some(&b"b"[..]), Some(&b"b"[..])));
        assert_eq!(tree.file("/lib64/ld.so"), Some(&b"l"[..]));
        tree.check().unwrap();
        tree.put("usr/bin/busybox", file("b"), "again").unwrap();
        let twice = tree.put("usr/bin/busybox", file("c"), "other").unwrap_err();
        assert_eq!(twice.to_string(), "`usr/bin/busybox` of other is another one than that of busybox");
        assert!(tree.put("usr/bin/busybox/x", file(""), "other").is_err(), "a file is no folder");
    }

    #[test]
    fn paths_that_lead_out_are_refused() {
        let mut tree = Tree::new();
        for path in ["", "/", "..", "a/../../etc/passwd", "a//b", "./../x", "a\nb", "a/./b", &"x/".repeat(600), &"x".repeat(256)]
        {
            assert!(matches!(tree.put(path, file(""), "evil"), Err(TreeError::Path(_))), "{path}");
        }
        assert!(tree.put("lib", file(""), "evil").is_err(), "a merged folder stays one");
    }

    #[test]
    fn links_lead_somewhere_inside() {
        let mut tree = Tree::new();
        tree.put("a/up", Thing::Link("../../../../b".into()), "p").unwrap();
        assert!(matches!(tree.check(), Err(TreeError::Dangling { .. })));
        tree.put("b", file("there"), "p").unwrap();
        tree.check().unwrap();
        assert_eq!(tree.file("a/up"), Some(&b"there"[..]));
        tree.put("c", Thing::Link("d".into()), "p").unwrap();
        tree.put("d", Thing::Link("c".into()), "p").unwrap();
        assert!(matches!(tree.check(), Err(TreeError::Dangling { .. })), "a circle");
    }

    #[test]
    fn a_program_without_its_library_is_told() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let mut tree = Tree::new();
        tree.put("bin/own", Thing::File { bytes: own, executable: true }, "me").unwrap();
        let told = tree.check().unwrap_err().to_string();
        assert!(told.starts_with("`usr/bin/own` of me needs ") && told.ends_with("which is not in the image"), "{told}");
    }
}
