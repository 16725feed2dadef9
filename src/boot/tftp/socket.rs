//! The one socket. Answers leave from the address that was asked, also where the machine has several; a window leaves in one system call where
//! the kernel can cut it into datagrams (UDP segmentation offload, Linux 4.18), else in one for each.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::libc::{in_addr, in_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, getsockopt, recvmsg, sendmsg, setsockopt, sockopt,
};

use super::desk::Ends;
use super::packet::LONGEST;
use super::transfer::Burst;

/// Buffers for a rack that asks at once; the kernel counts about 768 bytes for a small datagram.
const BUFFER: usize = 4 << 20;
/// Longest payload that one call may hand to the kernel, and most datagrams in it (`UDP_MAX_SEGMENTS`).
const PAYLOAD: usize = 65_507;
const SEGMENTS: usize = 64;
/// MTU of Ethernet, when the kernel does not say.
const ETHERNET: usize = 1500;

/// A bound socket, not yet served.
pub struct TftpSocket {
    socket: UdpSocket,
    whole_windows: AtomicBool,
}

/// A datagram that came in.
pub(super) struct Heard<'a> {
    pub(super) ends: Ends,
    pub(super) bytes: &'a [u8],
}

impl TftpSocket {
    /// Binds; port 69 needs the right to bind to low ports (root or `CAP_NET_BIND_SERVICE`).
    ///
    /// # Errors
    /// The address cannot be had.
    pub fn bind(address: SocketAddrV4) -> io::Result<Self> {
        let socket = UdpSocket::bind(address)?;
        setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        // Above the system's bound only for root; a smaller buffer costs repeats, nothing else.
        if setsockopt(&socket, sockopt::RcvBufForce, &BUFFER).is_err() {
            let _ = setsockopt(&socket, sockopt::RcvBuf, &BUFFER);
        }
        if setsockopt(&socket, sockopt::SndBufForce, &BUFFER).is_err() {
            let _ = setsockopt(&socket, sockopt::SndBuf, &BUFFER);
        }
        Ok(Self { socket, whole_windows: AtomicBool::new(true) })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn local_addr(&self) -> io::Result<std::net::SocketAddr> {
        self.socket.local_addr()
    }

    /// Longest wait of [`Self::receive`].
    pub(super) fn set_patience(&self, patience: Duration) -> io::Result<()> {
        self.socket.set_read_timeout(Some(patience))
    }

    /// Waits for a datagram; `None` when none came, or one that is not for us: too long, or sent to a broadcast address (RFC 1123 §4.2.3.5).
    pub(super) fn receive<'a>(&self, buffer: &'a mut [u8; LONGEST + 1], control: &mut [u8]) -> io::Result<Option<Heard<'a>>> {
        let mut slices = [IoSliceMut::new(buffer)];
        let got = recvmsg::<SockaddrIn>(self.socket.as_raw_fd(), &mut slices, Some(control), MsgFlags::empty());
        let message = match got.map_err(io::Error::from) {
            Ok(message) => message,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => return Ok(None),
            Err(error) => return Err(error),
        };
        let asked = message.cmsgs()?.find_map(|about| match about {
            ControlMessageOwned::Ipv4PacketInfo(info) => Some((address(info.ipi_addr), address(info.ipi_spec_dst))),
            _ => None,
        });
        let (bytes, client) = (message.bytes, message.address);
        let (Some((to, here)), Some(client)) = (asked, client) else { return Ok(None) };
        let whole = bytes <= LONGEST && !message.flags.contains(MsgFlags::MSG_TRUNC);
        let heard = Ends { client: client.into(), here };
        Ok(buffer.get(..bytes).filter(|_| whole && to == here).map(|bytes| Heard { ends: heard, bytes }))
    }

    /// Sends; what the kernel has no room for counts as lost, as on any wire.
    pub(super) fn send(&self, ends: Ends, burst: &Burst) {
        let from =
            in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: in_addr { s_addr: raw(ends.here) }, ipi_addr: in_addr { s_addr: 0 } };
        let from = ControlMessage::Ipv4PacketInfo(&from);
        let to = SockaddrIn::from(ends.client);
        let send = |bytes: &[u8], about: &[ControlMessage<'_>]| {
            sendmsg(self.socket.as_raw_fd(), &[IoSlice::new(bytes)], about, MsgFlags::MSG_DONTWAIT, Some(&to))
                .map_err(io::Error::from)
        };
        let together = (PAYLOAD / burst.each.max(1)).min(SEGMENTS) * burst.each;
        let mut rest = burst.bytes.as_slice();
        if let Ok(each) = u16::try_from(burst.each)
            && together > burst.each
        {
            while rest.len() > burst.each && self.whole_windows.load(Ordering::Relaxed) {
                let (now, later) = rest.split_at(together.min(rest.len()));
                match send(now, &[from, ControlMessage::UdpGsoSegments(&each)]) {
                    Ok(_) => rest = later,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                    // No such thing in this kernel, or not towards this client (a path narrower than the block).
                    Err(error) => {
                        if matches!(error.kind(), io::ErrorKind::Unsupported) {
                            self.whole_windows.store(false, Ordering::Relaxed);
                        }
                        break;
                    }
                }
            }
        }
        for packet in rest.chunks(burst.each.max(1)) {
            drop(send(packet, &[from]));
        }
    }

    /// MTU of the path to a client, as the kernel knows it: that of the interface until a router said less.
    pub(super) fn mtu(&self, ends: Ends) -> usize {
        let known = UdpSocket::bind((ends.here, 0)).and_then(|socket| {
            socket.connect(ends.client)?;
            Ok(getsockopt(&socket, sockopt::IpMtu)?)
        });
        known.ok().and_then(|mtu| usize::try_from(mtu).ok()).unwrap_or(ETHERNET)
    }
}

fn address(raw: in_addr) -> Ipv4Addr {
    Ipv4Addr::from(raw.s_addr.to_ne_bytes())
}

fn raw(address: Ipv4Addr) -> u32 {
    u32::from_ne_bytes(address.octets())
}
