//! `bmc sensors`: what each BMC measures. Equal sensors of many nodes share a line with the range of their values; the worst stand first.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::bmc::sensing::{Drawn, Health, Listing, Sensor, SensorValue, Thresholds};
use crate::cli::bmc::heard::{Heard, hear};
use crate::cli::failure::Result;
use crate::cli::global::Global;
use crate::cli::hands::Trust;
use crate::cli::output::{Format, escape};
use crate::model::{NodeId, Reading};
use crate::spec::fold;

/// Shows what each BMC measures
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  bringup bmc sensors a017-s03\n  bringup bmc sensors rack=a017 --bad\n  bringup bmc sensors rack=a017 --kind power"
)]
pub struct Args {
    /// Nodes; all of them by default
    #[arg(value_name = "SELECT")]
    nodes: Option<String>,
    /// Only what is past a limit, or not known
    #[arg(long)]
    bad: bool,
    /// Only this kind, such as `temperature`, `power`, `voltage` or `rotational`
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Also sensors that say nothing: not there, asleep, or well without a value
    #[arg(long)]
    all: bool,
}

/// What one BMC measures.
#[derive(Serialize)]
struct Measured {
    drawn: Reading<Drawn>,
    sensors: Reading<Listing<Sensor>>,
}

/// Runs the verb.
///
/// # Errors
/// The selection or inventory is wrong, or a secret is missing.
pub async fn run(args: Args, global: &Global) -> Result {
    let heard = hear(global, args.nodes.as_deref(), &Trust::default(), "measured", |bmc| async move {
        // The first question decides whether the BMC can be spoken with; the other may stay unknown.
        let sensors = bmc.sensors().await?;
        let drawn = bmc.drawn().await.unwrap_or_else(|e| Reading::unknown(e.to_string()));
        Ok(Measured { drawn, sensors })
    })
    .await?;
    let (table, hidden) = rows(&args, &heard);
    heard.show_rows(global, &["nodes", "count", "place", "sensor", "value", "health"], table);
    if !matches!(global.out.format, Format::Json | Format::Ndjson) {
        for (node, measured) in heard.well() {
            tell(global, node, measured);
        }
        if hidden > 0 {
            global.talk(format!("{hidden} sensors that say nothing are not shown; --all shows them"));
        }
    }
    Ok(heard.exit())
}

/// What cannot stand in the table.
fn tell(global: &Global, node: &NodeId, measured: &Measured) {
    match &measured.sensors {
        Reading::Known(listing) => {
            listing.unread.iter().for_each(|why| global.talk(escape(&format!("{node}: not read: {why}"))));
        }
        Reading::Absent => global.talk(format!("{node}: its BMC has no sensors")),
        Reading::Unknown { why } => global.talk(escape(&format!("{node}: sensors unknown: {why}"))),
    }
    if let Reading::Unknown { why } = &measured.drawn {
        global.talk(escape(&format!("{node}: power drawn unknown: {why}")));
    }
}

/// Rank of a line: the worst first. Unknown stands between what is past a limit and what is well.
fn rank(health: &Reading<Health>, value: &Reading<SensorValue>) -> u8 {
    match (health, value) {
        (Reading::Known(Health::Critical), _) => 0,
        (Reading::Known(Health::Warning), _) => 1,
        (Reading::Known(Health::Ok), Reading::Known(_)) => 3,
        (_, Reading::Known(_)) => 4,
        (Reading::Unknown { .. }, Reading::Unknown { .. }) => 2,
        _ => 5,
    }
}

#[derive(Default)]
struct Line<'a> {
    nodes: Vec<&'a NodeId>,
    numbers: Vec<(f64, &'a str)>,
    words: Vec<String>,
    limits: Option<Thresholds>,
}

/// The lines of the table, and how many sensors are left out for saying nothing.
fn rows(args: &Args, heard: &Heard<Measured>) -> (Vec<Vec<String>>, usize) {
    let mut lines: BTreeMap<(u8, usize, String, String, &'static str), Line<'_>> = BTreeMap::new();
    let (mut order, mut hidden) = (BTreeMap::new(), 0);
    let wanted = |kind: &str| args.kind.as_ref().is_none_or(|want| kind.eq_ignore_ascii_case(want));
    for (node, measured) in heard.well() {
        if let (Reading::Known(drawn), true, false) = (&measured.drawn, wanted("power"), args.bad) {
            // Before all other lines that are well.
            let key = (3, 0, "node".to_owned(), "power drawn".to_owned(), "ok");
            let line = lines.entry(key).or_default();
            line.nodes.push(node);
            line.numbers.push((drawn.watts, "W"));
        }
        let Reading::Known(listing) = &measured.sensors else { continue };
        for sensor in listing.items.iter().filter(|s| wanted(&s.kind)) {
            let rank = rank(&sensor.health, &sensor.value);
            let silent = sensor.value.known().is_none() && rank >= 4;
            if args.bad && rank >= 3 {
                continue;
            }
            if silent && !args.all {
                hidden += 1;
                continue;
            }
            let next = order.len() + 1;
            let place = *order.entry((sensor.place.clone(), sensor.name.clone())).or_insert(next);
            let line = lines.entry((rank, place, sensor.place.clone(), sensor.name.clone(), judged(sensor))).or_default();
            line.nodes.push(node);
            line.limits = Some(sensor.thresholds);
            match &sensor.value {
                Reading::Known(SensorValue::Analog { value, unit }) => line.numbers.push((*value, unit)),
                Reading::Known(SensorValue::Discrete(states)) => line.words.push(states.join(", ")),
                Reading::Absent => line.words.push("none".to_owned()),
                Reading::Unknown { why } => line.words.push(format!("unknown: {why}")),
            }
        }
    }
    let table = lines.into_iter().map(|((rank, _, place, name, health), line)| {
        let nodes = fold(line.nodes.iter().map(|node| node.as_str()));
        vec![nodes, line.nodes.len().to_string(), place, name, said(&line, rank), health.to_owned()]
    });
    (table.collect(), hidden)
}

fn judged(sensor: &Sensor) -> &'static str {
    match sensor.health {
        Reading::Known(Health::Ok) => "ok",
        Reading::Known(Health::Warning) => "warning",
        Reading::Known(Health::Critical) => "critical",
        Reading::Absent => "-",
        Reading::Unknown { .. } => "unknown",
    }
}

