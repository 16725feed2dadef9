//! `mmdebstrap` installs, `mksquashfs` packs: Debian's own tools, each known to give the same bytes for the same input when it is told one time,
//! one order and no guesses. Both run with an environment that is written here, not with the user's.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::work::Work;
use super::{RootError, file, suite};
use crate::image::package::last;
use crate::model::Rootfs;

const SETUP: &str = include_str!("setup.sh");
const FORGET: &str = include_str!("forget.sh");
const FINISH: &str = include_str!("finish.sh");
/// Where Debian keeps programs for root.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// zstd in squashfs: 15 is the tool's own choice and takes three times as long for 3 % less (Debian 12 with its kernel's modules).
const LEVEL: &str = "9";
/// Bytes of a block: half the seeks of 128 KiB, and still little to unpack for one small file.
const BLOCK: &str = "262144";

/// Why the tools did not do it.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// Missing.
    #[error("the program `{program}` is missing; Debian's package `{package}` has it")]
    NoProgram {
        /// Program.
        program: &'static str,
        /// Package.
        package: &'static str,
    },
    /// Too old.
    #[error("`{program}` is version {found}; {want} or newer is needed")]
    Old {
        /// Program.
        program: &'static str,
        /// As it says.
        found: String,
        /// Oldest.
        want: &'static str,
    },
    /// It gave up.
    #[error("{program}: {said}")]
    Failed {
        /// Program.
        program: &'static str,
        /// Its last words.
        said: String,
    },
}

/// The tools, seen to be there and new enough.
pub(super) struct Tools(());

/// Looks for the tools.
pub(super) fn find() -> Result<Tools, ToolError> {
    // 1.0 brought `--skip`; 4.5 reads tar, and files are in its order whatever machine packs.
    for (program, package, ask, want) in
        [("mmdebstrap", "mmdebstrap", "--version", "1.0"), ("mksquashfs", "squashfs-tools", "-version", "4.5")]
    {
        let mut command = clean(program);
        command.arg(ask);
        let out = run(&mut command, program, package)?;
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        let number = said.split_whitespace().find(|w| w.bytes().next().is_some_and(|b| b.is_ascii_digit()));
        let found: String = number.unwrap_or("unknown").chars().filter(|c| !c.is_control()).take(20).collect();
        if two(&found) < two(want) {
            return Err(ToolError::Old { program, found, want });
        }
    }
    Ok(Tools(()))
}

/// The first two numbers of a version.
fn two(version: &str) -> (u32, u32) {
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// A program with no word of the user's environment.
fn clean(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", PATH).env("LC_ALL", "C.UTF-8").env("TZ", "UTC0").stdin(Stdio::null());
    command
}

fn run(command: &mut Command, program: &'static str, package: &'static str) -> Result<Output, ToolError> {
    command.output().map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => ToolError::NoProgram { program, package },
        _ => ToolError::Failed { program, said: e.to_string() },
    })
}

