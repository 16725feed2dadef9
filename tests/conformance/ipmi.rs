//! IP-01 to IP-11, IP-13 and IP-15: the network, the handshake, the session and the power of an IPMI BMC. IP-00 is no row of the table: packets that
//! somebody forged.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bringup::bmc::ipmi::rakp::BmcKey;
use bringup::bmc::ipmi::{Account, IpmiBmc, Lan};
use bringup::bmc::{Bmc, BmcError, BmcTrouble, Password, Written};
use bringup::model::{BmcProtocol, BootMode, BootOverride, BootTarget, PowerState, PowerVerb, Reading};
use bringup::sim::farm::BMC_USER;
use bringup::sim::rmcp::BMC_KEY;

use super::rig::{Rig, faults};
use super::row::{Row, Where};

/// What a row saw, or what did not hold.
type Seen = Result<String, String>;

/// Patience of one call. Every bound below is a multiple of it.
const PATIENCE: Duration = Duration::from_secs(4);
/// Far above what the calls of one assertion take.
const BOUNDED: Duration = Duration::from_secs(30);

macro_rules! hold {
    ($test:expr, $($words:tt)+) => {
        if !$test {
            return Err(format!($($words)+));
        }
    };
}

macro_rules! row {
    ($id:literal, $says:literal, $faults:expr, $placed:ident, $own:ident) => {
        Row { id: $id, says: $says, faults: &$faults, placed: Where::$placed, own: |vendor| Box::pin($own(vendor)) }
    };
}

pub fn rows() -> Vec<Row> {
    vec![
        row!("IP-00", "is spoken for by somebody who forges packets", ["udp.forge(0)", "udp.forge(1)"], EachOnce, forged),
        row!(
            "IP-01",
            "is behind a network that loses, doubles and reorders",
            ["udp.loss(10)", "udp.dup", "udp.reorder"],
            EachOnce,
            weather
        ),
        row!("IP-02", "calls a resent request a duplicate (CFh)", ["ipmi.cf"], EachOnce, duplicates),
        row!("IP-03", "loses answers of the handshake", ["rakp.drop(1)", "rakp.drop(2)", "rakp.drop(3)"], EachOn, lost_handshake),
        row!(
            "IP-04",
            "hangs at Get Channel Cipher Suites, or lies",
            ["ipmi.cipher_hang", "ipmi.cipher_lie", "ipmi.no-suite-17"],
            Always,
            ciphers
        ),
        row!("IP-05", "has a key of its own (K_G)", ["ipmi.kg"], Always, key_of_its_own),
        row!("IP-06", "sends a wrong RAKP 2, or has lost the session", ["rakp.bad_hmac", "rakp.inactive"], EachOnce, wrong_proof),
        row!(
            "IP-07",
            "takes Open Session at privilege 0 only, or no name-only bit",
            ["ipmi.priv0", "ipmi.name_only", "rakp.open_role"],
            Always,
            manners
        ),
        row!("IP-08", "refuses Set Session Privilege Level", ["ipmi.setpriv", "ipmi.setpriv_silent"], EachOn, fixed_privilege),
        row!("IP-09", "has one session slot, freed by Close alone", ["ipmi.slots(1)"], Always, slots),
        row!("IP-10", "counts its packets past the end of the numbers", ["ipmi.seq"], EachOn, wrapping),
        row!("IP-11", "answers so late that the next question is out", ["udp.late"], EachOnce, late),
        row!("IP-13", "is on already, or ignores the soft shutdown", ["power.soft-ignored"], Always, power_words),
        row!("IP-15", "has IPMI over LAN switched off", ["ipmi.disabled"], EachOn, switched_off),
    ]
}

async fn rig(vendor: &str, texts: &[&str]) -> Rig {
    Rig::start(BmcProtocol::Ipmi, vendor, &faults(texts), 7).await
}

fn account(rig: &Rig, suite: Option<u8>) -> Account {
    Account::new(BMC_USER, Password::new(rig.farm.bmc_password()), suite).unwrap()
}

fn client_of(rig: &Rig, account: Account) -> (Arc<Lan>, IpmiBmc) {
    let lan = Lan::new();
    let bmc = IpmiBmc::new(Arc::clone(&lan), rig.node().bmc, account).with_patience(PATIENCE);
    (lan, bmc)
}

