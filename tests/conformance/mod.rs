//! The conformance suite: every row of `reference/firmware.md` §5 (RC-nn, IP-nn), placed at every request of a full bring-up, on three vendors'
//! profiles. Each group of rows is one file; `sweep` runs them all and prints the table row × profile.

mod row;
