//! Streams a file with one block in memory. When the file was changed while it was sent, the answer is cut short, so that the node sees
//! a broken transfer and not a wrong file.

use std::io;

use bytes::{Bytes, BytesMut};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use tokio::io::{AsyncReadExt, AsyncSeekExt, SeekFrom};

use super::answer::Sending;
use super::artifact::Stamp;
use super::server::{BootLog, Seen};

/// What hyper sends.
pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A block of a file in memory, for each connection.
const BLOCK: usize = 128 << 10;

/// A short text.
pub(super) fn text(text: String) -> Body {
    Full::from(text).map_err(|never| match never {}).boxed_unsync()
}

/// Nothing.
pub(super) fn empty() -> Body {
    text(String::new())
}

/// Tells the log when the sending ends, however it ends.
pub(super) struct Tell {
    seen: Option<Seen>,
    sent: u64,
    log: BootLog,
}

impl Tell {
    pub(super) fn new(seen: Seen, log: BootLog) -> Self {
        Self { seen: Some(seen), sent: 0, log }
    }

    pub(super) fn add(&mut self, bytes: u64) {
        self.sent = self.sent.saturating_add(bytes);
    }
}

impl Drop for Tell {
    fn drop(&mut self) {
        if let Some(mut seen) = self.seen.take() {
            seen.bytes = self.sent;
            self.log.tell(seen);
        }
    }
}

struct Progress {
    file: tokio::fs::File,
    left: u64,
    stamp: Stamp,
    tell: Tell,
}

/// A file, or the part of it that was asked for.
pub(super) async fn file(sending: Sending, log: BootLog) -> io::Result<Body> {
    let (from, left) = sending.slice.unwrap_or((0, sending.length));
    let mut file = tokio::fs::File::from_std(sending.file);
    file.set_max_buf_size(BLOCK);
    if from > 0 {
        file.seek(SeekFrom::Start(from)).await?;
    }
    let tell = Tell::new(sending.seen, log);
    let start = Progress { file, left, stamp: sending.stamp, tell };
    Ok(BodyExt::boxed_unsync(StreamBody::new(futures_util::stream::try_unfold(start, next))))
}

async fn next(mut at: Progress) -> io::Result<Option<(Frame<Bytes>, Progress)>> {
    if at.left == 0 {
        return Ok(None);
    }
    let want = usize::try_from(at.left).unwrap_or(BLOCK).min(BLOCK);
    let mut block = BytesMut::with_capacity(want);
    let mut reader = (&mut at.file).take(u64::try_from(want).unwrap_or_default());
    if reader.read_buf(&mut block).await? == 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter while it was sent"));
    }
    let got = u64::try_from(block.len()).unwrap_or_default();
    at.left = at.left.saturating_sub(got);
    // Checked before the last block leaves.
    if at.left == 0 && Stamp::of(&at.file.metadata().await?) != at.stamp {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the file was changed while it was sent"));
    }
    at.tell.add(got);
    Ok(Some((Frame::data(block.freeze()), at)))
}
