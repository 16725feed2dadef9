//! The console client against a BMC that somebody else wrote: OpenIPMI's `ipmi_sim`, whose serial port is a TCP socket of this test.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bringup::bmc::BmcTrouble;
use bringup::bmc::ipmi::sol::{ConsoleOptions, Mark};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::console_rig::{SOON, Watched, quick};
use super::ipmi_rig::{Sim, admin, client};

/// A BMC and the far end of its serial port.
struct Bench {
    sim: Sim,
    listener: TcpListener,
    port: TcpStream,
}

async fn bench(test: &str) -> Option<Bench> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at: SocketAddr = listener.local_addr().unwrap();
    let sol = format!("sol \"tcp:{}:{}\" 115200\n", at.ip(), at.port());
    let test = test.to_owned();
    // ipmi_sim answers only after its serial port is connected or refused, so that it starts beside us.
    let starting = tokio::task::spawn_blocking(move || Sim::start_with(&test, &sol, ""));
    let accept = tokio::time::timeout(SOON, listener.accept());
    let (sim, port) = tokio::join!(starting, accept);
    let sim = sim.unwrap()?;
    Some(Bench { sim, listener, port: port.unwrap().unwrap().0 })
}

fn bmc(bench: &Bench) -> Arc<bringup::bmc::ipmi::IpmiBmc> {
    Arc::new(client(bench.sim.addr, admin(Some(3))).1)
}

async fn read(port: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    tokio::time::timeout(SOON, port.read_exact(&mut bytes)).await.expect("typed bytes come").unwrap();
    bytes
}

#[tokio::test]
async fn every_byte_passes_both_ways() {
    let Some(mut bench) = bench("every_byte_passes_both_ways").await else { return };
    let bmc = bmc(&bench);
    let mut seen = Watched::new(bmc.console(quick()).await.unwrap());
    let mut dice = StdRng::seed_from_u64(41);
    // Letters, so that the reader's text is the bytes themselves.
    let prints: String = (0..20_000).map(|_| char::from(dice.random_range(b'a'..=b'z'))).chain(".END.".chars()).collect();
    let types: Vec<u8> = (0..3_000).map(|_| dice.random()).collect();
    bench.port.write_all(prints.as_bytes()).await.unwrap();
    assert!(seen.console.type_in(&types).await);
    let (heard, ()) = tokio::join!(read(&mut bench.port, types.len()), seen.until(".END."));
    assert!(heard == types, "what was typed is what came out of the serial port");
    assert_eq!(seen.text.len(), prints.len());
    assert!(seen.text == prints, "what was printed is what came");
    assert!(!seen.marks.iter().any(Mark::is_gap), "{:?}", seen.marks);
    seen.console.close().await;
}

#[tokio::test]
async fn a_held_console_is_told_and_taken_over() {
    let Some(mut bench) = bench("a_held_console_is_told_and_taken_over").await else { return };
    let (first, second) = (bmc(&bench), bmc(&bench));
    let mut held = Watched::new(first.console(quick()).await.unwrap());
    let error = second.console(quick()).await.map(drop).unwrap_err();
    assert_eq!(error.kind, BmcTrouble::Busy, "{error}");
    assert!(error.to_string().contains("another client has it"), "{error}");
    let mut taken = Watched::new(second.console(ConsoleOptions { take_over: true, ..quick() }).await.unwrap());
    bench.port.write_all(b"after the take-over").await.unwrap();
    taken.until("after the take-over").await;
    // Whoever lost it learns so, and ends nobody's console by leaving: "deactivate" would end the new owner's.
    let error = loop {
        if let Some(error) = held.one().await {
            break error;
        }
    };
    assert_eq!(error.kind, BmcTrouble::Busy, "{error}");
    drop(held);
    bench.port.write_all(b"and goes on").await.unwrap();
    taken.until("and goes on").await;
    // Longer than the BMC is asked for, so that a loss would have shown.
    tokio::time::sleep(3 * quick().keepalive).await;
    bench.port.write_all(b"to the end").await.unwrap();
    taken.until("to the end").await;
    assert!(!taken.marks.iter().any(|mark| matches!(mark, Mark::Lost { .. })), "{:?}", taken.marks);
    taken.console.close().await;
}

/// The BMC dies and comes back without any session: the console is activated again, and the gap is marked.
#[tokio::test]
async fn a_bmc_that_restarts_leaves_a_marked_gap() {
    let Some(mut bench) = bench("a_bmc_that_restarts_leaves_a_marked_gap").await else { return };
    let bmc = bmc(&bench);
    let mut seen = Watched::new(bmc.console(quick()).await.unwrap());
    bench.port.write_all(b"before").await.unwrap();
    seen.until("before").await;
    let Bench { mut sim, listener, .. } = bench;
    let starting = tokio::task::spawn_blocking(move || {
        sim.restart();
        sim
    });
    let (sim, port) = tokio::join!(starting, tokio::time::timeout(SOON, listener.accept()));
    let (_sim, mut port) = (sim.unwrap(), port.unwrap().unwrap().0);
    seen.until_mark(|mark| matches!(mark, Mark::Back { .. })).await;
    assert!(seen.marks.iter().any(|mark| matches!(mark, Mark::Lost { .. })), "{:?}", seen.marks);
    // Keys that are typed while it is away are told as not taken; now they go through again.
    port.write_all(b"after").await.unwrap();
    seen.until("after").await;
    assert!(seen.console.type_in(b"typed").await);
    assert_eq!(read(&mut port, 5).await, b"typed");
    tokio::time::timeout(Duration::from_secs(10), seen.console.close()).await.unwrap();
}