impl Tools {
    /// Installs the packages of the depot and what lies on top; writes the root as tar.
    pub(super) fn install(&self, rootfs: &Rootfs, release: &str, apt: bool, work: &Work, to: &Path) -> Result<(), RootError> {
        let root = rustix::process::geteuid().is_root();
        let (setup, forget, finish) = (work.path("setup"), work.path("forget"), work.path("finish"));
        script(&setup, &[("arch", &rootfs.arch)], SETUP)?;
        script(&forget, &[], FORGET)?;
        let (enable, mask, epoch) = (rootfs.enable.join(" "), rootfs.mask.join(" "), rootfs.epoch.to_string());
        let words = [
            ("release", release),
            ("epoch", &epoch),
            ("enable", &enable),
            ("mask", &mask),
            ("timezone", &rootfs.timezone),
            ("locale", &rootfs.locale),
            ("hostname", rootfs.hostname.as_deref().unwrap_or_default()),
            ("apt", if apt { "yes" } else { "" }),
        ];
        script(&finish, &words, FINISH)?;
        // One umask for all, and for root no network but what is in the depot: maintainer scripts run. A user's namespace has none to take away.
        let mut command = clean("/bin/sh");
        command.args(["-c", "umask 022; exec \"$@\"", "sh"]);
        if root {
            // Mounts and processes of its own, which end with this process however that ends: mmdebstrap mounts /proc and /sys in the root.
            command.args([
                "setpriv",
                "--pdeathsig",
                "KILL",
                "unshare",
                "--net",
                "--mount",
                "--mount-proc",
                "--pid",
                "--fork",
                "--kill-child",
            ]);
        }
        command.args(["mmdebstrap", "--format=tar", "--variant=apt", "--skip=output/dev,output/mknod,check/empty"]);
        command.arg(if root { "--mode=root" } else { "--mode=unshare" });
        command.arg(format!("--architectures={}", rootfs.debian_arch()));
        command.arg(r#"--aptopt=Acquire::Languages "none""#).arg(r#"--aptopt=APT::Install-Recommends "false""#);
        command.arg(r#"--aptopt=APT::Sandbox::User "root""#).arg("--dpkgopt=force-unsafe-io");
        for pattern in &rootfs.exclude {
            command.arg(format!("--dpkgopt=path-exclude={pattern}"));
        }
        command.arg(format!("--include=usr-is-merged,{}", rootfs.packages.join(",")));
        command.arg(format!("--setup-hook=/bin/sh {} \"$1\"", quoted(&setup)));
        command.arg(format!("--customize-hook=/bin/sh {} \"$1\"", quoted(&forget)));
        command.arg(format!("--customize-hook=tar-in {} /", quoted(&work.path("fill.tar"))));
        command.arg(format!("--customize-hook=/bin/sh {} \"$1\"", quoted(&finish)));
        command.arg(suite(rootfs)).arg(to).arg(format!("deb [trusted=yes] copy:{} ./", escaped(&work.path("depot"))));
        command.env("SOURCE_DATE_EPOCH", &epoch).env("TMPDIR", work.path("tmp")).env("HOME", work.path("tmp"));
        let out = run(&mut command, "mmdebstrap", "mmdebstrap")?;
        if out.status.success() {
            return Ok(());
        }
        // Errors begin with `E:`. The first says what went wrong; the last one only that a hook or apt did.
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        let first = said.lines().find_map(|l| l.strip_prefix("E:")).map(|l| last(l.as_bytes()));
        Err(ToolError::Failed { program: "mmdebstrap", said: first.unwrap_or_else(|| last(&out.stderr)) }.into())
    }

    /// Packs the tar; no time in it is later than `epoch`, which has passed: the root folder's and the file system's own are now's, cut to it.
    pub(super) fn pack(&self, tree: &Path, epoch: u32, to: &Path) -> Result<(), RootError> {
        let input = fs::File::open(tree).map_err(file("read", tree))?;
        let mut command = clean("mksquashfs");
        command.arg("-").arg(to).args(["-tar", "-noappend", "-no-progress", "-quiet", "-exit-on-error", "-comp", "zstd"]);
        command.args(["-Xcompression-level", LEVEL, "-b", BLOCK, "-root-mode", "0755", "-root-uid", "0", "-root-gid", "0"]);
        // Not `-root-time` and `-mkfs-time`: reading tar, 4.5.1 takes no heed of the first, and refuses the second beside this.
        command.env("SOURCE_DATE_EPOCH", epoch.to_string()).stdin(input);
        let out = run(&mut command, "mksquashfs", "squashfs-tools")?;
        if out.status.success() {
            return Ok(());
        }
        Err(ToolError::Failed { program: "mksquashfs", said: last(&out.stderr) }.into())
    }
}

/// A script with its settings before it: words that `spec` has read, so that none holds a quote.
fn script(path: &PathBuf, words: &[(&str, &str)], text: &str) -> Result<(), RootError> {
    let settings: String = words.iter().map(|(name, value)| format!("{name}={}\n", shell(value))).collect();
    fs::write(path, settings + text).map_err(file("write", path))
}

/// A path for a line of apt's sources, which ends at a blank.
fn escaped(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-".contains(&b);
    let one = |b: &u8| if plain(*b) { char::from(*b).to_string() } else { format!("%{b:02x}") };
    path.as_os_str().as_bytes().iter().map(one).collect()
}

fn quoted(path: &Path) -> String {
    shell(&path.display().to_string())
}

/// One word for a shell, whatever is in it.
fn shell(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_first_two_numbers() {
        for (older, newer) in [("4.4", "4.5"), ("0.8.6", "1.0"), ("4.5.1", "4.10"), ("unknown", "1.0")] {
            assert!(two(older) < two(newer), "{older} {newer}");
        }
        assert_eq!(two("4.5.1"), two("4.5"));
    }

    #[test]
    fn a_path_is_one_word_for_apt() {
        assert_eq!(escaped(Path::new("/a b/c%[x]-1.0/é")), "/a%20b/c%25%5bx%5d-1.0/%c3%a9");
    }

    #[test]
    fn a_word_stays_one_word() {
        for word in ["", "a b", "a'b", "$(reboot)", "'; x #"] {
            let out = Command::new("sh").args(["-c", &format!("printf %s {}", shell(word))]).output().unwrap();
            assert_eq!(String::from_utf8(out.stdout).unwrap(), word);
        }
    }
}
