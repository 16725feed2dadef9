//! From power-on to a login by every road that a server's firmware knows, with nothing of ours missing and nobody else helping: `bringup serve`
//! alone gives address, loader, script, kernel and initrd to QEMU's firmware (SeaBIOS with an iPXE ROM, OVMF) and to the laboratory's image.
//! Each machine has a disk that boots the same system: only the kernel's command line tells which road it came.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bringup::boot::{GrantSpec, GrantState, Grants, new_grant_id, now_ms};
use bringup::model::{Artifact, Digest, NodeId, PlanId, RunId};
use sha2::{Digest as _, Sha256};

use crate::boot::dhcp_lab::{ADDRESS, Lab, MAC};
use crate::support::skip;

const UUID: &str = "4c4c4544-0077-4000-8000-000000000101";
const SERIAL: &str = "S101";
/// More than ten times what a boot takes on two quiet cores.
const BOOT: Duration = Duration::from_secs(400);
/// OVMF, and a NIC whose driver is the firmware's own.
const UEFI: [&str; 4] = [
    "-drive",
    "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd",
    "-drive",
    "if=pflash,format=raw,file=vars.fd",
];
/// Firmware tries the roads one after the other and takes minutes for each; this closes one of them.
const NO_IPV6_PXE: [&str; 2] = ["-fw_cfg", "name=opt/org.tianocore/IPv6PXESupport,string=n"];
const NO_PXE: [&str; 2] = ["-fw_cfg", "name=opt/org.tianocore/IPv4PXESupport,string=n"];

/// One road: the firmware, and what else it is told.
struct Road {
    name: &'static str,
    /// Words for QEMU.
    firmware: Vec<&'static str>,
    /// Properties of the NIC.
    nic: &'static str,
    /// The site has a DHCP server of its own.
    beside: bool,
    /// A BMC was told `HttpBootUri`: firmware finds the grant's own address in its variables, for the next boot alone.
    uri: bool,
}

impl Road {
    fn legacy() -> Self {
        Self { name: "legacy PXE", firmware: vec![], nic: "", beside: false, uri: false }
    }

    /// QEMU has no PXE ROM but iPXE's, which needs no loader. So iPXE is started by hand in its place, asks for nothing but the loader, and is
    /// the PXE stack (UNDI) under it.
    fn legacy_loader() -> Self {
        let firmware = vec!["-kernel", "/usr/lib/ipxe/ipxe.lkrn", "-initrd", "first.ipxe"];
        Self { name: "legacy PXE, loader by TFTP", firmware, nic: ",romfile=", beside: false, uri: false }
    }

    fn uefi(name: &'static str, more: &[&'static str]) -> Self {
        Self { name, firmware: [&UEFI[..], &NO_IPV6_PXE, more].concat(), nic: ",romfile=", beside: false, uri: false }
    }
}

/// A machine on its way, and what it was granted.
struct Boot {
    lab: Lab,
    built: PathBuf,
    grants: Grants,
    runtime: tokio::runtime::Runtime,
    id: String,
    began: Instant,
}

fn artifact(path: PathBuf) -> Artifact {
    let sha256 = Digest::from_bytes(&Sha256::digest(std::fs::read(&path).unwrap()).into());
    Artifact { path, sha256 }
}

