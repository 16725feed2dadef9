//! A boot medium, or a range of it, as what the wire sends one after the other.

use std::collections::VecDeque;

use bytes::Bytes;

use super::file::{Load, Part};
use crate::boot::media::{Medium, Piece};

/// So many bytes of the medium, from this one on.
pub(super) fn loads(medium: Medium, from: u64, count: u64) -> VecDeque<Load> {
    let mut at = 0;
    let end = from.saturating_add(count);
    let mut loads = VecDeque::new();
    for piece in medium.pieces {
        let (first, past) = (at, at + piece.length());
        at = past;
        let (skip, left) = (from.saturating_sub(first), past.min(end).saturating_sub(first.max(from)));
        if left == 0 {
            continue;
        }
        let within = |n: u64, most: usize| usize::try_from(n).unwrap_or(usize::MAX).min(most);
        loads.push_back(match piece {
            Piece::Bytes(bytes) => {
                let (start, stop) = (within(skip, bytes.len()), within(skip.saturating_add(left), bytes.len()));
                Load::Bytes(Bytes::from(bytes).slice(start..stop))
            }
            // At most the rest of the smallest FAT16, 2 MiB.
            Piece::Zeros(_) => Load::Bytes(Bytes::from(vec![0; within(left, usize::MAX)])),
            Piece::File(opened) => Load::File(Part::of(opened.file, opened.stamp, (skip, left))),
        });
    }
    loads
}
