//! One Debian package as a stream of members. `dpkg-deb` takes the package apart and `tar` reads what comes; nothing is unpacked to a disk, so
//! no name in a package can reach a file of this machine. What a ramdisk has no use for is refused or left out: device nodes, pipes,
//! names that lead out, owners, set-user-ID bits, times.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Most that a package may unpack to. Debian's largest kernel has 0.4 GiB, its largest firmware package 0.6 GiB.
const UNPACKED: u64 = 2 << 30;
/// Largest single file that is taken.
const FILE: u64 = 256 << 20;
/// Most members.
const MEMBERS: usize = 500_000;

/// A member that is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Member {
    File {
        bytes: Vec<u8>,
        executable: bool,
    },
    Link(String),
    /// The same file as an earlier member.
    Same(String),
}

/// Why a package is not taken.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// A program of this machine is missing.
    #[error("the program `dpkg-deb` is missing; Debian's package `dpkg` has it")]
    NoProgram,
    /// Cannot be read.
    #[error("take the package {} apart", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// `dpkg-deb` gave up.
    #[error("take the package {} apart: {said}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// Its last words.
        said: String,
    },
    /// Something in it is not for an image.
    #[error("the package {} is refused: `{member}` {why}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// The member, escaped.
        member: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// Streams a package: every name is shown to `want`, and the members that it wants are given to `each`.
pub(super) fn read(
    deb: &Path,
    mut want: impl FnMut(&str) -> bool,
    mut each: impl FnMut(&str, Member) -> Result<(), PackageError>,
) -> Result<(), PackageError> {
    let fail = |source| PackageError::Read { path: deb.to_owned(), source };
    let mut child = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(deb)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| if e.kind() == std::io::ErrorKind::NotFound { PackageError::NoProgram } else { fail(e) })?;
    let out = child.stdout.take();
    let read = out.map_or(Ok(()), |out| stream(deb, out, &mut want, &mut each));
    if read.is_err() {
        // It would wait for ever for a reader.
        drop(child.kill());
    }
    let mut said = Vec::new();
    if let Some(mut words) = child.stderr.take().map(|e| e.take(64 << 10)) {
        drop(words.read_to_end(&mut said));
    }
    let status = child.wait().map_err(fail)?;
    read.and_then(
        |()| if status.success() { Ok(()) } else { Err(PackageError::Broken { path: deb.to_owned(), said: last(&said) }) },
    )
    .map_err(|e| match e {
        // A package that is none gives an empty stream: what `dpkg-deb` said explains more than what `tar` missed.
        PackageError::Read { .. } if !said.is_empty() => PackageError::Broken { path: deb.to_owned(), said: last(&said) },
        other => other,
    })
}

/// The last line that a program said, fit for a message.
pub(super) fn last(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    let line = text.lines().rev().find(|l| !l.trim().is_empty()).unwrap_or("it said nothing");
    line.trim().chars().filter(|c| !c.is_control()).take(300).collect()
}

/// Reads the tar stream of a package.
pub(super) fn stream(
    deb: &Path,
    out: impl std::io::Read,
    want: &mut impl FnMut(&str) -> bool,
    each: &mut impl FnMut(&str, Member) -> Result<(), PackageError>,
) -> Result<(), PackageError> {
    let fail = |source| PackageError::Read { path: deb.to_owned(), source };
    let mut archive = tar::Archive::new(out.take(UNPACKED));
    for (count, entry) in archive.entries().map_err(fail)?.enumerate() {
        let mut entry = entry.map_err(fail)?;
        let raw = entry.path_bytes().into_owned();
        let shown = || String::from_utf8_lossy(&raw).escape_debug().take(120).collect::<String>();
        let refuse = |why| PackageError::Refused { path: deb.to_owned(), member: shown(), why };
        if count >= MEMBERS {
            return Err(refuse("comes after half a million others"));
        }
        let name = name(&raw).ok_or_else(|| refuse("has a name that leads out of the image, or is no text"))?;
        let kind = entry.header().entry_type();
        if name.is_empty() || kind.is_dir() || !want(name) {
            continue;
        }
        let target = || -> Result<String, PackageError> {
            let to = entry.link_name_bytes().ok_or_else(|| refuse("is a link to nothing"))?;
            let to = std::str::from_utf8(&to).ok().filter(|t| !t.is_empty() && !t.chars().any(char::is_control));
            to.map(str::to_owned).ok_or_else(|| refuse("is a link to what is no path"))
        };
        let member = if kind.is_symlink() {
            Member::Link(target()?)
        } else if kind.is_hard_link() {
            let to = target()?;
            let to = self::name(to.as_bytes()).ok_or_else(|| refuse("is another name of what lies outside"))?;
            Member::Same(to.to_owned())
        } else if kind.is_file() || kind.is_contiguous() {
            if entry.size() > FILE {
                return Err(refuse("has more than 256 MiB"));
            }
            let executable = entry.header().mode().map_err(fail)? & 0o111 != 0;
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).map_err(fail)?;
            Member::File { bytes, executable }
        } else {
            return Err(refuse("is neither file, folder nor link (a device node or a pipe)"));
        };
        each(name, member)?;
    }
    Ok(())
}