/// The values of a line: one, or the range of several; with the limit, when one is passed.
fn said(line: &Line<'_>, rank: u8) -> String {
    let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
    for (number, _) in &line.numbers {
        (least, most) = (least.min(*number), most.max(*number));
    }
    let mut parts = Vec::new();
    if let Some((_, unit)) = line.numbers.first() {
        let (least_word, most_word) = (plain(least), plain(most));
        parts.push(if least_word == most_word {
            format!("{least_word} {unit}")
        } else {
            format!("{least_word}…{most_word} {unit}")
        });
        if rank <= 1 {
            parts.extend(line.limits.and_then(|limits| passed(&limits, least, most)));
        }
    }
    let mut words = line.words.clone();
    words.sort();
    words.dedup();
    parts.extend(words);
    parts.join("; ")
}

/// The limit that the worst of the values is past.
fn passed(limits: &Thresholds, least: f64, most: f64) -> Option<String> {
    let over =
        [limits.upper_fatal, limits.upper_critical, limits.upper_caution].into_iter().flatten().find(|limit| most >= *limit);
    let under =
        [limits.lower_fatal, limits.lower_critical, limits.lower_caution].into_iter().flatten().find(|limit| least <= *limit);
    over.map(|limit| format!("limit {}", plain(limit))).or_else(|| under.map(|limit| format!("least {}", plain(limit))))
}

/// A number as people write it: no more than three decimals, and none that are zero.
fn plain(number: f64) -> String {
    let text = format!("{number:.3}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sensor(name: &str, value: Reading<SensorValue>, health: Reading<Health>) -> Sensor {
        let thresholds = Thresholds { upper_critical: Some(90.0), ..Thresholds::default() };
        Sensor { id: name.into(), name: name.into(), place: "1".into(), kind: "Temperature".into(), value, health, thresholds }
    }

    fn celsius(value: f64) -> Reading<SensorValue> {
        Reading::Known(SensorValue::Analog { value, unit: "Cel".into() })
    }

    #[test]
    fn equal_sensors_fold_into_a_range_and_the_worst_stands_first() {
        let ok = Reading::Known(Health::Ok);
        let of = |cpu: f64, gpu: f64, gpu_health: Reading<Health>| {
            let items = vec![
                sensor("CPU", celsius(cpu), ok.clone()),
                sensor("GPU", celsius(gpu), gpu_health),
                sensor("PG", Reading::unknown("it says no ReadingVolts"), ok.clone()),
            ];
            let sensors = Reading::Known(Listing { items, unread: Vec::new() });
            Ok(Measured { drawn: Reading::Known(Drawn { watts: 700.0, from: "x".into() }), sensors })
        };
        let id = |n: &str| NodeId::new(n).unwrap();
        let answers = BTreeMap::from([
            (id("a1-s1"), of(40.0, 31.25, ok.clone())),
            (id("a1-s2"), of(44.0, 93.0, Reading::Known(Health::Critical))),
        ]);
        let heard = Heard::of("measured", answers);
        let args = Args { nodes: None, bad: false, kind: None, all: false };
        let (table, hidden) = rows(&args, &heard);
        assert_eq!(
            table,
            [
                ["a1-s2", "1", "1", "GPU", "93 Cel; limit 90", "critical"],
                ["a1-s[1-2]", "2", "node", "power drawn", "700 W", "ok"],
                ["a1-s[1-2]", "2", "1", "CPU", "40…44 Cel", "ok"],
                ["a1-s1", "1", "1", "GPU", "31.25 Cel", "ok"],
            ]
        );
        assert_eq!(hidden, 2);
        let (table, _) = rows(&Args { bad: true, ..args }, &heard);
        assert_eq!(table.len(), 1);
        assert_eq!((plain(1.0), plain(13268.0), plain(0.67)), ("1".into(), "13268".into(), "0.67".into()));
    }
}
