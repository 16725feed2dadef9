//! RC-01 … RC-16: certificates, TLS of the wrong age, connections, bodies, headers, links.

use std::time::{Duration, Instant};

use bringup::bmc::redfish::{Redfish, RedfishOptions};
use bringup::bmc::{Bmc as _, BmcTrouble, Written};
use bringup::model::{BmcTrust, PowerState, PowerVerb, Reading};
use bringup::sim::Seed;
use bringup::sim::tls::Certified;
use futures_util::future::BoxFuture;

use super::rig::{Rig, faults, redfish};
use super::row::{Row, Where};

type Own = BoxFuture<'static, Result<String, String>>;
const SEED: u64 = 7;
const SOON: Duration = Duration::from_secs(3);

pub fn rows() -> Vec<Row> {
    let row = |id, says, faults, placed, own| Row { id, says, faults, placed, own };
    vec![
        row("RC-01", "shows another certificate", &["tls.rotate", "tls.renew"], Where::EachOn, certificate),
        row("RC-02", "speaks TLS 1.2 with RSA key exchange only", &["tls.rsa_kex_only"], Where::Always, rsa_only),
        row("RC-03", "speaks TLS 1.1 with 3DES only", &["tls.legacy"], Where::Always, legacy),
        row("RC-04", "resets a connection that is used again", &["conn.rst_on_reuse"], Where::EachOn, reset),
        row("RC-05", "never answers on a connection that is used again", &["conn.stall_keepalive"], Where::EachOn, stall),
        row("RC-06", "has room for few connections", &["conn.refuse_after(1)", "conn.refuse_after(2)"], Where::EachOn, crowded),
        row("RC-07", "restarts in the middle", &["bmc.reboot(30)", "bmc.reboot(2000)"], Where::EachOnce, restarts),
        row("RC-08", "breaks off in the middle of an answer", &["body.truncate"], Where::EachOnce, truncated),
        row("RC-09", "marks entity tags of compressed answers", &["etag.gzip"], Where::EachOn, gzip),
        row("RC-10", "has nothing to give as `identity`", &["http.406_identity"], Where::EachOn, identity),
        row("RC-11", "takes no chunked bodies", &["upload.no_chunked"], Where::Always, chunked),
        row("RC-12", "wants a bare Host and a Referer", &["http.host_strict"], Where::Always, strict),
        row("RC-13", "never answers Expect: 100-continue", &["http.no_100"], Where::Always, expect),
        row("RC-14", "is slow", &["latency(600)", "latency(50000)"], Where::EachOnce, slow),
        row("RC-15", "writes links in its own way", &["loc.absolute", "loc.relative", "slash.double"], Where::EachOn, links),
        row(
            "RC-16",
            "redirects",
            &["http.redirect(301)", "http.redirect(302)", "http.redirect(307)", "http.redirect(308)"],
            Where::EachOn,
            redirects,
        ),
    ]
}

/// A rig under these faults, and a client of its own whose options may be changed.
async fn rig(vendor: &'static str, texts: &[&str], change: impl FnOnce(&mut RedfishOptions)) -> (Rig, Redfish) {
    let rig = Rig::start(bringup::model::BmcProtocol::Redfish, vendor, &faults(texts), SEED).await;
    let mut options = redfish(&rig.farm);
    change(&mut options);
    let bmc = Redfish::new(options).unwrap();
    (rig, bmc)
}

/// Fails the row with these words.
fn must(so: bool, words: impl Into<String>) -> Result<(), String> {
    if so { Ok(()) } else { Err(words.into()) }
}

/// The node is cycled once, truly and provably, and nothing stays behind.
async fn cycles(vendor: &'static str, texts: &[&str]) -> Result<String, String> {
    let (rig, bmc) = rig(vendor, texts, |_| {}).await;
    let start = Instant::now();
    let power = bmc.power().await.map_err(|e| format!("{texts:?}: {e}"))?;
    must(power == Reading::Known(PowerState::On), format!("{texts:?}: {power:?}"))?;
    let written = bmc.set_power(PowerVerb::Cycle, SOON).await;
    let took = start.elapsed();
    bmc.close().await;
    let machine = rig.machine();
    let deeds = machine.deeds();
    let well = matches!(written, Written::Applied(_)) && (deeds.off_asked, deeds.on_asked, deeds.powered_on) == (1, 1, 1);
    let left = machine.sessions();
    rig.farm.stop().await;
    must(well && left == 0, format!("{texts:?}: {written:?}, {deeds:?}, {left} sessions"))?;
    Ok(format!("cycled once in {} ms", took.as_millis()))
}