fn client(rig: &Rig) -> IpmiBmc {
    client_of(rig, account(rig, None)).1
}

fn words(error: &BmcError) -> String {
    format!("{:?}: {error}", error.kind)
}

/// Everything that a run does, each once, and the machine agrees: identity, off, boot override, on.
async fn whole(rig: &Rig, bmc: &IpmiBmc) -> Seen {
    let began = Instant::now();
    let facts = bmc.identity().await.map_err(|e| format!("identity: {}", words(&e)))?;
    hold!(facts.serial.known() == Some(&rig.machine().identity().serial), "the serial is {:?}", facts.serial);
    let before = bmc.power().await.map_err(|e| format!("power: {}", words(&e)))?;
    hold!(before == Reading::Known(PowerState::On), "the power is {before:?}");
    applied("off", bmc.set_power(PowerVerb::Off, BOUNDED).await)?;
    let want = BootOverride { target: BootTarget::Pxe, once: true, mode: Some(BootMode::Uefi), http_uri: None };
    applied("boot override", bmc.set_boot(&want).await)?;
    hold!(rig.machine().boot_override() == want, "the machine holds {:?}", rig.machine().boot_override());
    applied("on", bmc.set_power(PowerVerb::On, BOUNDED).await)?;
    bmc.close().await;
    let deeds = rig.machine().deeds();
    hold!((deeds.off_asked, deeds.on_asked, deeds.cycle_asked) == (1, 1, 0), "done more than once: {deeds:?}");
    hold!(rig.machine().sessions() == 0, "{} sessions are left", rig.machine().sessions());
    hold!(began.elapsed() < BOUNDED, "it took {:?}", began.elapsed());
    Ok(format!("off and on once each, {} requests", rig.machine().requests()))
}

fn applied(what: &str, written: Written) -> Seen {
    match written {
        Written::Applied(seen) => Ok(seen),
        other => Err(format!("{what}: {other:?}")),
    }
}

/// Runs the whole once for each of these faults.
async fn each(vendor: &str, all: &[&str]) -> Seen {
    let mut seen = Vec::new();
    for fault in all {
        let rig = rig(vendor, &fault.split('+').collect::<Vec<_>>()).await;
        let bmc = client(&rig);
        seen.push(format!("{fault}: {}", whole(&rig, &bmc).await.map_err(|why| format!("{fault}: {why}"))?));
        rig.farm.stop().await;
    }
    Ok(seen.join("; "))
}

/// A read must fail so, within the patience and what a session's end may take.
async fn fails(bmc: &IpmiBmc, kind: BmcTrouble, says: &[&str]) -> Seen {
    let began = Instant::now();
    let error = match bmc.power().await {
        Ok(reading) => return Err(format!("it was read: {reading:?}")),
        Err(error) => error,
    };
    hold!(error.kind == kind, "expected {kind:?}, got {}", words(&error));
    for part in says {
        hold!(error.to_string().contains(part), "`{part}` is not said in: {error}");
    }
    hold!(began.elapsed() < PATIENCE + Duration::from_secs(2), "it took {:?}", began.elapsed());
    Ok(error.to_string())
}

async fn forged(vendor: &'static str) -> Seen {
    // Beside the genuine answers: dropped, counted, and nothing else happens.
    let beside = rig(vendor, &["udp.forge(0)"]).await;
    let (lan, bmc) = client_of(&beside, account(&beside, None));
    let seen = whole(&beside, &bmc).await?;
    let refused = lan.dropped().refused.load(Ordering::Relaxed);
    let strangers = lan.dropped().strangers.load(Ordering::Relaxed);
    hold!(refused >= 10 && strangers >= 5, "too few forgeries were counted: {:?}", lan.dropped());
    // In their place: a typed error that says what was seen.
    let instead = rig(vendor, &["udp.forge(1)@4"]).await;
    let bmc = client(&instead);
    bmc.power().await.map_err(|e| words(&e))?;
    let why = fails(
        &bmc,
        BmcTrouble::Malformed,
        &["no genuine answer", "with a wrong integrity code", "for another session", "replayed"],
    )
    .await?;
    Ok(format!("{seen}, {refused} forgeries dropped; alone: {why}"))
}

