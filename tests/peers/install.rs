//! One machine installed to disk and started from it: OVMF boots by iPXE from our boot server, the bring-up ramdisk writes the disk that a rule
//! chose, and at the next power-on OVMF asks the boot server again, is told that there is nothing, and goes on to the disk. No root is needed:
//! QEMU's own network stands for the site's DHCP.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bringup::action::{Action, ActionError, InstallImage, InstallTarget, Netboot, NetbootTarget, Scribe, Standing};
use bringup::bmc::{Bmc, BmcError, BmcTask, BmcTrouble, Written};
use bringup::boot::{Grants, ServeOptions, serve_with};
use bringup::image::identity;
use bringup::model::{
    ActionSpec, Artifact, BmcFacts, BootMode, BootOverride, BootTarget, Class, Component, Digest, DiskRule, EvidenceNote, NodeId,
    PlanId, PowerState, PowerVerb, Reading, RunId, Touch, Transport, Version, Wipe,
};
use bringup::shell::{FirstContact, PrivateKeyText, Shell as _, SshOptions, SshShell};
use russh::keys::ssh_key::{HashAlg, LineEnding};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::node_image::node_image;
use super::ramdisk::{image, key};
use super::whole_disk::{is_written_as_a_whole, taken};
use crate::support::{Service, need_program, skip};

const TEST: &str = "an_image_is_installed_on_the_disk_that_a_rule_means_and_starts_from_it";
const SERIAL: &str = "BRTEST0077";
const UUID: &str = "4c4c4544-0077-4000-8000-000000000077";
const MAC: &str = "52:54:77:00:00:77";
/// A netboot takes 40 s on two quiet cores; the whole test, five starts, 12 minutes on two busy ones.
const BOOT_S: u32 = 600;

/// The BMC of a machine that is a QEMU process: power is the process, and the boot order is fixed: network, then disk.
pub(super) struct Qemu {
    dir: PathBuf,
    ssh: u16,
    boot_server: u16,
    pub(super) process: Mutex<Option<Service>>,
    pub(super) starts: Mutex<u32>,
    held: Mutex<BootOverride>,
}

impl Qemu {
    fn start(&self) -> Service {
        *self.starts.lock().unwrap() += 1;
        let file = |name: &str| self.dir.join(name).display().to_string();
        let mut command = Command::new("qemu-system-x86_64");
        command.args("-accel tcg -machine q35,graphics=off -cpu max -m 1024 -smp 2 -display none -nodefaults".split(' '));
        command.args(["-serial", &format!("file:{}", file(&format!("console{}", self.starts.lock().unwrap())))]);
        command.args(["-drive", "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd"]);
        command.args(["-drive", &format!("if=pflash,format=raw,file={}", file("vars.fd"))]);
        command.args(["-smbios", &format!("type=1,serial={SERIAL},uuid={UUID}"), "-device", "virtio-rng-pci"]);
        command.args(["-drive", &format!("if=none,id=a,format=raw,cache=unsafe,file={}", file("a.img"))]);
        command.args(["-device", "nvme,drive=a,serial=NVME-A,bootindex=2"]);
        command.args(["-drive", &format!("if=none,id=b,format=raw,cache=unsafe,file={}", file("b.img"))]);
        command.args(["-device", "virtio-blk-pci,drive=b,serial=VIRT-B"]);
        // The card's own iPXE is asked. Nobody answers the firmware's, and each of its tries takes a minute.
        for version in ["IPv4", "IPv6"] {
            command.args(["-fw_cfg", &format!("name=opt/org.tianocore/{version}PXESupport,string=n")]);
        }
        let net =
            format!("user,id=n,bootfile=http://10.0.2.2:{}/boot.ipxe,hostfwd=tcp:127.0.0.1:{}-:22", self.boot_server, self.ssh);
        command.args(["-netdev", &net]);
        command.args([
            "-device",
            &format!("virtio-net-pci,netdev=n,mac={MAC},bootindex=1,romfile=/usr/lib/ipxe/qemu/efi-virtio.rom"),
        ]);
        Service::start(command.stdin(Stdio::null()).stdout(Stdio::null())).unwrap()
    }

