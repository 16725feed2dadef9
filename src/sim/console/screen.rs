//! What a machine prints at each turn of its boot. The words are the simulator's own, in the manner of firmware and kernels.

use std::sync::Arc;

use crate::sim::identity::Identity;
use crate::sim::system::System;

/// One turn.
#[derive(Debug, Clone, PartialEq)]
pub enum Screen {
    /// The power came.
    Post,
    /// The boot ROM goes on the network; counts from 1.
    Rom(u64),
    /// The disk's boot loader, and why it came to that.
    Disk(String),
    /// The kernel runs.
    Kernel(Arc<System>),
    /// The kernel panics.
    Panic,
    /// The user space starts.
    Userspace,
    /// The system is up.
    Up,
    /// The system shuts down.
    Stopping,
}

impl Screen {
    /// As it goes over the serial line: lines end in CR LF.
    #[must_use]
    pub fn text(&self, identity: &Identity) -> String {
        let profile = identity.profile;
        let fitted = &identity.fitted;
        match self {
            Self::Post => {
                let mut text = format!(
                    "\x1b[2J\x1b[H{} {}\r\nSystem ROM {}   BMC {}   Serial {}\r\n",
                    profile.manufacturer, profile.model, profile.bios_version, profile.bmc_version, identity.serial
                );
                text.push_str("Memory test: 2048 GiB OK\r\n");
                for slot in 0..fitted.count {
                    text.push_str(&format!("PCIe slot {slot}: {} link up\r\n", fitted.model));
                }
                text.push_str("Press <F2> for setup, <F12> for network boot\r\n");
                text
            }
            Self::Rom(attempt) => format!(
                ">>Start PXE over IPv4 (attempt {attempt})\r\niPXE initialising devices...\r\nnet0: {} link up\r\nConfiguring (net0)... ok\r\n",
                identity.boot_mac
            ),
            Self::Disk(why) => format!("Booting from local disk ({why})\r\nLoading vmlinuz-disk ... initrd ...\r\n"),
            Self::Kernel(system) => {
                let mut text =
                    format!("[    0.000000] Linux version 6.8.0-sim\r\n[    0.000000] Command line: {}\r\n", system.cmdline);
                text.push_str(&format!("[    0.000001] DMI: {} {}\r\n", profile.manufacturer, profile.model));
                for slot in 0..fitted.count {
                    text.push_str(&format!(
                        "[    {}.{:06}] pci 0000:{:02x}:00.0: {} enabled\r\n",
                        slot / 4,
                        slot * 97,
                        0x18 + slot,
                        fitted.model
                    ));
                }
                text.push_str("[    3.141592] Run /sbin/init as init process\r\n");
                text
            }
            Self::Panic => {
                "[    3.271828] Kernel panic - not syncing: simulated\r\n[    3.271901] ---[ end Kernel panic - not syncing: simulated ]---\r\n".to_owned()
            }
            Self::Userspace => "[  OK  ] Reached target Local File Systems.\r\n[  OK  ] Reached target Network.\r\n".to_owned(),
            Self::Up => format!("[  OK  ] Started OpenSSH server.\r\n\r\n{} ttyS0\r\n\r\n{}", identity.node, login(identity)),
            Self::Stopping => {
                "\r\n[  OK  ] Stopped OpenSSH server.\r\n[  OK  ] Reached target Power-Off.\r\nreboot: Power down\r\n".to_owned()
            }
        }
    }
}

/// The prompt of the login.
pub(super) fn login(identity: &Identity) -> String {
    format!("{} login: ", identity.node)
}
