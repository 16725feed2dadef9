//! Tests of `sim`: the automaton by itself, then each server under clients that other people wrote.

mod farm;
mod login;
mod machine;
mod redfish;
mod rom;
mod site;
mod whole;
