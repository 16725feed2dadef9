//! TFTP beside tftpd-hpa and dnsmasq, each as a process of its own, with the same client, in the same run: one transfer at equal block sizes,
//! windows (RFC 7440), then 200 and 1,250 clients at once with 1 MiB each. Every block is compared with the file. Prints figures and ratios,
//! asserts that every client got its file and nothing about time.
//!
//! `cargo bench --bench tftp`. `BRINGUP_TFTPD` names `in.tftpd` when it is not in /usr/sbin (`apt-get download tftpd-hpa`, `dpkg -x`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr, missing_docs)]

mod client;
mod server;

use std::sync::Arc;
use std::time::Duration;

use client::{Took, fetch, storm};
use server::Server;

const ROUNDS: usize = 5;
/// One transfer.
const LONG: usize = 32 << 20;
/// Each of many.
const SHORT: usize = 1 << 20;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    for (name, length) in [("ipxe.efi", LONG), ("snponly.efi", SHORT)] {
        std::fs::write(folder.path().join(name), bytes(length)).unwrap();
    }
    let servers = Server::all(folder.path());
    let (long, short) = (Arc::new(bytes(LONG)), Arc::new(bytes(SHORT)));

    println!("one transfer of {} MiB in lock-step; median of {ROUNDS} rounds, servers in turn", LONG >> 20);
    // dnsmasq 2.90 agrees to 2263 at most, the size of its DNS buffer.
    for block in [512, 1468, 2048] {
        let mut rates: Vec<Vec<f64>> = vec![Vec::new(); servers.len()];
        for _ in 0..ROUNDS {
            for (server, rates) in servers.iter().zip(&mut rates) {
                rates.push(rate(LONG, &fetch(server.at, "ipxe.efi", block, 1, &long)));
            }
        }
        show(&servers, rates, &format!("blksize {block:>5}"));
    }

    println!("one transfer with a window, blksize 1468 (ours only: tftpd-hpa 5.2 and dnsmasq 2.90 do not know RFC 7440)");
    for window in [4, 16, 64] {
        let rates = (0..ROUNDS).map(|_| rate(LONG, &fetch(servers[0].at, "ipxe.efi", 1468, window, &long))).collect();
        println!("  windowsize {window:>2}: {:>6.0} MB/s (target >= 300 with a window)", median(rates));
    }

    for clients in [200, 1250] {
        println!("{clients} clients at once, {} MiB each, blksize 1468, lock-step; median of 3", SHORT >> 20);
        let mut rates: Vec<Vec<f64>> = vec![Vec::new(); servers.len()];
        for _ in 0..3 {
            for (server, rates) in servers.iter().zip(&mut rates) {
                let before = server.cpu();
                let took = storm(server.at, "snponly.efi", 1468, 1, clients, &short);
                println!(
                    "    {:10} wall {:>6.2} s, slowest {:>6.2} s, clients that got it {}, repeats {}, server cpu {:.2} s, peak {:.1} MiB",
                    server.name,
                    took.wall.as_secs_f64(),
                    took.slowest.as_secs_f64(),
                    took.whole,
                    took.repeats,
                    (server.cpu().saturating_sub(before)).as_secs_f64(),
                    server.peak_mib(),
                );
                assert!(server.name != "bringup" || took.whole == clients, "clients without their file");
                // Who leaves clients without their file has no rate.
                rates.push(if took.whole == clients { rate(SHORT * clients, &took) } else { 0.0 });
            }
        }
        show(&servers, rates, "together");
        let took = storm(servers[0].at, "snponly.efi", 1468, 16, clients, &short);
        println!("  bringup with windowsize 16: wall {:.2} s, {:.0} MB/s", took.wall.as_secs_f64(), rate(SHORT * clients, &took));
    }
}

fn show(servers: &[Server], rates: Vec<Vec<f64>>, what: &str) {
    let rates: Vec<f64> = rates.into_iter().map(median).collect();
    for (server, rate) in servers.iter().zip(&rates) {
        let ratio =
            if *rate > 0.0 { format!("ours/theirs {:.2}", rates[0] / rate) } else { "some clients got nothing".to_owned() };
        println!("  {what} {:10} {rate:>7.1} MB/s  {ratio}", server.name);
    }
}

fn rate(bytes: usize, took: &Took) -> f64 {
    bytes as f64 / 1e6 / took.wall.max(Duration::from_micros(1)).as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n.wrapping_mul(2_654_435_761) >> 9) as u8).collect()
}
