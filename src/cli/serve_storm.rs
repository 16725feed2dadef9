//! The storm half of `bringup serve`: how many transfers at once, how fast, and a line while somebody waits.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use super::failure::{Exit, Failure, Result};
use super::global::{Global, now_ms};
use super::output::Format;
use super::serve::Args;
use crate::boot::{Gauge, Rate, Storm, StormRules};
use crate::model::RackId;

/// How often it is looked whether somebody waits.
const EVERY: Duration = Duration::from_secs(5);

/// One `--budget`: a rate, and whose.
#[derive(Debug, Clone)]
pub struct Budget {
    /// Nodes of this rack; all that is sent when absent.
    pub rack: Option<RackId>,
    /// How much.
    pub rate: Rate,
}

impl FromStr for Budget {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (rack, rate) = match text.split_once('=') {
            Some((rack, rate)) => (Some(RackId::new(rack).map_err(|error| error.to_string())?), rate),
            None => (None, text),
        };
        Ok(Self { rack, rate: rate.parse().map_err(|error: crate::boot::RateError| error.to_string())? })
    }
}

/// The rules that the words of the command line make. The inventory is read only where a rack is named.
///
/// # Errors
/// A budget that is given twice, or for a rack that the inventory does not know.
pub fn rules(args: &Args, global: &Global) -> Result<StormRules> {
    let mut rules = StormRules { transfers: args.transfers.into(), ..StormRules::default() };
    for Budget { rack, rate } in &args.budget {
        let twice = match rack {
            None => rules.budget.replace(*rate).is_some(),
            Some(rack) => rules.racks.insert(rack.clone(), *rate).is_some(),
        };
        if twice {
            let whose = rack.as_ref().map_or_else(|| "the whole".to_owned(), |rack| format!("rack {rack}"));
            return Err(Failure::new(Exit::INVALID, format!("--budget is given twice for {whose}")));
        }
    }
    if rules.racks.is_empty() {
        return Ok(rules);
    }
    let inventory = super::site::inventory(global)?.inventory;
    if let Some(rack) = rules.racks.keys().find(|rack| !inventory.racks.contains_key(rack)) {
        return Err(Failure::new(Exit::INVALID, format!("--budget names rack {rack}, which the inventory does not know"))
            .hint("`bringup show` lists the racks"));
    }
    rules.homes = inventory.nodes.into_values().map(|node| (node.id, node.rack)).collect::<BTreeMap<_, _>>();
    Ok(rules)
}

/// Says, every five seconds, how many wait and how fast the others get theirs; nothing while nobody waits.
pub struct Teller {
    storm: Storm,
    clock: Interval,
    before: (Instant, u64),
    waited: bool,
}

impl Teller {
    /// Begins to look.
    #[must_use]
    pub fn new(storm: Storm) -> Self {
        let mut clock = interval(EVERY);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { storm, clock, before: (Instant::now(), 0), waited: false }
    }

    /// Waits until there is something to say.
    pub async fn next(&mut self) -> (Gauge, u64) {
        loop {
            self.clock.tick().await;
            let (now, gauge) = (Instant::now(), self.storm.gauge());
            let (then, bytes) = std::mem::replace(&mut self.before, (now, gauge.bytes));
            let took = u64::try_from((now - then).as_millis()).unwrap_or(u64::MAX).max(1);
            let rate = gauge.bytes.saturating_sub(bytes).saturating_mul(1000) / took;
            let spoke = std::mem::replace(&mut self.waited, gauge.waiting > 0);
            // Once more when the last has got its turn.
            if self.waited || spoke {
                return (gauge, rate);
            }
        }
    }

    /// Prints what [`Self::next`] said.
    pub fn tell(global: &Global, (gauge, rate): (Gauge, u64)) {
        if matches!(global.out.format, Format::Json | Format::Ndjson) {
            let storm = json!({"sending": gauge.sending, "waiting": gauge.waiting, "slow": gauge.slow, "bytes": gauge.bytes, "bytes_per_s": rate});
            return global.out.line(json!({"format_version": 1, "at_ms": now_ms(), "storm": storm}).to_string());
        }
        let slow = if gauge.slow > 0 { format!(", {} to slow clients", gauge.slow) } else { String::new() };
        global.talk(format!(
            "transfers: {} sent{slow}, {} wait their turn, {} MB/s in all",
            gauge.sending,
            gauge.waiting,
            rate / 1_000_000
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_as_they_are_written() {
        let whole: Budget = "8Gbit".parse().unwrap();
        assert_eq!((whole.rack, whole.rate.bytes()), (None, 1_000_000_000));
        let rack: Budget = "a001=900Mbit/s".parse().unwrap();
        assert_eq!((rack.rack.unwrap().as_str(), rack.rate.bytes()), ("a001", 112_500_000));
        for text in ["", "=1Gbit", "a001=", "A 1=1Gbit", "8"] {
            assert!(text.parse::<Budget>().is_err(), "{text}");
        }
    }
}