fn certificate(vendor: &'static str) -> Own {
    Box::pin(async move {
        let recorded = |rig: &Rig| {
            let node = rig.machine().identity().node.to_string();
            (Certified::derive(Seed(SEED), &node).unwrap(), Certified::derive(Seed(SEED), &format!("{node}-rotated")).unwrap())
        };
        for (fault, pin_key, passes) in
            [("tls.rotate", false, false), ("tls.renew", false, false), ("tls.rotate", true, false), ("tls.renew", true, true)]
        {
            let probe = Rig::start(bringup::model::BmcProtocol::Redfish, vendor, &[], SEED).await;
            let (first, other) = recorded(&probe);
            probe.farm.stop().await;
            let trust = pin_key.then(|| BmcTrust::PinnedKey(first.key_fingerprint()));
            // From the end of the first session on: root, login, systems, system, log out.
            let (rig, bmc) =
                rig(vendor, &[&format!("{fault}@4")], |options| options.trust = trust.unwrap_or(options.trust.clone())).await;
            bmc.power().await.map_err(|e| format!("{fault}: before it changed: {e}"))?;
            bmc.close().await;
            let (asked, logins) = (rig.machine().requests(), rig.machine().logins());
            let answer = bmc.power().await;
            if passes {
                let renewed = bmc.certificate().map(|c| c.to_string());
                must(answer.is_ok() && renewed.as_deref() != Some(first.fingerprint().as_str()), format!("{fault}: {answer:?}"))?;
                bmc.close().await;
                rig.farm.stop().await;
                continue;
            }
            let error = answer.err().ok_or("a changed certificate was accepted")?;
            let text = error.to_string();
            let recorded = if pin_key { first.key_fingerprint() } else { first.fingerprint() };
            let named =
                text.contains(recorded.as_str()) && text.contains("it changed just now") && text.contains("bmc_cert_sha256");
            let shown = fault == "tls.renew" || text.contains(other.fingerprint().as_str());
            let kind = matches!(&error.kind, BmcTrouble::Certificate { seen } if text.contains(seen.as_str()));
            must(named && shown && kind, format!("{fault}: {error:?}"))?;
            let written = bmc.set_power(PowerVerb::Cycle, SOON).await;
            must(matches!(written, Written::NotApplied(_)), format!("{fault}: {written:?}"))?;
            let after = (rig.machine().requests(), rig.machine().logins());
            must(after == (asked, logins), format!("{fault}: something was sent under a certificate that is not accepted"))?;
            rig.farm.stop().await;
        }
        Ok("refused with both fingerprints; a renewed one passes under a pinned key".to_owned())
    })
}

/// The error of a BMC that cannot be spoken to; nothing was asked of it and no login was sent.
async fn no_tls(vendor: &'static str, fault: &str, words: &[&str]) -> Result<String, String> {
    let (rig, bmc) = rig(vendor, &[fault], |_| {}).await;
    let error = bmc.power().await.err().ok_or("it was spoken to")?;
    let text = error.to_string();
    let sent = (rig.machine().requests(), rig.machine().logins());
    rig.farm.stop().await;
    must(error.kind == BmcTrouble::Unsupported && sent == (0, 0), format!("{error:?}, {sent:?}"))?;
    must(words.iter().chain(&["driver: ipmi", "firmware"]).all(|word| text.contains(word)), text.clone())?;
    Ok(text.chars().skip_while(|c| *c != ':').take(100).collect())
}

fn rsa_only(vendor: &'static str) -> Own {
    Box::pin(async move {
        no_tls(vendor, "tls.rsa_kex_only", &["TLS 1.2", "TLS_RSA_WITH_AES_256_GCM_SHA384", "RSA key exchange"]).await
    })
}

fn legacy(vendor: &'static str) -> Own {
    Box::pin(async move { no_tls(vendor, "tls.legacy", &["TLS 1.1", "TLS_RSA_WITH_3DES_EDE_CBC_SHA"]).await })
}

fn reset(vendor: &'static str) -> Own {
    Box::pin(async move { cycles(vendor, &["conn.rst_on_reuse"]).await })
}

fn stall(vendor: &'static str) -> Own {
    Box::pin(async move { cycles(vendor, &["conn.stall_keepalive"]).await })
}

fn crowded(vendor: &'static str) -> Own {
    Box::pin(async move {
        cycles(vendor, &["conn.refuse_after(2)"]).await?;
        cycles(vendor, &["conn.refuse_after(1)"]).await
    })
}

