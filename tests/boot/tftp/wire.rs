//! What the real socket does: one port and the asked address for every answer, whole windows, and noise that harms nobody.

use std::net::UdpSocket;
use std::time::Duration;

use super::rig::{EVEN, LONG, Rig};

/// A socket that takes packets from exactly the address that was asked, as a firewall does.
fn firewalled(rig: &Rig, asked: &str) -> UdpSocket {
    let socket = UdpSocket::bind("127.91.9.9:0").unwrap();
    socket.connect((asked, rig.at.port())).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    socket
}

fn read(name: &str, options: &[(&str, u32)]) -> Vec<u8> {
    let mut bytes = [b"\0\x01", name.as_bytes(), b"\0octet\0"].concat();
    for (key, value) in options {
        bytes.extend_from_slice(format!("{key}\0{value}\0").as_bytes());
    }
    bytes
}

/// Fetches with a window, counting nothing twice; the loopback loses nothing that fits the buffers.
fn fetch(socket: &UdpSocket, name: &str, block: u32, window: u32) -> (String, Vec<u8>) {
    socket.send(&read(name, &[("blksize", block), ("windowsize", window), ("tsize", 0)])).unwrap();
    let mut packet = vec![0; 65_600];
    let length = socket.recv(&mut packet).unwrap();
    assert_eq!(packet[..2], [0, 6]);
    let oack = String::from_utf8(packet[2..length].to_vec()).unwrap().replace('\0', " ");
    let word = |key: &str| oack.split(' ').skip_while(|w| *w != key).nth(1).unwrap().parse::<usize>().unwrap();
    let (block, window) = (word("blksize"), word("windowsize") as u16);
    let (mut got, mut last) = (Vec::new(), 0_u16);
    socket.send(&[0, 4, 0, 0]).unwrap();
    loop {
        let length = socket.recv(&mut packet).unwrap();
        assert_eq!(packet[..2], [0, 3]);
        let number = u16::from_be_bytes([packet[2], packet[3]]);
        let end = length - 4 < block;
        if number == last.wrapping_add(1) {
            got.extend_from_slice(&packet[4..length]);
            last = number;
            if !end && !last.is_multiple_of(window) {
                continue;
            }
        }
        let [high, low] = last.to_be_bytes();
        socket.send(&[0, 4, high, low]).unwrap();
        if end && number == last {
            return (oack, got);
        }
    }
}

#[test]
fn a_server_on_every_address_answers_from_the_one_that_was_asked() {
    let rig = Rig::start("0.0.0.0");
    for asked in ["127.91.2.1", "127.91.2.77", "127.0.0.1"] {
        let (oack, got) = fetch(&firewalled(&rig, asked), EVEN, 1468, 4);
        assert_eq!(oack, "blksize 1468 windowsize 4 tsize 751616 ");
        assert!(got == rig.holds(EVEN), "{asked}");
    }
    rig.told(&format!("127.91.9.9 tftp {EVEN} 751616 bytes in "), 3);
}

#[test]
fn whole_windows_arrive_at_every_block_size() {
    let rig = Rig::start("127.91.2.2");
    for (block, window, oack) in [
        (1468, 64, "blksize 1468 windowsize 64 tsize 600003 "),
        (8, 64, "blksize 8 windowsize 64 tsize 600003 "),
        (512, 7, "blksize 512 windowsize 7 tsize 600003 "),
        // The loopback's MTU is 65,536; a window holds 1 MiB at most.
        (65_464, 65_535, "blksize 65464 windowsize 16 tsize 600003 "),
    ] {
        let (said, got) = fetch(&firewalled(&rig, "127.91.2.2"), LONG, block, window);
        assert_eq!(said, oack);
        assert!(got == rig.holds(LONG), "{block} x {window}");
    }
}

#[test]
fn a_request_brings_one_packet_until_it_is_acknowledged() {
    let rig = Rig::start("127.91.2.3");
    let socket = firewalled(&rig, "127.91.2.3");
    socket.send(&read(LONG, &[("blksize", 1468), ("windowsize", 64)])).unwrap();
    let mut packet = [0; 2000];
    assert!(socket.recv(&mut packet).unwrap() < 64);
    // It is forgotten without a second packet; the line comes when that is so.
    rig.told("it never acknowledged anything", 1);
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv(&mut packet).is_err(), "a second packet for one request");
}

#[test]
fn noise_harms_nobody() {
    let mut rig = Rig::start("127.91.2.4");
    let noise = firewalled(&rig, "127.91.2.4");
    let long_name = [b"\0\x01", &[b'a'; 400][..], b"\0octet\0"].concat();
    for bytes in [
        &b""[..],
        b"\0",
        b"\0\x01",
        b"\0\x01name",
        b"\0\x01\0\0",
        b"\0\x03\0\x01x",
        b"\0\x04\0\x01",
        b"\0\x05\0\0",
        b"\0\x06",
        b"\xff\xff\xff\xff",
        &[0; 1400],
        &[1; 60_000],
        &long_name,
        b"\0\x01\x1b]52;c;AAAA\x07\0octet\0",
        b"\0\x01\xe2\x80\xaeipxe\0octet\0",
        &read(LONG, &[("blksize", 0), ("windowsize", 0), ("timeout", 256), ("timeout", 1)]),
    ] {
        noise.send(bytes).unwrap();
    }
    rig.told(" refused: ", 5);
    let (_, got) = fetch(&firewalled(&rig, "127.91.2.4"), LONG, 1468, 16);
    assert!(got == rig.holds(LONG) && rig.serve.alive());
    assert!(rig.lines().chars().all(|c| c == '\n' || c == '…' || (' '..='~').contains(&c)), "{:?}", rig.lines());
}
