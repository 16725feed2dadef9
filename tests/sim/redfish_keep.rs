//! Settings, media, the certificate and the BMC's restart of the simulator, under OpenStack's client and Python's TLS.

use std::process::Command;

use bringup::sim::profile::EtagRule;

use super::site::{farm, run};
use crate::support::need_venv;

#[tokio::test(flavor = "multi_thread")]
async fn sushy_sets_inserts_and_restarts_every_maker() {
    let test = "sushy_sets_inserts_and_restarts_every_maker";
    let Some(python) = need_venv(test, "python3") else { return };
    // Racks 1, 2 and 3 have BMCs of three makers.
    let farm = farm(3, 1, &[]).await;
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("password");
    std::fs::write(&secret, farm.bmc_password()).unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["bmc.example".to_owned()]).unwrap();
    let (certificate, key) = (dir.path().join("bmc.pem"), dir.path().join("bmc.key"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sim/drive_sushy_keep.py");
    for node in farm.nodes() {
        let keeps = &node.machine.identity().profile.keeps;
        let mut command = Command::new(&python);
        command.arg(&script).arg(format!("https://{}", node.bmc)).arg("admin").arg(&secret);
        command.arg(if keeps.media_at_system { "system" } else { "manager" }).arg(keeps.manager_resets[0]);
        command.arg(&certificate).arg(&key);
        let (exit, out, err) = run(command).await;
        let name = node.machine.identity().profile.name;
        assert_eq!(exit, 0, "{name}: {out}\n{err}");
        for words in [
            "bios Disabled",
            "registry 9 600 True",
            "pending Enabled",
            "read-only refused",
            "empty False None",
            "inserted True http://10.77.0.1/rescue.iso URI",
            "ejected",
            "told is shown True",
            "request -----BEGIN CERTIFICATE REQUEST-----",
            "refused without its key True",
            "replaced True True",
            "back BMC",
            "after it True",
        ] {
            assert!(out.contains(words), "{name}: `{words}`: {out}");
        }
        assert!(out.contains(keeps.manager_resets[0]), "{name}: {out}");
        assert_eq!(out.contains("wants a tag"), node.machine.identity().profile.etag == EtagRule::Required, "{name}: {out}");
        assert_eq!((node.machine.bmc_restarts(), node.machine.media(|m| m.insertions)), (1, 1), "{name}");
    }
    farm.stop().await;
}
