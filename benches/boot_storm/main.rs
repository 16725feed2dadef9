//! 1,250 nodes switched on at once, against one `bringup serve` in a network namespace: DHCP, loader by TFTP, DHCP of iPXE, two scripts, kernel
//! and initrd by HTTP, each node with sockets and an address of its own, every byte compared. Prints p50, p99 and the slowest of each part, what had
//! to be asked again and sent again, and the server's peak memory and processor time; asserts that every node got everything and nothing about time.
//!
//! `cargo bench --bench boot_storm`; needs root (network namespaces, ports 67 and 69). `BRINGUP_BENCH_NODES` (1250), `BRINGUP_BENCH_KERNEL_MIB` (8),
//! `BRINGUP_BENCH_INITRD_MIB` (16), `BRINGUP_BENCH_CACHES` (0): so many rack caches beside the nodes, which fetch kernel and initrd from them; what
//! the boot server sent of files is printed in any case. No other tool does this whole job; its parts are beside their peers in the benches dhcp, tftp and http.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr, missing_docs)]

#[allow(dead_code)]
mod lab;
mod node;
mod packet;
mod relay;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bringup::boot::{GrantSpec, Grants, new_grant_id, now_ms};
use bringup::model::{Artifact, Digest, NodeId, PlanId, RunId};
use sha2::{Digest as _, Sha256};

use lab::{NODES, Server};
use node::Files;
use relay::Relay;

fn main() {
    let space = lab::enter();
    let nodes = number("NODES", NODES).min(NODES);
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    lab::inventory(dir);
    let loaders = dir.join("loaders");
    std::fs::create_dir_all(&loaders).unwrap();
    std::fs::create_dir_all(dir.join("state")).unwrap();
    let files = Arc::new(Files {
        // Debian's snponly.efi has about this length.
        loader: bytes(270_000, 1),
        kernel: bytes(number("KERNEL_MIB", 8) << 20, 2),
        initrd: bytes(number("INITRD_MIB", 16) << 20, 3),
    });
    for name in ["snponly.efi", "ipxe.efi", "undionly.kpxe"] {
        std::fs::write(loaders.join(name), &files.loader).unwrap();
    }
    lab::pin(&loaders);
    let (kernel, initrd) = (artifact(dir, "kernel", &files.kernel), artifact(dir, "initrd", &files.initrd));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(NODES)
        // Threads that have their script are not to wait behind all the packets of the others.
        .global_queue_interval(1)
        .thread_stack_size(256 << 10)
        .build()
        .unwrap();
    let begun = Instant::now();
    let caches = number("CACHES", 0);
    runtime.block_on(issue(dir, nodes, caches, &kernel, &initrd));
    println!("{nodes} grants issued in {:.2} s", begun.elapsed().as_secs_f64());

    let server = Server::ours(&space, dir, &loaders, &["--tftp"]);
    let racks: Vec<Server> = (0..caches).map(|n| Server::cache(dir, n)).collect();
    let (nodes_before, server_before) = (lab::segments_again(std::process::id()), lab::segments_again(server.pid()));
    let begun = Instant::now();
    let all = runtime.block_on(storm(nodes, &files));
    let wall = begun.elapsed();
    assert_eq!(all.len(), nodes);
    let mut parts: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    for (name, took) in all.iter().flat_map(|one| &one.parts) {
        parts.entry(name).or_default().push(*took);
    }
    println!("{nodes} nodes at once, kernel {} MiB, initrd {} MiB, ms:", files.kernel.len() >> 20, files.initrd.len() >> 20);
    for (name, _) in &all[0].parts {
        let took = parts.get_mut(name).unwrap();
        took.sort();
        let ms = |part: usize| took[(took.len() * part / 100).min(took.len() - 1)].as_secs_f64() * 1e3;
        let target = if *name == "script of the grant" { "  (target: p99 < 100)" } else { "" };
        println!("  {name:22} p50 {:>9.1}  p99 {:>9.1}  slowest {:>9.1}{target}", ms(50), ms(99), ms(100));
    }
    let sent = nodes * (files.loader.len() + files.kernel.len() + files.initrd.len());
    println!(
        "asked again: {} (target: 0); all booted after {:.1} s, {:.0} MB/s; server: peak {:.1} MiB (target: < 128), cpu {:.2} s",
        all.iter().map(|one| one.again).sum::<usize>(),
        wall.as_secs_f64(),
        sent as f64 / 1e6 / wall.as_secs_f64(),
        server.peak_mib(),
        server.cpu().as_secs_f64(),
    );
    println!(
        "TCP segments sent again: {} by the nodes, {} by the server",
        lab::segments_again(std::process::id()) - nodes_before,
        lab::segments_again(server.pid()) - server_before
    );
    let left = runtime.block_on(bringup::boot::health(lab::AT.parse().unwrap())).unwrap().storm.unwrap().bytes;
    let (one, all) = (files.kernel.len() + files.initrd.len(), nodes * (files.kernel.len() + files.initrd.len()));
    let mb = |bytes: usize| bytes as f64 / 1e6;
    println!(
        "kernel and initrd by the uplink: {left} bytes, {:.2} times one copy of {:.1} MB; the nodes got {:.0} MB",
        left as f64 / one as f64,
        mb(one),
        mb(all)
    );
    for rack in &racks {
        println!("  {}: peak {:.1} MiB, cpu {:.2} s", rack.name, rack.peak_mib(), rack.cpu().as_secs_f64());
    }
    // Each cache asks once for each file of each node, by one byte of it.
    assert!(caches == 0 || left as usize == caches * one + nodes * 2, "not one copy for each cache");
}

async fn storm(nodes: usize, files: &Arc<Files>) -> Vec<node::Booted> {
    let relay = Relay::start().await;
    let mut all = tokio::task::JoinSet::new();
    for n in 0..nodes {
        all.spawn(node::boot(n, Arc::clone(&relay), Arc::clone(files)));
    }
    all.join_all().await
}

async fn issue(dir: &Path, nodes: usize, caches: usize, kernel: &Artifact, initrd: &Artifact) {
    let grants = Grants::open(&dir.join("state/grants.db")).unwrap();
    for n in 0..nodes {
        let (name, mac, _) = lab::node(n);
        let spec = GrantSpec {
            id: new_grant_id(),
            node: NodeId::new(name).unwrap(),
            plan: PlanId::new("plan-storm").unwrap(),
            run: RunId::new("run-storm").unwrap(),
            mac: Some(lab::mac(mac).parse().unwrap()),
            uuid: None,
            serial: None,
            image: Digest::from_bytes(&[9; 32]),
            kernel: kernel.clone(),
            initrd: vec![initrd.clone()],
            root: None,
            cmdline: vec!["console=ttyS0".into()],
            files_from: (caches > 0).then(|| format!("http://{}", lab::cache(n % caches))),
            expires_at_ms: now_ms() + 3_600_000,
        };
        grants.issue(spec).await.unwrap();
    }
}

fn artifact(dir: &Path, name: &str, content: &[u8]) -> Artifact {
    let path = dir.join(name);
    std::fs::write(&path, content).unwrap();
    Artifact { path, sha256: Digest::from_bytes(&Sha256::digest(content).into()) }
}

fn number(name: &str, or: usize) -> usize {
    std::env::var(format!("BRINGUP_BENCH_{name}")).ok().and_then(|n| n.parse().ok()).unwrap_or(or)
}

fn bytes(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|n| ((n + seed).wrapping_mul(2_654_435_761) >> 9) as u8).collect()
}