    fn console(&self, start: u32) -> String {
        String::from_utf8_lossy(&std::fs::read(self.dir.join(format!("console{start}"))).unwrap_or_default()).into_owned()
    }
}

#[async_trait]
impl Bmc for Qemu {
    async fn identity(&self) -> Result<BmcFacts, BmcError> {
        let known = |text: &str| Reading::Known(text.to_owned());
        let bmc_version = Reading::Absent;
        Ok(BmcFacts { vendor: known("Test"), model: known("QEMU"), serial: known(SERIAL), uuid: known(UUID), bmc_version })
    }
    async fn power(&self) -> Result<Reading<PowerState>, BmcError> {
        let on = self.process.lock().unwrap().as_mut().is_some_and(Service::alive);
        Ok(Reading::Known(if on { PowerState::On } else { PowerState::Off }))
    }
    async fn set_power(&self, verb: PowerVerb, _deadline: Duration) -> Written {
        let mut process = self.process.lock().unwrap();
        // The old one is gone before the new one takes its ports.
        drop(process.take());
        if verb != PowerVerb::Off {
            *process = Some(self.start());
        }
        Written::Applied(format!("power {verb}"))
    }
    async fn boot(&self) -> Result<Reading<BootOverride>, BmcError> {
        Ok(Reading::Known(self.held.lock().unwrap().clone()))
    }
    /// It takes the network, which comes first anyway, and cannot be told to start from a disk: the boot server has to see to that.
    async fn set_boot(&self, want: &BootOverride) -> Written {
        if want.target == BootTarget::Disk {
            let (doing, seen) = ("set the boot override".to_owned(), "no such target".to_owned());
            return Written::NotApplied(BmcError { doing, seen, kind: BmcTrouble::Unsupported, source: None });
        }
        self.held.lock().unwrap().clone_from(want);
        Written::Applied("held".to_owned())
    }
    async fn firmware(&self) -> Result<Reading<std::collections::BTreeMap<Component, Version>>, BmcError> {
        Ok(Reading::Absent)
    }
    async fn tasks(&self) -> Result<Reading<Vec<BmcTask>>, BmcError> {
        Ok(Reading::Absent)
    }
    fn certificate(&self) -> Option<Digest> {
        None
    }
    async fn close(&self) {}
}

impl bringup::bmc::meeting::Meeting for Qemu {}
impl bringup::bmc::sensing::Sensing for Qemu {}
impl bringup::bmc::settings::Settings for Qemu {}
impl bringup::bmc::keeping::Keeping for Qemu {}
impl bringup::bmc::updating::Updating for Qemu {}
impl bringup::bmc::examining::Examining for Qemu {}

/// Keeps what the journal would.
#[derive(Default)]
pub(super) struct Book {
    began: Instants,
    pub(super) lines: Mutex<Vec<(Touch, Option<EvidenceNote>)>>,
}

struct Instants(Instant);

impl Default for Instants {
    fn default() -> Self {
        Self(Instant::now())
    }
}

#[async_trait]
impl Scribe for Book {
    async fn before(&self, touch: &Touch) -> Result<(), ActionError> {
        self.lines.lock().unwrap().push((touch.clone(), None));
        Ok(())
    }
    async fn after(&self, touch: &Touch, seen: EvidenceNote) -> Result<(), ActionError> {
        self.lines.lock().unwrap().push((touch.clone(), Some(seen)));
        Ok(())
    }
    fn progress(&self, text: &str) {
        println!("{:6.1} s  {text}", self.began.0.elapsed().as_secs_f64());
    }
}

fn digest(path: &Path) -> Digest {
    let (mut file, mut hash, mut piece) = (std::fs::File::open(path).unwrap(), Sha256::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut piece).unwrap() {
            0 => break Digest::from_bytes(&hash.finalize().into()),
            n => hash.update(&piece[..n]),
        }
    }
}

pub(super) fn artifact(path: PathBuf) -> Artifact {
    let sha256 = digest(&path);
    Artifact { path, sha256 }
}

