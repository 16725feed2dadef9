//! `bringup serve --tftp` against clients that others wrote, over a good wire and a bad one, and against those that mean harm.

mod clients;
mod rig;
mod weather;
mod wire;
