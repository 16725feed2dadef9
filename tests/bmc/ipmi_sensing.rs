//! Sensors, event log, units and watts over IPMI, of three makers' simulated BMCs: told as the machine is, and as `ipmitool` tells them.

use std::collections::BTreeMap;
use std::process::Command;

use bringup::bmc::ipmi::IpmiBmc;
use bringup::bmc::sensing::{Health, Sensing, Sensor, SensorValue};
use bringup::bmc::{Bmc, BmcTrouble, Written};
use bringup::model::{PowerVerb, Reading};

use super::console_rig::{PASSWORD, Rig};
use crate::support::need_program;

const MAKERS: [&str; 3] = ["dell", "supermicro", "ami"];

async fn sensors(bmc: &IpmiBmc) -> BTreeMap<String, Sensor> {
    let listing = match bmc.sensors().await.unwrap() {
        Reading::Known(listing) => listing,
        other => panic!("{other:?}"),
    };
    assert!(listing.unread.is_empty(), "{:?}", listing.unread);
    let ids: std::collections::BTreeSet<&str> = listing.items.iter().map(|sensor| sensor.id.as_str()).collect();
    assert_eq!(ids.len(), listing.items.len(), "ids tell them apart");
    listing.items.into_iter().map(|sensor| (sensor.name.clone(), sensor)).collect()
}

fn number(sensor: &Sensor) -> (f64, &str) {
    match &sensor.value {
        Reading::Known(SensorValue::Analog { value, unit }) => (*value, unit),
        other => panic!("{}: {other:?}", sensor.name),
    }
}

#[tokio::test]
async fn sensors_of_three_makers() {
    for maker in MAKERS {
        let rig = Rig::start(maker, &["accelerator.hot(1,97)"], true).await;
        let bmc = rig.bmc();
        let all = sensors(&bmc).await;
        let curved = maker == "ami";
        // 2 processors, inlet, 8 cards, 8 fans, a rail, power, 4 supplies, perhaps air flow; the event-only one has no reading.
        assert_eq!(all.len(), 2 + 1 + 8 + 8 + 1 + 1 + 4 + usize::from(curved), "{maker}: {:?}", all.keys());
        let hot = &all["H100 1 Temp"];
        assert_eq!(number(hot), (97.0, "Cel"), "{maker}");
        assert_eq!(
            (hot.kind.as_str(), hot.place.as_str(), &hot.health),
            ("Temperature", "add-in card 2", &Reading::Known(Health::Critical))
        );
        let limits = &hot.thresholds;
        assert_eq!((limits.upper_caution, limits.upper_critical, limits.upper_fatal), (Some(85.0), Some(92.0), Some(100.0)));
        assert_eq!((limits.lower_caution, limits.lower_critical, limits.lower_fatal), (None, None, None));
        assert_eq!(all["H100 0 Temp"].health, Reading::Known(Health::Ok));
        let fan = &all["FAN3"];
        assert!(number(fan).0 >= 6000.0 && number(fan).1 == "{rev}/min" && fan.kind == "Rotational", "{fan:?}");
        let rail = number(&all["12V"]);
        assert!((rail.0 * 1000.0).fract() == 0.0 && (11.9..12.3).contains(&rail.0) && rail.1 == "V", "{rail:?}");
        if curved {
            // Its curve is told point by point.
            let flow = number(&all["Airflow"]);
            assert!((200.0..350.0).contains(&flow.0) && flow.1 == "[cft_i]/min", "{flow:?}");
            assert_eq!(all["Airflow"].health, Reading::Absent, "it has no thresholds");
        }
        // One record, four sensors.
        for supply in ["PSU1", "PSU2", "PSU3", "PSU4"] {
            assert_eq!(all[supply].value, Reading::Known(SensorValue::Discrete(vec!["Presence detected".into()])), "{maker}");
        }
        assert_eq!(all["PSU3"].place, "power supply 3");

        rig.power(PowerVerb::Off);
        crate::support::wait_until("off", super::console_rig::SOON, || !rig.machine.is_powered());
        let off = sensors(&bmc).await;
        assert_eq!(
            (&off["FAN1"].value, &off["FAN1"].health),
            (&Reading::Absent, &Reading::Absent),
            "{maker}: no power, no reading"
        );
        assert!(matches!(off["Inlet Temp"].value, Reading::Known(_)), "the inlet is measured all the time");
        bmc.close().await;
        assert_eq!(rig.machine.sessions(), 0, "{maker}");
    }
}

