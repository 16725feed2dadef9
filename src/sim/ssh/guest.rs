//! A system that is up: what its programs print. It interprets argument vectors; it never runs one. Its state lasts until the next boot.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::files::{Arriving, File, Files};
use crate::model::AcceleratorKind;
use crate::sim::accelerator::{self, Card};
use crate::sim::handle::MachineHandle;
use crate::sim::system::{Origin, System};

/// What a program printed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Printed {
    /// Exit status.
    pub exit: u32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: String,
}

impl Printed {
    /// Exit 0 with this output.
    #[must_use]
    pub fn ok(stdout: impl Into<Vec<u8>>) -> Self {
        Self { exit: 0, stdout: stdout.into(), stderr: String::new() }
    }

    /// An exit status with a complaint.
    #[must_use]
    pub fn fail(exit: u32, stderr: impl Into<String>) -> Self {
        let mut stderr = stderr.into();
        stderr.push('\n');
        Self { exit, stdout: Vec::new(), stderr }
    }
}

/// A program that reads a file from its standard input, checks it and puts it in place.
pub struct Receive {
    /// What has come so far.
    pub file: Arriving,
    to: String,
    sha256: String,
    mode: u32,
}

/// What became of a command.
pub enum Ran {
    /// It ran to its end.
    Done(Printed),
    /// It waits for input.
    Waits(Box<Receive>),
}

/// A system and what was done to it since it booted.
pub struct Guest {
    pub(super) machine: MachineHandle,
    pub(super) system: Arc<System>,
    pub(super) files: Files,
    pub(super) installed: BTreeMap<String, String>,
    pub(super) cards: Vec<Card>,
    /// Parts of an installer that were sent.
    pub(super) parts: BTreeMap<String, String>,
}

impl Guest {
    /// A system that has just come up. A disk holds an old driver; an image holds none.
    #[must_use]
    pub fn new(machine: MachineHandle, system: Arc<System>) -> Self {
        let cards = accelerator::cards(machine.identity(), &machine.faults());
        let mut installed = BTreeMap::new();
        if system.origin == Origin::Disk
            && let Some((name, version)) = accelerator::driver(machine.identity().fitted.kind)
        {
            installed.insert(name.to_owned(), version.to_owned());
        }
        Self { machine, system, files: Files::default(), installed, cards, parts: BTreeMap::new() }
    }

    /// Boot id of the system.
    #[must_use]
    pub fn boot_id(&self) -> &str {
        &self.system.boot_id
    }

    /// Runs an argument vector.
    pub fn run(&mut self, argv: &[String]) -> Ran {
        let words: Vec<&str> = argv.iter().map(String::as_str).collect();
        if let ["sh", "-c", script, rest @ ..] = words.as_slice() {
            return self.script(script, rest);
        }
        Ran::Done(self.program(&words))
    }

    /// The scripts that `bringup` sends, known by what they do; their operands are `$1`, `$2`, ….
    fn script(&mut self, script: &str, operands: &[&str]) -> Ran {
        if script.contains("/bus/pci/devices")
            && let [_, vendor, "/sys"] = operands
        {
            let bound = self.driver().map(|_| match self.machine.identity().fitted.kind {
                AcceleratorKind::Nvidia => "nvidia",
                AcceleratorKind::Furiosa => "rngd",
                AcceleratorKind::Rebellions => "rebellions",
                AcceleratorKind::Pci => "-",
            });
            let kind = self.machine.identity().fitted.kind;
            return Ran::Done(Printed::ok(accelerator::pci_listing(kind, &self.cards, vendor, bound)));
        }
        if script.contains("stat -c %a \"$1\"")
            && script.contains("sha256sum")
            && let [_, path] = operands
        {
            return Ran::Done(match self.files.get(path) {
                Some(file) => Printed::ok(format!("{:o}\n{}  -\n", file.mode, file.sha256)),
                None => Printed { exit: 44, ..Printed::default() },
            });
        }
        if script.contains("cat > \"$1\"")
            && script.contains("mv -f \"$1\" \"$2\"")
            && let [_, _part, to, sha256, mode] = operands
        {
            let Ok(mode) = u32::from_str_radix(mode, 8) else { return Ran::Done(Printed::fail(45, "chmod: invalid mode")) };
            let receive =
                Receive { file: Arriving::default(), to: (*to).to_owned(), sha256: (*sha256).to_owned(), mode: mode & 0o7777 };
            return Ran::Waits(Box::new(receive));
        }
        if let Some(printed) = self.install_script(script, operands) {
            return Ran::Done(printed);
        }
        // Every simulated program ends at once, so only the system itself is ever in the list.
        if script.contains("/proc/[0-9]*/cmdline") {
            return Ran::Done(Printed::ok("/sbin/init \n/usr/sbin/sshd -D \n"));
        }
        Ran::Done(Printed::fail(127, "sh: this script is not one that the simulator knows"))
    }

    /// The input of a waiting program has ended.
    pub fn received(&mut self, receive: Receive) -> Printed {
        let file: File = receive.file.end(receive.mode);
        if file.sha256 != receive.sha256 {
            return Printed::fail(42, format!("it arrived with SHA-256 {}", file.sha256));
        }
        if !self.files.put(&receive.to, file) {
            return Printed::fail(41, "sh: write error: No space left on device");
        }
        Printed::ok("")
    }

    /// Version of the accelerator driver, when one is installed.
    pub(super) fn driver(&self) -> Option<&str> {
        let (name, _) = accelerator::driver(self.machine.identity().fitted.kind)?;
        self.installed.get(name).map(String::as_str)
    }
}