pub(super) struct Site {
    pub(super) dir: tempfile::TempDir,
    pub(super) qemu: Arc<Qemu>,
    pub(super) shell: Arc<SshShell>,
    grants: Grants,
    pub(super) spec: ActionSpec,
    pub(super) first: NetbootTarget,
}

impl Site {
    /// The disk that is written.
    pub(super) fn disk(&self) -> PathBuf {
        self.dir.path().join("a.img")
    }

    /// What the machine said since it was started.
    pub(super) fn console(&self) -> String {
        self.qemu.console(*self.qemu.starts.lock().unwrap())
    }

    fn action(&self, disk: DiskRule) -> InstallImage {
        let mut spec = self.spec.clone();
        if let ActionSpec::InstallImage { disk: rule, .. } = &mut spec {
            *rule = disk;
        }
        self.action_of(&spec)
    }

    pub(super) fn action_of(&self, spec: &ActionSpec) -> InstallImage {
        let netboot = Netboot::new(self.first.clone(), self.qemu.clone(), self.shell.clone(), self.grants.clone());
        let target = InstallTarget::new(spec, &self.first).unwrap();
        InstallImage::new(target, netboot, Duration::from_secs(1), Duration::from_secs(15))
    }

    /// Looks until the end is seen.
    pub(super) async fn until_done(&self, action: &InstallImage, book: &Book) -> String {
        let began = Instant::now();
        loop {
            match action.look(None).await {
                Ok(Standing::Done(evidence)) => break evidence,
                Ok(Standing::Busy { with }) => book.progress(&with),
                Err(error) if error.class == Class::Transient => book.progress(&error.to_string()),
                other => panic!("{other:?}\n{}", self.console()),
            }
            assert!(began.elapsed() < Duration::from_secs(BOOT_S.into()), "{}", self.console());
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// What the installed system says of itself, once systemd has started all that it has.
    pub(super) async fn until_running(&self) -> String {
        let began = Instant::now();
        loop {
            let told = self
                .on_node(
                    "echo; tr ' ' '\\n' </proc/cmdline; cat /etc/hostname /etc/bringup/installed /proc/1/comm; \
                     stat -c '%s %n' /etc/machine-id; ls /etc/ssh/ssh_host*; stat -c '%a %n' /root/.ssh/authorized_keys; \
                     awk '$2 == \"/\" { print $1, $3 }' /proc/mounts; systemctl --failed --no-legend; systemctl is-system-running",
                )
                .await;
            let starts = ["\nstarting\n", "\ninitializing\n"].iter().any(|word| told.ends_with(word));
            if !starts || began.elapsed() > Duration::from_secs(BOOT_S.into()) {
                return told;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    pub(super) async fn on_node(&self, script: &str) -> String {
        let probe = bringup::model::Probe::new("test", ["sh", "-c", script]);
        match self.shell.run(&probe).await.unwrap() {
            bringup::model::Answer::Output(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
            bringup::model::Answer::Unknown { why } => panic!("{why}"),
        }
    }
}

async fn site(test: &str) -> Option<Site> {
    need_program(test, "qemu-system-x86_64")?;
    for file in ["/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/lib/ipxe/qemu/efi-virtio.rom"] {
        if !Path::new(file).exists() {
            skip(test, file);
            return None;
        }
    }
    let (image, node) = (image(test)?, node_image(test)?);
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::copy("/usr/share/OVMF/OVMF_VARS_4M.fd", at("vars.fd")).unwrap();
    std::fs::File::create(at("a.img")).unwrap().set_len(5 << 28).unwrap();
    // A disk that holds something: the superblock of an ext4, as far as anybody looks, in the middle of other bytes.
    let other = std::fs::File::create(at("b.img")).unwrap();
    other.set_len(1 << 30).unwrap();
    other.write_all_at(b"somebody's data", 3 << 20).unwrap();

    let (host, mine) = (key(21), key(22));
    std::fs::write(at("identity.img"), identity(&host, &[mine.public_key().clone()]).unwrap()).unwrap();
    let grants = Grants::open(&at("grants.db")).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let boot_server = listener.local_addr().unwrap().port();
    tokio::spawn(serve_with(listener, grants.clone(), ServeOptions::default(), CancellationToken::new()));
    let ssh = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let held = Mutex::new(BootOverride::none());
    let (process, starts) = (Mutex::new(None), Mutex::new(0));
    let qemu = Arc::new(Qemu { dir: dir.path().to_owned(), ssh, boot_server, process, starts, held });
    let shell = Arc::new(SshShell::new(SshOptions {
        address: ([127, 0, 0, 1], ssh).into(),
        user: "root".into(),
        key: PrivateKeyText::new(mine.to_openssh(LineEnding::LF).unwrap().to_string()),
        host_keys: BTreeSet::from([host.fingerprint(HashAlg::Sha256).to_string()]),
        first_contact: FirstContact::Refuse,
    }));
    let bringup_image = |name: &str| artifact(image.out.join("bringup").join(name));
    let node_file = |name: &str| artifact(node.out.join("node").join(name));
    let netboot = ActionSpec::Netboot {
        image: "bringup".into(),
        image_digest: Digest::from_bytes(&[7; 32]),
        kernel: bringup_image("vmlinuz"),
        initrd: vec![bringup_image("initrd.img"), artifact(at("identity.img"))],
        root: None,
        cmdline: vec!["console=ttyS0".into()],
        method: BootTarget::Pxe,
        mode: BootMode::Uefi,
        files_from: None,
        old_boot_id: None,
        deadline_s: BOOT_S,
        identity: Default::default(),
    };
    let first = NetbootTarget {
        node: NodeId::new("a001-s01").unwrap(),
        run: RunId::new("run-install").unwrap(),
        plan: PlanId::new("plan-install").unwrap(),
        serial: SERIAL.into(),
        uuid: Some(UUID.into()),
        mac: MAC.parse().unwrap(),
        address: "10.0.2.15".parse().unwrap(),
        server: format!("http://10.0.2.2:{boot_server}"),
        files_from: None,
        method: BootTarget::Pxe,
        mode: BootMode::Uefi,
        image_digest: Digest::from_bytes(&[7; 32]),
        kernel: bringup_image("vmlinuz"),
        initrd: vec![bringup_image("initrd.img"), artifact(at("identity.img"))],
        root: None,
        cmdline: vec!["console=ttyS0".into()],
        old_boot_id: None,
        boot_before: Reading::Known(BootOverride::none()),
        deadline_s: BOOT_S,
    };
    let spec = ActionSpec::InstallImage {
        image: "node".into(),
        image_digest: Digest::from_bytes(&[8; 32]),
        kernel: node_file("vmlinuz"),
        initrd: vec![node_file("initrd.img")],
        root: node_file("root.squashfs"),
        cmdline: vec!["console=tty0".into(), "console=ttyS0,115200n8".into()],
        disk: DiskRule::default(),
        wipe: Wipe::BlankOnly,
        deadline_s: 600,
        netboot: Box::new(netboot),
    };
    Some(Site { dir, qemu, shell, grants, spec, first })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_is_installed_on_the_disk_that_a_rule_means_and_starts_from_it() {
    let Some(mut site) = site(TEST).await else { return };
    let book = Book::default();
    let untouched = digest(&site.dir.path().join("b.img"));
    let by = |transport| DiskRule { transport: Some(transport), ..DiskRule::default() };

    // Rules that mean two disks, or one that holds something: refused, with the disks named, and nothing is written.
    let both = DiskRule { size_min: Some(1 << 30), ..DiskRule::default() };
    for (rule, words) in [
        (both, ["2 disks fit the rule (at least 1 GB)", "1.3 GB nvme QEMU NVMe Ctrl, serial NVME-A", "serial VIRT-B"]),
        (by(Transport::Virtio), ["is not blank and the plan does not wipe", "serial VIRT-B", "--allow wipe"]),
    ] {
        let action = site.action(rule);
        assert!(matches!(action.look(None).await.unwrap(), Standing::Ready { .. }));
        let error = action.act(&book).await.unwrap_err();
        assert!(error.class == Class::Refused && words.iter().all(|w| error.seen.contains(w)), "{error}");
    }
    assert_eq!(*site.qemu.starts.lock().unwrap(), 1, "the ramdisk was booted once for all of them");
    assert_eq!(std::fs::metadata(site.dir.path().join("a.img")).map(|m| std::os::unix::fs::MetadataExt::blocks(&m)).unwrap(), 0);

    // The one that is meant.
    let action = site.action(by(Transport::Nvme));
    assert!(matches!(action.look(None).await.unwrap(), Standing::Ready { .. }));
    action.act(&book).await.unwrap_or_else(|e| panic!("{e}\n{}", site.qemu.console(1)));
    let done = site.until_done(&action, &book).await;
    book.progress(&done);
    assert!(done.contains("image 080808080808 from the disk 1.3 GB nvme QEMU NVMe Ctrl, serial NVME-A"), "{done}");
    assert_eq!(*site.qemu.starts.lock().unwrap(), 2, "one netboot, one start from the disk");

    // Debian with systemd runs, all of it, with the same host key (the shell knows no other), the plan's words, and what a first boot needs.
    let told = site.until_running().await;
    println!("{told}");
    for word in [
        "\nbringup.plan=plan-install\n",
        "\nbringup.disk=",
        "\na001-s01\n",
        "\nserial NVME-A\n",
        "\n33 /etc/machine-id\n",
        "\n/etc/ssh/ssh_host_ed25519_key\n",
        "\n/dev/nvme0n1p2 ext4\n",
        "\nsystemd\n",
        "\nrunning\n",
        "\n600 /root/.ssh/authorized_keys\n",
    ] {
        assert!(told.contains(word), "{word}: {told}");
    }
    assert!(!told.contains("bringup.root") && !told.contains("bringup.grant="), "{told}");
    let lines = book.lines.lock().unwrap().clone();
    let installs: Vec<_> = lines.iter().filter(|(t, _)| matches!(t, Touch::InstallImage { .. })).collect();
    assert!(
        matches!(installs.as_slice(), [(Touch::InstallImage { disk, holds, .. }, None), (_, Some(EvidenceNote::Applied(_)))]
        if disk.contains("serial NVME-A") && holds.is_empty()),
        "{installs:?}"
    );
    assert!(!format!("{lines:?}").contains("/dev/"), "{lines:?}");
    let returned = action.release(&book).await.unwrap();
    assert!(returned.kept.is_empty(), "{returned:?}");

    // What was borrowed is given back: the next power-on, network first as ever, ends in the same system.
    let name = site.on_node("cat /etc/machine-id /proc/sys/kernel/random/boot_id").await;
    let taken = taken(&site).await;
    book.progress("its disk is packed");
    assert!(matches!(site.qemu.set_power(PowerVerb::On, Duration::from_secs(60)).await, Written::Applied(_)));
    let began = Instant::now();
    // A machine that does not listen yet is connected to all the same, by QEMU: what hangs there is not waited for.
    while let tried = tokio::time::timeout(Duration::from_secs(15), site.shell.boot_id()).await
        && !matches!(tried, Ok(Ok(_)))
    {
        assert!(began.elapsed() < Duration::from_secs(BOOT_S.into()), "{tried:?}\n{}", site.console());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let again = site.on_node("cat /etc/machine-id /proc/sys/kernel/random/boot_id").await;
    let (name, again): (Vec<&str>, Vec<&str>) = (name.lines().collect(), again.lines().collect());
    assert!(name.len() == 2 && name[0] == again[0] && name[1] != again[1], "{name:?} {again:?}");
    assert!(site.console().contains("/boot.ipxe"), "it asked the boot server first:\n{}", site.console());
    assert!(matches!(action.look(None).await.unwrap(), Standing::Done(_)));
    book.progress("and again from its disk");

    is_written_as_a_whole(&mut site, &book, taken, by(Transport::Nvme)).await;
    assert_eq!(digest(&site.dir.path().join("b.img")), untouched, "the other disk");
}