/// Lays the wire, grants the image, starts `serve`, and switches the machine on.
fn power_on(test: &str, road: &Road) -> Option<Boot> {
    let programs: &[&str] = if road.beside { &["qemu-system-x86_64", "ssh", "dnsmasq"] } else { &["qemu-system-x86_64", "ssh"] };
    let mut lab = Lab::up(test, programs)?;
    let built = std::env::var_os("BRINGUP_LAB").map(PathBuf::from).filter(|dir| dir.join("disk.img").exists());
    let Some(built) = built else {
        skip(test, "$BRINGUP_LAB/disk.img, which `tests/run` makes,");
        return None;
    };
    for file in ["/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/lib/ipxe/snponly.efi", "/usr/lib/ipxe/ipxe.lkrn"] {
        if !Path::new(file).exists() {
            skip(test, file);
            return None;
        }
    }
    std::fs::copy("/usr/share/OVMF/OVMF_VARS_4M.fd", lab.path("vars.fd")).unwrap();
    std::fs::write(lab.path("inventory/facts/all.csv"), format!("node,serial,uuid,boot_mac\na001-s01,{SERIAL},{UUID},{MAC}\n"))
        .unwrap();

    std::fs::write(lab.path("first.ipxe"), "#!ipxe\ndhcp net0 && chain tftp://10.77.0.1/undionly.kpxe\n").unwrap();

    let runtime = tokio::runtime::Runtime::new().unwrap();
    std::fs::create_dir(lab.path("state")).unwrap();
    let grants = Grants::open(&lab.path("state/grants.db")).unwrap();
    let spec = GrantSpec {
        id: new_grant_id(),
        node: NodeId::new("a001-s01").unwrap(),
        plan: PlanId::new("plan-roads").unwrap(),
        run: RunId::new("run-roads").unwrap(),
        mac: Some(MAC.parse().unwrap()),
        uuid: Some(UUID.into()),
        serial: Some(SERIAL.into()),
        image: Digest::from_bytes(&[7; 32]),
        kernel: artifact(built.join("vmlinuz")),
        initrd: vec![artifact(built.join("initrd.gz"))],
        root: None,
        cmdline: vec!["console=ttyS0".into()],
        expires_at_ms: now_ms() + 3_600_000,
    };
    let id = spec.id.clone();
    let issued = runtime.block_on(grants.issue(spec)).unwrap();
    if road.uri {
        let program = std::env::var_os("BRINGUP_VENV").map(|venv| PathBuf::from(venv).join("bin/virt-fw-vars"));
        let Some(program) = program.filter(|program| program.exists()) else {
            skip(test, "$BRINGUP_VENV/bin/virt-fw-vars, which `tests/run` makes,");
            return None;
        };
        let uri = format!("http://10.77.0.1:8088{}", issued.loader_path());
        let mut write = std::process::Command::new(program);
        write.args(["--input", "vars.fd", "--output", "vars.fd", "--set-boot-uri", &uri]).current_dir(lab.dir.path());
        let said = write.output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    }

    let mode = if road.beside { "--proxy-dhcp" } else { "--dhcp" };
    if road.beside {
        lab.dnsmasq();
    }
    lab.serve(&[mode, "eth0", "--tftp"]);
    lab.plug();
    let nic = format!("virtio-net-pci,netdev=n,bootindex=1,mac={MAC}{}", road.nic);
    let disk = format!("if=none,id=d,format=raw,snapshot=on,file={}", built.join("disk.img").display());
    let smbios = format!("type=1,serial={SERIAL},uuid={UUID}");
    let mut words =
        vec!["-accel", "tcg", "-machine", "q35,graphics=off", "-cpu", "max", "-m", "512", "-display", "none", "-nodefaults"];
    words.extend(["-serial", "file:console", "-smbios", &smbios, "-device", "virtio-rng-pci"]);
    words.extend(["-drive", &disk, "-device", "virtio-blk-pci,drive=d,bootindex=2"]);
    words.extend(["-netdev", "tap,id=n,ifname=tap0,script=no,downscript=no", "-device", &nic]);
    words.extend(&road.firmware);
    let began = Instant::now();
    lab.start("client", "qemu", "qemu-system-x86_64", &words);
    Some(Boot { lab, built, grants, runtime, id, began })
}