async fn weather(vendor: &'static str) -> Seen {
    each(vendor, &["udp.loss(10)", "udp.dup", "udp.reorder", "udp.loss(8)+udp.dup+udp.reorder"]).await
}

async fn duplicates(vendor: &'static str) -> Seen {
    // The second time an even number is answered and an odd one never: both are got over.
    let one = each(vendor, &["ipmi.cf@4x1", "ipmi.cf@5x1", "ipmi.cf@6x3", "ipmi.cf@0x6"]).await?;
    // A lost answer to the command itself is settled by looking.
    let command = each(vendor, &["ipmi.cf@14x1", "ipmi.cf@15x1", "ipmi.cf@16x1"]).await?;
    Ok(format!("{one}; {command}"))
}

async fn lost_handshake(vendor: &'static str) -> Seen {
    let got = each(vendor, &["rakp.drop(1)", "rakp.drop(1)@1", "rakp.drop(1)@2", "rakp.drop(5)", "rakp.slow(250)"]).await?;
    let rig = rig(vendor, &["rakp.drop(1)@2"]).await;
    let bmc = client(&rig);
    bmc.power().await.map_err(|e| words(&e))?;
    // Three questions whose last answer is lost, three of the new handshake; the first numbers are not used again.
    hold!(rig.machine().logins() == 2, "{} accounts were named: the handshake was not begun anew", rig.machine().logins());
    bmc.close().await;
    hold!(rig.machine().sessions() == 0, "{} sessions are left", rig.machine().sessions());
    let silent = self::rig(vendor, &["rakp.drop(1000)"]).await;
    let why = fails(&client(&silent), BmcTrouble::Unreachable, &["answers the presence ping"]).await?;
    Ok(format!("{got}; all lost: {why}"))
}

async fn ciphers(vendor: &'static str) -> Seen {
    let hangs = rig(vendor, &["ipmi.cipher_hang"]).await;
    let bmc = client(&hangs);
    let began = Instant::now();
    bmc.power().await.map_err(|e| words(&e))?;
    hold!(bmc.cipher_suite() == Some(17), "suite {:?}", bmc.cipher_suite());
    hold!(began.elapsed() < Duration::from_secs(3), "it took {:?}: the question that hangs is not needed", began.elapsed());
    bmc.close().await;
    for fault in ["ipmi.cipher_lie", "ipmi.no-suite-17"] {
        let lies = rig(vendor, &[fault]).await;
        let bmc = client(&lies);
        bmc.power().await.map_err(|e| words(&e))?;
        hold!(bmc.cipher_suite() == Some(3), "{fault}: suite {:?}", bmc.cipher_suite());
        bmc.close().await;
        let pinned = client_of(&lies, account(&lies, Some(17))).1;
        fails(&pinned, BmcTrouble::Unsupported, &["cipher suite 17"]).await?;
    }
    Ok("17 without asking, 3 after a refusal, a pinned 17 is never lowered".to_owned())
}

async fn key_of_its_own(vendor: &'static str) -> Seen {
    let has = rig(vendor, &["ipmi.kg"]).await;
    let key = |bytes: &[u8]| BmcKey::new(bytes).unwrap();
    let right = client_of(&has, account(&has, None).with_bmc_key(key(&BMC_KEY))).1;
    let seen = whole(&has, &right).await?;
    let logins = has.machine().logins();
    let why = fails(&client(&has), BmcTrouble::Credentials, &["K_G", "the inventory names none"]).await?;
    let wrong = client_of(&has, account(&has, None).with_bmc_key(key(&[7; 20]))).1;
    fails(&wrong, BmcTrouble::Credentials, &["another key of its own (K_G)"]).await?;
    hold!(has.machine().logins() == logins + 2, "a key that does not fit is tried once: {} logins", has.machine().logins());
    let none = rig(vendor, &[]).await;
    let useless = client_of(&none, account(&none, None).with_bmc_key(key(&BMC_KEY))).1;
    fails(&useless, BmcTrouble::Credentials, &["has no key of its own (K_G)"]).await?;
    // Twenty noughts are no key.
    let zero = client_of(&none, account(&none, None).with_bmc_key(key(&[0; 20]))).1;
    zero.power().await.map_err(|e| words(&e))?;
    zero.close().await;
    // The BMC that has a key opens its session before we see that we have not got it; only its own timeout ends that one.
    hold!(none.machine().sessions() == 0, "{} sessions are left", none.machine().sessions());
    Ok(format!("with the key: {seen}; without: {why}"))
}