#[tokio::test]
async fn the_event_log_is_read_newest_last_and_cleared_once() {
    for maker in MAKERS {
        let rig = Rig::start(maker, &["accelerator.hot(1,97)", "gpu.ecc(2)"], true).await;
        let bmc = rig.bmc();
        let log = bmc.log(None, 100).await.unwrap().known().cloned().unwrap();
        assert!(log.unread.is_empty(), "{:?}", log.unread);
        assert_eq!(log.held, Reading::Known(log.entries.len() as u64), "{maker}");
        let hot = log.entries.iter().find(|entry| entry.origin == "H100 1 Temp").unwrap_or_else(|| panic!("{maker}: {log:#?}"));
        assert_eq!(hot.severity, Reading::Known(Health::Critical));
        assert!(hot.message.contains("reading 97 Cel, threshold 92 Cel"), "{}", hot.message);
        assert!(hot.when.as_ref().is_some_and(|when| when.parse::<jiff::Timestamp>().is_ok()), "{:?}", hot.when);
        assert!(
            log.entries.iter().any(|entry| entry.origin.contains("Memory") && entry.severity == Reading::Known(Health::Critical))
        );
        // The newest part alone, in the same order.
        let newest = bmc.log(Some("SEL"), 2).await.unwrap().known().cloned().unwrap();
        assert_eq!(newest.entries, log.entries[log.entries.len() - 2..], "{maker}");
        assert_eq!(bmc.log(Some("IML"), 2).await.unwrap_err().kind, BmcTrouble::Unsupported);
        let logs = bmc.logs().await.unwrap().known().cloned().unwrap();
        assert_eq!((logs.items.len(), logs.items[0].id.as_str()), (1, "SEL"));

        match bmc.clear_log(None).await {
            Written::Applied(seen) => assert!(seen.contains("cleared"), "{maker}: {seen}"),
            other => panic!("{maker}: {other:?}"),
        }
        let left = bmc.log(None, 100).await.unwrap().known().cloned().unwrap();
        // One maker notes that it was cleared.
        let notes = usize::from(maker == "dell");
        assert_eq!(left.entries.len(), notes, "{maker}: {left:?}");
        if notes == 0 {
            match bmc.clear_log(None).await {
                Written::Applied(seen) => assert!(seen.contains("empty already"), "{seen}"),
                other => panic!("{other:?}"),
            }
        }
        bmc.close().await;
    }
}

#[tokio::test]
async fn units_and_watts() {
    for maker in MAKERS {
        let rig = Rig::start(maker, &[], true).await;
        let bmc = rig.bmc();
        let frus = bmc.frus().await.unwrap().known().cloned().unwrap();
        assert!(frus.unread.is_empty(), "{:?}", frus.unread);
        let ids: Vec<&str> = frus.items.iter().map(|fru| fru.id.as_str()).collect();
        assert_eq!(ids, ["0/product", "0/board", "0/chassis", "1/product", "2/product", "3/product", "4/product"], "{maker}");
        let identity = rig.machine.identity();
        for item in &frus.items[..3] {
            assert_eq!(item.serial, Reading::Known(identity.serial.clone()), "{maker}: {item:?}");
        }
        assert_eq!(frus.items[2].maker, Reading::Absent, "a chassis area names no maker");
        let supply = &frus.items[3];
        assert_eq!(
            (supply.kind.as_str(), supply.name.as_str()),
            ("power-supply", "PSU1, 3000 W"),
            "the multirecord says what it gives"
        );
        assert_ne!(frus.items[3].serial, frus.items[4].serial);
        let drawn = bmc.drawn().await.unwrap().known().cloned().unwrap();
        assert!((4000.0..5000.0).contains(&drawn.watts) && drawn.from == "DCMI", "{drawn:?}");
        bmc.close().await;
    }
}

/// The same BMC, asked by `ipmitool`: every number and every limit is the same.
#[tokio::test(flavor = "multi_thread")]
async fn every_number_is_ipmitools_number() {
    if need_program("every_number_is_ipmitools_number", "ipmitool").is_none() {
        return;
    }
    for maker in MAKERS {
        let rig = Rig::start(maker, &["accelerator.hot(3,88)"], true).await;
        let bmc = rig.bmc();
        let all = sensors(&bmc).await;
        let table = ipmitool(&rig, &["sensor"]);
        let mut compared = 0;
        for line in table.lines() {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let (Some(sensor), Ok(value)) = (all.get(cells[0]), cells[1].parse::<f64>()) else { continue };
            assert_eq!(number(sensor).0, value, "{maker}: {line}");
            let limits = &sensor.thresholds;
            let told = [
                limits.lower_fatal,
                limits.lower_critical,
                limits.lower_caution,
                limits.upper_caution,
                limits.upper_critical,
                limits.upper_fatal,
            ];
            let theirs: Vec<Option<f64>> = cells[4..10].iter().map(|cell| cell.parse().ok()).collect();
            assert_eq!(told.to_vec(), theirs, "{maker}: {line}");
            let health = match cells[3] {
                "ok" => Some(Health::Ok),
                "nc" => Some(Health::Warning),
                "cr" | "nr" => Some(Health::Critical),
                _ => None,
            };
            if sensor.health != Reading::Absent {
                assert_eq!(sensor.health.known().copied(), health, "{maker}: {line}");
            }
            compared += 1;
        }
        assert_eq!(compared, 2 + 1 + 8 + 8 + 1 + 1 + usize::from(maker == "ami"), "{maker}: {table}");
        let held = bmc.log(None, 100).await.unwrap().known().cloned().unwrap().entries.len();
        assert_eq!(ipmitool(&rig, &["sel", "list"]).lines().count(), held, "{maker}");
        bmc.close().await;
    }
}

pub fn ipmitool(rig: &Rig, args: &[&str]) -> String {
    let out = Command::new("ipmitool")
        .args(["-I", "lanplus", "-H", "127.0.0.1", "-p", &rig.address.port().to_string(), "-U", "admin", "-E", "-C", "17"])
        .args(args)
        .env("IPMITOOL_PASSWORD", PASSWORD)
        .output()
        .unwrap();
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}
