//! The scripts of an installation, as a simulated system answers them: its two disks, and an installer that takes a minute of its own time.

use std::net::IpAddr;

use sha2::{Digest as _, Sha256};

use super::guest::{Guest, Printed};
use crate::sim::bootrom::fetch;
use crate::sim::disk::{Disk, SITE_CMDLINE, Writing};
use crate::sim::fault::Fault;
use crate::sim::system::Origin;

/// Parts of an installer that are kept.
const PARTS: usize = 32;

impl Guest {
    /// What a script of an installation prints; `None` when it is not one.
    pub(super) fn install_script(&mut self, script: &str, operands: &[&str]) -> Option<Printed> {
        let (disk, boot) = self.machine.disk();
        if script.contains("for name in $(names)") {
            let text = format!("{}{}whole\n", self.system_disk(), self.data_disk(&disk, true));
            return Some(Printed::ok(text));
        }
        if script.contains("lies on no disk") {
            let below = match (
                self.system.origin,
                self.system.cmdline.contains("bringup.disk=") || self.system.cmdline == SITE_CMDLINE,
            ) {
                (Origin::Disk, true) => self.data_disk(&disk, false),
                (Origin::Disk, false) => self.system_disk(),
                (Origin::Network, _) => return Some(Printed::fail(1, "the root file system (device 0:2) lies on no disk")),
            };
            return Some(Printed::ok(format!("{below}whole\n")));
        }
        match (operands, script) {
            ([_, part, text], script) if script.contains("printf '%s' \"$2\" >\"$1\"") => {
                if *part == "part.00" {
                    self.parts.clear();
                }
                if self.parts.len() >= PARTS {
                    return Some(Printed::fail(1, "sh: write error: No space left on device"));
                }
                self.parts.insert((*part).to_owned(), (*text).to_owned());
                Some(Printed::ok(""))
            }
            ([_, digest, order], script) if script.contains("setsid sh") => {
                if disk.writing(boot) != Writing::None || matches!(disk.fetching(boot), Some((_, None))) {
                    return Some(Printed::ok("begun already\n"));
                }
                let whole: String = self.parts.values().map(String::as_str).collect();
                let sum: String = Sha256::digest(whole).iter().map(|b| format!("{b:02x}")).collect();
                if sum != *digest {
                    return Some(Printed::fail(1, "the installer did not arrive whole"));
                }
                // What it is told to write must have been sent.
                let root = order.lines().find_map(|l| l.strip_prefix("file root ")).filter(|_| order.contains("\nfetch root\n"));
                let sent = |line: &str| match line.split(' ').collect::<Vec<_>>().as_slice() {
                    ["file", "root", _] if root.is_some() => true,
                    ["file", name, sha256] => {
                        self.files.get(&format!("/run/bringup/install/{name}")).is_some_and(|f| f.sha256 == *sha256)
                    }
                    _ => true,
                };
                if !order.lines().all(sent) {
                    return Some(Printed::fail(1, "a file of the order is not there"));
                }
                let begun = match root {
                    Some(sha256) => self.machine.begin_fetch(order) && self.fetch_root(boot, sha256),
                    None => self.machine.begin_install(order),
                };
                Some(Printed::ok(if begun { "started\n" } else { "begun already\n" }))
            }
            (_, script) if script.contains("/run/bringup/install") && script.contains("echo none") => {
                if let Some((order, failed)) = disk.fetching(boot) {
                    let told = |key: &str| order.lines().find_map(|l| l.strip_prefix(key)).unwrap_or_default().to_owned();
                    let state =
                        failed.map_or("state running fetch\nalive".to_owned(), |why| format!("state failed at fetch: {why}"));
                    return Some(Printed::ok(format!("plan {}\nimage {}\n{state}\nwhole\n", told("plan "), told("image "))));
                }
                let state = match disk.writing(boot) {
                    Writing::None => return Some(Printed::ok("none\n")),
                    Writing::Running => "state running write\nalive",
                    Writing::Done => "state done",
                };
                let told = |key: &str| disk.order(key).unwrap_or_default().to_owned();
                Some(Printed::ok(format!("plan {}\nimage {}\n{state}\nwhole\n", told("plan"), told("image"))))
            }
            _ => None,
        }
    }

    /// Fetches the root as the installer does: under the token that this system was booted with, and compared with its digest.
    fn fetch_root(&self, boot: u64, sha256: &str) -> bool {
        let at = self.system.cmdline.split(' ').find_map(|word| word.strip_prefix("bringup.at=")).unwrap_or_default();
        let url = format!("{}/root", at.strip_suffix("/at").unwrap_or_default());
        let (machine, sha256) = (self.machine.clone(), sha256.to_owned());
        let barred = machine.has(&Fault::NoFetch);
        tokio::spawn(async move {
            let fetched = match barred {
                true => Err("wget: can't connect to remote host: No route to host".to_owned()),
                false => fetch(&url, IpAddr::from([127, 0, 0, 1]), 0).await,
            };
            let came = match fetched {
                Ok((blob, _)) if blob.sha256 == sha256 => Ok(()),
                Ok((blob, _)) => Err(format!("it has SHA-256 {}", blob.sha256)),
                Err(why) => Err(why),
            };
            machine.end_fetch(boot, came);
        });
        true
    }

    fn system_disk(&self) -> String {
        let serial = format!("SYS-{}", self.machine.identity().serial);
        format!(
            "disk nvme0n1\nsize 960197124096\nserial {serial}\nwwn eui.{}\nmodel SIM BOOT\ntransport nvme\nrotational 0\n\
             holds partition 1 of 960000000000 bytes\nholds nvme0n1p1: TYPE=ext4 LABEL=disk\nend\n",
            serial.to_lowercase()
        )
    }

    fn data_disk(&self, disk: &Disk, contents: bool) -> String {
        let serial = format!("DATA-{}", self.machine.identity().serial);
        let mut text = format!(
            "disk nvme1n1\nsize 3840755982336\nserial {serial}\nwwn eui.{}\nmodel SIM DATA\ntransport nvme\nrotational 0\n",
            serial.to_lowercase()
        );
        if let (Some(table), false) = (disk.table(), contents) {
            text.push_str(&format!("table {table}\n"));
        }
        if let (Some(table), true) = (disk.table(), contents) {
            let name = match (disk.is_written(), disk.order("made")) {
                (false, _) => "bringup-unfinished",
                (true, None) => "bringup-root",
                (true, Some(_)) => "site-root",
            };
            text.push_str(&format!(
                "holds nvme1n1: PTUUID={table} PTTYPE=gpt\nholds nvme1n1p2: TYPE=ext4 PART_ENTRY_NAME={name}\n"
            ));
        }
        text + "end\n"
    }
}