async fn wrong_proof(vendor: &'static str) -> Seen {
    let got = each(vendor, &["rakp.bad_hmac@1x1", "rakp.inactive@1x1", "rakp.inactive@1x2"]).await?;
    for (fault, kind, says) in [
        ("rakp.bad_hmac", BmcTrouble::Credentials, "does not fit"),
        ("rakp.inactive", BmcTrouble::Refused, "inactive session id"),
    ] {
        let always = rig(vendor, &[fault]).await;
        let bmc = client(&always);
        fails(&bmc, kind, &[says]).await?;
        hold!(always.machine().logins() <= 3, "{fault}: the account was named {} times", always.machine().logins());
        hold!(always.machine().sessions() == 0, "{fault}: sessions are left");
    }
    // A password that is wrong is never proven: RAKP 3 would count against the account.
    let well = rig(vendor, &[]).await;
    let wrong = Account::new(BMC_USER, Password::new("n0t-it"), None).unwrap();
    let why = fails(&client_of(&well, wrong).1, BmcTrouble::Credentials, &["wrong password"]).await?;
    hold!(!why.contains("n0t-it") && well.machine().logins() == 2, "{} logins: {why}", well.machine().logins());
    Ok(format!("{got}; {why}"))
}

async fn manners(vendor: &'static str) -> Seen {
    let got = each(vendor, &["ipmi.priv0", "ipmi.name_only", "rakp.open_role", "ipmi.priv0+ipmi.name_only"]).await?;
    let learns = rig(vendor, &["ipmi.priv0", "ipmi.name_only"]).await;
    let bmc = client(&learns);
    let mut requests = Vec::new();
    for _ in 0..2 {
        let before = learns.machine().requests();
        bmc.power().await.map_err(|e| words(&e))?;
        bmc.close().await;
        requests.push(learns.machine().requests() - before);
    }
    // Open Session, RAKP 1, RAKP 3, status, Close Session.
    hold!(requests[0] > 5 && requests[1] == 5, "the second login did not begin with what worked: {requests:?}");
    Ok(format!("{got}; requests of two logins: {requests:?}"))
}

async fn fixed_privilege(vendor: &'static str) -> Seen {
    each(vendor, &["ipmi.setpriv", "ipmi.setpriv_silent"]).await
}

async fn slots(vendor: &'static str) -> Seen {
    let few = rig(vendor, &["ipmi.slots(1)"]).await;
    for round in 0..12 {
        let bmc = client(&few);
        bmc.power().await.map_err(|e| format!("login {round}: {}", words(&e)))?;
        bmc.close().await;
    }
    let holder = client(&few);
    holder.power().await.map_err(|e| words(&e))?;
    let why = fails(&client(&few), BmcTrouble::Busy, &["no free session slot", "timeout only"]).await?;
    // Whoever waits gets the slot when it is given back.
    let waiting = client(&few);
    let (reading, ()) = tokio::join!(waiting.power(), async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        holder.close().await;
    });
    hold!(reading.is_ok(), "the slot was given back and not taken: {reading:?}");
    waiting.close().await;
    // Under loss, too: Close Session is heard or said again.
    let lossy = rig(vendor, &["ipmi.slots(2)", "udp.loss(8)"]).await;
    for round in 0..8 {
        let bmc = client(&lossy);
        bmc.power().await.map_err(|e| format!("lossy login {round}: {}", words(&e)))?;
        bmc.close().await;
    }
    hold!(few.machine().sessions() == 0, "{} sessions are left", few.machine().sessions());
    Ok(why)
}

