//! The bring-up ramdisk: built from Debian's packages, twice, and booted in QEMU, with OpenSSH as the one who logs in. No root is needed for any
//! of it, and no network but the way to Debian's mirror when the packages are not in the cache yet.

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use bringup::image::cpio::{Archive, Content};
use bringup::image::identity;
use bringup::model::Reading;
use russh::keys::PrivateKey;
use russh::keys::ssh_key::private::{Ed25519Keypair, KeypairData};
use russh::keys::ssh_key::{HashAlg, LineEnding};
use serde_json::Value;

use crate::support::{Service, need_program, skip, wait_until};

/// A boot takes 6 s on two quiet cores.
pub const PATIENCE: Duration = Duration::from_secs(300);
const SERIAL: &str = "BRTEST0042";
const UUID: &str = "4c4c4544-0077-4000-8000-000000000042";
const NIC: &str = "52:54:77:00:00:42";
const CABLED: &str = "52:54:77:00:00:43";

/// What was built: the folder with `bringup.yaml` and `bringup/`, and the place of the definition.
pub struct Image {
    pub out: PathBuf,
    pub definition: PathBuf,
    pub cache: PathBuf,
}

/// Where built images and their packages are kept.
pub(super) fn cache() -> PathBuf {
    let set = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let tests = set("BRINGUP_CACHE").or_else(|| set("HOME").map(|home| home.join(".cache/bringup-tests")));
    tests.unwrap_or_else(std::env::temp_dir).join("ramdisk")
}

pub(super) fn bringup(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bringup")).args(args).stdin(Stdio::null()).output().unwrap()
}

pub fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// Builds a definition of the house in this folder. The newest packages are locked the first time: the mirror keeps no others for long, and the
/// committed lock is older.
pub(super) fn build(name: &str, home: &Path) -> Result<Image, String> {
    let made = Image {
        out: home.join("images"),
        definition: home.join(format!("definitions/{name}.yaml")),
        cache: cache().join("packages"),
    };
    std::fs::create_dir_all(made.definition.parent().unwrap()).unwrap();
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("images/definitions/{name}.yaml"));
    let same = std::fs::read(&made.definition).ok() == std::fs::read(&committed).ok();
    std::fs::copy(committed, &made.definition).unwrap();
    let (from, to, kept) = (text(&made.definition), text(&made.out), text(&made.cache));
    let args = vec!["image", "build", &from, "--out", &to, "--cache", &kept, "-v"];
    let fresh = || bringup(&[&args[..], &["--lock"]].concat());
    let locked = same && made.definition.with_extension("lock").exists();
    let built = if locked { bringup(&args) } else { fresh() };
    // A lock that outlived its packages, here and on the mirror.
    let built = if locked && !built.status.success() { fresh() } else { built };
    if !built.status.success() {
        return Err(said(&built));
    }
    println!("{}", said(&built));
    Ok(made)
}

/// The bring-up ramdisk, built once for all tests.
pub fn image(test: &str) -> Option<&'static Image> {
    for program in ["apt-get", "dpkg-deb", "ssh", "qemu-system-x86_64"] {
        need_program(test, program)?;
    }
    static IMAGE: OnceLock<Result<Image, String>> = OnceLock::new();
    match IMAGE.get_or_init(|| build("bringup", &cache())) {
        Ok(image) => Some(image),
        Err(said) => {
            skip(test, &format!("a built ramdisk ({said})"));
            None
        }
    }
}

pub fn key(seed: u8) -> PrivateKey {
    let dice: [u8; 32] = std::array::from_fn(|i| seed.wrapping_mul(31).wrapping_add(u8::try_from(i).unwrap()));
    PrivateKey::new(KeypairData::from(Ed25519Keypair::from_seed(&dice)), "test").unwrap()
}

