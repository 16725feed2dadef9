//! The programs of a simulated system. Each prints what the real one would of the simulated machine; what is not here is not installed (127).

use super::guest::{Guest, Printed};
use crate::model::AcceleratorKind;
use crate::sim::accelerator;
use crate::sim::report::report;
use crate::sim::system::Origin;

/// Longest name or version that an install takes.
const WORD: usize = 128;

impl Guest {
    pub(super) fn program(&mut self, argv: &[&str]) -> Printed {
        match argv {
            ["cat", paths @ ..] if !paths.is_empty() => self.cat(paths),
            ["uname", "-r"] => Printed::ok("6.8.0-sim\n"),
            ["uname", "-m"] => Printed::ok("x86_64\n"),
            ["uname"] => Printed::ok("Linux\n"),
            ["hostname"] => Printed::ok(format!("{}\n", self.machine.identity().node)),
            ["whoami"] => Printed::ok("root\n"),
            ["id", "-u"] => Printed::ok("0\n"),
            ["true"] => Printed::ok(""),
            ["false"] => Printed { exit: 1, ..Printed::default() },
            ["echo", words @ ..] => Printed::ok(format!("{}\n", words.join(" "))),
            ["sha256sum", paths @ ..] if !paths.is_empty() => {
                self.each(paths, "sha256sum", |path, file| format!("{}  {path}\n", file.sha256))
            }
            ["stat", "-c", "%a", paths @ ..] => self.each(paths, "stat", |_, file| format!("{:o}\n", file.mode)),
            ["stat", "-c", "%s", paths @ ..] => self.each(paths, "stat", |_, file| format!("{}\n", file.bytes)),
            ["chmod", mode, path] => self.chmod(mode, path),
            ["mv", "-f", from, to] | ["mv", from, to] => self.rename(from, to),
            ["rm", "-f", paths @ ..] => {
                for path in paths {
                    self.files.remove(path);
                }
                Printed::ok("")
            }
            ["mkdir", "-p", ..] => Printed::ok(""),
            ["bringup-install", name, version, rest @ ..] => self.install(name, version, rest),
            ["bringup-version", name] => match self.installed.get(*name) {
                Some(version) => Printed::ok(format!("{version}\n")),
                None => Printed::fail(1, format!("bringup-version: {name} is not installed")),
            },
            ["bringup-report"] | ["bringup-report", "--wait", _] if self.system.origin != Origin::Disk => {
                Printed::ok(format!("{:#}\n", report(self.machine.identity(), &self.machine.faults())))
            }
            ["nvidia-smi" | "furiosa-smi" | "rbln-smi", ..] => self.tool(argv),
            [name, ..] => Printed::fail(127, format!("sh: {}: not found", name.escape_debug())),
            [] => Printed::ok(""),
        }
    }

    /// The vendor's tool comes with the vendor's driver.
    fn tool(&self, argv: &[&str]) -> Printed {
        let Some(driver) = self.driver() else { return missing(argv) };
        let cards = &self.cards;
        let json = |value: serde_json::Value| Printed::ok(format!("{value:#}\n"));
        match (self.machine.identity().fitted.kind, argv) {
            (AcceleratorKind::Nvidia, ["nvidia-smi", rest @ ..]) => match rest {
                ["-q", "-x"] | ["-x", "-q"] => Printed::ok(accelerator::nvidia_log(cards, driver)),
                ["-L"] => Printed::ok(accelerator::nvidia_list(cards)),
                ["nvlink", "--status" | "-s"] => Printed::ok(accelerator::nvidia_nvlink(cards)),
                [] => Printed::ok(accelerator::nvidia_table(cards, driver)),
                _ => Printed::fail(2, "Option is not recognized. Please run 'nvidia-smi -h'."),
            },
            (AcceleratorKind::Furiosa, ["furiosa-smi", rest @ ..]) => match rest {
                ["info", "--format", "json"] => json(accelerator::furiosa_info(cards)),
                ["status", "--format", "json"] => json(accelerator::furiosa_status(cards)),
                _ => Printed::fail(2, "error: unrecognized subcommand"),
            },
            (AcceleratorKind::Rebellions, ["rbln-smi", "-j"]) => json(accelerator::rebellions_listing(cards, driver)),
            (AcceleratorKind::Rebellions, ["rbln-smi", ..]) => Printed::fail(2, "rbln-smi: unrecognized arguments"),
            _ => missing(argv),
        }
    }

