//! A process of its own: opens a session with each BMC, keeps all of them, and says what a waiting BMC costs.

use std::sync::Arc;

use bringup::bmc::ipmi::{Account, IpmiBmc, Lan};
use bringup::bmc::{Bmc, Password};
use futures_util::StreamExt as _;

use super::farm::PASSWORD;
use super::measure::field;

fn resident_kib() -> u64 {
    field(&std::fs::read_to_string("/proc/self/status").unwrap(), "VmRSS:")
}

pub fn measure(addresses: &[String]) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let lan = Lan::new();
        let make = |address: &String| {
            let account = Account::new("admin", Password::new(PASSWORD), Some(3)).unwrap();
            Arc::new(IpmiBmc::new(Arc::clone(&lan), format!("{address}:623").parse().unwrap(), account))
        };
        // One BMC first: the runtime, socket and allocator are not the cost of a BMC.
        let first = make(&addresses[0]);
        first.power().await.expect("the first BMC answers");
        let before = resident_kib();
        let bmcs: Vec<_> = addresses[1..].iter().map(make).collect();
        let open = futures_util::stream::iter(&bmcs).map(|bmc| bmc.power()).buffer_unordered(256);
        let heard = open.filter(|answer| std::future::ready(answer.is_ok())).count().await;
        let after = resident_kib();
        let each = after.saturating_sub(before) as f64 / heard.max(1) as f64;
        println!("ipmi idle: {each:.1} KiB per BMC ({heard} open sessions; target < 4 KiB)");
        for bmc in &bmcs {
            bmc.close().await;
        }
    });
}
