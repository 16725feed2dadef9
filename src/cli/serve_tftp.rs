//! The TFTP half of `bringup serve`: what it needs before it starts, and a line for each transfer.

use std::net::SocketAddrV4;

use serde_json::json;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::failure::{Exit, Failure, Result};
use super::global::{Global, now_ms};
use super::output::Format;
use crate::boot::{
    Files, Grants, Loaders, StartError, TftpEnd, TftpLimits, TftpLog, TftpSocket, TftpTold, VirtualFile, note_tftp_down,
    serve_tftp,
};

/// A running TFTP server, or none.
pub struct Tftp {
    running: Option<Running>,
}

struct Running {
    told: Receiver<TftpTold>,
    server: JoinHandle<std::result::Result<(), StartError>>,
    record: JoinHandle<()>,
}

/// Why the address cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("listen for TFTP on {address}")]
struct Listen {
    address: SocketAddrV4,
    source: std::io::Error,
}

impl Tftp {
    /// Starts it where an address is given.
    ///
    /// # Errors
    /// The address or the loaders cannot be had.
    pub fn start(
        address: Option<SocketAddrV4>,
        loaders: &Loaders,
        grants: &Grants,
        stop: &CancellationToken,
        global: &Global,
    ) -> Result<Self> {
        let Some(address) = address else { return Ok(Self { running: None }) };
        let files = Files::loaders(loaders).map_err(|error| {
            Failure::new(Exit::ERROR, error).hint("install Debian's package `ipxe`, or name its folder with --loaders")
        })?;
        let bound = TftpSocket::bind(address).and_then(|socket| socket.local_addr().map(|at| (socket, at)));
        let (socket, at) = bound.map_err(|source| {
            let hint = hint(&source, address);
            Failure::new(Exit::ERROR, Listen { address, source }).hint(hint)
        })?;
        let names: Vec<&str> = files.iter().map(VirtualFile::name).collect();
        global.talk(format!("serving TFTP on {at}, read only: {}", names.join(", ")));
        let log = TftpLog::default();
        let told = log.watch();
        let record = tokio::spawn(note_tftp_down(log.watch(), grants.clone(), stop.clone()));
        let server = tokio::spawn(serve_tftp(socket, files, TftpLimits::default(), log, stop.clone()));
        Ok(Self { running: Some(Running { told, server, record }) })
    }

    /// The next thing that it tells; waits for ever when it does not run.
    pub async fn next(&mut self) -> std::result::Result<TftpTold, RecvError> {
        match &mut self.running {
            Some(running) => running.told.recv().await,
            None => std::future::pending().await,
        }
    }

    /// Prints what [`Self::next`] heard; `false` when the server has ended by itself.
    pub fn tell(global: &Global, heard: std::result::Result<TftpTold, RecvError>) -> bool {
        match heard {
            Ok(told) => line(global, &told),
            Err(RecvError::Lagged(lost)) => global.talk(format!("{lost} lines of TFTP were not printed")),
            Err(RecvError::Closed) => return false,
        }
        true
    }

    /// Waits for its end, which the stop token brings, and prints what is left.
    ///
    /// # Errors
    /// It could not begin.
    pub async fn end(&mut self, global: &Global) -> Result<()> {
        let Some(running) = &mut self.running else { return Ok(()) };
        (&mut running.server).await?.map_err(|error| Failure::new(Exit::ERROR, error))?;
        (&mut running.record).await?;
        while let Ok(told) = running.told.try_recv() {
            line(global, &told);
        }
        Ok(())
    }
}

fn hint(error: &std::io::Error, address: SocketAddrV4) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied if address.port() < 1024 => {
            "ports below 1024 need root, or: setcap cap_net_bind_service=+ep on the program"
        }
        std::io::ErrorKind::AddrInUse => "is dnsmasq, tftpd or another boot server running? --tftp takes another address",
        _ => "is the address one of this machine's? --tftp takes another",
    }
}

fn line(global: &Global, told: &TftpTold) {
    let (end, why) = match &told.end {
        TftpEnd::Whole => ("whole", ""),
        TftpEnd::Asked => ("asked", "it asked for the length only"),
        TftpEnd::Stopped(why) => ("stopped", why.as_str()),
        TftpEnd::GaveUp(why) => ("given-up", *why),
        TftpEnd::Refused(why) => ("refused", why.as_str()),
    };
    if matches!(global.out.format, Format::Json | Format::Ndjson) {
        let value = json!({
            "format_version": 1, "at_ms": now_ms(), "from": told.from.ip(), "port": told.from.port(), "protocol": "tftp",
            "file": told.file, "sha256": told.sha256.as_ref().map(ToString::to_string), "end": end, "why": why,
            "bytes": told.bytes, "of": told.of, "ms": u64::try_from(told.took.as_millis()).unwrap_or(u64::MAX), "again": told.again,
            "others": told.others,
        });
        return global.out.line(value.to_string());
    }
    let (from, file, bytes, of) = (told.from.ip(), &told.file, told.bytes, told.of);
    let what = match &told.end {
        TftpEnd::Whole if told.again > 0 => {
            format!("{bytes} bytes in {:.2} s, {} packets sent again", told.took.as_secs_f64(), told.again)
        }
        TftpEnd::Whole => format!("{bytes} bytes in {:.2} s", told.took.as_secs_f64()),
        TftpEnd::Refused(why) => format!("refused: {why}"),
        TftpEnd::Asked | TftpEnd::Stopped(_) | TftpEnd::GaveUp(_) => format!("{bytes} of {of} bytes: {why}"),
    };
    let others = if told.others > 0 { format!("; {} others like it were not told", told.others) } else { String::new() };
    global.out.line(format!("{from} tftp {file} {what}{others}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_without_the_right_to_it_is_told_as_that() {
        let at = "0.0.0.0:69".parse().unwrap();
        assert!(hint(&std::io::ErrorKind::PermissionDenied.into(), at).contains("root"));
        assert!(hint(&std::io::ErrorKind::AddrInUse.into(), at).contains("dnsmasq"));
        assert!(!hint(&std::io::ErrorKind::PermissionDenied.into(), "10.0.0.1:6969".parse().unwrap()).contains("root"));
    }
}
