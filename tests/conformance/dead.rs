//! What no row of the table names and every row rests on: nothing is wrong, and the BMC falls silent for good after each request in turn.

use super::row::{Row, Where};

pub fn rows() -> Vec<Row> {
    vec![
        Row {
            id: "00-a",
            says: "does nothing wrong",
            faults: &[],
            placed: Where::Always,
            own: |_| Box::pin(async { Ok("the clean run".to_owned()) }),
        },
        Row {
            id: "00-b",
            says: "falls silent for good",
            faults: &["bmc-dead-after(@)"],
            placed: Where::EachOn,
            own: |_| Box::pin(async { Ok("swept only".to_owned()) }),
        },
    ]
}
