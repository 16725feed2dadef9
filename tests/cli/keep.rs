//! `bmc bios`, `media`, `accounts` and `reset` as a user runs them: what is told is what the machine has, what is done is journaled before and after,
//! and no secret is in any of it.

use bringup::journal::Journal;
use bringup::model::{EvidenceNote, PowerVerb, Touch};

use super::bad_rig::{PATIENCE, Rig};
use crate::support::wait_until;

pub const NODE: &str = "a001-s01";
const NEW: &str = "New-site-pw-7714";

/// What was printed, on one line: tables wrap.
pub fn flat(ran: &super::bad_rig::Ran) -> String {
    ran.out.split_whitespace().collect::<Vec<_>>().join(" ")
}

pub fn touched(rig: &Rig) -> Vec<(Touch, Option<EvidenceNote>)> {
    let path = rig.path(".bringup/journal.db");
    let all = Journal::touched(&path, |_| true).unwrap();
    Journal::verify(&path).unwrap();
    all.into_values().flatten().map(|t| (t.touch, t.seen)).collect()
}

/// Everything that was written below the site's folder but the secrets themselves.
pub fn written(rig: &Rig) -> String {
    let mut text = String::new();
    let mut open = vec![rig.dir.path().to_path_buf()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()) {
            if entry.is_dir() {
                if !entry.ends_with("secrets") {
                    open.push(entry);
                }
            } else {
                text.push_str(&String::from_utf8_lossy(&std::fs::read(entry).unwrap()));
            }
        }
    }
    text
}

#[test]
fn bios_attributes_are_shown_set_and_taken_by_the_boot() {
    let rig = Rig::up(1, &[]);
    let machine = &rig.farm().nodes()[0].machine;
    let ran = rig.run(&["bmc", "bios"]).ends(0, &[]);
    assert!(flat(&ran).contains("BiosAttributeRegistry113.1.1.3") && flat(&ran).contains("none"), "{}", ran.out);
    let ran = rig.run(&["bmc", "bios", "--get", "sriov*|AssetTag"]).ends(0, &[]);
    assert!(
        flat(&ran).contains("SriovGlobalEnable") && flat(&ran).contains("Disabled") && flat(&ran).contains("AssetTag"),
        "{}",
        ran.out
    );

    rig.run(&["bmc", "bios", "--set", "AssetTag=x", "--yes"]).refused(64, &["needs to be told which nodes"]);
    rig.run(&["bmc", "bios", NODE, "--set", "AssetTag=x"]).refused(64, &["was not agreed to", "--yes"]);
    rig.run(&["bmc", "bios", NODE, "--set", "AssetTag"]).ends(64, &["NAME=VALUE"]);
    rig.run(&["bmc", "bios", NODE, "--set", "SetupPassword=hunter2", "--yes"]).refused(64, &["SetupPassword is a password"]);
    let ran = rig.run(&["bmc", "bios", NODE, "--set", "SriovGlobalEnable=On!", "--set", "Nope=1", "--yes"]).ends(4, &[]);
    assert!(flat(&ran).contains("is not one of Enabled, Disabled") && flat(&ran).contains("no such attribute"), "{}", ran.out);
    assert!(machine.bios(|b| b.pending().is_empty()));

    let ran = rig.run(&["bmc", "bios", NODE, "--set", "SriovGlobalEnable=Enabled", "--yes"]).ends(0, &[]);
    assert!(flat(&ran).contains("pending until the next boot: SriovGlobalEnable=Enabled"), "{}", ran.out);
    // What this program wrote does not stand in the way of what it writes next; what somebody else wrote does.
    rig.run(&["bmc", "bios", NODE, "--set", "AssetTag=r1", "--yes"]).ends(0, &[]);
    machine.bios(|b| b.write(&[("AcPwrRcvry".to_owned(), "Off".into())].into(), false)).unwrap();
    let ran = rig.run(&["bmc", "bios", NODE, "--set", "AssetTag=r2", "--yes"]).ends(4, &["--beside-pending"]);
    assert!(flat(&ran).contains("AcPwrRcvry=Off waits for the next boot already, and was not written by bringup"), "{}", ran.out);
    rig.run(&["bmc", "bios", NODE, "--set", "AssetTag=r2", "--beside-pending", "--yes"]).ends(0, &[]);
    let json = rig.run(&["bmc", "bios", "-o", "json"]).ends(0, &[]).json();
    let pending = &json["nodes"][0]["bios"]["known"]["pending"];
    assert_eq!((&pending["AssetTag"], &pending["AcPwrRcvry"]), (&"r2".into(), &"Off".into()), "{json:#}");

    let touches = touched(&rig);
    assert_eq!(touches.len(), 5, "{touches:?}");
    assert!(touches.iter().all(|(touch, seen)| matches!(touch, Touch::SetBios { .. }) && seen.is_some()));
    machine.power(PowerVerb::On);
    wait_until("the boot takes them", PATIENCE, || machine.bios(|b| b.pending().is_empty()));
    let ran = rig.run(&["bmc", "bios", "--pending", "--get", "AssetTag"]).ends(0, &[]);
    assert!(flat(&ran).contains("r2") && !flat(&ran).contains("AcPwrRcvry"), "{}", ran.out);
    assert!(flat(&rig.run(&["history"]).ends(0, &["chain whole"])).contains("bmc bios AssetTag=r1"));
}

