//! SSH into a simulated system with OpenSSH's client and a pinned host key: what the tools print, what a push leaves, what a power cut breaks.

use std::process::{Command, Stdio};

use bringup::model::PowerVerb;
use bringup::sim::farm::{SimNode, WrittenSite};
use bringup::sim::{Farm, FarmSpec};

use super::site::{node, run, spec, until};
use crate::support::need_program;

struct Site {
    farm: Farm,
    written: WrittenSite,
    dir: tempfile::TempDir,
}

/// A farm whose disk systems are up.
async fn up(mut spec: FarmSpec) -> Site {
    for node in &mut spec.nodes {
        node.running = true;
    }
    let farm = Farm::start(spec).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let written = farm.write_inventory(dir.path(), "http://127.0.0.1:1").unwrap();
    Site { farm, written, dir }
}

impl Site {
    /// `ssh` that knows exactly the recorded host key: the simulator's own key file is not asked, the facts' fingerprint is.
    fn ssh(&self, node: &SimNode, words: &[&str]) -> Command {
        let known = self.dir.path().join(format!("known-{}", node.ssh));
        if !known.exists() {
            let key =
                bringup::sim::ssh::keys::derive(node.machine.identity().seed, node.machine.identity().node.as_str()).unwrap();
            let line = format!("[{}]:{} {}\n", node.ssh.ip(), node.ssh.port(), key.public_key().to_openssh().unwrap());
            std::fs::write(&known, line).unwrap();
        }
        let mut command = Command::new("ssh");
        command.args(["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "IdentitiesOnly=yes"]);
        command.args(["-o", "ConnectTimeout=10", "-o"]).arg(format!("UserKnownHostsFile={}", known.display()));
        command.arg("-i").arg(&self.written.ssh_key).arg("-p").arg(node.ssh.port().to_string());
        command.arg(format!("root@{}", node.ssh.ip())).args(words).stdin(Stdio::null());
        command
    }

    async fn login(&self, node: &SimNode, words: &[&str]) -> (i32, String, String) {
        until("ssh listens", || std::net::TcpStream::connect(node.ssh).is_ok()).await;
        run(self.ssh(node, words)).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn openssh_logs_in_and_the_tools_print() {
    if need_program("openssh_logs_in_and_the_tools_print", "ssh").is_none() {
        return;
    }
    let site = up(spec(2, 2, &[])).await;
    let gpu = node(&site.farm, "a001-s01");
    let id = gpu.machine.identity();
    let (exit, out, err) = site.login(gpu, &["cat", "/sys/class/dmi/id/product_serial", "/sys/class/dmi/id/product_uuid"]).await;
    assert_eq!((exit, out.as_str()), (0, format!("{}\n{}\n", id.serial, id.uuid).as_str()), "{err}");
    let (_, out, _) = site.login(gpu, &["cat", "/proc/cmdline"]).await;
    assert!(out.contains("booted-from=disk"), "{out}");
    let (exit, out, _) = site.login(gpu, &["nvidia-smi", "-q", "-x"]).await;
    assert_eq!((exit, out.matches("<gpu id=").count()), (0, 8));
    assert!(out.contains("<remapped_row_pending>No</remapped_row_pending>") && out.ends_with("</nvidia_smi_log>\n"));
    let (exit, out, _) = site.login(gpu, &["nvidia-smi", "nvlink", "--status"]).await;
    assert_eq!((exit, out.matches("26.562 GB/s").count()), (0, 8 * 18));
    let (exit, out, _) = site.login(node(&site.farm, "a002-s01"), &["furiosa-smi", "info", "--format", "json"]).await;
    let cards: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((exit, cards.as_array().unwrap().len(), cards[0]["arch"].as_str()), (0, 8, Some("rngd")));
    let (exit, out, _) = site.login(node(&site.farm, "a002-s02"), &["rbln-smi", "-j"]).await;
    let listing: serde_json::Value = serde_json::from_str(&out).unwrap();
    let sids: std::collections::BTreeSet<&str> =
        listing["devices"].as_array().unwrap().iter().map(|d| d["sid"].as_str().unwrap()).collect();
    assert_eq!((exit, listing["devices"].as_array().unwrap().len(), sids.len()), (0, 32, 8), "a card is four devices of one sid");
    let (exit, _, err) = site.login(gpu, &["rbln-smi", "-j"]).await;
    assert_eq!(exit, 127, "{err}");
    let (exit, _, err) = site.login(gpu, &["nonsense"]).await;
    assert_eq!(exit, 127, "{err}");
    site.farm.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_and_wrong_keys_stay_out() {
    if need_program("strangers_and_wrong_keys_stay_out", "ssh").is_none() {
        return;
    }
    let site = up(spec(1, 2, &["a001-s02=ssh.wrong-key"])).await;
    let (exit, _, err) = site.login(node(&site.farm, "a001-s02"), &["true"]).await;
    assert_eq!(exit, 255);
    assert!(err.contains("Host key verification failed"), "{err}");
    let stranger = site.dir.path().join("stranger");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&stranger).status().unwrap();
    assert!(made.success());
    let first = node(&site.farm, "a001-s01");
    assert_eq!(site.login(first, &["true"]).await.0, 0);
    let words: Vec<String> = site
        .ssh(first, &["true"])
        .get_args()
        .map(|a| a.to_string_lossy().into_owned())
        .map(|a| if a == site.written.ssh_key.display().to_string() { stranger.display().to_string() } else { a })
        .collect();
    let mut command = Command::new("ssh");
    command.args(words).stdin(Stdio::null());
    let (exit, _, err) = run(command).await;
    assert_eq!(exit, 255);
    assert!(err.contains("Permission denied"), "{err}");
    site.farm.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_breaks_connections_and_ram_is_forgotten() {
    if need_program("a_power_cut_breaks_connections_and_ram_is_forgotten", "ssh").is_none() {
        return;
    }
    let site = up(spec(1, 1, &[])).await;
    let node = node(&site.farm, "a001-s01");
    let (_, first, _) = site.login(node, &["cat", "/proc/sys/kernel/random/boot_id"]).await;
    assert_eq!(site.login(node, &["bringup-install", "nvidia-driver", "580.105.08"]).await.0, 0);
    assert_eq!(site.login(node, &["bringup-version", "nvidia-driver"]).await.1, "580.105.08\n");
    node.machine.power(PowerVerb::Cycle);
    until("the port closes", || std::net::TcpStream::connect(node.ssh).is_err()).await;
    until("the system is back", || node.machine.system().is_some()).await;
    let (exit, second, _) = site.login(node, &["cat", "/proc/sys/kernel/random/boot_id"]).await;
    assert_eq!(exit, 0);
    assert_ne!(first, second);
    assert_eq!(site.login(node, &["bringup-version", "nvidia-driver"]).await.1, "550.54.15\n", "the disk's own");
    site.farm.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn accelerator_faults_show() {
    if need_program("accelerator_faults_show", "ssh").is_none() {
        return;
    }
    let faults = [
        "a001-s01=gpu.remap-pending(3)",
        "a001-s01=link.width(1,8)",
        "a001-s02=gpu.missing(0)",
        "a001-s02=gpu.ecc(2)",
        "a002-s01=npu.missing(5)",
        "a002-s02=npu.missing(0)",
        "a002-s02=accelerator.hot(1,95)",
    ];
    let site = up(spec(2, 2, &faults)).await;
    let xml = site.login(node(&site.farm, "a001-s01"), &["nvidia-smi", "-q", "-x"]).await.1;
    assert_eq!(xml.matches("<remapped_row_pending>Yes<").count(), 1);
    assert_eq!(xml.matches("<current_link_width>8x<").count(), 1);
    let xml = site.login(node(&site.farm, "a001-s02"), &["nvidia-smi", "-q", "-x"]).await.1;
    assert!(xml.contains("<attached_gpus>7</attached_gpus>"));
    assert_eq!(xml.matches("<dram_uncorrectable>3<").count(), 2);
    let cards: serde_json::Value =
        serde_json::from_str(&site.login(node(&site.farm, "a002-s01"), &["furiosa-smi", "info", "--format", "json"]).await.1)
            .unwrap();
    assert_eq!(cards.as_array().unwrap().len(), 7);
    let listing: serde_json::Value =
        serde_json::from_str(&site.login(node(&site.farm, "a002-s02"), &["rbln-smi", "-j"]).await.1).unwrap();
    assert_eq!(listing["devices"].as_array().unwrap().len(), 28);
    assert_eq!(listing["devices"][0]["temperature"], "95C");
    site.farm.stop().await;
}

#[tokio::test]
async fn ssh_never_comes_when_the_fault_says_so() {
    let site = up(spec(1, 1, &["a001-s01=ssh.never"])).await;
    let node = node(&site.farm, "a001-s01");
    assert!(node.machine.system().is_some(), "the system is up");
    for _ in 0..20 {
        assert!(std::net::TcpStream::connect(node.ssh).is_err());
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    site.farm.stop().await;
}