async fn wrapping(vendor: &'static str) -> Seen {
    let seen = each(vendor, &["ipmi.seq", "ipmi.seq+udp.dup", "ipmi.seq+udp.reorder"]).await?;
    let rig = rig(vendor, &["ipmi.seq"]).await;
    let bmc = client(&rig);
    for round in 0..12 {
        bmc.power().await.map_err(|e| format!("read {round}: {}", words(&e)))?;
    }
    bmc.close().await;
    hold!(rig.machine().logins() == 1, "the session was lost at the end of the numbers: {} logins", rig.machine().logins());
    Ok(format!("{seen}; 12 reads past the end in one session"))
}

async fn late(vendor: &'static str) -> Seen {
    let seen = each(vendor, &["udp.late", "udp.late+udp.dup"]).await?;
    // Questions of different kinds, one after the other: no answer is taken for that of another.
    let rig = rig(vendor, &["udp.late"]).await;
    let bmc = client(&rig);
    for round in 0..6 {
        let facts = bmc.identity().await.map_err(|e| format!("round {round}: {}", words(&e)))?;
        hold!(facts.serial.known() == Some(&rig.machine().identity().serial), "round {round}: {facts:?}");
        let power = bmc.power().await.map_err(|e| format!("round {round}: {}", words(&e)))?;
        hold!(power == Reading::Known(PowerState::On), "round {round}: {power:?}");
        let boot = bmc.boot().await.map_err(|e| format!("round {round}: {}", words(&e)))?;
        hold!(boot.known().map(|b| b.target) == Some(BootTarget::None), "round {round}: {boot:?}");
    }
    bmc.close().await;
    Ok(seen)
}

async fn power_words(vendor: &'static str) -> Seen {
    let rig = rig(vendor, &["power.soft-ignored"]).await;
    let bmc = client(&rig);
    let already = applied("on", bmc.set_power(PowerVerb::On, PATIENCE).await)?;
    hold!(already.contains("nothing was sent") && rig.machine().deeds().on_asked == 0, "{already}");
    let began = Instant::now();
    let deadline = Duration::from_millis(800);
    let seen = match bmc.set_power(PowerVerb::Graceful, deadline).await {
        Written::Ambiguous(seen) => seen,
        other => return Err(format!("graceful: {other:?}")),
    };
    hold!(seen.contains("soft shutdown accepted") && seen.contains("still on"), "{seen}");
    hold!(began.elapsed() < deadline + Duration::from_secs(2), "it took {:?}", began.elapsed());
    hold!(rig.machine().deeds().graceful_asked == 1, "{:?}", rig.machine().deeds());
    // What comes next is the caller's to say: `power graceful --then-off`.
    applied("off", bmc.set_power(PowerVerb::Off, PATIENCE).await)?;
    bmc.close().await;
    hold!(rig.machine().deeds().off_asked == 1, "{:?}", rig.machine().deeds());
    Ok(format!("{already}; {seen}"))
}

async fn switched_off(vendor: &'static str) -> Seen {
    let off = rig(vendor, &["ipmi.disabled"]).await;
    let began = Instant::now();
    let why = fails(&client(&off), BmcTrouble::Unsupported, &["IPMI over LAN is off", "driver: redfish"]).await?;
    hold!(began.elapsed() < PATIENCE, "a BMC that says so is believed at once: {:?}", began.elapsed());
    hold!(off.machine().logins() == 0, "an account was named to it");
    // Switched off in the middle of a session.
    let later = rig(vendor, &["ipmi.disabled@8"]).await;
    let bmc = client(&later);
    bmc.power().await.map_err(|e| words(&e))?;
    let mut last = None;
    for _ in 0..9 {
        match bmc.power().await {
            Ok(_) => {}
            Err(error) => last = Some(error),
        }
        if last.as_ref().is_some_and(|error| error.kind != BmcTrouble::TimedOut) {
            break;
        }
    }
    let Some(error) = last else { return Err("it was never switched off".to_owned()) };
    hold!(error.kind == BmcTrouble::Unsupported, "{}", words(&error));
    // A port that nobody listens at: the machine says so.
    let closed: SocketAddr = (std::net::Ipv4Addr::LOCALHOST, 9).into();
    let nobody = IpmiBmc::new(Lan::new(), closed, account(&off, None)).with_patience(PATIENCE);
    let port = fails(&nobody, BmcTrouble::Unreachable, &["the port is closed (ICMP)", "driver: redfish"]).await?;
    Ok(format!("{why}; {port}"))
}