impl Boot {
    /// What a command on the node prints, by OpenSSH with the image's host key pinned.
    fn on_node(&self, command: &str) -> Result<String, String> {
        let key = std::fs::read_to_string(self.built.join("host_key.pub")).unwrap();
        std::fs::write(self.lab.path("known_hosts"), format!("{ADDRESS} {key}")).unwrap();
        let mut ssh = self.lab.inside("server", "ssh");
        ssh.args([
            "-o",
            "BatchMode=yes",
            "-o",
            "ConnectTimeout=2",
            "-o",
            "ServerAliveInterval=5",
            "-o",
            "StrictHostKeyChecking=yes",
            "-o",
            "LogLevel=ERROR",
        ]);
        ssh.args(["-o", "UserKnownHostsFile=known_hosts", "-i"]).arg(self.built.join("id_ed25519"));
        let output = ssh.arg(format!("root@{ADDRESS}")).arg(command).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// Asks again until it is so; shows all that is known when it never is.
    fn until(&self, what: &str, mut so: impl FnMut() -> bool) {
        let began = Instant::now();
        while !so() {
            let said = |name: &str| format!("--- {name}\n{}\n", self.lab.text(name));
            assert!(
                began.elapsed() < BOOT,
                "waited {BOOT:?} in vain: {what}\n{}",
                ["console", "serve.out", "serve.err", "qemu.err", "dnsmasq.err"].map(said).concat()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits for a login, and says how long it took.
    fn login(&self, road: &Road) -> String {
        let mut cmdline = String::new();
        self.until("a login", || {
            self.on_node("cat /proc/cmdline").is_ok_and(|text| {
                cmdline = text;
                true
            })
        });
        let beside = if road.beside { " beside the site's DHCP" } else { "" };
        println!("{}{beside} \u{2192} {:.1} s to SSH", road.name, self.began.elapsed().as_secs_f64());
        cmdline
    }

    /// It runs what was granted, came from the network, and is the machine that was meant.
    fn must_be_ours(&self, cmdline: &str) {
        assert!(cmdline.contains(&format!("bringup.grant={} ", self.id)), "{cmdline}");
        assert!(!cmdline.contains("bringup-lab.from="), "{cmdline}");
        assert_eq!(self.on_node("cat /sys/class/dmi/id/product_serial").unwrap(), SERIAL);
        let status = self.runtime.block_on(self.grants.status(&self.id)).unwrap().unwrap();
        assert_eq!(status.state, GrantState::Open, "{status:?}");
        let lines = self.lab.text("serve.out");
        for stage in ["script", "kernel", "initrd"] {
            let want = format!("{ADDRESS} a001-s01 {} {stage} ", self.id);
            assert!(lines.contains(&want), "{want}:\n{lines}");
        }
    }

    fn must_have_said(&self, want: &[&str]) {
        let lines = self.lab.text("serve.out");
        for words in want {
            assert!(lines.contains(words), "{words}:\n{lines}");
        }
    }
}

/// SeaBIOS with the ROM that QEMU's NIC brings, which is iPXE: it needs no loader.
#[test]
fn legacy_pxe_to_a_login_with_us_alone() {
    let road = Road::legacy();
    let Some(boot) = power_on("peers::roads::legacy_pxe_to_a_login_with_us_alone", &road) else { return };
    boot.must_be_ours(&boot.login(&road));
    boot.must_have_said(&["a001-s01 ack 10.77.1.1 boot http://10.77.0.1:8088/boot.ipxe"]);
}

/// The loader for legacy ROMs comes by TFTP and drives the card by the ROM's stack.
#[test]
fn legacy_loader_to_a_login_with_us_alone() {
    let road = Road::legacy_loader();
    let Some(boot) = power_on("peers::roads::legacy_loader_to_a_login_with_us_alone", &road) else { return };
    boot.must_be_ours(&boot.login(&road));
    let loader = std::fs::metadata("/usr/lib/ipxe/undionly.kpxe").unwrap().len();
    boot.must_have_said(&[&format!("{ADDRESS} tftp undionly.kpxe {loader} bytes in ")]);
}

/// OVMF fetches iPXE by TFTP. When the node restarts, its grant is used up: it is let go on to its disk.
#[test]
fn uefi_pxe_to_a_login_with_us_alone_and_then_to_the_disk() {
    let road = Road::uefi("UEFI PXE", &[]);
    let Some(boot) = power_on("peers::roads::uefi_pxe_to_a_login_with_us_alone_and_then_to_the_disk", &road) else { return };
    boot.must_be_ours(&boot.login(&road));
    let loader = std::fs::metadata("/usr/lib/ipxe/snponly.efi").unwrap().len();
    boot.must_have_said(&[
        "a001-s01 ack 10.77.1.1 boot tftp://10.77.0.1/snponly.efi",
        &format!("{ADDRESS} tftp snponly.efi {loader} bytes in "),
        "a001-s01 ack 10.77.1.1 boot http://10.77.0.1:8088/boot.ipxe",
    ]);
    // Later and by itself: a connection to a machine that vanishes would only end by its own patience.
    boot.on_node("(sleep 1; reboot -f) >/dev/null 2>&1 </dev/null &").unwrap();
    boot.until("it starts from its disk", || boot.lab.text("console").contains("bringup-lab: kernel from=disk"));
    assert_eq!(boot.lab.text("console").matches("bringup-lab: kernel from=net").count(), 1, "one boot for one grant");
    boot.must_have_said(&[&format!("a001-s01 {} refused: ", boot.id)]);
}

/// OVMF fetches iPXE by HTTP.
#[test]
fn uefi_http_boot_to_a_login_with_us_alone() {
    let road = Road::uefi("UEFI HTTP boot", &NO_PXE);
    let Some(boot) = power_on("peers::roads::uefi_http_boot_to_a_login_with_us_alone", &road) else { return };
    boot.must_be_ours(&boot.login(&road));
    boot.must_have_said(&["a001-s01 ack 10.77.1.1 boot http://10.77.0.1:8088/loader/snponly.efi", " - - loader "]);
    assert!(!boot.lab.text("serve.out").contains(" tftp "), "nothing came by TFTP");
}

/// What a BMC does with `HttpBootUri`: OVMF finds a boot entry with that address and `BootNext` pointing at it, and takes only its IP address from
/// our DHCP. The loader comes under the grant itself.
#[test]
fn uefi_http_boot_from_the_address_that_a_bmc_was_told() {
    let mut road = Road::uefi("UEFI HTTP boot from HttpBootUri", &[]);
    road.uri = true;
    let Some(boot) = power_on("peers::roads::uefi_http_boot_from_the_address_that_a_bmc_was_told", &road) else { return };
    boot.must_be_ours(&boot.login(&road));
    boot.must_have_said(&[&format!("{ADDRESS} a001-s01 {} loader ", boot.id)]);
    let lines = boot.lab.text("serve.out");
    assert!(
        !lines.contains(" tftp ") && !lines.contains(" - - loader "),
        "the loader came by the grant's address alone:\n{lines}"
    );
}

/// Addresses come from dnsmasq, the rest from us: to each kind of PXE client.
fn beside_dnsmasq(test: &str, mut road: Road, told: &str) {
    road.beside = true;
    let Some(boot) = power_on(test, &road) else { return };
    boot.must_be_ours(&boot.login(&road));
    boot.must_have_said(&[told]);
    let lines = boot.lab.text("serve.out");
    assert!(!lines.lines().any(|line| line.starts_with("dhcp ") && line.contains(ADDRESS)), "no address came from us: {lines}");
    boot.until("the site gave the address", || boot.lab.text("dnsmasq.err").contains(&format!("DHCPACK(eth0) {ADDRESS} {MAC}")));
}

#[test]
fn legacy_pxe_to_a_login_beside_dnsmasq() {
    let test = "peers::roads::legacy_pxe_to_a_login_beside_dnsmasq";
    beside_dnsmasq(test, Road::legacy(), "a001-s01 boot offer boot http://10.77.0.1:8088/boot.ipxe");
}

#[test]
fn uefi_pxe_to_a_login_beside_dnsmasq() {
    let test = "peers::roads::uefi_pxe_to_a_login_beside_dnsmasq";
    beside_dnsmasq(test, Road::uefi("UEFI PXE", &[]), "a001-s01 boot offer boot tftp://10.77.0.1/snponly.efi");
}

/// A machine that nobody granted anything is told so on its console, and on ours.
#[test]
fn a_node_without_a_grant_is_let_go() {
    let road = Road::legacy();
    let Some(boot) = power_on("peers::roads::a_node_without_a_grant_is_let_go", &road) else { return };
    assert!(boot.runtime.block_on(boot.grants.release(&boot.id)).unwrap());
    boot.until("it is told", || boot.lab.text("console").contains("bringup: nothing is granted to this machine now"));
    let lines = boot.lab.text("serve.out");
    assert!(!lines.contains(" kernel ") && !lines.contains(" initrd "), "{lines}");
}
