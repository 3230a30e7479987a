//! What a piece of work costs the database: statements, rows and time, counted on the thread that does it. Knows no request.

use std::cell::Cell;
use std::time::Duration;

/// What was spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Statements sent, `BEGIN` and `COMMIT` among them.
    pub statements: u64,
    /// Rows that came back, and rows written.
    pub rows: u64,
    /// From sending a statement to its last row, added up.
    pub time: Duration,
}

thread_local! {
    static SPENT: Cell<Spent> = const { Cell::new(Spent { statements: 0, rows: 0, time: Duration::ZERO }) };
}

/// Runs `work`, and says what the statements that it sent from this thread came to.
pub fn metered<T>(work: impl FnOnce() -> T) -> (T, Spent) {
    let outer = SPENT.take();
    let done = work();
    let spent = SPENT.replace(outer);
    (done, spent)
}

pub(super) fn sent(took: Duration) {
    let spent = SPENT.get();
    SPENT.set(Spent { statements: spent.statements + 1, time: spent.time + took, ..spent });
}

pub(super) fn rows(count: u64) {
    let spent = SPENT.get();
    SPENT.set(Spent { rows: spent.rows + count, ..spent });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_within_work() {
        let ((), all) = metered(|| {
            sent(Duration::from_millis(2));
            let ((), inner) = metered(|| {
                sent(Duration::from_millis(5));
                rows(7);
            });
            assert_eq!(inner, Spent { statements: 1, rows: 7, time: Duration::from_millis(5) });
            rows(1);
        });
        assert_eq!(all, Spent { statements: 1, rows: 1, time: Duration::from_millis(2) });
        assert_eq!(metered(|| ()).1, Spent::default());
    }
}
