//! Trees captured from real BMCs, served as they are. A read-only survey of each must end, name what it does not know, and never fail.

use std::path::{Path, PathBuf};
use std::process::Command;

use bringup::bmc::Bmc;
use bringup::bmc::examining::Examining as _;
use bringup::bmc::redfish::Redfish;
use bringup::model::{PowerState, Reading};

use super::redfish_server::{Reply, Seen, Server};
use crate::support::{need_program, need_shared};

/// The folder that stands for `/redfish/v1`.
fn root_of(dir: &Path) -> Option<PathBuf> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    let nested = folders.iter().map(|f| f.join("redfish/v1")).find(|f| f.join("index.json").is_file());
    nested.or_else(|| folders.drain(..).find(|f| f.join("index.json").is_file()))
}

/// Unpacks a captured tree.
pub fn unpack(test: &str, name: &str) -> Option<(tempfile::TempDir, PathBuf)> {
    let archive = need_shared(test, &format!("redfish/{name}.tar.xz"))?;
    need_program(test, "tar")?;
    need_program(test, "xz")?;
    let dir = tempfile::tempdir().unwrap();
    let done = Command::new("tar").arg("-xJf").arg(&archive).arg("-C").arg(dir.path()).status().unwrap();
    assert!(done.success(), "{archive:?} could not be unpacked");
    let root = root_of(dir.path()).expect("an index.json");
    Some((dir, root))
}

/// Answers reads from a tree, and nothing else.
pub fn serve(root: PathBuf) -> impl Fn(&Seen) -> Reply + Send + Sync + 'static {
    move |seen: &Seen| {
        if seen.method != "GET" {
            return Reply::status(405);
        }
        let path = seen.path.split('?').next().unwrap().trim_start_matches("/redfish/v1").trim_matches('/');
        // Some captures keep parts of the tree one level up.
        let places = [root.join(path), root.parent().unwrap().join(path)];
        match places.iter().find_map(|place| std::fs::read_to_string(place.join("index.json")).ok()) {
            Some(text) => Reply::Say(200, vec![("content-type".into(), "application/json".into())], text),
            None => Reply::Say(404, vec![], "<html><body>404 Not Found</body></html>".into()),
        }
    }
}

struct Want {
    tree: &'static str,
    serial: &'static str,
    bmc_version: &'static str,
    components: usize,
    a_component: (&'static str, &'static str),
    profile: &'static str,
}

#[tokio::test]
async fn every_captured_tree_is_surveyed() {
    let test = "every_captured_tree_is_surveyed";
    let wants = [
        ("dell", "CNIVC0014M0388", "6.00.30.00", 21, ("BIOS.Setup.1-1", "1.8.2"), "dell-idrac + dell-idrac9"),
        ("hpe", "MXQ302099S", "iLO 5 v2.72", 22, ("System ROM", "A42 v2.60 (08/11/2022)"), "hpe-ilo + hpe-ilo5"),
        ("supermicro", "S889914X3710910", "11.01.01", 104, ("BMC", "11.01.01"), "supermicro + supermicro-x13"),
        ("nvidia_viking", "1662923610124", "23.11.20", 66, ("CPLDMB_0", "0.2.1.8"), "ami-megarac + nvidia-dgx"),
        (
            "tree-supermicro-gb300",
            "S964512X5913271",
            "70.01.00.09",
            29,
            ("CX8_0", "40.45.3048"),
            "openbmc + supermicro + nvidia-gb200",
        ),
        ("dmtf-public-rackmount1", "437XR1138R2", "1.45.455b66-rev4", 3, ("BMC", "1.45.455b66-rev4"), "standard"),
    ];
    let wants = wants.map(|(tree, serial, bmc_version, components, a_component, profile)| Want {
        tree,
        serial,
        bmc_version,
        components,
        a_component,
        profile,
    });
    println!(
        "{:<24} {:<8} {:<16} {:<10} {:<9} {:<6} {:<36} not known",
        "tree", "power", "boot", "firmware", "no value", "tasks", "profile"
    );
    for want in wants {
        let Some((_dir, root)) = unpack(test, want.tree) else { return };
        let server = Server::plain(serve(root)).await;
        let bmc = server.client();
        let line = survey(&want, &bmc).await;
        println!("{line}");
        let writes = server.log.lock().unwrap().iter().filter(|s| s.method != "GET" && !s.path.contains("Sessions")).count();
        assert_eq!(writes, 0, "{}: a survey changes nothing", want.tree);
        bmc.close().await;
    }
}

