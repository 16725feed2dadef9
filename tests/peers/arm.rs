//! A 64-bit Arm machine from power-on to a login, by option 93 and by the inventory, which must agree: QEMU's `virt` machine with EDK2 (AAVMF), Debian
//! 13's iPXE and the bring-up ramdisk of `images/definitions/bringup-arm64.yaml`, built here on x86-64 without running anything of it. The boot
//! brings a host key of its own.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use bringup::boot::{BootKey, GrantSpec, Grants, Identity, Pin, Stage, new_grant_id, now_ms};
use bringup::model::{Artifact, Digest, NodeId, PlanId, RunId};
use sha2::{Digest as _, Sha256};

use super::login::by_fingerprint;
use super::node_image::made_of;
use super::ramdisk::{Image, build, cache, key};
use crate::boot::dhcp_lab::{ADDRESS, Lab, MAC};
use crate::support::{need_program, pin_loaders, skip};

const UUID: &str = "4c4c4544-0077-4000-8000-000000000103";
const SERIAL: &str = "S103";
const NODE: &str = "a001-s01";
/// The whole road takes 35 s on two quiet cores.
const BOOT: Duration = Duration::from_secs(600);
const FIRMWARE: &str = "/usr/share/AAVMF/AAVMF_CODE.fd";
const VARIABLES: &str = "/usr/share/AAVMF/AAVMF_VARS.fd";
const LOADER: &str = "snponly-arm64.efi";

/// The ramdisk for 64-bit Arm, kept for the next run as long as nothing that goes into it has changed: unpacking its kernel's package takes 20 s.
fn arm_image(test: &str) -> Option<&'static Image> {
    for program in ["apt-get", "dpkg-deb"] {
        need_program(test, program)?;
    }
    static IMAGE: OnceLock<Result<Image, String>> = OnceLock::new();
    let made = IMAGE.get_or_init(|| {
        // A folder of its own: a new lock here is none of the node image's concern.
        let home = cache().join("arm64");
        let (definition, out) = (home.join("definitions/bringup-arm64.yaml"), home.join("images"));
        let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("images/definitions/bringup-arm64.yaml");
        let same = std::fs::read(&definition).ok() == std::fs::read(&committed).ok();
        let seal = home.join("made-of");
        if same && std::fs::read_to_string(&seal).is_ok_and(|was| was == made_of(&definition)) {
            return Ok(Image { out, definition, cache: cache().join("packages") });
        }
        drop(std::fs::remove_file(&seal));
        let made = build("bringup-arm64", &home)?;
        std::fs::write(seal, made_of(&made.definition)).unwrap();
        Ok(made)
    });
    match made {
        Ok(image) => Some(image),
        Err(said) => {
            skip(test, &format!("a built ramdisk for aarch64 ({said})"));
            None
        }
    }
}

/// Debian 13's iPXE, as `tests/run` fetched it.
fn loader(test: &str) -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let tests = set("BRINGUP_CACHE").or_else(|| set("HOME").map(|home| home.join(".cache/bringup-tests")));
    let found = tests.map(|tests| tests.join("loaders").join(LOADER)).filter(|path| path.exists());
    if found.is_none() {
        skip(test, &format!("loaders/{LOADER} in the cache, which `tests/run` makes,"));
    }
    found
}

fn artifact(path: PathBuf) -> Artifact {
    let sha256 = Digest::from_bytes(&Sha256::digest(std::fs::read(&path).unwrap()).into());
    Artifact { path, sha256 }
}

/// The loaders of both processors in one folder, as a site with both kinds of nodes has them.
fn lay_loaders(lab: &Lab, arm: &Path) {
    let folder = lab.path("loaders");
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(arm, folder.join(LOADER)).unwrap();
    std::fs::copy("/usr/lib/ipxe/snponly.efi", folder.join("snponly.efi")).unwrap();
    let found = bringup::boot::look_at_loaders(&folder, None).unwrap();
    if let Some(newer) = found.iter().find(|loader| loader.pin == Pin::Nobody && loader.name != "gcdx64.efi") {
        println!("NOTE Debian has a newer {} than this version of bringup knows: {}", newer.name, newer.artifact.sha256);
        pin_loaders(&folder);
    }
}

