//! A bring-up by hand, each hand of the product against the farm: Redfish sets the boot, the boot server hands out the image, the ROM fetches it,
//! SSH pushes and installs the driver, the gate judges. One node of each family, and one of each seeded fault of the demo.

use std::sync::Arc;
use std::time::Duration;

use bringup::bmc::redfish::{Redfish, RedfishOptions};
use bringup::bmc::{Bmc as _, Password, Written};
use bringup::boot::{GrantSpec, Grants, Loaders, ServeOptions, new_grant_id, now_ms, serve_with};
use bringup::model::{
    BootMode, BootOverride, BootTarget, Digest, Inventory, Node, NodeId, PlanId, Playbook, PowerVerb, RunId, Suite, Verdict,
};
use bringup::shell::{FirstContact, PrivateKeyText, Pushed, Shell as _, SshOptions, SshShell};
use bringup::sim::Farm;
use bringup::sim::farm::WrittenSite;
use bringup::verify::{Judged, judge, probes};
use tokio_util::sync::CancellationToken;

use super::site::{farm, until};

struct Site {
    farm: Farm,
    written: WrittenSite,
    inventory: Inventory,
    playbook: Playbook,
    grants: Grants,
    server: String,
    stop: CancellationToken,
    _dir: tempfile::TempDir,
}

async fn site(faults: &[&str]) -> Site {
    let farm = farm(2, 4, faults).await;
    let dir = tempfile::tempdir().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    let written = farm.write_inventory(dir.path(), &server).unwrap();
    farm.chain_to(format!("{server}/boot.ipxe"));
    let inventory = bringup::spec::load_inventory(&written.inventory, "2026-11-22").unwrap().inventory;
    let playbook = bringup::spec::load_playbook(&written.playbook, "2026-11-22").unwrap().playbook;
    let grants = Grants::open(&dir.path().join("grants.db")).unwrap();
    let stop = CancellationToken::new();
    let options = ServeOptions { loaders: Loaders::open(&written.loaders, None).unwrap(), ..ServeOptions::default() };
    tokio::spawn(serve_with(listener, grants.clone(), options, stop.clone()));
    Site { farm, written, inventory, playbook, grants, server, stop, _dir: dir }
}

impl Site {
    fn node(&self, id: &str) -> &Node {
        self.inventory.nodes.get(&NodeId::new(id).unwrap()).unwrap()
    }

    fn bmc(&self, node: &Node) -> Redfish {
        let password = Password::new(self.farm.bmc_password());
        let mut options = RedfishOptions::new(node.bmc.address, node.bmc.user.clone(), password, node.bmc.trust.clone());
        options.expect_serial.clone_from(&node.serial);
        Redfish::new(options).unwrap()
    }

    fn shell(&self, node: &Node) -> Arc<SshShell> {
        let key = PrivateKeyText::new(std::fs::read_to_string(&self.written.ssh_key).unwrap());
        Arc::new(SshShell::new(SshOptions {
            address: node.ssh.address,
            user: node.ssh.user.clone(),
            key,
            host_keys: node.ssh.host_keys.clone(),
            first_contact: FirstContact::Refuse,
        }))
    }

    /// Boots a node from the network; says what became of the override.
    async fn netboot(&self, node: &Node, method: BootTarget) -> Written {
        let image = self.playbook.baseline.image.clone().unwrap();
        let spec = GrantSpec {
            id: new_grant_id(),
            node: node.id.clone(),
            plan: PlanId::new("plan-1").unwrap(),
            run: RunId::new("run-1").unwrap(),
            mac: node.boot.mac,
            uuid: node.uuid.clone(),
            serial: node.serial.clone(),
            image: Digest::from_bytes(&[9; 32]),
            kernel: image.kernel,
            initrd: image.initrd,
            root: None,
            cmdline: image.cmdline,
            expires_at_ms: now_ms() + 600_000,
        };
        let issued = self.grants.issue(spec).await.unwrap();
        let bmc = self.bmc(node);
        let uri = (method == BootTarget::UefiHttp).then(|| format!("{}{}", self.server, issued.loader_path()));
        let written = bmc.set_boot(&BootOverride { target: method, once: true, mode: Some(BootMode::Uefi), http_uri: uri }).await;
        if matches!(written, Written::Applied(_)) {
            assert!(matches!(bmc.set_power(PowerVerb::On, Duration::from_secs(30)).await, Written::Applied(_)));
            until("the system is up", || self.farm.node(node.id.as_str()).unwrap().machine.system().is_some()).await;
        }
        bmc.close().await;
        written
    }

