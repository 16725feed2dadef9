//! The login on the serial line, and the small shell behind it: it echoes, it forgets what is rubbed out, it runs the programs that SSH runs too.

use std::sync::Arc;

use super::screen::login;
use crate::model::PowerVerb;
use crate::sim::handle::MachineHandle;
use crate::sim::ssh::guest::{Guest, Printed, Ran};
use crate::sim::ssh::words;
use crate::sim::system::System;

/// Password of `root` on every simulated system. It protects a simulation and nothing else.
pub const PASSWORD: &str = "sim";
/// Longest line; what is typed beyond it is not taken, as by a terminal in canonical mode (N_TTY keeps 4096).
const LINE: usize = 1024;

enum Asks {
    Name,
    Password { name: String },
    Command,
}

/// The far end of a serial line. It belongs to a machine's BMC and outlives every console.
pub struct Getty {
    asks: Asks,
    line: String,
    /// The system that it runs on; another one is a new boot, which forgets who was logged in.
    guest: Option<Guest>,
}

impl Default for Getty {
    fn default() -> Self {
        Self { asks: Asks::Name, line: String::new(), guest: None }
    }
}

impl Getty {
    /// Takes what was typed; gives what is printed for it. Without a system nobody listens.
    pub fn typed(&mut self, machine: &MachineHandle, bytes: &[u8]) -> Vec<u8> {
        let Some(system) = machine.system() else {
            *self = Self::default();
            return Vec::new();
        };
        self.boot(machine, system);
        let mut out = String::new();
        for byte in bytes {
            match *byte {
                b'\r' | b'\n' => {
                    out.push_str("\r\n");
                    let line = std::mem::take(&mut self.line);
                    self.entered(machine, &line, &mut out);
                }
                // Ctrl-C and Ctrl-U give the line up; Ctrl-D on an empty one logs out.
                0x03 | 0x15 => {
                    self.line.clear();
                    out.push_str("^C\r\n");
                    self.prompt(machine, &mut out);
                }
                0x04 if self.line.is_empty() => self.leave(machine, &mut out),
                0x7f | 0x08 => {
                    let rubbed_out = self.line.pop().is_some();
                    if rubbed_out && self.echoes() {
                        out.push_str("\x08 \x08");
                    }
                }
                byte @ 0x20..=0x7e if self.line.len() < LINE => {
                    self.line.push(char::from(byte));
                    if self.echoes() {
                        out.push(char::from(byte));
                    }
                }
                _ => {}
            }
        }
        out.into_bytes()
    }

    fn boot(&mut self, machine: &MachineHandle, system: Arc<System>) {
        let same = self.guest.as_ref().is_some_and(|guest| guest.boot_id() == system.boot_id);
        if !same {
            *self = Self { guest: Some(Guest::new(machine.clone(), system)), ..Self::default() };
        }
    }

    fn echoes(&self) -> bool {
        !matches!(self.asks, Asks::Password { .. })
    }

    fn prompt(&mut self, machine: &MachineHandle, out: &mut String) {
        match &self.asks {
            Asks::Name => out.push_str(&login(machine.identity())),
            Asks::Password { .. } => out.push_str("Password: "),
            Asks::Command => out.push_str(&format!("root@{}:~# ", machine.identity().node)),
        }
    }

    fn leave(&mut self, machine: &MachineHandle, out: &mut String) {
        self.asks = Asks::Name;
        out.push_str("\r\nlogout\r\n\r\n");
        self.prompt(machine, out);
    }

    fn entered(&mut self, machine: &MachineHandle, line: &str, out: &mut String) {
        match &self.asks {
            Asks::Name if line.trim().is_empty() => {}
            Asks::Name => self.asks = Asks::Password { name: line.trim().to_owned() },
            Asks::Password { name } => {
                let right = name == "root" && line == PASSWORD;
                out.push_str(if right { "" } else { "Login incorrect\r\n\r\n" });
                self.asks = if right { Asks::Command } else { Asks::Name };
            }
            Asks::Command => match line.trim() {
                "exit" | "logout" => return self.leave(machine, out),
                "reboot" => return machine.power(PowerVerb::Cycle),
                "poweroff" => return machine.power(PowerVerb::Graceful),
                line => self.run(line, out),
            },
        }
        self.prompt(machine, out);
    }

    fn run(&mut self, line: &str, out: &mut String) {
        let Some(guest) = &mut self.guest else { return };
        let printed = match words::split(line) {
            Ok(words) => match guest.run(&words) {
                Ran::Done(printed) => printed,
                Ran::Waits(_) => Printed::fail(1, "sh: no input on this line"),
            },
            Err(why) => Printed::fail(2, format!("sh: {why}")),
        };
        for text in [String::from_utf8_lossy(&printed.stdout).as_ref(), printed.stderr.as_str()] {
            out.push_str(&text.replace('\n', "\r\n"));
        }
    }
}

impl std::fmt::Debug for Getty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // What is on the line may be a password.
        f.debug_struct("Getty").finish_non_exhaustive()
    }
}
