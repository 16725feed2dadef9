//! What the captured BMCs measure and remember: every sensor, log, unit and accelerator of each tree is found. The numbers were counted in the files by
//! another program. Nothing is changed, and the number of requests is bounded.

use std::collections::BTreeMap;

use bringup::bmc::Bmc;
use bringup::bmc::redfish::Redfish;
use bringup::bmc::sensing::{Health, Listing, Sensing, Sensor, SensorValue};
use bringup::model::Reading;

use super::redfish_server::Server;
use super::redfish_trees::{serve, unpack};

struct Want {
    tree: &'static str,
    /// Sensors in all, those of `Sensors` collections, and those that say no value.
    sensors: (usize, usize, usize),
    /// Place, name, number and unit of some of them.
    some: &'static [(&'static str, &'static str, f64, &'static str)],
    watts: Option<(f64, &'static str)>,
    /// Logs, and what could not be read of them.
    logs: (usize, usize),
    /// The hardware event log: id, entries, the newest one's id and words.
    log: Option<(&'static str, u64, &'static str, &'static str)>,
    /// Units by kind.
    frus: &'static [(&'static str, usize)],
    /// Kind and serial number of one of them.
    fru: (&'static str, &'static str),
    /// Accelerators: maker, model and serial of the first and the last.
    accelerators: (usize, &'static [(&'static str, &'static str, &'static str)]),
}

const WANTS: &[Want] = &[
    Want {
        tree: "dell",
        // 33 sensors; of 49 voltages 41 are power-good signals without a number, and the other 8 are among the 33.
        sensors: (74, 33, 41),
        some: &[("System.Embedded.1", "CPU1 Temp", 37.0, "Cel"), ("System.Embedded.1", "System Board Fan5A", 18720.0, "RPM")],
        watts: Some((614.0, "Chassis/System.Embedded.1/Power")),
        logs: (3, 0),
        log: Some(("Managers/iDRAC.Embedded.1/Sel", 5, "1024", "An OEM diagnostic event occurred.")),
        frus: &[("memory", 16), ("processor", 3), ("drive", 3), ("power-supply", 2), ("network-adapter", 2)],
        fru: ("system", "CNIVC0014M0388"),
        accelerators: (1, &[("NVIDIA Corporation", "NVIDIA H100 PCIe", "1654422007043")]),
    },
    Want {
        tree: "hpe",
        // 53 temperatures, 6 fans, 2 supplies with output and line, and the whole.
        sensors: (64, 0, 0),
        some: &[("1", "01-Inlet Ambient", 20.0, "Cel"), ("1", "Fan 2", 51.0, "%")],
        watts: Some((531.0, "Chassis/1/Power")),
        logs: (4, 0),
        log: Some(("Systems/1/IML", 5, "5", "Slot=2 Storage - Volume 1 status changed to ok")),
        frus: &[("memory", 16), ("processor", 2), ("drive", 18), ("power-supply", 2)],
        fru: ("chassis", "MXQ302099S"),
        // The embedded video controller is none.
        accelerators: (0, &[]),
    },
    Want {
        tree: "supermicro",
        sensors: (76, 1, 0),
        some: &[("1", "NVSwitch Temp", 31.0, "Cel"), ("1", "3.3VSB", 3.34, "V"), ("1", "Power Supply Bay 8 input", 367.0, "W")],
        watts: Some((2161.0, "Chassis/1/Power")),
        logs: (2, 0),
        log: Some(("Systems/1/Log1", 82, "82", "[PWR-0000] PS8 Status, Power Supply Installed")),
        frus: &[("memory", 32), ("processor", 2), ("drive", 8), ("power-supply", 8), ("network-adapter", 10)],
        fru: ("system", "S889914X3710910"),
        accelerators: (8, &[("NVIDIA", "H100 80GB HBM3", "1652323019599"), ("NVIDIA", "H100 80GB HBM3", "1652323019898")]),
    },
    Want {
        tree: "nvidia_viking",
        sensors: (503, 503, 0),
        some: &[("DGX", "PWR_SYSTEM", 1950.0, "W"), ("HGX_GPU_SXM_1", "HGX GPU SXM 1 TEMP 1", 60.0, "Cel")],
        watts: Some((1950.0, "Chassis/DGX/Sensors/PWR_SYSTEM")),
        logs: (23, 0),
        log: Some(("Managers/BMC/SEL", 75, "75", "Drive Slot/Bay: Drive Presence")),
        frus: &[("memory", 32), ("processor", 8), ("power-supply", 6)],
        fru: ("processor", "1652923003067"),
        accelerators: (8, &[("NVIDIA", "H100 80GB HBM3", "1652923003067"), ("NVIDIA", "H100 80GB HBM3", "1652923001497")]),
    },
    Want {
        tree: "tree-supermicro-gb300",
        sensors: (266, 266, 0),
        some: &[("HGX_GPU_3", "HGX GPU 3 Power 0", 241.421, "W")],
        watts: Some((1349.263802, "Chassis/Chassis_0/EnvironmentMetrics")),
        // Every log service of this capture is a dangling link.
        logs: (0, 0),
        log: None,
        frus: &[("memory", 2), ("processor", 6), ("network-adapter", 5)],
        fru: ("system", "S964512X5913271"),
        // Two dies of one module have one serial number and are two accelerators.
        accelerators: (4, &[("NVIDIA", "NVIDIA GB300", "1653125034241"), ("NVIDIA", "NVIDIA GB300", "1653125033721")]),
    },
    Want {
        tree: "dmtf-public-rackmount1",
        sensors: (48, 41, 0),
        some: &[("1U", "Ambient Temperature", 22.5, "Cel"), ("1U", "Power Supply #1 Input Voltage", 119.27, "V")],
        watts: Some((374.0, "Chassis/1U/EnvironmentMetrics")),
        logs: (2, 0),
        log: Some(("Systems/437XR1138R2/Log1", 2, "2", "Temperature threshold exceeded")),
        frus: &[("processor", 2), ("power-supply", 1)],
        fru: ("chassis", "437XR1138R2"),
        accelerators: (0, &[]),
    },
];