    fn cat(&self, paths: &[&str]) -> Printed {
        let mut printed = Printed::default();
        for path in paths {
            match self.read(path) {
                Some(content) => printed.stdout.extend_from_slice(&content),
                None => {
                    printed.exit = 1;
                    printed.stderr.push_str(&format!("cat: {}: No such file or directory\n", path.escape_debug()));
                }
            }
        }
        printed
    }

    fn read(&self, path: &str) -> Option<Vec<u8>> {
        let id = self.machine.identity();
        let module = |kind: AcceleratorKind| if id.fitted.kind == kind { self.driver().map(str::to_owned) } else { None };
        let line = match path {
            "/proc/sys/kernel/random/boot_id" => self.system.boot_id.clone(),
            "/proc/cmdline" => self.system.cmdline.clone(),
            "/proc/sys/kernel/hostname" | "/etc/hostname" => id.node.to_string(),
            "/sys/class/dmi/id/product_serial" | "/sys/class/dmi/id/chassis_serial" => id.serial.clone(),
            "/sys/class/dmi/id/product_uuid" => id.uuid.clone(),
            "/sys/class/dmi/id/product_name" => id.profile.model.to_owned(),
            "/sys/class/dmi/id/sys_vendor" => id.profile.manufacturer.to_owned(),
            "/sys/class/dmi/id/bios_version" => id.profile.bios_version.to_owned(),
            "/sys/module/nvidia/version" => module(AcceleratorKind::Nvidia)?,
            "/sys/module/furiosa_rngd/version" => module(AcceleratorKind::Furiosa)?,
            "/sys/module/rebellions/version" => module(AcceleratorKind::Rebellions)?,
            _ => return self.files.get(path)?.content.clone(),
        };
        Some(format!("{line}\n").into_bytes())
    }

    fn each(&self, paths: &[&str], program: &str, show: impl Fn(&str, &super::files::File) -> String) -> Printed {
        let mut printed = Printed::default();
        for path in paths {
            match self.files.get(path) {
                Some(file) => printed.stdout.extend_from_slice(show(path, file).as_bytes()),
                None => {
                    printed.exit = 1;
                    printed.stderr.push_str(&format!("{program}: {}: No such file or directory\n", path.escape_debug()));
                }
            }
        }
        printed
    }

    fn chmod(&mut self, mode: &str, path: &str) -> Printed {
        match (u32::from_str_radix(mode, 8), self.files.get_mut(path)) {
            (Ok(mode), Some(file)) => {
                file.mode = mode & 0o7777;
                Printed::ok("")
            }
            (Err(_), _) => Printed::fail(1, "chmod: invalid mode"),
            (_, None) => Printed::fail(1, "chmod: No such file or directory"),
        }
    }

    fn rename(&mut self, from: &str, to: &str) -> Printed {
        match self.files.remove(from) {
            Some(file) => {
                self.files.put(to, file);
                Printed::ok("")
            }
            None => Printed::fail(1, "mv: No such file or directory"),
        }
    }

    /// `bringup-install NAME VERSION [FILE]`: sets a component's version, once the file that it comes in is there.
    fn install(&mut self, name: &str, version: &str, rest: &[&str]) -> Printed {
        let words_fit = [name, version].iter().all(|w| !w.is_empty() && w.len() <= WORD && !w.chars().any(char::is_control));
        if !words_fit || rest.len() > 1 || self.installed.len() >= 64 {
            return Printed::fail(2, "usage: bringup-install NAME VERSION [FILE]");
        }
        if let Some(file) = rest.first()
            && self.files.get(file).is_none()
        {
            return Printed::fail(1, format!("bringup-install: {}: no such file", file.escape_debug()));
        }
        self.installed.insert(name.to_owned(), version.to_owned());
        Printed::ok(format!("{name} {version} installed\n"))
    }
}

fn missing(argv: &[&str]) -> Printed {
    Printed::fail(127, format!("sh: {}: not found", argv.first().copied().unwrap_or_default()))
}
