//! What keeps a BMC (a password, its restart, its certificate) and what sets it (BIOS, media) under the faults of connection, body, session and entity
//! tag, each at every request: exactly one effect, the truth told, no session left, and no way in lost.

use std::time::Duration;

use bringup::bmc::keeping::{Keeping as _, leaf_of};
use bringup::bmc::redfish::{FirstContact, Redfish};
use bringup::bmc::{Bmc as _, BmcError, BmcTrouble, Password, Written};
use bringup::model::{BmcTrust, Digest};
use futures_util::future::BoxFuture;

use super::rig::{Rig, redfish};
use super::row::{Drive, Group, Row, Where};
use super::story::{ATTEMPTS, End, Story, whole};
use super::sweep::{Effort, sweep};
use super::{settings, table};

const NEW: &str = "An0ther-passw0rd";

fn rows() -> Vec<Row> {
    let row = |id, says, faults, placed| Row { id, says, faults, placed, own: |_| Box::pin(async { Ok("swept".to_owned()) }) };
    vec![
        row("clean", "does nothing wrong", &[], Where::Always),
        row("body", "loses the body, or says nothing in it", &["body.truncate", "ok.empty", "ok.with_error"], Where::EachOnce),
        row("conn", "resets used connections, or reboots", &["conn.rst_on_reuse", "bmc.reboot(100)"], Where::EachOnce),
        row("auth", "ends sessions early", &["auth.expire_after(4)"], Where::EachOn),
        row(
            "etag",
            "wants tags, drops without, refuses with",
            &["etag.required", "etag.star", "etag.weak", "etag.drift", "etag.silent_drop", "etag.refuse_on_post"],
            Where::EachOn,
        ),
        row("code", "answers actions with other codes", &["act.code(202)", "act.code(204)"], Where::EachOn),
    ]
}

/// The replacement of a certificate: after a refusal and after a restart only a new connection tells.
fn certificate_rows() -> Vec<Row> {
    let refused = Row {
        id: "RC-32",
        says: "answers 409 to what it has done",
        faults: &["act.409"],
        placed: Where::EachOn,
        own: |vendor| Box::pin(refused_and_shown(vendor)),
    };
    let late = Row {
        id: "late",
        says: "shows a new certificate from its next restart on",
        faults: &["cert.late"],
        placed: Where::EachOn,
        own: |vendor| Box::pin(shown_after_the_restart(vendor)),
    };
    rows().into_iter().chain([refused, late]).collect()
}

async fn held(name: &str, rows: Vec<Row>, drive: Drive) {
    let effort = Effort::from_env();
    let words: Vec<_> = rows.iter().map(|row| (row.id, row.says)).collect();
    let cells = sweep(vec![Group::driven(rows, drive)], &effort).await;
    println!("{name}\n{}", table::table(&words, &cells));
    for ((id, vendor), cell) in &cells {
        for (why, times) in &cell.told {
            println!("{name}, {id} on {vendor}: {times} ended early: {why}");
        }
    }
    let failed: Vec<&String> = cells.values().flat_map(|cell| &cell.failed).collect();
    assert!(failed.is_empty(), "{} assertions failed: {:#?}", failed.len(), &failed[..failed.len().min(12)]);
}

fn password<'a>(rig: &'a Rig, story: &'a mut Story) -> BoxFuture<'a, ()> {
    Box::pin(async move {
        let (bmc, machine) = (rig.bmc.as_ref(), rig.machine());
        let new = Password::new(NEW);
        let logins = machine.logins();
        let so = || machine.password("admin").as_deref() == Some(NEW);
        let changes = || machine.accounts(|accounts| accounts.changes());
        let written = bmc.set_password("admin", &new).await;
        let look = || -> BoxFuture<'_, _> {
            Box::pin(async {
                match bmc.proves("admin", &new).await {
                    Ok(holds) => (Some(holds), format!("the new password holds: {holds}")),
                    Err(error) => (None, whole(&error)),
                }
            })
        };
        let end = story.written("set the password", &written, so, || changes() == 0, look).await;
        if end == End::Done {
            // The hand goes on with the new one.
            story.read("power", || bmc.power()).await;
        }
        if changes() > 1 {
            story.wrong(format!("one change was wanted, and {} were made", changes()));
        }
        // One with the old, one with the new, and each once more where a session was lost on the way or the end was looked at.
        let tried = machine.logins() - logins;
        if tried > 8 {
            story.wrong(format!("credentials were shown {tried} times"));
        }
        story.search(&[NEW.to_owned()]);
    })
}

fn restart<'a>(rig: &'a Rig, story: &'a mut Story) -> BoxFuture<'a, ()> {
    Box::pin(async move {
        let (bmc, machine) = (rig.bmc.as_ref(), rig.machine());
        if story.read("power", || bmc.power()).await.is_none() {
            return;
        }
        let before = machine.bmc_restarts();
        let written = bmc.reset_bmc(Duration::from_secs(3)).await;
        let done = || machine.bmc_restarts() > before;
        let look = || -> BoxFuture<'_, _> { Box::pin(async { (None, "a restart leaves nothing to look at".to_owned()) }) };
        story.written("restart the BMC", &written, done, || !done(), look).await;
    })
}