    async fn install(&self, node: &Node, shell: &SshShell) {
        for install in &self.playbook.stacks.get(node.stack.as_ref().unwrap()).unwrap().install {
            let to = install.to.as_deref().unwrap();
            let artifact = install.artifact.as_ref().unwrap();
            assert!(matches!(shell.push(artifact, to, install.mode).await.unwrap(), Pushed::Sent { bytes: 98_304 }));
            assert_eq!(shell.push(artifact, to, install.mode).await.unwrap(), Pushed::AlreadyThere);
            let answer = shell.run(&bringup::model::Probe::new("install", install.run.clone())).await.unwrap();
            assert!(matches!(answer, bringup::model::Answer::Output(o) if o.exit == 0));
        }
    }

    async fn gate(&self, node: &Node, shell: &SshShell) -> (Judged, bool) {
        let suite = Suite {
            policy: self.playbook.policies.get(&node.verify).unwrap().clone(),
            accelerator: node.accelerator.clone(),
            serial: node.serial.clone(),
            uuid: node.uuid.clone(),
            accelerator_serials: node.accelerator_serials.iter().cloned().collect(),
        };
        let mut answers = bringup::verify::Answers::new();
        for probe in probes(&suite) {
            answers.insert(probe.id.clone(), shell.run(&probe).await.unwrap());
        }
        let (judged, admission) = judge(&node.id, &node.pool, &suite, &answers, "2026-11-22");
        (judged, admission.is_some())
    }

    /// The whole line of one node.
    async fn bring_up(&self, id: &str, method: BootTarget) -> (Judged, bool) {
        let node = self.node(id);
        assert!(matches!(self.netboot(node, method).await, Written::Applied(_)));
        let shell = self.shell(node);
        until("ssh listens", || std::net::TcpStream::connect(node.ssh.address).is_ok()).await;
        let cmdline = self.farm.node(id).unwrap().machine.system().unwrap().cmdline.clone();
        assert!(cmdline.contains("booted-from=network") && cmdline.contains("bringup.plan=plan-1"), "{cmdline}");
        self.install(node, &shell).await;
        let judged = self.gate(node, &shell).await;
        shell.close().await;
        judged
    }

    async fn end(self) {
        self.stop.cancel();
        self.farm.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_family_comes_up_and_passes() {
    let site = site(&[]).await;
    for (id, method) in [("a001-s01", BootTarget::UefiHttp), ("a002-s01", BootTarget::Pxe), ("a002-s04", BootTarget::UefiHttp)] {
        let (judged, admitted) = site.bring_up(id, method).await;
        assert!(judged.verdict.admissible() && admitted, "{id}: {judged:#?}");
        assert_eq!(judged.devices.len(), 8, "{id}");
    }
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demos_faults_are_found_where_they_were_put() {
    let faults = [
        "a001-s01=dead-bmc",
        "a001-s02=boot.ignore",
        "a001-s03=gpu.remap-pending(3)",
        "a002-s01=npu.missing(5)",
        "a002-s04=npu.missing(0)",
    ];
    let site = site(&faults).await;
    assert!(site.bmc(site.node("a001-s01")).power().await.is_err(), "nobody answers");
    assert!(!matches!(site.netboot(site.node("a001-s02"), BootTarget::UefiHttp).await, Written::Applied(_)));
    let (judged, admitted) = site.bring_up("a001-s03", BootTarget::UefiHttp).await;
    let bad: Vec<_> = judged.devices.iter().filter(|d| !d.verdict.admissible()).collect();
    assert_eq!(bad.len(), 1, "{judged:#?}");
    assert!(admitted, "seven of eight may work");
    for id in ["a002-s01", "a002-s04"] {
        let (judged, admitted) = site.bring_up(id, BootTarget::UefiHttp).await;
        assert!(!admitted && judged.verdict > Verdict::Note, "{id}: {judged:#?}");
    }
    site.end().await;
}