#[test]
fn media_go_in_and_out() {
    let rig = Rig::up(1, &[]);
    let machine = &rig.farm().nodes()[0].machine;
    let held = || machine.media(|m| m.drives.iter().find_map(|d| d.image.clone()));
    let ran = rig.run(&["bmc", "media"]).ends(0, &[]);
    assert!(flat(&ran).contains("CD1") && flat(&ran).contains("nothing") && flat(&ran).contains("NotConnected"), "{}", ran.out);
    rig.run(&["bmc", "media", NODE, "--insert", "http://u:pw@10.0.0.1/x.iso", "--yes"]).refused(64, &["holds credentials"]);
    let url = "http://10.77.0.1/rescue.iso";
    let ran = rig.run(&["bmc", "media", NODE, "--insert", url, "--yes"]).ends(0, &[]);
    assert!(flat(&ran).contains("Inserted true, ConnectedVia URI"), "{}", ran.out);
    assert_eq!(held().as_deref(), Some(url));
    assert!(flat(&rig.run(&["bmc", "media"]).ends(0, &[])).contains(url));
    rig.run(&["bmc", "media", NODE, "--eject", "--yes"]).ends(0, &[]);
    assert_eq!(held(), None);
    // A signed address lets anybody in: it goes to the BMC and nowhere else.
    let signed = "https://10.77.0.1/x.iso?X-Signature=5ecre7";
    let ran = rig.run(&["bmc", "media", NODE, "--insert", signed, "--yes"]).ends(0, &[]);
    assert_eq!(held().as_deref(), Some(signed));
    assert!(!format!("{ran:?}{}", written(&rig)).contains("5ecre7"), "{ran:#?}");
    rig.run(&["bmc", "media", NODE, "--eject", "--yes"]).ends(0, &[]);
    let ran = rig.run(&["bmc", "media", NODE, "--insert", url, "--slot", "CD9", "--yes"]).ends(4, &[]);
    assert!(flat(&ran).contains("there are: RemovableDisk"), "{}", ran.out);
    assert_eq!(touched(&rig).len(), 5);

    // The share's password is resolved before anything is touched, and stands nowhere.
    let share = [
        "bmc",
        "media",
        NODE,
        "--insert",
        "nfs://10.0.0.1/x.iso",
        "--yes",
        "--share-user",
        "bob",
        "--share-password",
        "env:NO_SUCH",
    ];
    rig.run(&share).refused(3, &["env:NO_SUCH is not set"]);
    std::fs::write(rig.path("secrets/share"), "sh4re-secret\n").unwrap();
    std::fs::set_permissions(rig.path("secrets/share"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let share = [&share[..8], &["--share-password", "file:../secrets/share"]].concat();
    let ran = rig.run(&share).ends(0, &[]);
    assert!(!format!("{ran:?}{}", written(&rig)).contains("sh4re-secret"));
}

/// Puts the new secret where `--rotate-to` finds it, and gives the reference.
fn secret(rig: &Rig) -> String {
    std::fs::write(rig.path(&format!("secrets/{NODE}.new")), format!("{NEW}\n")).unwrap();
    std::fs::set_permissions(rig.path(&format!("secrets/{NODE}.new")), std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .unwrap();
    "file:../secrets/{node}.new".to_owned()
}

fn password(rig: &Rig) -> Option<String> {
    rig.farm().nodes()[0].machine.password("admin")
}

#[test]
fn a_password_is_rotated_proved_and_journaled_without_being_told() {
    let rig = Rig::up(1, &[]);
    let to = secret(&rig);
    let ran = rig.run(&["bmc", "accounts"]).ends(0, &[]);
    assert!(
        flat(&ran).contains("admin") && flat(&ran).contains("Administrator") && flat(&ran).contains("operator"),
        "{}",
        ran.out
    );
    rig.run(&["bmc", "accounts", NODE, "--rotate-to", "hunter2", "--yes"]).refused(64, &["a plain-text secret is refused"]);
    rig.run(&["bmc", "accounts", "--rotate-to", &to, "--yes"]).refused(64, &["needs to be told which nodes"]);
    assert_eq!(rig.logins(), [1]);

    let ran = rig.run(&["bmc", "accounts", NODE, "--rotate-to", &to, "--yes"]);
    let ran = ran.ends(0, &["the inventory must say `bmc: {password: \"file:../secrets/{node}.new\"}` for a001-s01"]);
    assert!(flat(&ran).contains("one login with the new password was taken"), "{}", ran.out);
    assert_eq!(password(&rig).as_deref(), Some(NEW));
    assert_eq!(rig.logins(), [3], "one with the old, one with the new");
    assert!(!format!("{ran:?}{}", written(&rig)).contains(NEW));
    let touches = touched(&rig);
    assert!(
        matches!(&touches[..], [(Touch::SetPassword { user, to }, Some(EvidenceNote::Applied(_)))]
            if user == "admin" && to.to_string() == format!("file:../secrets/{NODE}.new")),
        "{touches:?}"
    );

    // Again, with the inventory as it was: found out with one attempt each, and told.
    let ran = rig.run(&["bmc", "accounts", NODE, "--rotate-to", &to, "--yes"]).ends(0, &["the inventory must say"]);
    assert!(flat(&ran).contains("was so already") && flat(&ran).contains("is refused, and that of"), "{}", ran.out);
    assert_eq!((rig.logins(), rig.farm().nodes()[0].machine.accounts(|a| a.changes())), (vec![5], 1));
    // The site file is templated, and so is its reference.
    let old = rig.read("inventory/site.yaml").split("password: ").nth(1).unwrap().split(',').next().unwrap().to_owned();
    rig.edit("inventory/site.yaml", &old, &format!("\"{to}\""));
    assert!(flat(&rig.run(&["power", "status"]).ends(0, &[])).contains("off"));
    let ran = rig.run(&["bmc", "accounts", NODE, "--rotate-to", &to, "--yes"]).ends(0, &[]);
    assert!(flat(&ran).contains("was so already") && !ran.err.contains("must say"), "{ran:#?}");
}

#[test]
fn a_password_that_does_not_fit_or_is_not_kept_leaves_the_old_one() {
    let rig = Rig::up(1, &["a001-s01=account.drop"]);
    let to = secret(&rig);
    let old = password(&rig);
    std::fs::write(rig.path(&format!("secrets/{NODE}.new")), "short\n").unwrap();
    let ran = rig.run(&["bmc", "accounts", NODE, "--rotate-to", &to, "--yes"]).ends(4, &[]);
    assert!(flat(&ran).contains("it takes 8 to 20 characters"), "{}", ran.out);
    secret(&rig);
    // Answered with 200, and dropped: the new one is refused once, the old one tried once.
    let before = rig.logins()[0];
    let ran = rig.run(&["bmc", "accounts", NODE, "--rotate-to", &to, "--yes"]).ends(4, &[]);
    assert!(flat(&ran).contains("the new password is refused") && flat(&ran).contains("the old one still taken"), "{}", ran.out);
    assert_eq!((rig.logins()[0] - before, password(&rig)), (3, old));
    assert!(matches!(touched(&rig).last(), Some((_, Some(EvidenceNote::NotApplied(_))))));
}

#[test]
fn a_factory_password_that_must_be_changed_first_is_changed() {
    let rig = Rig::up(1, &["a001-s01=auth.pwchange"]);
    let to = secret(&rig);
    let ran = rig.run(&["bmc", "info"]);
    assert!(ran.out.contains("password"), "{ran:#?}");
    let ran = rig.run(&["bmc", "accounts", NODE, "--rotate-to", &to, "--yes"]).ends(0, &[]);
    assert!(flat(&ran).contains("one login with the new password was taken"), "{}", ran.out);
    assert_eq!(password(&rig).as_deref(), Some(NEW));
}

#[test]
fn whoever_comes_after_a_crash_finds_out_which_password_holds() {
    for made in [false, true] {
        let rig = Rig::up(1, &[]);
        let to = secret(&rig);
        // A process that ended after it had announced the change, before or after it was made.
        let touch = Touch::SetPassword { user: "admin".into(), to: format!("file:../secrets/{NODE}.new").parse().unwrap() };
        announce(&rig, touch);
        if made {
            assert!(rig.farm().nodes()[0].machine.accounts(|a| a.set_password(2, NEW)));
        }
        // Another one first: refused, for one of two passwords holds and a third would hide which.
        let other = rig.run(&["bmc", "accounts", NODE, "--rotate-to", "file:../secrets/bmc_password", "--yes"]).ends(4, &[]);
        assert!(flat(&other).contains("settle it first"), "{}", other.out);
        assert_eq!(rig.logins(), [0], "nothing was tried");

        let ran = rig.run(&["bmc", "accounts", NODE, "--rotate-to", &to, "--yes"]).ends(0, &[]);
        assert_eq!(password(&rig).as_deref(), Some(NEW), "{ran:#?}");
        let machine = &rig.farm().nodes()[0].machine;
        // Made: one login proves it. Not made: the new one is refused once, the old one taken, and the new one proved.
        assert_eq!((rig.logins(), machine.accounts(|a| a.changes())), (vec![if made { 1 } else { 3 }], 1), "{ran:#?}");
        assert!(matches!(touched(&rig).last(), Some((_, Some(EvidenceNote::Applied(_))))));
    }
}

fn announce(rig: &Rig, touch: Touch) {
    let path = rig.path(".bringup/journal.db");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let journal = Journal::open(&path).unwrap();
        let run = bringup::model::RunId::new("hand-20260101-000000-0000").unwrap();
        let event = bringup::model::Event::HandTouched {
            node: bringup::model::NodeId::new(NODE).unwrap(),
            by: "somebody@here".into(),
            touch,
        };
        journal.append(&run, 1, event).await.unwrap();
    });
}

#[test]
fn a_kill_anywhere_in_a_rotation_is_survived() {
    // Slow enough to be killed in the middle of every exchange.
    let rig = Rig::at_speed(1, &["a001-s01=latency(3)"], 100);
    let to = secret(&rig);
    let args = ["bmc", "accounts", NODE, "--rotate-to", &to, "--yes"];
    let mut killed = 0;
    for step in 0..40_u64 {
        let mut child = rig.spawn(&format!("kill-{step}"), &args);
        let until = std::time::Instant::now() + std::time::Duration::from_millis(120 + 30 * step);
        while std::time::Instant::now() < until && child.alive() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let lived = child.alive();
        killed += usize::from(lived);
        // Dropped: killed without a word, and reaped.
        drop(child);
        if !lived {
            break;
        }
    }
    assert!(killed >= 3, "only {killed} were killed before one came to its end");
    let ran = rig.run(&args).ends(0, &[]);
    assert_eq!(password(&rig).as_deref(), Some(NEW), "{ran:#?}");
    let changes = rig.farm().nodes()[0].machine.accounts(|a| a.changes());
    assert!(changes >= 1, "{changes}");
    // What the killed wrote down is ended. One that was killed between the BMC's answer and its note leaves a session that nobody can name, which
    // the BMC's own time-out ends: that is a few milliseconds of each run.
    let notes = std::fs::read_dir(rig.path(".bringup/bmc-sessions")).unwrap().map(|entry| entry.unwrap().file_name());
    let notes: Vec<_> = notes.filter(|name| name != "refused.jsonl").collect();
    let left = rig.farm().nodes()[0].machine.sessions();
    println!("{killed} were killed, and {left} sessions are left");
    assert!(notes.is_empty() && left * 4 <= killed, "{notes:?}, {left} sessions after {killed} kills");
    assert!(!written(&rig).contains(NEW));
}

#[test]
fn a_bmc_is_restarted_and_that_is_proved() {
    // Away for 4.5 s: this BMC tells no start time, so that the restart must be seen.
    let rig = Rig::at_speed(1, &[], 40);
    let machine = &rig.farm().nodes()[0].machine;
    rig.run(&["bmc", "reset"]).refused(64, &["needs to be told which nodes"]);
    let ran = rig.run(&["bmc", "reset", NODE, "--yes"]).ends(0, &[]);
    assert!(flat(&ran).contains("the BMC was restarted: it was away"), "{}", ran.out);
    assert_eq!((machine.bmc_restarts(), machine.sessions()), (1, 0));
    assert!(matches!(&touched(&rig)[..], [(Touch::ResetBmc, Some(EvidenceNote::Applied(_)))]));
}

#[test]
fn a_restart_that_is_claimed_and_not_done_is_not_believed() {
    let rig = Rig::up(1, &["a001-s01=bmc.fake_reset"]);
    let ran = rig.run(&["bmc", "reset", NODE, "--yes", "--deadline", "2s"]).ends(4, &[]);
    assert!(flat(&ran).contains("unclear") && flat(&ran).contains("it was never away"), "{}", ran.out);
    assert!(matches!(&touched(&rig)[..], [(Touch::ResetBmc, Some(EvidenceNote::Ambiguous(_)))]));
}