/// The name of a member without `./`; `None` when it leads out or is no text. The top folder has the empty name.
fn name(raw: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(raw).ok()?;
    let plain = text.strip_prefix("./").unwrap_or(text);
    let plain = if plain == "." { "" } else { plain };
    let bad = plain.starts_with('/') || plain.split('/').any(|p| p == "..") || plain.chars().any(char::is_control);
    (!bad).then_some(plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(build: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Result<Vec<(String, Member)>, String> {
        let mut builder = tar::Builder::new(Vec::new());
        build(&mut builder);
        let bytes = builder.into_inner().unwrap();
        let mut found = Vec::new();
        let each = &mut |name: &str, member: Member| {
            found.push((name.to_owned(), member));
            Ok(())
        };
        stream(Path::new("p.deb"), &bytes[..], &mut |_| true, each).map_err(|e| e.to_string())?;
        Ok(found)
    }

    /// A header that `tar`'s own builder would refuse to write.
    fn entry(name: &[u8], kind: tar::EntryType, mode: u32, link: &[u8], size: u64) -> tar::Header {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name);
        header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link);
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size);
        header.set_cksum();
        header
    }

    #[test]
    fn hostile_members_are_refused_and_odd_modes_forgotten() {
        use tar::EntryType as T;
        for (name, kind, link, why) in [
            (&b"./../etc/passwd"[..], T::Regular, &b""[..], "leads out"),
            (b"/etc/passwd", T::Regular, b"", "leads out"),
            (b"./a/../../b", T::Directory, b"", "leads out"),
            (b"./a\nb", T::Regular, b"", "leads out"),
            (b"./\xff", T::Regular, b"", "no text"),
            (b"./dev/sda", T::Block, b"", "device node"),
            (b"./dev/mem", T::Char, b"", "device node"),
            (b"./run/pipe", T::Fifo, b"", "pipe"),
            (b"./a", T::Link, b"../../etc/shadow", "outside"),
            (b"./a", T::Link, b"/etc/shadow", "outside"),
            (b"./a", T::Symlink, b"", "link to"),
        ] {
            let told = told(|b| b.append(&entry(name, kind, 0o777, link, 0), &[][..]).unwrap()).unwrap_err();
            assert!(told.starts_with("the package p.deb is refused: `") && told.contains(why), "{told}");
        }
        let taken = told(|b| {
            b.append(&entry(b"./bin/su", T::Regular, 0o4755, b"", 2), &b"su"[..]).unwrap();
            b.append(&entry(b"./bin/sg", T::Link, 0o4755, b"./bin/su", 0), &[][..]).unwrap();
            b.append(&entry(b"./lib/ld", T::Symlink, 0o777, b"/lib/x/ld", 0), &[][..]).unwrap();
        });
        let file = Member::File { bytes: b"su".to_vec(), executable: true };
        let names = ["bin/su", "bin/sg", "lib/ld"].map(str::to_owned);
        let want = [file, Member::Same("bin/su".into()), Member::Link("/lib/x/ld".into())];
        assert_eq!(taken.unwrap(), names.into_iter().zip(want).collect::<Vec<_>>());
        // Larger than allowed, by its header alone.
        let told = told(|b| b.append(&entry(b"./big", T::Regular, 0o644, b"", FILE + 1), &[][..]).unwrap()).unwrap_err();
        assert!(told.contains("256 MiB"), "{told}");
    }

    #[test]
    fn what_is_no_package_is_told_in_one_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "not a package").unwrap();
        let told = read(file.path(), |_| true, |_, _| Ok(())).unwrap_err().to_string();
        assert!(told.lines().count() == 1 && told.contains(&file.path().display().to_string()), "{told}");
    }

    proptest! {
        #[test]
        fn any_stream_gives_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
            drop(stream(Path::new("p.deb"), &bytes[..], &mut |_| true, &mut |_, _| Ok(())));
        }
    }
}
