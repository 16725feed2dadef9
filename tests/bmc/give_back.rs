//! Giving the boot override back: to sushy-tools' emulator, which refuses the clean way and keeps `Once` for ever, and to BMCs that refuse more.

use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bringup::action::{Action, ActionError, Netboot, NetbootTarget, Returned, Scribe, Standing};
use bringup::bmc::redfish::Redfish;
use bringup::bmc::{Bmc, Written};
use bringup::boot::{GrantState, Grants};
use bringup::model::{
    Artifact, BootMode, BootOverride, BootTarget, Digest, EvidenceNote, Mac, NodeId, PlanId, Reading, RunId, Touch,
};
use bringup::shell::{FirstContact, PrivateKeyText, SshOptions, SshShell};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::redfish_model::{SYSTEM, bmc, good};
use super::redfish_server::Reply;
use super::redfish_sushy::Sushy;

/// What was announced and what was read back, in order.
#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

#[async_trait]
impl Scribe for Lines {
    async fn before(&self, touch: &Touch) -> Result<(), ActionError> {
        self.0.lock().unwrap().push(match touch {
            Touch::SetBoot(to) => format!("to {}", to.target),
            Touch::IssueGrant { .. } => "grant".to_owned(),
            Touch::Power(verb) => format!("power {verb}"),
            other => panic!("{other:?}"),
        });
        Ok(())
    }

    async fn after(&self, _touch: &Touch, seen: EvidenceNote) -> Result<(), ActionError> {
        self.0.lock().unwrap().push(match seen {
            EvidenceNote::Applied(_) => "applied".to_owned(),
            EvidenceNote::NotApplied(_) => "not applied".to_owned(),
            EvidenceNote::Ambiguous(_) => "ambiguous".to_owned(),
        });
        Ok(())
    }

    fn progress(&self, _text: &str) {}
}

fn held(target: BootTarget, once: bool) -> BootOverride {
    BootOverride { target, once, mode: Some(BootMode::Uefi), http_uri: None }
}

/// A netboot of the node behind a BMC.
fn netboot(client: Redfish, before: Reading<BootOverride>, dir: &Path) -> Netboot {
    std::fs::write(dir.join("kernel"), "kernel").unwrap();
    let digest = Digest::from_bytes(&Sha256::digest("kernel").into());
    let target = NetbootTarget {
        node: NodeId::new("a001-s01").unwrap(),
        run: RunId::new("run-1").unwrap(),
        plan: PlanId::new("plan-0123").unwrap(),
        serial: "S-1".into(),
        uuid: None,
        mac: "52:54:00:aa:00:01".parse::<Mac>().unwrap(),
        address: "127.0.0.1".parse().unwrap(),
        server: "http://127.0.0.1:9".into(),
        method: BootTarget::Pxe,
        mode: BootMode::Uefi,
        image_digest: digest.clone(),
        kernel: Artifact { path: dir.join("kernel"), sha256: digest },
        initrd: vec![],
        root: None,
        cmdline: vec![],
        files_from: None,
        old_boot_id: None,
        boot_before: before,
        deadline_s: 60,
    };
    // Nothing is asked of the system when things are given back.
    let shell = SshShell::new(SshOptions {
        address: "127.0.0.1:9".parse().unwrap(),
        user: "root".into(),
        key: PrivateKeyText::new("none".into()),
        host_keys: Default::default(),
        first_contact: FirstContact::Refuse,
    });
    let grants = Grants::open(&dir.join("grants.db")).unwrap();
    Netboot::new(target, Arc::new(client), Arc::new(shell), grants)
}

/// Gives back as a netboot does, after which the journal holds the lines returned.
async fn release(client: Redfish, before: Reading<BootOverride>) -> (Returned, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let action = netboot(client, before, dir.path());
    let scribe = Lines::default();
    let returned = action.release(&scribe).await.unwrap();
    (returned, scribe.0.into_inner().unwrap())
}

