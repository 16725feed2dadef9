//! The file's bytes: from memory at once, else by a thread that may wait for the disk, so that one cold file holds up nobody else.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use nix::poll::{PollFd, PollFlags, PollTimeout};
use rustix::io::{Errno, ReadWriteFlags};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// What is read at a time from a disk.
const BLOCK: usize = 64 << 10;

/// Makes sure that a part of a file is in memory. Cheap when it is: one look at its first and its last page.
pub(super) async fn warm(file: &Arc<File>, at: u64, count: usize) -> io::Result<()> {
    let last = at.saturating_add(u64::try_from(count).unwrap_or_default()).saturating_sub(1);
    if !cold(file, at) && !cold(file, last) {
        return Ok(());
    }
    let file = Arc::clone(file);
    let read = move || -> io::Result<()> {
        let mut block = vec![0; BLOCK];
        let mut at = at;
        while at <= last {
            match file.read_at(&mut block, at) {
                Ok(0) => break,
                Ok(got) => at = at.saturating_add(u64::try_from(got).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    };
    tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
}

/// A read would wait for the disk. A file system that cannot tell counts as warm.
fn cold(file: &File, at: u64) -> bool {
    let mut byte = [0; 1];
    let got = rustix::io::preadv2(file, &mut [IoSliceMut::new(&mut byte)], at, ReadWriteFlags::NOWAIT);
    got.is_err_and(|error| error == Errno::AGAIN)
}

/// Reads a part of a file into memory, by a thread that may wait; fewer bytes than asked for are an error.
pub(super) async fn read(file: &Arc<File>, at: u64, mut into: Vec<u8>) -> io::Result<Vec<u8>> {
    let file = Arc::clone(file);
    let read = move || file.read_exact_at(&mut into, at).map(|()| into);
    tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
}

/// Sends a part of a file by `sendfile(2)`, as much as the socket takes; waits until it takes some.
pub(super) async fn send(socket: &TcpStream, file: &File, at: u64, count: usize) -> io::Result<usize> {
    let start = i64::try_from(at).map_err(io::Error::other)?;
    let once = || loop {
        let mut offset = start;
        match nix::sys::sendfile::sendfile64(socket, file, Some(&mut offset), count) {
            Err(nix::errno::Errno::EINTR) => {}
            other => return other.map_err(io::Error::from),
        }
    };
    match socket.async_io(Interest::WRITABLE, once).await? {
        0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter while it was sent")),
        sent => Ok(sent),
    }
}

/// Waits until the kernel has put on the wire all that was written. What `sendfile` gave it are the file's own pages: a change of the file
/// would change them until then.
pub(super) async fn drained(socket: &TcpStream) -> io::Result<()> {
    let own = SockRef::from(socket);
    let before = own.tcp_notsent_lowat()?;
    own.set_tcp_notsent_lowat(1)?;
    let empty = || {
        let mut asked = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
        match nix::poll::poll(&mut asked, PollTimeout::ZERO) {
            Ok(0) => Err(io::ErrorKind::WouldBlock.into()),
            Ok(_) => Ok(()),
            Err(error) => Err(error.into()),
        }
    };
    socket.async_io(Interest::WRITABLE, empty).await?;
    own.set_tcp_notsent_lowat(before)
}
