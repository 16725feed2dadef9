//! RC-17 … RC-23: sessions that vanish, few slots, sessions of a killed run, logging in, refusals and lockouts.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bringup::bmc::redfish::{Redfish, RedfishOptions, RefusalNote, SessionBook, SessionNote, SessionStore};
use bringup::bmc::{Bmc as _, BmcTrouble, Password, Written};
use bringup::model::{BasicLogin, BmcProtocol, PowerState, PowerVerb, Reading};
use futures_util::future::BoxFuture;

use super::rig::{Rig, faults, redfish};
use super::row::{Row, Where};

type Own = BoxFuture<'static, Result<String, String>>;
const SOON: Duration = Duration::from_secs(3);

pub fn rows() -> Vec<Row> {
    let row = |id, says, faults, placed, own| Row { id, says, faults, placed, own };
    vec![
        row("RC-17", "forgets the session in the middle", &["auth.expire_after(2)"], Where::EachOn, expires),
        row("RC-18", "has few session slots", &["auth.sessions_max(1)", "auth.sessions_max(0)"], Where::EachOn, full),
        row(
            "RC-19",
            "holds sessions of a killed run",
            &["auth.count(3)", "auth.count(3)+auth.sessions_max(4)"],
            Where::Always,
            killed,
        ),
        row("RC-20", "does not say where sessions are, or wrongly", &["root.no_sessions"], Where::Always, nowhere),
        row(
            "RC-21",
            "answers a login in its own way",
            &[
                "auth.login_code(200)",
                "auth.login_code(202)",
                "auth.login_code(204)",
                "auth.login_code(200)+loc.relative",
                "auth.login_code(202)+loc.absolute",
            ],
            Where::EachOn,
            login,
        ),
        row(
            "RC-22",
            "wants another password first, or refuses in XHTML",
            &["auth.pwchange", "body.html", "auth.pwchange+body.html"],
            Where::EachOn,
            refuses,
        ),
        row("RC-23", "locks the account after wrong passwords", &["auth.lockout(1)"], Where::Always, lockout),
    ]
}

async fn rig(vendor: &'static str, texts: &[&str]) -> Rig {
    Rig::start(BmcProtocol::Redfish, vendor, &faults(texts), 7).await
}

fn client(rig: &Rig, change: impl FnOnce(&mut RedfishOptions)) -> Redfish {
    let mut options = redfish(&rig.farm);
    change(&mut options);
    Redfish::new(options).unwrap()
}

fn must(so: bool, words: impl Into<String>) -> Result<(), String> {
    if so { Ok(()) } else { Err(words.into()) }
}

/// Notes of several processes, some of which are no more.
#[derive(Default)]
struct Notes {
    sessions: Vec<(u32, SessionNote)>,
    refusals: Vec<RefusalNote>,
    dead: Vec<u32>,
}

#[derive(Clone)]
struct Process(u32, Arc<Mutex<Notes>>);

impl Process {
    fn book(&self) -> Option<Arc<SessionBook>> {
        Some(Arc::new(SessionBook::new(Box::new(self.clone()))))
    }
}

impl SessionStore for Process {
    fn opened(&self, note: &SessionNote) {
        self.1.lock().unwrap().sessions.push((self.0, note.clone()));
    }
    fn ended(&self, note: &SessionNote) {
        self.1.lock().unwrap().sessions.retain(|(_, known)| known != note);
    }
    fn left(&self, bmc: SocketAddr, user: &str) -> Vec<SessionNote> {
        let notes = self.1.lock().unwrap();
        let dead = notes.sessions.iter().filter(|(process, _)| notes.dead.contains(process)).map(|(_, note)| note.clone());
        dead.filter(|note| note.bmc == bmc && note.user == user).collect()
    }
    fn refused(&self, note: &RefusalNote) {
        self.1.lock().unwrap().refusals.push(note.clone());
    }
    fn accepted(&self, bmc: SocketAddr, user: &str) {
        self.1.lock().unwrap().refusals.retain(|note| note.bmc != bmc || note.user != user);
    }
    fn refusals(&self, bmc: SocketAddr, user: &str) -> Vec<(RefusalNote, Duration)> {
        let notes = self.1.lock().unwrap();
        let mine = notes.refusals.iter().filter(|note| note.bmc == bmc && note.user == user);
        mine.map(|note| (note.clone(), Duration::from_secs(40))).collect()
    }
}

