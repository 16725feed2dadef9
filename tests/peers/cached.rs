//! A machine that boots by the cache of its rack, and what becomes of it when the cache goes away: half-way, and before it began. The cache is a machine
//! of its own on the wire; address, script and identity come from the boot server as ever.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bringup::boot::{GrantSpec, Grants, Identity, new_grant_id, now_ms};
use bringup::model::{Artifact, Digest, NodeId, PlanId, RunId};
use sha2::{Digest as _, Sha256};

use super::node_image::node_image;
use super::ramdisk::{Image, key};
use crate::boot::dhcp_lab::{ADDRESS, Lab, MAC};
use crate::support::{need_program, wait_until};

const UUID: &str = "4c4c4544-0077-4000-8000-000000000103";
const SERIAL: &str = "S103";
/// Where the namespace `site` is.
const CACHE: &str = "10.77.0.9";
/// A boot takes 25 s on two quiet cores.
const BOOT: Duration = Duration::from_secs(600);

fn artifact(path: PathBuf) -> Artifact {
    let sha256 = Digest::from_bytes(&Sha256::digest(std::fs::read(&path).unwrap()).into());
    Artifact { path, sha256 }
}

fn spec(image: &Image) -> GrantSpec {
    GrantSpec {
        id: new_grant_id(),
        node: NodeId::new("a001-s01").unwrap(),
        plan: PlanId::new("plan-cached").unwrap(),
        run: RunId::new("run-cached").unwrap(),
        mac: Some(MAC.parse().unwrap()),
        uuid: Some(UUID.into()),
        serial: Some(SERIAL.into()),
        image: Digest::from_bytes(&[7; 32]),
        kernel: artifact(image.out.join("node/vmlinuz")),
        initrd: vec![artifact(image.out.join("node/initrd.img"))],
        root: Some(artifact(image.out.join("node/root.squashfs"))),
        cmdline: vec!["console=ttyS0".into(), "quiet".into()],
        files_from: Some(format!("http://{CACHE}:8088")),
        expires_at_ms: now_ms() + 3_600_000,
    }
}

/// Power on: the console goes to the file `NAME`.
fn power_on(lab: &mut Lab, name: &str) {
    let nic = format!("virtio-net-pci,netdev=n,bootindex=1,mac={MAC}");
    let (smbios, serial) = (format!("type=1,serial={SERIAL},uuid={UUID}"), format!("file:{name}"));
    let mut words = vec!["-accel", "tcg", "-machine", "q35,graphics=off", "-cpu", "max", "-m", "1024", "-smp", "2"];
    words.extend(["-display", "none", "-nodefaults", "-serial", &serial, "-smbios", &smbios]);
    words.extend(["-device", "virtio-rng-pci", "-netdev", "tap,id=n,ifname=tap0,script=no,downscript=no", "-device", &nic]);
    lab.start("client", "qemu", "qemu-system-x86_64", &words);
}

/// Waits until the console says it.
fn says(lab: &Lab, console: &str, words: &str) {
    let began = Instant::now();
    while !lab.text(console).contains(words) {
        let said = |name: &str| format!("--- {name}\n{}\n", lab.text(name));
        let all = [console, "serve.out", "serve.err", "cache.out", "cache.err", "qemu.err"].map(said).concat();
        assert!(began.elapsed() < BOOT && !lab.text(console).contains("root refused: "), "in vain: {words}\n{all}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_machine_boots_by_its_cache_and_goes_on_without_it() {
    let test = "a_machine_boots_by_its_cache_and_goes_on_without_it";
    if need_program(test, "qemu-system-x86_64").is_none() {
        return;
    }
    let Some(image) = node_image(test) else { return };
    let Some(mut lab) = Lab::up(test, &[]) else { return };
    std::fs::write(lab.path("inventory/facts/all.csv"), format!("node,serial,uuid,boot_mac\na001-s01,{SERIAL},{UUID},{MAC}\n"))
        .unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    std::fs::create_dir(lab.path("state")).unwrap();
    let grants = Grants::open(&lab.path("state/grants.db")).unwrap();
    let grant = |spec: GrantSpec| {
        let id = spec.id.clone();
        let identity = Identity::fresh(&[key(22).public_key().to_openssh().unwrap()], Some(ADDRESS.parse().unwrap())).unwrap();
        runtime.block_on(grants.issue_with(spec, identity)).unwrap();
        id
    };
    let first = grant(spec(image));
    lab.serve(&["--dhcp", "eth0", "--tftp", "--https"]);
    let listen = format!("{CACHE}:8088");
    let words = ["--state", "cache/journal.db", "serve", "--listen", &listen, "--cache", "http://10.77.0.1:8088"];
    lab.start("site", "cache", env!("CARGO_BIN_EXE_bringup"), &words);
    wait_until("the cache serves", BOOT, || lab.text("cache.err").contains(&listen));
    lab.plug();

    // Kernel and initrd by the cache; then it is gone, and the root comes from the boot server itself.
    power_on(&mut lab, "first");
    says(&lab, "first", "bringup: stage userspace");
    lab.stop("cache");
    says(&lab, "first", "bringup: stage root from the boot server itself: ");
    says(&lab, "first", "bringup: stage root ready ");
    let served = lab.text("serve.out");
    for what in ["kernel", "initrd"] {
        assert_eq!(
            (gave(&lab, CACHE, &first, what) > 0, gave(&lab, ADDRESS, &first, what)),
            (true, 0),
            "{what} by the cache alone\n{served}"
        );
    }
    assert!(gave(&lab, ADDRESS, &first, "root") > 0, "{served}");

    // With a cache that is away from the beginning, everything.
    runtime.block_on(grants.revoke(&first, "the machine begins anew")).unwrap();
    lab.stop("qemu");
    let second = grant(spec(image));
    power_on(&mut lab, "second");
    says(&lab, "second", "bringup: stage userspace");
    for what in ["kernel", "initrd"] {
        assert_eq!(
            (gave(&lab, CACHE, &second, what), gave(&lab, ADDRESS, &second, what)),
            (0, 1),
            "{what}\n{}",
            lab.text("serve.out")
        );
    }
}

/// How often the boot server gave it to this address.
fn gave(lab: &Lab, to: &str, grant: &str, what: &str) -> usize {
    let part = format!("{to} a001-s01 {grant} {what} ");
    lab.text("serve.out").lines().filter(|line| line.contains(&part)).count()
}
