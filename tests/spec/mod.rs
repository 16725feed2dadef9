//! Tests of `spec`: what a person who writes a wrong inventory is told, and that no input can make it panic.

mod expansion;
mod fixture;
mod mistakes;
mod properties;
mod selecting;
//! Tests of `spec`.

mod playbook;
mod schema;
