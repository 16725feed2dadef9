//! One thing for each of many nodes, so many at once, with a lane beside the road for those that do not answer: whoever takes longer than a moment
//! goes on without holding a place, so that the silent never delay the others. What is held open is bounded by this process's open files.

use std::future::Future;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::{FuturesUnordered, Stream};
use tokio::sync::Semaphore;

use super::descriptors;

/// How long one holds a place. A BMC that is well answers a whole question with login in 1–2 s; one that is silent takes its deadline.
const MOMENT: Duration = Duration::from_secs(2);

/// Does `one` for each item, `at_once` at a time, and gives the ends as they come. The order is that of the ends.
pub fn lanes<I, T, F: Future<Output = T>>(
    items: impl IntoIterator<Item = I>,
    at_once: usize,
    one: impl Fn(I) -> F + Clone,
) -> impl Stream<Item = T> {
    lanes_within(items, at_once, descriptors::looks(usize::MAX), MOMENT, one)
}

fn lanes_within<I, T, F: Future<Output = T>>(
    items: impl IntoIterator<Item = I>,
    at_once: usize,
    open: usize,
    moment: Duration,
    one: impl Fn(I) -> F + Clone,
) -> impl Stream<Item = T> {
    let open = open.min(Semaphore::MAX_PERMITS);
    let (road, open) = (std::sync::Arc::new(Semaphore::new(at_once.min(open))), std::sync::Arc::new(Semaphore::new(open)));
    let all: FuturesUnordered<_> = items
        .into_iter()
        .map(|item| {
            let (road, open, work) = (std::sync::Arc::clone(&road), std::sync::Arc::clone(&open), one.clone());
            async move {
                // Neither is ever closed, so both are got.
                let (_open, place) = (open.acquire().await, road.acquire().await);
                // Boxed: who waits for a place holds no room for the work yet.
                let mut work = Box::pin(work(item));
                if let Ok(end) = tokio::time::timeout(moment, work.as_mut()).await {
                    return end;
                }
                drop(place);
                work.await
            }
        })
        .collect();
    all.map(|end| end)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Each of the first `silent` waits for ever so long; the others are quick. Gives the order of the ends and the most that ran together.
    async fn ends(count: usize, silent: usize, open: usize) -> (Vec<usize>, usize) {
        let (now, most) = (&AtomicUsize::new(0), &AtomicUsize::new(0));
        let stream = lanes_within(0..count, 4, open, Duration::from_millis(40), |i| async move {
            most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            tokio::time::sleep(if i < silent { Duration::from_secs(2) } else { Duration::from_millis(1) }).await;
            now.fetch_sub(1, Ordering::Relaxed);
            i
        });
        (stream.collect().await, most.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn the_silent_do_not_delay_the_others() {
        let start = std::time::Instant::now();
        let (order, most) = ends(100, 16, 1000).await;
        // Four at a time: the sixteen silent cost four moments, and end last.
        let heard: std::collections::BTreeSet<usize> = order[..84].iter().copied().collect();
        assert_eq!(heard, (16..100).collect());
        assert!(most <= 20, "{most}");
        // One after the other they would take 8 s.
        assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
    }

    #[tokio::test]
    async fn what_is_open_is_bounded_all_the_same() {
        let (order, most) = ends(24, 8, 8).await;
        assert_eq!((order.len(), most), (24, 8));
    }
}