/// A machine in QEMU: one card on a network of its own with DHCP, whose port 22 is a port here, and one whose cable ends in a socket of the test.
struct Machine {
    dir: tempfile::TempDir,
    qemu: Service,
    ssh: u16,
    cable: UdpSocket,
    far_end: u16,
}

impl Machine {
    fn boot(image: &Image, identity: &[u8], arguments: &str, guest: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut initrd = std::fs::read(image.out.join("bringup/initrd.img")).unwrap();
        // As boot loaders join initrds.
        initrd.resize(initrd.len().next_multiple_of(4), 0);
        initrd.extend_from_slice(identity);
        std::fs::write(dir.path().join("initrd"), initrd).unwrap();
        // Free now, and hardly taken before QEMU takes them.
        let ssh = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let far_end = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let cable = UdpSocket::bind("127.0.0.1:0").unwrap();
        let near = cable.local_addr().unwrap().port();
        let mut command = Command::new("qemu-system-x86_64");
        // Never KVM: it may be there and not work.
        command
            .args("-accel tcg -machine q35 -cpu max -m 768 -smp 2 -display none -vga none -no-reboot -monitor none".split(' '));
        command.args(["-kernel", &text(&image.out.join("bringup/vmlinuz")), "-initrd", &text(&dir.path().join("initrd"))]);
        command.args(["-append", &format!("console=ttyS0 {arguments}")]);
        command.args(["-serial", &format!("file:{}", dir.path().join("console").display())]);
        command.args(["-smbios", &format!("type=1,manufacturer=Laboratory,product=Node,serial={SERIAL},uuid={UUID}")]);
        command.args(["-netdev", &format!("user,id=site,restrict=on,hostfwd=tcp:127.0.0.1:{ssh}-{guest}:22")]);
        command.args(["-device", &format!("virtio-net-pci,netdev=site,mac={NIC}")]);
        command.args(["-netdev", &format!("socket,id=cable,udp=127.0.0.1:{near},localaddr=127.0.0.1:{far_end}")]);
        command.args(["-device", &format!("e1000e,netdev=cable,mac={CABLED}")]);
        command.args(["-device", "pcie-root-port,id=riser,chassis=1", "-device", "virtio-gpu-pci,bus=riser"]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let qemu = Service::start(&mut command).unwrap();
        Self { dir, qemu, ssh, cable, far_end }
    }

    fn console(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.dir.path().join("console")).unwrap_or_default()).into_owned()
    }

    /// Waits for a line of the console that holds this; gives the seconds since the kernel began that stand in it.
    fn stage(&mut self, words: &str) -> f64 {
        let mut line = None;
        wait_until(words, PATIENCE, || {
            let console = self.console();
            assert!(self.qemu.alive(), "QEMU ended:\n{console}");
            // A line that is not ended yet may lack its number.
            line = console.split_inclusive('\n').find(|l| l.contains(words) && l.ends_with('\n')).map(str::to_owned);
            line.is_some()
        });
        let line = line.unwrap();
        let at = line.split("uptime=").nth(1).unwrap_or_else(|| panic!("{line}"));
        at.trim().parse().unwrap_or_else(|_| panic!("{line}"))
    }

    /// By OpenSSH, which knows one host key and offers one key.
    fn login(&self, host: &PrivateKey, mine: &PrivateKey, command: &str) -> Output {
        let at = |name: &str| self.dir.path().join(name);
        let known = format!("[127.0.0.1]:{} {}\n", self.ssh, host.public_key().to_openssh().unwrap());
        std::fs::write(at("known"), known).unwrap();
        drop(std::fs::remove_file(at("key")));
        std::fs::write(at("key"), mine.to_openssh(LineEnding::LF).unwrap().as_bytes()).unwrap();
        std::fs::set_permissions(at("key"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let mut ssh = Command::new("ssh");
        ssh.args([
            "-F",
            "none",
            "-p",
            &self.ssh.to_string(),
            "-i",
            &text(&at("key")),
            "-o",
            "IdentitiesOnly=yes",
            "-o",
            "BatchMode=yes",
        ]);
        ssh.args(["-o", "StrictHostKeyChecking=yes", "-o", &format!("UserKnownHostsFile={}", at("known").display())]);
        ssh.args(["-o", "ConnectTimeout=120", "root@127.0.0.1", command]).stdin(Stdio::null());
        ssh.output().unwrap()
    }
}

pub(super) fn said(out: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

/// One LLDP frame, written out by hand: chassis (a MAC address), port (a name), time to live, port and system name, management address.
fn lldp(port: &str, ttl: u16) -> Vec<u8> {
    let field = |kind: u16, value: &[u8]| {
        let head = (kind << 9) | u16::try_from(value.len()).unwrap();
        [&head.to_be_bytes()[..], value].concat()
    };
    let mut frame = vec![0x01, 0x80, 0xc2, 0, 0, 0x0e, 0x02, 0, 0, 0, 0, 0x07, 0x88, 0xcc];
    frame.extend(field(1, &[4, 0x02, 0, 0, 0, 0xab, 0xcd]));
    frame.extend(field(2, &[&[5], port.as_bytes()].concat()));
    frame.extend(field(3, &ttl.to_be_bytes()));
    frame.extend(field(5, "leaf-a017 \"x\" \u{1b}[31m é".as_bytes()));
    frame.extend(field(8, &[5, 1, 10, 0, 0, 1, 2, 0, 0, 0, 1, 0]));
    frame.extend([0, 0]);
    frame
}

fn reading(value: &Value) -> Reading<Value> {
    serde_json::from_value(value.clone()).unwrap_or_else(|e| panic!("{value}: {e}"))
}

fn known(value: &Value) -> Value {
    reading(value).known().cloned().unwrap_or_else(|| panic!("unknown: {value}"))
}

#[test]
fn the_ramdisk_boots_to_ssh_and_reports_who_it_is() {
    let Some(image) = image("the_ramdisk_boots_to_ssh_and_reports_who_it_is") else { return };
    let (host, mine, stranger) = (key(1), key(2), key(3));
    let brought = identity(&host, &[mine.public_key().clone()]).unwrap();
    let mut machine = Machine::boot(image, &brought, "bringup.grant=g-000000000042", "");
    let userspace = machine.stage("bringup: stage userspace");
    let network = machine.stage("bringup: stage network");
    let ssh = machine.stage("bringup: stage ssh port=22");
    let kernel = std::fs::metadata(image.out.join("bringup/vmlinuz")).unwrap().len();
    let initrd = std::fs::metadata(image.out.join("bringup/initrd.img")).unwrap().len();
    println!("ramdisk: kernel to userspace {userspace:.1} s, network {network:.1} s, ssh {ssh:.1} s; {kernel} + {initrd} bytes");
    assert!(initrd < 40 << 20, "{initrd} bytes");

    let login = machine.login(&host, &mine, "cat /proc/cmdline; id -u; cat /proc/uptime");
    assert!(login.status.success() && said(&login).contains("bringup.grant=g-000000000042\n0\n"), "{}", said(&login));
    // Another host key than the pinned one is no login; nor is a key that the boot did not bring.
    let foreign = machine.login(&stranger, &mine, "true");
    assert!(!foreign.status.success() && said(&foreign).contains("Host key verification failed"), "{}", said(&foreign));
    let refused = machine.login(&host, &stranger, "true");
    assert!(!refused.status.success() && said(&refused).contains("Permission denied"), "{}", said(&refused));

    // Malformed frames, and one of a neighbour, until it is heard: the card may have come up after the first.
    let mut report = Value::Null;
    wait_until("LLDP is heard", PATIENCE, || {
        let mut cut = lldp("cut", 120);
        cut.truncate(20);
        for frame in [cut, lldp("swp1", 0), vec![0; 20], lldp("swp7s0", 120)] {
            machine.cable.send_to(&frame, ("127.0.0.1", machine.far_end)).unwrap();
        }
        let out = machine.login(&host, &mine, "bringup-report");
        assert!(out.status.success(), "{}", said(&out));
        report = serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {}", said(&out)));
        let nics = report["nics"].as_array().unwrap();
        nics.iter().any(|nic| reading(&nic["lldp"]).known().is_some())
    });
    println!("{report:#}");
    assert_eq!(known(&report["system"]["serial"]), SERIAL);
    assert_eq!((known(&report["system"]["uuid"]), known(&report["grant"])), (UUID.into(), "g-000000000042".into()));
    let nics = report["nics"].as_array().unwrap();
    let nic = |mac: &str| nics.iter().find(|n| known(&n["mac"]) == mac).unwrap_or_else(|| panic!("{report:#}"));
    assert_eq!(nics.len(), 2);
    assert_eq!((known(&nic(NIC)["link"]), known(&nic(NIC)["address"])), ("up".into(), "10.0.2.15/24".into()));
    assert_eq!(known(&nic(NIC)["driver"]), "virtio_net");
    assert!(reading(&nic(NIC)["lldp"]).why_unknown().unwrap().starts_with("nothing was heard in "), "{report:#}");
    let cabled = nic(CABLED);
    assert_eq!((known(&cabled["driver"]), known(&cabled["speed_mbps"])), ("e1000e".into(), 1000.into()));
    assert_eq!(reading(&cabled["address"]), Reading::Absent);
    let neighbours = known(&cabled["lldp"]);
    let neighbours = neighbours.as_array().unwrap();
    assert_eq!(neighbours.len(), 1, "the malformed and the one that said good-bye are none: {report:#}");
    let neighbour = &neighbours[0];
    assert_eq!((&neighbour["chassis"], &neighbour["port"]), (&"02:00:00:00:ab:cd".into(), &"swp7s0".into()));
    assert_eq!(neighbour["system_name"], "leaf-a017 \"x\" \u{1b}[31m é");
    assert_eq!(neighbour["management_address"], "10.0.0.1");
    let card = report["accelerators"].as_array().unwrap().iter().find(|a| a["id"] == "1af4:1050").expect("the card");
    assert!(known(&card["width"]).as_u64().is_some_and(|w| w >= 1), "{card}");
    assert!(known(&card["speed_gts"]).as_f64().is_some_and(|s| s >= 2.5), "{card}");
    assert!(host.fingerprint(HashAlg::Sha256).to_string().starts_with("SHA256:"));
}

#[test]
fn without_dhcp_the_ramdisk_takes_its_address_from_the_command_line() {
    let Some(image) = image("without_dhcp_the_ramdisk_takes_its_address_from_the_command_line") else { return };
    let (host, mine) = (key(4), key(5));
    let brought = identity(&host, &[mine.public_key().clone()]).unwrap();
    // The network of QEMU is 10.0.2.0/24; the device is named by its MAC address, as a boot loader writes it.
    let argument = "ip=10.0.2.77::10.0.2.2:255.255.255.0:node77:52-54-77-00-00-42";
    let mut machine = Machine::boot(image, &brought, argument, "10.0.2.77");
    machine.stage("10.0.2.77/24 static");
    machine.stage("bringup: stage ssh port=22");
    let out = machine.login(&host, &mine, "hostname; ip route; ps | grep -c '[u]dhcpc'");
    let told = said(&out);
    assert!(told.starts_with("node77\ndefault via 10.0.2.2 dev eth") && told.ends_with("\n0\n"), "{told}");
}

#[test]
fn a_ramdisk_without_keys_of_its_boot_lets_nobody_in() {
    let Some(image) = image("a_ramdisk_without_keys_of_its_boot_lets_nobody_in") else { return };
    let mut machine = Machine::boot(image, &[], "", "");
    machine.stage("bringup: stage ssh refused: no host key came with this boot");
    machine.stage("bringup: stage network");
    // QEMU takes the connection, and the machine behind it refuses: nothing is ever said.
    let mut knock = TcpStream::connect(("127.0.0.1", machine.ssh)).unwrap();
    knock.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut banner = Vec::new();
    let ended = std::io::Read::read_to_end(&mut knock, &mut banner);
    assert!(banner.is_empty(), "{banner:?} {ended:?}");
    assert!(!machine.console().contains("stage ssh port"), "{}", machine.console());
    drop(machine);

    // A key that is none: the SSH server's own words, and no other key is made up in its place.
    let mut archive = Archive::new(0);
    for (name, content) in [
        ("etc/bringup/host_key", Content::File(b"no key")),
        ("root/.ssh", Content::Folder),
        ("root/.ssh/authorized_keys", Content::File(b"ssh-ed25519 AAAA\n")),
    ] {
        archive.add(name, 0o700, &content).unwrap();
    }
    let mut machine = Machine::boot(image, &archive.finish(), "", "");
    machine.stage("bringup: stage ssh refused: dropbear ended: ");
    assert!(
        machine.console().contains("Early exit: String too long") && !machine.console().contains("stage ssh port"),
        "{}",
        machine.console()
    );
}

/// Another folder, time, umask, language, time zone and, for root, another user: the same bytes, to the last one.
#[test]
fn the_same_definition_and_lock_give_the_same_bytes() {
    let Some(image) = image("the_same_definition_and_lock_give_the_same_bytes") else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let copy = "set -e; cd \"$1\"; mkdir -p defs cache/debs; cp \"$2\" \"${2%.yaml}.lock\" defs/; cp \"$3\"/debs/* cache/debs/; cp \"$4\" bringup
        touch -d 2031-05-06 defs/*; chmod 755 .; if [ \"$(id -u)\" = 0 ]; then chown -R 65534:65534 .; fi";
    let sh = |script: &str, args: &[&str]| {
        let out = Command::new("sh").args(["-c", script, "sh"]).args(args).output().unwrap();
        assert!(out.status.success(), "{}", said(&out));
        String::from_utf8(out.stdout).unwrap()
    };
    sh(copy, &[&text(folder.path()), &text(&image.definition), &text(&image.cache), env!("CARGO_BIN_EXE_bringup")]);
    let build = "set -e; cd \"$1\"; umask 077; export TZ=Asia/Seoul LC_ALL=C.UTF-8 HOME=/nonexistent XDG_CACHE_HOME=
        if [ \"$(id -u)\" = 0 ]; then as='setpriv --reuid=65534 --regid=65534 --clear-groups'; fi
        $as ./bringup image build defs/bringup.yaml --out elsewhere --cache cache -o json";
    let told: Value = serde_json::from_str(&sh(build, &[&text(folder.path())])).unwrap();
    let manifest = std::fs::read_to_string(image.out.join("bringup.yaml")).unwrap();
    assert_eq!(std::fs::read_to_string(at("elsewhere/bringup.yaml")).unwrap(), manifest);
    for (file, key) in [("vmlinuz", "kernel"), ("initrd.img", "initrd")] {
        // By another program than ours.
        let sum = |path: PathBuf| sh("sha256sum <\"$1\"", &[&text(&path)]);
        let first = sum(image.out.join("bringup").join(file));
        assert_eq!(sum(at("elsewhere/bringup").join(file)), first, "{file}");
        let digest = first.split(' ').next().unwrap().to_owned();
        assert!(told["images"][0][key]["sha256"] == *digest && manifest.contains(&digest), "{told:#} {manifest}");
    }
    // What was written is an image as `plan` reads it.
    std::fs::create_dir(at("images")).unwrap();
    std::fs::copy(image.out.join("bringup.yaml"), at("images/bringup.yaml")).unwrap();
    let found = bringup::spec::validate_words(folder.path(), None, None, "2026-11-23");
    assert!(found.is_empty(), "{}", found.render(false));
}