fn expires(vendor: &'static str) -> Own {
    Box::pin(async move {
        let rig = rig(vendor, &["auth.expire_after(2)"]).await;
        let written = rig.bmc.set_power(PowerVerb::Cycle, SOON).await;
        rig.bmc.close().await;
        let (deeds, logins, left) = (rig.machine().deeds(), rig.machine().logins(), rig.machine().sessions());
        must(matches!(written, Written::Applied(_)), format!("{written:?}"))?;
        must(
            (deeds.off_asked, deeds.on_asked, left) == (1, 1, 0) && logins > 1,
            format!("{deeds:?}, {logins} logins, {left} left"),
        )?;
        rig.farm.stop().await;
        // A session that is never good for anything: one more login for each question, then an end.
        let rig = self::rig(vendor, &["auth.expire_after(0)"]).await;
        let error = rig.bmc.power().await.err().ok_or("it was let in")?;
        must(
            error.kind == BmcTrouble::Refused && rig.machine().logins() == 2,
            format!("{error:?}, {} logins", rig.machine().logins()),
        )?;
        rig.farm.stop().await;
        Ok(format!("{logins} logins, one effect; and two at most where it never helps"))
    })
}

fn full(vendor: &'static str) -> Own {
    Box::pin(async move {
        let rig = rig(vendor, &["auth.count(4)", "auth.sessions_max(4)"]).await;
        let error = rig.bmc.power().await.err().ok_or("it was let in")?;
        let text = error.to_string();
        let origin = if vendor == "supermicro" { "4 of admin" } else { "4 of admin from 192.0.2.77" };
        let told = ["no session slot is free", "4 are open", origin, "when-full"].iter().all(|word| text.contains(word));
        must(error.kind == BmcTrouble::Busy && told, format!("{error:?}"))?;
        // The policy allows Basic: the same table, and an answer.
        let basic = client(&rig, |options| options.basic = BasicLogin::WhenFull);
        let power = basic.power().await.map_err(|e| format!("by Basic: {e}"))?;
        must(power == Reading::Known(PowerState::On), format!("{power:?}"))?;
        // It forbids even to look.
        let logins = rig.machine().logins();
        let never = client(&rig, |options| options.basic = BasicLogin::Never);
        let text = never.power().await.err().ok_or("it was let in")?.to_string();
        must(text.contains("who holds them cannot be read") && rig.machine().logins() == logins + 1, text)?;
        rig.farm.stop().await;
        Ok("told with counts; Basic only where it is allowed".to_owned())
    })
}

fn killed(vendor: &'static str) -> Own {
    Box::pin(async move {
        let rig = rig(vendor, &["auth.count(2)", "auth.sessions_max(4)"]).await;
        let notes: Arc<Mutex<Notes>> = Arc::default();
        // Two processes fill the table and are killed; a third lives.
        for process in [1, 2] {
            let bmc = client(&rig, |options| options.book = Process(process, Arc::clone(&notes)).book());
            bmc.power().await.map_err(|e| format!("process {process}: {e}"))?;
            drop(bmc);
        }
        must(rig.machine().sessions() == 2, format!("{} sessions were left", rig.machine().sessions()))?;
        notes.lock().unwrap().dead = vec![1];
        let next = client(&rig, |options| options.book = Process(3, Arc::clone(&notes)).book());
        next.power().await.map_err(|e| format!("the next run: {e}"))?;
        next.close().await;
        must(rig.machine().sessions() == 1, format!("{} sessions; process 2 lives", rig.machine().sessions()))?;
        notes.lock().unwrap().dead = vec![1, 2];
        let last = client(&rig, |options| options.book = Process(4, Arc::clone(&notes)).book());
        last.power().await.map_err(|e| format!("the last run: {e}"))?;
        last.close().await;
        let left = notes.lock().unwrap().sessions.len();
        must(rig.machine().sessions() == 0 && left == 0, format!("{} sessions, {left} notes", rig.machine().sessions()))?;
        // Nothing in the notes lets anybody in.
        rig.farm.stop().await;
        Ok("ended by their own tokens, those of the living left alone".to_owned())
    })
}