#[tokio::test]
async fn sushy_goes_back_to_what_it_held_or_to_its_disk() {
    let Some(sushy) = Sushy::start("sushy_goes_back_to_what_it_held_or_to_its_disk") else { return };
    let client = || Redfish::new(sushy.options("password", 0)).unwrap();
    let pxe = held(BootTarget::Pxe, true);
    let found = client().boot().await.unwrap();
    assert_eq!(found, Reading::Known(held(BootTarget::Disk, false)));

    // It is known what it held: back to that, in one touch.
    assert!(matches!(client().set_boot(&pxe).await, Written::Applied(_)));
    let (returned, touches) = release(client(), found.clone()).await;
    assert_eq!(returned.given, ["boot override pxe: now disk at every boot"]);
    assert!(returned.kept.is_empty(), "{returned:?}");
    assert_eq!(touches, ["to disk", "applied"]);
    assert_eq!(client().boot().await.unwrap(), found);
    // Giving back twice is giving back once.
    assert_eq!(release(client(), found.clone()).await, (Returned::default(), vec![]));

    // It is not known: the clean way is refused, and the disk is read back.
    assert!(matches!(client().set_boot(&pxe).await, Written::Applied(_)));
    let (returned, touches) = release(client(), Reading::unknown("the BMC was not heard")).await;
    assert_eq!(returned.given, ["boot override pxe: now disk at every boot"]);
    assert_eq!(touches, ["to none", "not applied", "to disk", "applied"]);
    assert_eq!(client().boot().await.unwrap(), found);

    // A site that has its nodes netboot at every boot keeps that.
    assert!(matches!(client().set_boot(&pxe).await, Written::Applied(_)));
    let (returned, touches) = release(client(), Reading::Known(held(BootTarget::Pxe, false))).await;
    assert_eq!((returned, touches), (Returned::default(), vec![]));
    assert_eq!(client().boot().await.unwrap(), Reading::Known(held(BootTarget::Pxe, false)));
}

#[tokio::test]
async fn a_good_bmc_is_left_without_an_override() {
    let (server, state) = good().await;
    let pxe = json!({"BootSourceOverrideEnabled": "Once", "BootSourceOverrideTarget": "Pxe", "BootSourceOverrideMode": "UEFI"});
    state.lock().unwrap().boot = pxe;
    // An override for one boot is not put back: it has had its boot.
    let (returned, touches) = release(server.client(), Reading::Known(held(BootTarget::Cd, true))).await;
    assert_eq!(returned.given, ["boot override pxe: now none"]);
    assert_eq!(touches, ["to none", "applied"]);
}

#[tokio::test]
async fn what_cannot_be_given_back_is_said() {
    let (server, state) = bmc(|seen, _| seen.is("PATCH", SYSTEM).then(|| Reply::status(400))).await;
    state.lock().unwrap().boot = json!({"BootSourceOverrideEnabled": "Continuous", "BootSourceOverrideTarget": "Pxe",
        "BootSourceOverrideMode": "UEFI"});
    let (returned, touches) = release(server.client(), Reading::Known(BootOverride::none())).await;
    assert!(returned.given.is_empty(), "{returned:?}");
    assert_eq!(touches, ["to none", "not applied", "to disk", "not applied"]);
    let [kept] = returned.kept.as_slice() else { panic!("{returned:?}") };
    assert_eq!(kept.what, "boot override pxe");
    assert!(kept.why.contains("none: ") && kept.why.contains("disk at every boot: ") && kept.why.contains("400"), "{kept:?}");
}

#[tokio::test]
async fn a_bmc_that_does_not_answer_is_asked_once() {
    let (server, _state) = bmc(|seen, _| seen.is("GET", SYSTEM).then(|| Reply::status(503))).await;
    let (returned, touches) = release(server.client(), Reading::Known(BootOverride::none())).await;
    assert!(touches.is_empty() && returned.given.is_empty());
    assert!(returned.kept.iter().any(|k| k.what == "boot override" && k.why.contains("could not be read")), "{returned:?}");
}

/// The node was not touched, so nobody waits for it: the next look finds no grant open, and says so at once.
#[tokio::test]
async fn a_boot_that_the_bmc_refuses_leaves_no_grant_open() {
    for (method, path, touches) in [
        ("PATCH", SYSTEM.to_owned(), &["grant", "applied", "to pxe", "not applied"][..]),
        (
            "POST",
            format!("{SYSTEM}/Actions/ComputerSystem.Reset"),
            &["grant", "applied", "to pxe", "applied", "power on", "not applied"],
        ),
    ] {
        let (server, state) = bmc(move |seen, _| seen.is(method, &path).then(|| Reply::status(400))).await;
        let dir = tempfile::tempdir().unwrap();
        let action = netboot(server.client(), Reading::Known(BootOverride::none()), dir.path());
        let (plan, node) = (action.target.plan.clone(), action.target.node.clone());
        let scribe = Lines::default();
        let error = action.act(&scribe).await.unwrap_err();
        assert!(error.seen.contains("400"), "{error:?}");
        assert_eq!(scribe.0.into_inner().unwrap(), touches);
        assert!(action.grants.find_open(&plan, &node).await.unwrap().is_none());
        let last = action.grants.find_newest(&plan, &node).await.unwrap().unwrap();
        assert!(last.state == GrantState::Revoked, "{:?}", last.state);
        assert!(matches!(action.look(None).await.unwrap(), Standing::Ready { .. }));
        assert_eq!(state.lock().unwrap().resets, Vec::<String>::new());
    }
}