/// A chain, its key, and the digest that it is known by.
fn made() -> (String, Password, Digest) {
    let made = rcgen::generate_simple_self_signed(vec!["bmc.example".to_owned()]).unwrap();
    let leaf = leaf_of(&made.cert.pem()).unwrap();
    (made.cert.pem(), Password::new(made.signing_key.serialize_pem()), leaf)
}

/// What it shows, by somebody who takes anything. The farm's machine does not tell.
async fn shown(rig: &Rig) -> Option<Digest> {
    let mut options = redfish(&rig.farm);
    (options.trust, options.first_contact) = (BmcTrust::FirstContact, FirstContact::Accept);
    let stranger = Redfish::new(options).unwrap();
    // A fault of one moment may strike this one's question too.
    let mut shown = stranger.shown_certificate().await;
    for _ in 1..ATTEMPTS {
        if shown.is_err() {
            shown = stranger.shown_certificate().await;
        }
    }
    stranger.close().await;
    shown.ok().and_then(|shown| shown.known().map(|shown| shown.sha256.clone()))
}

fn certificate<'a>(rig: &'a Rig, story: &'a mut Story) -> BoxFuture<'a, ()> {
    Box::pin(async move {
        let (bmc, machine) = (rig.bmc.as_ref(), rig.machine());
        if story.read("what it shows", || bmc.shown_certificate()).await.is_none() {
            return;
        }
        let (chain, key, leaf) = made();
        let written = bmc.replace_certificate(&chain, Some(&key), Duration::from_secs(3)).await;
        let shown = shown(rig).await;
        let so = || shown.as_ref() == Some(&leaf);
        let look = || -> BoxFuture<'_, _> { Box::pin(async { (None, "looked at by the stranger".to_owned()) }) };
        if story.written("replace the certificate", &written, so, || !so(), look).await == End::Done {
            story.read("power under the new one", || bmc.power()).await;
        } else if so() {
            // The pin has not moved: this hand cannot end its session any more, and the BMC's own time-out has to.
            machine.restart_bmc(0);
        }
        let line = key.expose().lines().nth(1).unwrap().to_owned();
        story.search(&[line]);
    })
}

async fn refused_and_shown(vendor: &'static str) -> Result<String, String> {
    let rig = settings::rig(vendor, &["act.409"]).await;
    let (chain, key, leaf) = made();
    let written = rig.bmc.replace_certificate(&chain, Some(&key), Duration::from_secs(3)).await;
    let told = match &written {
        Written::Applied(text) if text.contains("409") && text.contains("but a new connection shows") => text.clone(),
        other => return Err(format!("{other:?}")),
    };
    // The hand goes on under the new one, and somebody else sees it too.
    rig.bmc.power().await.map_err(|e| e.to_string())?;
    if shown(&rig).await != Some(leaf) {
        return Err(format!("it is not shown: {told}"));
    }
    settings::end(rig).await;
    Ok(told)
}

async fn shown_after_the_restart(vendor: &'static str) -> Result<String, String> {
    let rig = settings::rig(vendor, &["cert.late"]).await;
    let (chain, key, leaf) = made();
    let before = shown(&rig).await;
    let told = match rig.bmc.replace_certificate(&chain, Some(&key), Duration::from_millis(300)).await {
        Written::Ambiguous(text) if text.contains("from their next restart on") => text,
        other => return Err(format!("{other:?}")),
    };
    rig.bmc.close().await;
    if shown(&rig).await != before {
        return Err("it was to be shown later".to_owned());
    }
    rig.machine().restart_bmc(0);
    // Nobody has said that the new one is to be trusted: it is told, and no credential is sent.
    let logins = rig.machine().logins();
    let (power, now) = (rig.bmc.power().await, rig.bmc.shown_certificate().await);
    let now = now.map_err(|e| e.to_string())?.known().cloned();
    if !matches!(&power, Err(BmcError { kind: BmcTrouble::Certificate { seen }, .. }) if *seen == leaf.to_string()) {
        return Err(format!("{power:?}"));
    }
    if !now.as_ref().is_some_and(|now| now.sha256 == leaf && !now.accepted) || rig.machine().logins() != logins {
        return Err(format!("{now:?}, {} logins and {logins} before", rig.machine().logins()));
    }
    settings::end(rig).await;
    Ok(told)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_never_locks_out_under_any_fault() {
    held("password", rows(), password).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_is_told_truly_under_any_fault() {
    held("restart", rows(), restart).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_told_truly_under_any_fault() {
    held("certificate", certificate_rows(), certificate).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bios_and_media_are_told_truly_under_any_fault() {
    held("BIOS", rows(), settings::drive_bios).await;
    held("media", rows(), settings::drive_media).await;
}