fn power_on(lab: &mut Lab) {
    // Firmware starts with no memory of the boot before.
    std::fs::copy(VARIABLES, lab.path("vars.fd")).unwrap();
    let code = format!("if=pflash,format=raw,readonly=on,file={FIRMWARE}");
    let nic = format!("virtio-net-pci,netdev=n,bootindex=1,mac={MAC},romfile=");
    let smbios = format!("type=1,manufacturer=Laboratory,product=Node,serial={SERIAL},uuid={UUID}");
    let mut words =
        vec!["-accel", "tcg", "-machine", "virt", "-cpu", "cortex-a72", "-m", "768", "-display", "none", "-nodefaults"];
    words.extend(["-drive", &code, "-drive", "if=pflash,format=raw,file=vars.fd", "-serial", "file:console", "-smbios", &smbios]);
    words.extend(["-fw_cfg", "name=opt/org.tianocore/IPv6PXESupport,string=n", "-device", "virtio-rng-pci"]);
    words.extend(["-netdev", "tap,id=n,ifname=tap0,script=no,downscript=no", "-device", &nic]);
    lab.start("client", "qemu", "qemu-system-aarch64", &words);
}

/// Asks again until it is so; shows all that is known when it never is.
fn until(lab: &Lab, what: &str, mut so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !so() {
        let said = |name: &str| format!("--- {name}\n{}\n", lab.text(name));
        let all = ["console", "serve.out", "serve.err", "qemu.err"].map(said).concat();
        assert!(began.elapsed() < BOOT && !lab.text("console").contains("ssh refused: "), "in vain: {what}\n{all}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn an_arm_machine_to_a_login_and_not_as_another_kind() {
    let test = "peers::arm::an_arm_machine_to_a_login_and_not_as_another_kind";
    for program in ["qemu-system-aarch64", "ssh", "ssh-keyscan"] {
        if need_program(test, program).is_none() {
            return;
        }
    }
    for file in [FIRMWARE, VARIABLES, "/usr/lib/ipxe/snponly.efi"] {
        if !Path::new(file).exists() {
            return skip(test, file);
        }
    }
    let (Some(image), Some(loader)) = (arm_image(test), loader(test)) else { return };
    let Some(mut lab) = Lab::up(test, &[]) else { return };
    lay_loaders(&lab, &loader);
    std::fs::write(lab.path("inventory/facts/all.csv"), format!("node,serial,uuid,boot_mac\n{NODE},{SERIAL},{UUID},{MAC}\n"))
        .unwrap();

    let runtime = tokio::runtime::Runtime::new().unwrap();
    std::fs::create_dir(lab.path("state")).unwrap();
    let grants = Grants::open(&lab.path("state/grants.db")).unwrap();
    let mine = key(41);
    let identity = Identity::fresh(&[mine.public_key().to_openssh().unwrap()], Some(ADDRESS.parse().unwrap())).unwrap();
    let host_key = identity.note().host_key.clone();
    let file = |name: &str| artifact(image.out.join("bringup-arm64").join(name));
    let spec = GrantSpec {
        id: new_grant_id(),
        node: NodeId::new(NODE).unwrap(),
        plan: PlanId::new("plan-arm").unwrap(),
        run: RunId::new("run-arm").unwrap(),
        mac: Some(MAC.parse().unwrap()),
        uuid: Some(UUID.into()),
        serial: Some(SERIAL.into()),
        image: Digest::from_bytes(&[7; 32]),
        kernel: file("vmlinuz"),
        initrd: vec![file("initrd.img")],
        root: None,
        cmdline: vec!["console=ttyAMA0".into(), "quiet".into()],
        expires_at_ms: now_ms() + 3_600_000,
    };
    let id = spec.id.clone();
    runtime.block_on(grants.issue_with(spec, identity)).unwrap();
    let stages = || runtime.block_on(grants.status(&id)).unwrap().unwrap().stages;
    let words = ["--dhcp", "eth0", "--tftp", "--loaders", "loaders", "--https"];
    lab.plug();

    // The inventory says that this MAC is an x86-64 node's. The machine is told nothing, although it has a grant and its loader lies there.
    lab.serve(&words);
    power_on(&mut lab);
    let refused = format!("dhcp {MAC} {NODE} refused: it asks as uefi-aarch64, and the inventory says x86_64");
    until(&lab, "it is refused", || lab.text("serve.out").contains(&refused));
    lab.halt();
    let lines = lab.text("serve.out");
    assert_eq!(lines.lines().collect::<Vec<_>>(), [refused], "once, and nothing else is said or served");
    assert_eq!(stages().keys().copied().collect::<Vec<_>>(), [Stage::Issued]);

    let site = std::fs::read_to_string(lab.path("inventory/site.yaml")).unwrap();
    assert!(site.contains("boot: {method: pxe,"), "{site}");
    std::fs::write(lab.path("inventory/site.yaml"), site.replace("boot: {method: pxe,", "boot: {method: pxe, arch: aarch64,"))
        .unwrap();
    lab.serve(&words);
    let began = Instant::now();
    power_on(&mut lab);
    let node = |command: &str| by_fingerprint(&lab, &host_key, &mine, command);
    let mut told = String::new();
    until(&lab, "a login", || match node("uname -m; cat /sys/class/dmi/id/product_serial /proc/cmdline") {
        Ok(text) => {
            told = text;
            true
        }
        Err(why) => {
            assert!(!why.contains("Permission denied"), "{why}");
            false
        }
    });
    println!("aarch64, UEFI PXE, inventory and option 93 agree \u{2192} {:.1} s to SSH", began.elapsed().as_secs_f64());
    let console = lab.text("console");
    println!("{}", console.lines().filter(|l| l.contains("bringup: stage")).map(str::trim).collect::<Vec<_>>().join("\n"));
    assert!(told.starts_with(&format!("aarch64\n{SERIAL}\n")) && told.contains(&format!("bringup.grant={id} ")), "{told}");

    let lines = lab.text("serve.out");
    let bytes = std::fs::metadata(&loader).unwrap().len();
    for want in [
        format!("dhcp {MAC} {NODE} ack {ADDRESS} boot tftp://10.77.0.1/{LOADER}"),
        format!("{ADDRESS} tftp {LOADER} {bytes} bytes in "),
        format!("dhcp {MAC} {NODE} ack {ADDRESS} boot http://10.77.0.1:8088/boot.ipxe"),
        format!("{ADDRESS} {NODE} {id} identity "),
    ] {
        assert!(lines.contains(&want), "{want}:\n{lines}");
    }
    // iPXE looks for a script beside itself first; nothing else is refused.
    let refused: Vec<&str> = lines.lines().filter(|line| line.contains("refused")).collect();
    assert!(refused.iter().all(|line| line.ends_with(" tftp autoexec.ipxe refused: no such file")), "{refused:#?}");
    let served = lab.text("serve.err");
    assert!(served.contains(&format!("{LOADER} {bytes} bytes sha256 ")) && served.contains("pinned by "), "{served}");
    let seen = stages();
    for stage in [Stage::Script, Stage::Kernel, Stage::Initrd, Stage::Userspace, Stage::Network, Stage::Identity, Stage::Ssh] {
        assert!(seen.contains_key(&stage), "{stage}: {seen:?}");
    }
    assert_eq!(runtime.block_on(grants.boot_key(&NodeId::new(NODE).unwrap())).unwrap(), BootKey::Given(host_key.clone()));
    // What the identity proof reads is the same as on x86-64.
    let report: serde_json::Value = serde_json::from_str(&node("bringup-report").unwrap()).unwrap();
    assert_eq!(report["system"]["serial"]["known"], SERIAL, "{report:#}");
}