fn restarts(vendor: &'static str) -> Own {
    Box::pin(async move {
        let (rig, bmc) = rig(vendor, &[], |_| {}).await;
        bmc.power().await.map_err(|e| e.to_string())?;
        let before = rig.machine().bmc_started();
        // Away for 6 s: longer than all the tries of one read, however slow this machine is.
        rig.machine().restart_bmc(6 * super::rig::SPEED);
        let away = bmc.power().await;
        must(
            matches!(&away, Err(e) if matches!(e.kind, BmcTrouble::Unreachable | BmcTrouble::TimedOut)),
            format!("while it is away: {away:?}"),
        )?;
        while rig.machine().bmc_away() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Its sessions are gone; one more login, and all is well.
        let logins = rig.machine().logins();
        let back = bmc.power().await.map_err(|e| format!("back again: {e}"))?;
        must(back == Reading::Known(PowerState::On) && rig.machine().logins() == logins + 1, format!("{back:?}"))?;
        must(rig.machine().bmc_started() != before, "it tells the same start time")?;
        bmc.close().await;
        rig.farm.stop().await;
        Ok("away is told as away; back, it is logged in to once".to_owned())
    })
}

fn truncated(vendor: &'static str) -> Own {
    Box::pin(async move {
        // Every answer that has a body, one after the other: none may cost an effect or a session.
        for index in 0..12 {
            let fault = format!("body.truncate@{index}x1");
            let (rig, bmc) = rig(vendor, &[&fault], |_| {}).await;
            let written = bmc.set_power(PowerVerb::Cycle, SOON).await;
            bmc.close().await;
            let (deeds, left) = (rig.machine().deeds(), rig.machine().sessions());
            rig.farm.stop().await;
            must(deeds.off_asked <= 1 && deeds.on_asked <= 1 && left == 0, format!("{fault}: {written:?} {deeds:?} {left}"))?;
            must(matches!(written, Written::Applied(_)), format!("{fault}: {written:?}"))?;
        }
        Ok("a lost answer to a write is settled by looking".to_owned())
    })
}

fn gzip(vendor: &'static str) -> Own {
    Box::pin(async move { cycles(vendor, &["etag.gzip"]).await })
}

fn identity(vendor: &'static str) -> Own {
    Box::pin(async move {
        let (rig, bmc) = rig(vendor, &["http.406_identity"], |_| {}).await;
        bmc.identity().await.map_err(|e| e.to_string())?;
        bmc.power().await.map_err(|e| e.to_string())?;
        bmc.close().await;
        let asked = rig.machine().requests();
        rig.farm.stop().await;
        // Root twice, login, systems, system, manager and chassis, system again, log out: one 406 and no more.
        must(asked <= 12, format!("{asked} requests"))?;
        cycles(vendor, &["http.406_identity"]).await
    })
}

fn chunked(vendor: &'static str) -> Own {
    Box::pin(async move { cycles(vendor, &["upload.no_chunked"]).await })
}

fn strict(vendor: &'static str) -> Own {
    Box::pin(async move { cycles(vendor, &["http.host_strict"]).await })
}

fn expect(vendor: &'static str) -> Own {
    Box::pin(async move { cycles(vendor, &["http.no_100"]).await })
}

fn slow(vendor: &'static str) -> Own {
    Box::pin(async move {
        // 60 ms for every answer, 120 ms of it within the bounds of a reused connection.
        cycles(vendor, &["latency(600)"]).await?;
        let (rig, bmc) = rig(vendor, &["latency(90000)"], |options| options.limits.request = Duration::from_millis(400)).await;
        let start = Instant::now();
        let error = bmc.power().await.err().ok_or("it answered in time")?;
        let took = start.elapsed();
        rig.farm.stop().await;
        must(error.kind == BmcTrouble::TimedOut && took < SOON, format!("{error:?} after {took:?}"))?;
        Ok(format!("waited for, and left after {} ms where it is too slow", took.as_millis()))
    })
}

fn links(vendor: &'static str) -> Own {
    Box::pin(async move {
        for fault in ["loc.absolute", "loc.relative", "slash.double"] {
            cycles(vendor, &[fault]).await?;
        }
        Ok("followed on this BMC only, and every session ended".to_owned())
    })
}

fn redirects(vendor: &'static str) -> Own {
    Box::pin(async move {
        for fault in ["http.redirect(301)", "http.redirect(308)"] {
            cycles(vendor, &[fault]).await?;
        }
        Ok("followed for reads".to_owned())
    })
}
