//! The sockets of the DHCP server: each on one named interface, so that it hears and speaks there and nowhere else.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::Path;

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

/// Room for the packets of 1,250 nodes that ask at the same moment, 600 bytes each and the kernel's own share; without root the kernel gives
/// less when `net.core.rmem_max` says so.
const BACKLOG: usize = 4 << 20;

/// Why the DHCP server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum DhcpError {
    /// No interface of this name.
    #[error("there is no network interface `{0}`")]
    NoInterface(String),
    /// It has no IPv4 address to answer from.
    #[error("the interface {interface} has no IPv4 address")]
    NoAddress {
        /// It.
        interface: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Somebody else listens there.
    #[error("another program listens on UDP port {port} of {interface}")]
    Taken {
        /// Port.
        port: u16,
        /// Interface.
        interface: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The kernel wants more rights than we have.
    #[error("the rights to listen on {what} of {interface} are missing")]
    NotAllowed {
        /// `UDP port 67`, or another.
        what: String,
        /// Interface.
        interface: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Anything else.
    #[error("listen on {what} of {interface}")]
    Socket {
        /// `UDP port 67`, or another.
        what: String,
        /// Interface.
        interface: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

impl DhcpError {
    /// What the kernel's answer means.
    pub(super) fn of(source: io::Error, what: &str, port: u16, interface: &str) -> Self {
        let (what, interface) = (what.to_owned(), interface.to_owned());
        match source.kind() {
            io::ErrorKind::PermissionDenied => Self::NotAllowed { what, interface, source },
            io::ErrorKind::AddrInUse => Self::Taken { port, interface, source },
            _ => Self::Socket { what, interface, source },
        }
    }

    /// What can be done about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoInterface(_) => "`ip link` lists the interfaces",
            Self::NoAddress { .. } => {
                "give it the address that nodes know this machine by: ip address add 10.77.0.1/16 dev IFACE"
            }
            Self::Taken { .. } => {
                "`ss -lunp` names it; stop it, keep it off this interface, or serve beside it with --proxy-dhcp when it is the site's DHCP"
            }
            Self::NotAllowed { .. } => {
                "run it as root, or once: setcap cap_net_bind_service,cap_net_raw+ep \"$(command -v bringup)\""
            }
            Self::Socket { .. } => "is the interface up? `ip link set IFACE up`",
        }
    }
}

/// Index of an interface.
///
/// # Errors
/// [`DhcpError::NoInterface`].
pub(super) fn index(interface: &str) -> Result<u32, DhcpError> {
    let missing = || DhcpError::NoInterface(interface.escape_debug().take(40).collect());
    // The kernel's own rule for a name; it also keeps the path below inside its folder.
    if interface.is_empty() || interface.len() > 15 || interface.contains('/') || matches!(interface, "." | "..") {
        return Err(missing());
    }
    let file = Path::new("/sys/class/net").join(interface).join("ifindex");
    std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok()).ok_or_else(missing)
}

/// A UDP socket of one interface. `shared` lets another program listen on the same port; both then hear each broadcast.
pub(super) fn udp(interface: &str, at: SocketAddrV4, shared: bool) -> Result<UdpSocket, DhcpError> {
    let what = format!("UDP port {}", at.port());
    let made = || -> io::Result<UdpSocket> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.bind_device(Some(interface.as_bytes()))?;
        socket.set_reuse_address(shared)?;
        socket.set_broadcast(true)?;
        // Above the system's bound only for root; with less room a storm costs repeats, nothing else.
        if setsockopt(&socket, sockopt::RcvBufForce, &BACKLOG).is_err() {
            socket.set_recv_buffer_size(BACKLOG)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&SocketAddr::V4(at).into())?;
        UdpSocket::from_std(socket.into())
    };
    made().map_err(|source| DhcpError::of(source, &what, at.port(), interface))
}

/// Our own address on the interface: the one that the kernel would send a broadcast from.
pub(super) fn own_address(interface: &str) -> Result<Ipv4Addr, DhcpError> {
    let asked = || -> io::Result<Ipv4Addr> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.bind_device(Some(interface.as_bytes()))?;
        socket.set_broadcast(true)?;
        // Nothing is sent: a UDP socket that is connected only has its route looked up.
        socket.connect(&SocketAddr::from((Ipv4Addr::BROADCAST, 9)).into())?;
        let own = socket.local_addr()?.as_socket_ipv4().map(|at| *at.ip());
        own.filter(|ip| !ip.is_unspecified()).ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))
    };
    asked().map_err(|source| DhcpError::NoAddress { interface: interface.to_owned(), source })
}