fn known<T: std::fmt::Debug>(tree: &str, reading: Reading<T>) -> T {
    match reading {
        Reading::Known(value) => value,
        other => panic!("{tree}: {other:?}"),
    }
}

fn number(sensor: &Sensor) -> Option<(f64, &str)> {
    match sensor.value.known()? {
        SensorValue::Analog { value, unit } => Some((*value, unit)),
        SensorValue::Discrete(_) => None,
    }
}

#[tokio::test]
async fn every_captured_bmc_tells_what_it_measures_and_remembers() {
    let test = "every_captured_bmc_tells_what_it_measures_and_remembers";
    println!(
        "{:<24} {:<8} {:<8} {:<6} {:<6} {:<5} {:<13} requests",
        "tree", "sensors", "no value", "watts", "log", "units", "accelerators"
    );
    for want in WANTS {
        let Some((_dir, root)) = unpack(test, want.tree) else { return };
        let server = Server::plain(serve(root)).await;
        let bmc = server.client();
        println!("{}", ask(want, &bmc, &server).await);
        let writes = server.log.lock().unwrap().iter().filter(|s| s.method != "GET" && !s.path.contains("Sessions")).count();
        assert_eq!(writes, 0, "{}: reads change nothing", want.tree);
        bmc.close().await;
    }
}