async fn survey(want: &Want, bmc: &Redfish) -> String {
    let tree = want.tree;
    let facts = bmc.identity().await.unwrap_or_else(|e| panic!("{tree}: {e}"));
    let power = bmc.power().await.unwrap_or_else(|e| panic!("{tree}: {e}"));
    let boot = bmc.boot().await.unwrap_or_else(|e| panic!("{tree}: {e}"));
    let detail = bmc.firmware_detail().await.unwrap_or_else(|e| panic!("{tree}: {e}"));
    let strict = bmc.firmware().await.unwrap_or_else(|e| panic!("{tree}: {e}"));
    let tasks = bmc.tasks().await.unwrap_or_else(|e| panic!("{tree}: {e}"));

    assert_eq!(facts.serial.known().map(String::as_str), Some(want.serial), "{tree}");
    assert_eq!(facts.bmc_version.known().map(|v| v.as_str()), Some(want.bmc_version), "{tree}");
    assert_eq!(power, Reading::Known(PowerState::On), "{tree}");
    let firmware = strict.known().unwrap_or_else(|| panic!("{tree}: {strict:?}"));
    assert!(firmware.len() >= want.components, "{tree}: {} components: {firmware:?}", firmware.len());
    let found = firmware.iter().find(|(c, _)| c.as_str() == want.a_component.0).map(|(_, v)| v.as_str());
    assert_eq!(found, Some(want.a_component.1), "{tree}: {firmware:?}");

    let profile = bmc.profile().expect("Redfish has a profile");
    assert_eq!(profile.name(), want.profile, "{tree}: {:?}", profile.because);
    assert!(profile.remarks.is_empty(), "{tree}: {:?}", profile.remarks);

    let mut unknown = Vec::new();
    for (name, why) in [
        ("vendor", facts.vendor.why_unknown()),
        ("model", facts.model.why_unknown()),
        ("uuid", facts.uuid.why_unknown()),
        ("boot", boot.why_unknown()),
        ("tasks", tasks.why_unknown()),
    ] {
        unknown.extend(why.map(|why| format!("{name}: {why}")));
    }
    let components = &detail.known().expect("an inventory").components;
    let silent: Vec<&str> = components.iter().filter(|(_, r)| r.known().is_none()).map(|(c, _)| c.as_str()).collect();
    unknown.extend(silent.first().map(|first| format!("firmware of {first} and {} more", silent.len() - 1)));
    let boot =
        boot.known().map_or_else(|| "unknown".to_owned(), |b| format!("{}{}", b.target, if b.once { " once" } else { "" }));
    format!(
        "{tree:<24} {:<8} {boot:<16} {:<10} {:<9} {:<6} {:<36} {}",
        power.known().map_or_else(String::new, ToString::to_string),
        firmware.len(),
        silent.len(),
        tasks.known().map_or_else(|| "?".to_owned(), |t| t.len().to_string()),
        profile.name(),
        unknown.join("; ")
    )
}

#[tokio::test]
async fn every_captured_tree_is_examined_and_shows_what_its_maker_does() {
    let test = "every_captured_tree_is_examined_and_shows_what_its_maker_does";
    // What each shows of its maker. Entity tags, statuses and bodies of errors are the test server's own, and the clock is the day of the capture.
    let wants: [(&str, &[&str]); 6] = [
        ("dell", &["RC-27"]),
        ("hpe", &["RC-37"]),
        ("supermicro", &["RC-15", "RC-27", "RC-58"]),
        ("nvidia_viking", &["RC-27", "RC-58", "RC-60", "RC-61"]),
        ("tree-supermicro-gb300", &["RC-27", "RC-58", "RC-61"]),
        ("dmtf-public-rackmount1", &[]),
    ];
    for (tree, rows) in wants {
        let Some((_dir, root)) = unpack(test, tree) else { return };
        let server = Server::plain(serve(root)).await;
        let bmc = server.client();
        let exam = bmc.examine().await;
        bmc.close().await;
        println!("{tree}");
        for look in &exam.looks {
            println!("    {:<6} {:<48} {:?}", look.row, look.at, look.seen);
        }
        let missing: Vec<&&str> = rows.iter().filter(|row| !exam.shows(row)).collect();
        assert!(missing.is_empty(), "{tree} does not show {missing:?}");
        let silent: Vec<String> = (1..=64).map(|n| format!("RC-{n:02}")).filter(|row| !exam.knows(row)).collect();
        assert!(silent.is_empty(), "{tree}: nothing is said of {silent:?}");
        assert_eq!(exam.latencies_ms.len(), 8, "{tree}");
        let writes = server.log.lock().unwrap().iter().filter(|s| s.method != "GET" && !s.path.contains("Sessions")).count();
        assert_eq!(writes, 0, "{tree}: an examination changes nothing");
    }
}
