//! Sensors, event log and units of OpenIPMI's `ipmi_sim`: a BMC that somebody else wrote, whose readings are files and whose events are its own.

use std::time::Duration;

use bringup::bmc::Bmc;
use bringup::bmc::Written;
use bringup::bmc::keeping::Keeping;
use bringup::bmc::sensing::{Health, Sensing, Sensor, SensorValue};
use bringup::model::Reading;

use super::ipmi_rig::{Sim, admin, client};
use crate::support::need_program;

/// A full sensor record: temperature in degrees, or a fan in hundreds of revolutions.
fn record(id: u8, kind: u8, unit: u8, m: u8, upper: [u8; 3], name: &str) -> String {
    let [unc, uc, unr] = upper;
    let mut body = vec![0x20, 0, id, 3, id, 0x7f, 0x68, kind, 0x01, 0x95, 0x0a, 0x95, 0x7a, 0x3f, 0x3f];
    body.extend([0x00, unit, 0x00, 0x00, m, 0, 0, 0, 0, 0, 7, 40, 90, 10, 255, 0, unr, uc, unc, 0, 0, 0, 2, 2, 0, 0, 0]);
    body.push(0xc0 | name.len() as u8);
    body.extend(name.bytes());
    let bytes = [&[id, 0, 0x51, 1, body.len() as u8][..], &body].concat();
    format!("main_sdr_add 0x20 {}\n", bytes.iter().map(|b| format!("{b:#04x}")).collect::<Vec<_>>().join(" "))
}

fn start(test: &str) -> Option<Sim> {
    let mut emu = String::from("sel_enable 0x20 1000 0x0a\n");
    for (id, kind, unit, m, name, upper) in [
        (1, 1, 1, 1, "CPU0 Temp", [80, 90, 100]),
        (2, 1, 1, 1, "GPU0 Temp", [85, 92, 100]),
        (3, 4, 18, 100, "FAN1", [200, 220, 240]),
    ] {
        let [unc, uc, unr] = upper;
        emu.push_str(&format!("sensor_add 0x20 0 {id} {kind} 1 poll 200 file \"{{dir}}/reading{id}\"\n"));
        emu.push_str(&format!("sensor_set_threshold 0x20 0 {id} settable 111000 {unr} {uc} {unc} 0 0 0\n"));
        let events = "000111111000000";
        emu.push_str(&format!(
            "sensor_set_event_support 0x20 0 {id} enable scanning per-state {events} {events} {events} {events}\n"
        ));
        emu.push_str(&record(id, kind, unit, m, upper, name));
    }
    Sim::start_with_files(test, &emu, &[("reading1", "45"), ("reading2", "38"), ("reading3", "90")])
}

fn value(sensor: &Sensor) -> f64 {
    match &sensor.value {
        Reading::Known(SensorValue::Analog { value, .. }) => *value,
        other => panic!("{}: {other:?}", sensor.name),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readings_events_and_clearing() {
    let Some(sim) = start("readings_events_and_clearing") else { return };
    let (_, bmc) = client(sim.addr, admin(Some(3)));
    // ipmi_sim looks at its files every 200 ms.
    let mut all = Vec::new();
    for _ in 0..100 {
        all = bmc.sensors().await.unwrap().known().cloned().unwrap().items;
        if all.len() == 3 && all.iter().all(|s| matches!(s.value, Reading::Known(_))) && value(&all[0]) == 45.0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(
        all.iter().map(|s| (s.name.as_str(), value(s))).collect::<Vec<_>>(),
        [("CPU0 Temp", 45.0), ("GPU0 Temp", 38.0), ("FAN1", 9000.0)]
    );
    assert_eq!(all[1].thresholds.upper_critical, Some(92.0), "{:?}", all[1]);
    assert_eq!(all[2].kind, "Rotational");
    let ipmitool = need_program("readings_events_and_clearing", "ipmitool");

    // It gets hot: the reading, its health, and an event.
    std::fs::write(sim.path().join("reading2"), "95\n").unwrap();
    let mut hot = None;
    for _ in 0..100 {
        let sensors = bmc.sensors().await.unwrap().known().cloned().unwrap().items;
        hot = sensors.into_iter().find(|s| s.name == "GPU0 Temp" && s.health == Reading::Known(Health::Critical));
        if hot.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(hot.map(|s| value(&s)), Some(95.0));
    let log = bmc.log(None, 50).await.unwrap().known().cloned().unwrap();
    let event = log.entries.iter().rfind(|entry| entry.origin == "GPU0 Temp" && entry.message.contains("Critical"));
    let event = event.unwrap_or_else(|| panic!("{log:#?}"));
    assert_eq!(event.severity, Reading::Known(Health::Critical), "{event:?}");
    if ipmitool.is_some() {
        let theirs = sim.ipmitool(&["sel", "elist"]);
        assert_eq!(theirs.lines().count(), log.entries.len(), "{theirs}");
        let line = theirs.lines().find(|line| line.contains("GPU0 Temp") && line.contains("Upper Critical")).unwrap();
        assert!(event.message.contains("95") == line.contains("95"), "{line} / {}", event.message);
    }
    match bmc.clear_log(None).await {
        Written::Applied(seen) => assert!(seen.contains("cleared"), "{seen}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(bmc.log(None, 50).await.unwrap().known().cloned().unwrap().entries, []);
    bmc.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn units_accounts_and_what_it_has_not() {
    let Some(sim) = start("units_accounts_and_what_it_has_not") else { return };
    let (_, bmc) = client(sim.addr, admin(Some(3)));
    let frus = bmc.frus().await.unwrap().known().cloned().unwrap();
    let told: Vec<_> = frus.items.iter().map(|f| (f.id.as_str(), f.maker.known().cloned(), f.serial.known().cloned())).collect();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        told,
        [("0/product", text("Racks Ltd"), text("SN-0042")), ("0/board", text("Boards Ltd"), text("BRD-SN"))],
        "{frus:?}"
    );
    // No DCMI. Asked as a user or operator it calls every command that it does not know a want of privilege (D4h): not known, not nought watts
    // and not an error.
    let drawn = bmc.drawn().await.unwrap();
    assert!(matches!(&drawn, Reading::Unknown { why } if why.contains("completion code 0xd4")), "{drawn:?}");
    let accounts = bmc.accounts().await.unwrap().known().cloned().unwrap();
    assert!(accounts.iter().any(|a| a.user == "admin" && a.role.known().is_some_and(|r| r == "administrator")), "{accounts:?}");
    assert!(bmc.proves("admin", &bringup::bmc::Password::new("s3cret")).await.unwrap());
    bmc.close().await;
}

/// A password of another BMC's making: set, proven, and the old one is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_set_and_proven() {
    let Some(sim) = start("a_password_is_set_and_proven") else { return };
    let (_, bmc) = client(sim.addr, admin(Some(3)));
    match bmc.set_password("admin", &bringup::bmc::Password::new("n3w-s3cret")).await {
        Written::Applied(seen) => assert!(seen.contains("succeeded"), "{seen}"),
        other => panic!("{other:?}"),
    }
    assert!(!bmc.proves("admin", &bringup::bmc::Password::new("s3cret")).await.unwrap());
    bmc.close().await;
}