async fn ask(want: &Want, bmc: &Redfish, server: &Server) -> String {
    let tree = want.tree;
    let requests = || server.log.lock().unwrap().len();
    let mut costs = Vec::new();
    let mut before = requests();
    let mut cost = || {
        let now = requests();
        costs.push(now - std::mem::replace(&mut before, now));
    };

    let sensors = known(tree, bmc.sensors().await.unwrap());
    cost();
    assert_eq!(sensors.unread, Vec::<String>::new(), "{tree}");
    let collected = sensors.items.iter().filter(|s| s.id.contains("/Sensors/")).count();
    let silent = sensors.items.iter().filter(|s| s.value.why_unknown().is_some()).count();
    assert_eq!((sensors.items.len(), collected, silent), want.sensors, "{tree}");
    distinct(tree, &sensors, |s| (s.place.clone(), s.name.clone()));
    distinct(tree, &sensors, |s| (s.id.clone(), String::new()));
    for (place, name, value, unit) in want.some {
        let found = sensors.items.iter().find(|s| s.place == *place && s.name == *name);
        assert_eq!(found.and_then(number), Some((*value, *unit)), "{tree}: {place} {name}: {found:?}");
    }

    let drawn = bmc.drawn().await.unwrap();
    cost();
    assert_eq!(drawn.known().map(|d| (d.watts, d.from.as_str())), want.watts, "{tree}: {drawn:?}");

    let logs = bmc.logs().await.unwrap();
    cost();
    match want.log {
        Some((id, ..)) => {
            let logs = known(tree, logs);
            assert_eq!((logs.items.len(), logs.unread.len()), want.logs, "{tree}: {:?}", logs.items);
            assert_eq!(logs.items[0].id, id, "the one that is read first stands first");
            assert!(logs.items[0].clearable, "{tree}");
        }
        None => assert!(logs.why_unknown().is_some_and(|why| why.contains("404")), "{tree}: {logs:?}"),
    }
    let log = bmc.log(None, 3).await.unwrap();
    cost();
    let held = match want.log {
        Some((id, held, newest, words)) => {
            let log = known(tree, log);
            // DMTF's mockup names a next page in its collection that leads back to the first: how many it holds cannot be said.
            let told = (tree != "dmtf-public-rackmount1").then_some(&held);
            assert_eq!((log.log.id.as_str(), log.held.known()), (id, told), "{tree}");
            assert_eq!(log.entries.len(), usize::try_from(held.min(3)).unwrap(), "{tree}: the newest three");
            let last = log.entries.last().unwrap();
            assert_eq!((last.id.as_str(), last.message.as_str()), (newest, words), "{tree}");
            assert!(last.when.is_some() && last.severity.known().is_some(), "{tree}: {last:?}");
            held.to_string()
        }
        None => {
            assert!(log.why_unknown().is_some_and(|why| why.contains("404")), "{tree}: {log:?}");
            "?".to_owned()
        }
    };

    let frus = known(tree, bmc.frus().await.unwrap());
    cost();
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for fru in &frus.items {
        *kinds.entry(fru.kind.as_str()).or_default() += 1;
    }
    for (kind, count) in want.frus {
        assert_eq!(kinds.get(kind), Some(count), "{tree}: {kinds:?}");
    }
    let (kind, serial) = want.fru;
    assert!(frus.items.iter().any(|f| f.kind == kind && f.serial.known().is_some_and(|s| s == serial)), "{tree}: {serial}");

    let accelerators = known(tree, bmc.accelerators().await.unwrap());
    cost();
    let (count, ends) = want.accelerators;
    assert_eq!(accelerators.items.len(), count, "{tree}: {:?}", accelerators.items);
    for (seen, want) in [accelerators.items.first(), accelerators.items.last()].into_iter().flatten().zip(ends) {
        let words = [&seen.maker, &seen.model, &seen.serial].map(|r| r.known().map(String::as_str));
        assert_eq!(words, [Some(want.0), Some(want.1), Some(want.2)], "{tree}");
        assert_eq!(seen.health, Reading::Known(Health::Ok), "{tree}");
    }
    // The largest tree without `$expand`.
    assert!(costs.iter().all(|cost| *cost <= 620), "{tree}: {costs:?}");
    format!(
        "{tree:<24} {:<8} {silent:<8} {:<6} {held:<6} {:<5} {count:<13} {costs:?}",
        sensors.items.len(),
        drawn.known().map_or_else(|| "?".to_owned(), |d| format!("{:.0}", d.watts)),
        frus.items.len()
    )
}

fn distinct(tree: &str, all: &Listing<Sensor>, key: impl Fn(&Sensor) -> (String, String)) {
    let mut seen = BTreeMap::new();
    for sensor in &all.items {
        if let Some(other) = seen.insert(key(sensor), sensor) {
            panic!("{tree}: two sensors are one to the reader: {other:?} and {sensor:?}");
        }
    }
}
