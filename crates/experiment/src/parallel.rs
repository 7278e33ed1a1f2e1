//! Many independent pieces of work on several threads, their results in order.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::mpsc;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Does `work(0)`, …, `work(count - 1)` on `jobs` threads and hands the results to `sink`, on the
/// calling thread, in this order. Stops early when `sink` breaks. A slow piece holds up at most a
/// few others per thread, so memory is bounded.
///
/// A panic in `work` or `sink` ends all threads and is passed on.
pub fn in_order<R: Send>(
    jobs: NonZeroUsize,
    count: u64,
    work: impl Fn(u64) -> R + Sync,
    mut sink: impl FnMut(u64, R) -> ControlFlow<()>,
) {
    let window = jobs.get() as u64 * WINDOW_PER_JOB;
    let shared = Shared { progress: Mutex::new(Progress::default()), moved: Condvar::new() };
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        for _ in 0..(jobs.get() as u64).min(count) {
            let (sender, shared, work) = (sender.clone(), &shared, &work);
            scope.spawn(move || {
                let guard = StopOnPanic(shared);
                while let Some(index) = shared.take(count, window) {
                    if sender.send((index, work(index))).is_err() {
                        break;
                    }
                }
                drop(guard);
            });
        }
        drop(sender);
        let _guard = StopAtEnd(&shared);
        let mut early = BTreeMap::new();
        let mut next = 0;
        for (index, result) in receiver {
            early.insert(index, result);
            while let Some(result) = early.remove(&next) {
                if sink(next, result).is_break() {
                    return;
                }
                next += 1;
                shared.handed_on(next);
            }
        }
    });
}

/// So many results per thread may wait for an earlier one.
const WINDOW_PER_JOB: u64 = 8;

#[derive(Default)]
struct Progress {
    /// The next piece to begin.
    next: u64,
    /// So many results have been handed on.
    handed_on: u64,
    stopped: bool,
}

struct Shared {
    progress: Mutex<Progress>,
    moved: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Progress> {
        // Nothing that holds the lock can panic.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next piece to do; waits while too many results wait.
    fn take(&self, count: u64, window: u64) -> Option<u64> {
        let mut progress = self.lock();
        loop {
            if progress.stopped || progress.next >= count {
                return None;
            }
            if progress.next < progress.handed_on + window {
                progress.next += 1;
                return Some(progress.next - 1);
            }
            progress = self.moved.wait(progress).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn handed_on(&self, count: u64) {
        self.lock().handed_on = count;
        self.moved.notify_all();
    }

    fn stop(&self) {
        self.lock().stopped = true;
        self.moved.notify_all();
    }
}

struct StopOnPanic<'a>(&'a Shared);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.stop();
        }
    }
}

struct StopAtEnd<'a>(&'a Shared);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    fn jobs(count: usize) -> NonZeroUsize {
        NonZeroUsize::new(count).unwrap()
    }

    /// Later pieces take less work, so they finish first.
    fn unequal(index: u64) -> u64 {
        (0..(200 - index) * 500).fold(index, |sum, i| std::hint::black_box(sum ^ i ^ i))
    }

    #[test]
    fn results_come_in_order_whatever_finishes_first() {
        for threads in [1, 2, 7] {
            let mut seen = Vec::new();
            in_order(jobs(threads), 200, unequal, |index, result| {
                seen.push((index, result));
                ControlFlow::Continue(())
            });
            assert_eq!(seen, (0..200).map(|index| (index, index)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn breaking_stops_the_threads() {
        let mut seen = 0;
        in_order(
            jobs(3),
            u64::MAX,
            |index| index,
            |index, _| {
                seen = index;
                if index == 50 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            },
        );
        assert_eq!(seen, 50);
    }

    #[test]
    fn a_panic_does_not_hang() {
        let run = || {
            in_order(
                jobs(2),
                1_000_000,
                |index| assert!(index != 20, "on purpose"),
                |_, ()| ControlFlow::Continue(()),
            );
        };
        assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
    }
}
