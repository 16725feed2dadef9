//! Writes what TFTP did beside the grants, for whoever asks what became of a node. Equal transfers are one entry; once a second they go to the disk.
//! No transfer waits for it.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::told::{TftpEnd, TftpTold};
use crate::boot::grant::now_ms;
use crate::boot::grants::Grants;
use crate::boot::sightings::Sighting;

/// How often it is written to the disk.
const WRITE_DOWN: Duration = Duration::from_secs(1);
/// Most entries between two writings, whatever comes over the network.
const MOST: usize = 4096;

/// Writes down what it hears until `stop` is cancelled or nobody tells any more. Trouble of the store loses entries and stops nothing.
pub async fn note_down(mut told: Receiver<TftpTold>, grants: Grants, stop: CancellationToken) {
    let mut pending: HashMap<String, Sighting> = HashMap::new();
    let mut turn = tokio::time::interval(WRITE_DOWN);
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut over = false;
    while !over {
        tokio::select! {
            () = stop.cancelled() => over = true,
            heard = told.recv() => match heard {
                Ok(one) => {
                    add(&mut pending, &one);
                    continue;
                }
                Err(RecvError::Lagged(_)) => continue,
                Err(RecvError::Closed) => over = true,
            },
            _ = turn.tick() => {}
        }
        while let Ok(one) = told.try_recv() {
            add(&mut pending, &one);
        }
        if !pending.is_empty() {
            let news = pending.drain().map(|(_, sighting)| sighting).collect();
            drop(grants.saw(news).await);
        }
    }
}

fn add(pending: &mut HashMap<String, Sighting>, told: &TftpTold) {
    let (kind, end) = match &told.end {
        TftpEnd::Whole => ("tftp", "whole".to_owned()),
        TftpEnd::Asked => ("tftp-part", "asked for its length".to_owned()),
        TftpEnd::Stopped(why) => ("tftp-part", format!("stopped by the node: {why}")),
        TftpEnd::GaveUp(why) => ("tftp-part", format!("given up: {why}")),
        TftpEnd::Refused(why) => ("tftp-part", format!("refused: {why}")),
    };
    let text = format!("tftp {} {end}", told.file);
    let key = format!("{} {text}", told.from.ip());
    let now = now_ms();
    if let Some(known) = pending.get_mut(&key) {
        known.last_ms = now;
        known.times += 1;
    } else if pending.len() < MOST {
        let sighting = Sighting {
            kind: kind.to_owned(),
            key: key.clone(),
            detail: text,
            discovery: None,
            first_ms: now,
            last_ms: now,
            times: 1,
        };
        pending.insert(key, sighting);
    }
}
