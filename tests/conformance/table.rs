//! The table row × profile, and the one test that fills and prints it.

use std::fmt::Write as _;
use std::time::Instant;

use super::groups;
use super::sweep::{Cells, Effort, VENDORS, sweep};

/// Every row of `reference/firmware.md` §5.
fn rows() -> Vec<String> {
    (1..=64).map(|n| format!("RC-{n:02}")).chain((1..=15).map(|n| format!("IP-{n:02}"))).collect()
}

/// Rows that no group has, each with the reason. A row that a group has does not belong here: the test below says so.
const WITHOUT: &[(&str, &str)] = &[("IP-14", "HPM.1 updates are not built: no verb sends one")];

#[test]
fn every_row_of_the_list_has_its_test_or_a_reason() {
    let listed: std::collections::BTreeSet<String> = rows().into_iter().collect();
    let tested: std::collections::BTreeSet<String> = groups().iter().flat_map(|g| &g.rows).map(|row| row.id.to_owned()).collect();
    let missing: Vec<&String> = listed.difference(&tested).collect();
    let excused: Vec<&str> = WITHOUT.iter().map(|(id, _)| *id).collect();
    assert_eq!(missing, excused, "rows of firmware.md §5 without a test, against those that have a reason for it");
    // Number 00 is no row of the list: what the groups ask beside it (a dead BMC, forged packets, several faults in one update).
    let strange: Vec<&String> = tested.difference(&listed).filter(|id| !id.split('-').any(|part| part == "00")).collect();
    assert!(strange.is_empty(), "tests of rows that firmware.md §5 does not have: {strange:?}");
    assert!(WITHOUT.iter().all(|(_, why)| !why.is_empty()));
}

/// Failures that are printed in full; a broken client breaks a row in many places.
const SHOWN: usize = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_holds_at_every_request_on_every_profile() {
    let effort = Effort::from_env();
    let start = Instant::now();
    let groups = groups();
    let words: Vec<(&'static str, &'static str)> = groups.iter().flat_map(|g| &g.rows).map(|row| (row.id, row.says)).collect();
    let cells = sweep(groups, &effort).await;
    println!("{}", table(&words, &cells));
    for (id, why) in WITHOUT {
        println!("{id} has no row: {why}");
    }
    if !effort.only.is_empty() {
        for ((id, vendor), cell) in &cells {
            let each = cell.took.as_secs_f32() / cell.placed.max(1) as f32;
            println!("{id} on {vendor}: {each:.2} s a run; own: {}", cell.own.as_deref().unwrap_or("FAILED"));
            for (why, times) in &cell.told {
                println!("{id} on {vendor}: {times} ended early: {why}");
            }
        }
    }
    let placed: u32 = cells.values().map(|cell| cell.placed).sum();
    let failed: Vec<&String> = cells.values().flat_map(|cell| &cell.failed).collect();
    for failure in failed.iter().take(SHOWN) {
        println!("FAILED {failure}");
    }
    let how = if effort.full {
        "at every request of all three"
    } else {
        "at every request of one profile, strided on two; all: BRINGUP_SWEEP=full"
    };
    println!(
        "{} rows x {} profiles, {placed} placements ({how}), seed {}, {} failures, {:.0} s",
        cells.len() / VENDORS.len(),
        VENDORS.len(),
        effort.seed,
        failed.len(),
        start.elapsed().as_secs_f32()
    );
    assert!(failed.is_empty(), "{} assertions failed; the first: {}", failed.len(), failed[0]);
}

/// One line a row: its words, then for each profile how many faults were placed and how the runs ended.
pub fn table(words: &[(&'static str, &'static str)], cells: &Cells) -> String {
    let mut text = format!("{:<6} {:<62} {:<22} {:<22} {:<22}\n", "row", "the BMC", VENDORS[0], VENDORS[1], VENDORS[2]);
    let mut words = words.to_vec();
    words.sort_by_key(|(id, _)| (id.starts_with("IP"), *id));
    for (id, says) in words {
        if !cells.contains_key(&(id, VENDORS[0])) {
            continue;
        }
        let _ = write!(text, "{id:<6} {:<62}", says.chars().take(62).collect::<String>());
        for vendor in VENDORS {
            let cell = &cells[&(id, vendor)];
            let told: u32 = cell.told.values().sum();
            let shown = match (cell.failed.len(), cell.placed) {
                (0, 0) => "pass".to_owned(),
                (0, placed) => format!("pass {placed} ({} done)", placed - told),
                (failed, placed) => format!("FAIL {failed} of {placed}"),
            };
            let _ = write!(text, " {shown:<22}");
        }
        text.push('\n');
    }
    text.push_str(
        "\npass N (M done): N placements, M brought up to the end; the others ended early with an error that says why\n",
    );
    text
}