fn nowhere(vendor: &'static str) -> Own {
    Box::pin(async move {
        let rig = rig(vendor, &["root.no_sessions"]).await;
        let power = rig.bmc.power().await.map_err(|e| e.to_string())?;
        let open = rig.machine().sessions();
        rig.bmc.close().await;
        let left = rig.machine().sessions();
        rig.farm.stop().await;
        must(power == Reading::Known(PowerState::On) && (open, left) == (1, 0), format!("{power:?}, {open} open, {left} left"))?;
        Ok("found at the well-known place".to_owned())
    })
}

fn login(vendor: &'static str) -> Own {
    Box::pin(async move {
        for texts in [
            &["auth.login_code(200)"][..],
            &["auth.login_code(202)"],
            &["auth.login_code(204)"],
            &["auth.login_code(204)", "loc.relative"],
            &["auth.login_code(200)", "loc.absolute"],
            &["body.truncate@1x1"],
        ] {
            let rig = rig(vendor, texts).await;
            rig.bmc.power().await.map_err(|e| format!("{texts:?}: {e}"))?;
            let logins = rig.machine().logins();
            rig.bmc.close().await;
            let left = rig.machine().sessions();
            rig.farm.stop().await;
            must((logins, left) == (1, 0), format!("{texts:?}: {logins} logins, {left} left"))?;
        }
        Ok("one login and no session left, whatever the answer".to_owned())
    })
}

fn refuses(vendor: &'static str) -> Own {
    Box::pin(async move {
        let rig = rig(vendor, &["auth.pwchange"]).await;
        let error = rig.bmc.power().await.err().ok_or("it was let in")?;
        must(
            error.kind == BmcTrouble::PasswordChange && error.to_string().contains("PasswordChangeRequired"),
            format!("{error:?}"),
        )?;
        let written = rig.bmc.set_power(PowerVerb::Cycle, SOON).await;
        must(matches!(&written, Written::NotApplied(e) if e.kind == BmcTrouble::PasswordChange), format!("{written:?}"))?;
        rig.bmc.close().await;
        must(rig.machine().sessions() == 0 && rig.machine().deeds().off_asked == 0, "a session or an effect is left")?;
        rig.farm.stop().await;
        let rig = self::rig(vendor, &["auth.pwchange", "body.html"]).await;
        let text = rig.bmc.power().await.err().ok_or("it was let in")?.to_string();
        must(text.contains("403") && text.contains("Zugriff verweigert — 拒否"), text)?;
        rig.bmc.close().await;
        rig.farm.stop().await;
        Ok("a typed error, and the page's own words".to_owned())
    })
}

fn lockout(vendor: &'static str) -> Own {
    Box::pin(async move {
        let rig = rig(vendor, &["auth.lockout(2)"]).await;
        let notes: Arc<Mutex<Notes>> = Arc::default();
        let wrong = |process| {
            client(&rig, |options| {
                options.password = Password::new("not-it-at-all");
                options.book = Process(process, Arc::clone(&notes)).book();
            })
        };
        // Many questions at once, and several processes one after the other: one wrong password is presented in all.
        let bmc = wrong(1);
        let all = tokio::join!(bmc.power(), bmc.identity(), bmc.boot(), bmc.firmware(), bmc.power());
        must(all.0.as_ref().is_err_and(|e| e.kind == BmcTrouble::Credentials) && all.4.is_err(), format!("{:?}", all.0))?;
        let written = bmc.set_power(PowerVerb::Off, SOON).await;
        must(matches!(&written, Written::NotApplied(e) if e.kind == BmcTrouble::Credentials), format!("{written:?}"))?;
        for process in 2..6 {
            let error = wrong(process).power().await.err().ok_or("it was let in")?;
            must(error.kind == BmcTrouble::Credentials && error.to_string().contains("refused 40 s ago"), format!("{error:?}"))?;
        }
        must(rig.machine().logins() == 1, format!("{} attempts", rig.machine().logins()))?;
        // The account is not locked: the right one is let in at once, and then nothing is remembered against it.
        let right = client(&rig, |options| options.book = Process(9, Arc::clone(&notes)).book());
        right.power().await.map_err(|e| format!("the right password: {e}"))?;
        right.close().await;
        must(notes.lock().unwrap().refusals.is_empty(), "the refusal is still remembered")?;
        rig.farm.stop().await;
        Ok("one attempt in all, by one process and by five".to_owned())
    })
}
