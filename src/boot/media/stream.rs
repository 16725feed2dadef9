//! Sends a medium, or a range of it, with one block in memory. A file that was changed on the way ends the answer early, as everywhere in
//! this server: whoever fetches sees a broken transfer and not a wrong medium.

use std::collections::VecDeque;
use std::io;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, SeekFrom};

use super::super::artifact::Stamp;
use super::super::body::{Body, Tell};
use super::{Medium, Piece};

/// Most bytes of one step.
const BLOCK: u64 = 128 << 10;

/// A piece under way.
enum Left {
    Bytes(Bytes),
    Zeros(u64),
    File { file: tokio::fs::File, begun: bool, from: u64, left: u64, stamp: Stamp },
}

struct Progress {
    pieces: VecDeque<Left>,
    tell: Tell,
}

/// The medium from this byte on, so many bytes.
pub(in super::super) fn stream(medium: Medium, from: u64, count: u64, tell: Tell) -> Body {
    let mut at = 0;
    let end = from.saturating_add(count);
    let mut pieces = VecDeque::new();
    for piece in medium.pieces {
        let (first, past) = (at, at + piece.length());
        at = past;
        let (skip, left) = (from.saturating_sub(first), past.min(end).saturating_sub(first.max(from)));
        if left == 0 {
            continue;
        }
        pieces.push_back(match piece {
            Piece::Bytes(bytes) => {
                let within = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(bytes.len());
                let (start, stop) = (within(skip), within(skip.saturating_add(left)));
                Left::Bytes(Bytes::from(bytes).slice(start..stop))
            }
            Piece::Zeros(_) => Left::Zeros(left),
            Piece::File(opened) => {
                Left::File { file: tokio::fs::File::from_std(opened.file), begun: false, from: skip, left, stamp: opened.stamp }
            }
        });
    }
    BodyExt::boxed_unsync(StreamBody::new(futures_util::stream::try_unfold(Progress { pieces, tell }, next)))
}

async fn next(mut at: Progress) -> io::Result<Option<(Frame<Bytes>, Progress)>> {
    let Some(piece) = at.pieces.front_mut() else { return Ok(None) };
    let (bytes, over) = match piece {
        Left::Bytes(bytes) => (std::mem::take(bytes), true),
        Left::Zeros(left) => {
            let now = (*left).min(BLOCK);
            *left -= now;
            (Bytes::from(vec![0; usize::try_from(now).unwrap_or_default()]), *left == 0)
        }
        Left::File { file, begun, from, left, stamp } => {
            if !*begun {
                *begun = true;
                file.set_max_buf_size(usize::try_from(BLOCK).unwrap_or(1 << 17));
                file.seek(SeekFrom::Start(*from)).await?;
            }
            let mut block = BytesMut::with_capacity(usize::try_from((*left).min(BLOCK)).unwrap_or_default());
            if (&mut *file).take((*left).min(BLOCK)).read_buf(&mut block).await? == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "a file of the medium became shorter while it was sent",
                ));
            }
            *left = left.saturating_sub(block.len() as u64);
            // Checked before the last of it leaves.
            if *left == 0 && Stamp::of(&file.metadata().await?) != *stamp {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a file of the medium was changed while it was sent"));
            }
            (block.freeze(), *left == 0)
        }
    };
    if over {
        at.pieces.pop_front();
    }
    at.tell.add(bytes.len() as u64);
    Ok(Some((Frame::data(bytes), at)))
}
